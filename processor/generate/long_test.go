package generate_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// week is a trail that fits all scenarios.
func week(scenarios ...string) generate.Config {
	return generate.Config{
		Seed: 9, Duration: 8 * 24 * time.Hour, Keys: 60, Principals: 120, Events: 9_000, Repeat: 2,
		Accounts: []string{"111122223333", "444455556666", "123456789012"}, Scenarios: scenarios,
	}
}

// TestLongLabels finds what all labels of a long trail describe, and checks that its
// quiet part has no attack.
func TestLongLabels(t *testing.T) {
	g := makeTrail(t, week())
	byCall := map[string]record{}
	for _, r := range records(t, g, true) {
		byCall[r.callID()] = r
	}
	planted := map[string]int{}
	for _, l := range g.Labels() {
		planted[l.Scenario]++
		if l.Start.Before(g.Quiet()) || !l.End.After(l.Start) || l.Note == "" || l.Calls != len(l.CallIDs) || l.Benign == (len(l.Kinds) > 0) {
			t.Errorf("incomplete, early or both harmless and not: %+v", l)
		}
		missing := 0
		for _, id := range l.CallIDs {
			r, there := byCall[id]
			if !there { // a slow drip may meet a blinded trail
				missing++
				continue
			}
			if r.Time.Before(l.Start) || !r.Time.Before(l.End) {
				t.Errorf("%s: call %s at %v is outside %v to %v", l.Scenario, id, r.Time, l.Start, l.End)
			}
			who := r.principal()
			if who != l.Principal && !slices.Contains(l.Principals, who) {
				t.Errorf("%s: call %s is by %s, the label says %s, %v", l.Scenario, id, who, l.Principal, l.Principals)
			}
		}
		if missing > len(l.CallIDs)/20 {
			t.Errorf("%s: %d of %d calls are not in the trail", l.Scenario, missing, len(l.CallIDs))
		}
	}
	for _, name := range generate.Scenarios() {
		if planted[name] < 2 {
			t.Errorf("%s is planted %d times", name, planted[name])
		}
	}
}

// one returns the labels of one scenario and its records, by the label's order.
func one(t *testing.T, scenario string) (labels []generate.Label, calls [][]record, all []record) {
	t.Helper()
	g := makeTrail(t, week(scenario))
	all = records(t, g, true)
	byCall := map[string]record{}
	for _, r := range all {
		byCall[r.callID()] = r
	}
	for _, l := range g.Labels() {
		var own []record
		for _, id := range l.CallIDs {
			own = append(own, byCall[id])
		}
		labels, calls = append(labels, l), append(calls, own)
	}
	if len(labels) < 2 {
		t.Fatalf("%d labels of %s", len(labels), scenario)
	}
	return labels, calls, all
}

// usual returns the other records of the label's pair.
func usual(l generate.Label, all []record) (list []record) {
	for _, r := range all {
		if r.principal() == l.Principal && r.keyARN() == l.KeyARN && !slices.Contains(l.CallIDs, r.callID()) {
			list = append(list, r)
		}
	}
	return list
}

// TestSlowDrip checks that the drip shows in three days but in no five minutes.
func TestSlowDrip(t *testing.T) {
	labels, calls, all := one(t, "slow_drip")
	for i, l := range labels {
		most, slots := 0, map[int64]int{}
		for _, r := range calls[i] {
			slots[r.Time.Unix()/300]++
			most = max(most, slots[r.Time.Unix()/300])
		}
		before := usual(l, all)
		days := float64(len(before)) / 8 * 3
		if most > 6 || float64(len(calls[i])) < 1.5*days || l.End.Sub(l.Start) < 70*time.Hour {
			t.Errorf("%d calls in %v, at most %d in five minutes, where %.0f are usual", len(calls[i]), l.End.Sub(l.Start), most, days)
		}
	}
}

// TestStolenRole checks that only network and client are new.
func TestStolenRole(t *testing.T) {
	labels, calls, all := one(t, "stolen_role")
	for i, l := range labels {
		addresses, agents := map[string]bool{}, map[string]bool{}
		for _, r := range usual(l, all) {
			addresses[r.text("sourceIPAddress")], agents[r.text("userAgent")] = true, true
		}
		for _, r := range calls[i] {
			if addresses[r.text("sourceIPAddress")] || agents[r.text("userAgent")] || !strings.HasPrefix(r.text("sourceIPAddress"), "198.18.") {
				t.Errorf("a call from %s with %s is not new", r.text("sourceIPAddress"), r.text("userAgent"))
			}
		}
		if len(addresses) == 0 {
			t.Error("the role is new itself")
		}
	}
}

// TestMoves checks that addresses are valid, that most principals have several, that a
// quarter have two clients, and that a few people travel.
func TestMoves(t *testing.T) {
	c := week()
	c.Scenarios, c.Principals, c.Events = []string{}, 600, 30_000
	addresses, agents, travels := map[string]map[string]bool{}, map[string]map[string]bool{}, 0
	for _, r := range records(t, makeTrail(t, c), true) {
		who, from := r.principal(), r.text("sourceIPAddress")
		if r.text("userIdentity.type") != "AssumedRole" || strings.Contains(from, ".amazonaws.com") || from == "AWS Internal" {
			continue
		}
		at, err := netip.ParseAddr(from)
		if err != nil {
			t.Fatal(err)
		}
		if addresses[who] == nil {
			addresses[who], agents[who] = map[string]bool{}, map[string]bool{}
		}
		addresses[who][from], agents[who][r.text("userAgent")] = true, true
		if netip.MustParsePrefix("100.64.0.0/10").Contains(at) {
			travels++
		}
	}
	several, upgraded := 0, 0
	for who := range addresses {
		if len(addresses[who]) > 1 {
			several++
		}
		if len(agents[who]) > 1 {
			upgraded++
		}
	}
	if n := len(addresses); several < n/2 || upgraded < n/20 || upgraded > n/3 || travels == 0 {
		t.Errorf("of %d principals %d have several addresses and %d two clients; %d calls from other places", n, several, upgraded, travels)
	}
}

// TestLongAttacks checks the form of the other attacks of long trails.
func TestLongAttacks(t *testing.T) {
	every := func(scenario string, f func(l generate.Label, r record) bool) {
		t.Helper()
		labels, calls, _ := one(t, scenario)
		for i, l := range labels {
			for _, r := range calls[i] {
				if !f(l, r) {
					t.Errorf("%s: unexpected %s", scenario, r.JSON)
					break
				}
			}
		}
	}
	every("refused_own", func(l generate.Label, r record) bool {
		return r.text("errorCode") == "AccessDenied" && slices.Contains(l.Keys, r.keyARN())
	})
	every("cross_account", func(l generate.Label, r record) bool {
		return r.text("userIdentity.type") == "AWSAccount" && r.keyARN() == l.KeyARN && r.Account != r.text("userIdentity.accountId")
	})
	every("off_hours", func(_ generate.Label, r record) bool { return r.Time.Hour() < 6 && r.text("eventName") == "Decrypt" })
	every("ransom", func(l generate.Label, r record) bool {
		return r.text("eventName") == "ReEncrypt" && strings.Contains(string(r.JSON), `"destinationKeyId":"`+l.Keys[0]+`"`) && strings.Contains(l.Keys[0], generate.ForeignAccount)
	})
	every("rotation_off", func(_ generate.Label, r record) bool { return r.text("eventName") == "DisableKeyRotation" })
	every("bucket_sweep", func(_ generate.Label, r record) bool {
		return strings.Contains(r.text("requestParameters.encryptionContext.aws:s3:arn"), "/objects/")
	})
	labels, _, all := one(t, "fan_in")
	for _, l := range labels {
		if len(l.Principals) < 8 {
			t.Errorf("fan_in by %d principals", len(l.Principals))
		}
		for _, r := range all {
			if r.keyARN() == l.KeyARN && slices.Contains(l.Principals, r.principal()) && !slices.Contains(l.CallIDs, r.callID()) {
				t.Fatalf("%s used the key otherwise: %s", r.principal(), r.JSON)
			}
		}
	}
}

// TestFilesGoAstray checks the delivery of late, triple and repeated files.
func TestFilesGoAstray(t *testing.T) {
	f := func(scenario string, ok func(l generate.Label, lags []time.Duration) bool) {
		t.Helper()
		c := week(scenario)
		c.DuplicateShare = -1
		g := makeTrail(t, c)
		all := slices.Collect(g.Events())
		for _, l := range g.Labels() {
			lags := map[string][]time.Duration{}
			for _, e := range all {
				if e.Account == l.Account && !e.Time.Before(l.Start) && e.Time.Before(l.End) {
					lags[string(e.JSON)] = append(lags[string(e.JSON)], e.Delivered.Sub(e.Time))
				}
			}
			if len(lags) == 0 {
				t.Errorf("%s: no record in %v to %v", scenario, l.Start, l.End)
			}
			for list := range maps.Values(lags) {
				if !ok(l, list) {
					t.Errorf("%s (%s): delivered after %v", scenario, l.Note, list)
					break
				}
			}
		}
	}
	f("late_file", func(l generate.Label, lags []time.Duration) bool {
		want := 40 * time.Minute
		if strings.Contains(l.Note, "3h") {
			want = 3 * time.Hour
		}
		return len(lags) == 1 && lags[0] >= want && lags[0] <= want+12*time.Minute
	})
	f("duplicates", func(_ generate.Label, lags []time.Duration) bool {
		return len(lags) == 3 && lags[2] > lags[1] && lags[1] > lags[0]
	})
	f("reread", func(_ generate.Label, lags []time.Duration) bool { return len(lags) == 2 && lags[1] > 9*time.Hour })
}

// TestBackgroundOfWeeks checks that a long trail has every documented habit.
func TestBackgroundOfWeeks(t *testing.T) {
	g := makeTrail(t, generate.Config{Seed: 1, Duration: 35 * 24 * time.Hour, Keys: 300, Principals: 1000, Events: 1_000_000})
	found := map[string]int{}
	for _, e := range g.Background() {
		found[e.Archetype]++
	}
	for _, habit := range []string{"root", "rotation by KMS", "new service", "occasional use", "regime switches", "slow growth", "level shift (Bucket Keys)", "daily batch",
		"hourly batch", "deployments", "steady machine", "AWS service", "person in office hours", "application (log-normal Poisson)", "second key of ReEncrypt"} {
		if found[habit] == 0 {
			t.Errorf("nobody has the habit %q: %v", habit, found)
		}
	}
}

func TestRepeatNeedsAWeek(t *testing.T) {
	for _, c := range []generate.Config{
		{Repeat: 2}, {Repeat: 51, Duration: 200 * time.Hour}, {Repeat: -1}, {Scenarios: []string{"slow_drip"}},
		{Repeat: 50, Duration: 168 * time.Hour, Scenarios: []string{"trail_blinded"}},
	} {
		if _, err := generate.New(c); err == nil {
			t.Errorf("no error for %+v", c)
		}
	}
}
