package window_test

import (
	"slices"
	"strings"
	"testing"

	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// A roll-up sums its windows with their anomalies, is published when it ends and again
// after every late call in one of its windows, and is marked as one.
func TestRollup(t *testing.T) {
	cfg := window.DefaultConfig()
	cfg.Rollups = []int64{hour}
	r := newRig(t, cfg, false)
	rollups := func(list []window.Result) []window.Result {
		return slices.DeleteFunc(list, func(r window.Result) bool { return r.Size == 0 || r.Entity != keyOf(1) })
	}
	r.add(decrypt(begin+minute, 1, 1), 2)
	r.add(decrypt(begin+30*minute, 1, 2), 3)
	ruled := decrypt(begin+59*minute, 1, 1)
	ruled.Rules = 1
	r.add(ruled, 1)
	r.add(decrypt(begin+61*minute, 1, 1), 7)
	if got := rollups(r.advance(begin + hour - 1)); len(got) != 0 {
		t.Fatalf("before its end it is published: %v", describe(got[0]))
	}
	got := rollups(r.advance(begin + hour))
	if len(got) != 1 || !got[0].Closed || got[0].Revision != 1 || get(&got[0], wire.CounterCalls) != 6 || get(&got[0], wire.CounterRule) != 1 {
		t.Fatalf("at its end: %+v", got)
	}
	for _, want := range []string{
		`"keytrail.window.rollup","value":{"boolValue":true}`, `"keytrail.window.end","value":{"stringValue":"` + stamp(begin+hour) + `"}`,
		`"keytrail.window.principals","value":{"intValue":"2"}`, `"keytrail.window.anomalies.total","value":{"intValue":"1"}`,
	} {
		if text := describe(got[0]); !strings.Contains(text, want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
	r.add(decrypt(begin+58*minute, 1, 1), 1)
	if got = rollups(r.advance(begin + hour + minute)); len(got) != 1 || got[0].Revision != 2 || get(&got[0], wire.CounterCalls) != 7 {
		t.Errorf("after a late call: %+v", got)
	}
	if got = rollups(r.advance(begin + 2*hour)); len(got) != 1 || got[0].Start != begin+hour || get(&got[0], wire.CounterCalls) != 7 {
		t.Errorf("the next hour: %+v", got)
	}
	for _, p := range partials(decrypt(begin+59*minute, 1, 1), 1) {
		if !r.e.Merge(p) {
			t.Error("a call that no window takes is taken")
		}
	}
	if got = rollups(r.advance(begin + 2*hour + minute)); len(got) != 0 {
		t.Errorf("a roll-up that is dropped is published: %+v", got)
	}
}

func TestRollupsAreValidated(t *testing.T) {
	f := func(ok bool, list ...int64) {
		t.Helper()
		cfg := window.DefaultConfig()
		cfg.Rollups = list
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("roll-ups %v: %v", list, err)
		}
	}
	f(true)
	f(true, 10*minute, hour, 6*hour, day)
	f(false, 10*minute, hour, 2*hour, 6*hour, day)
	f(false, size)
	f(false, 7*minute)
	f(false, hour, hour)
	f(false, hour, 10*minute)
	f(false, 2*day)
}
