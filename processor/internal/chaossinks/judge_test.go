package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"keytrail/processor/internal/chaostest"
)

// text returns the body json of a revision of a window, and of an anomaly.
func windowText(id, key string, revision, calls int, state string) string {
	return fmt.Sprintf(`{"event_name":"keytrail.window","keytrail.window.id":%q,"keytrail.window.scope":"key","aws.kms.key.arn":%q,`+
		`"keytrail.window.start":"2026-01-05T00:00:00Z","keytrail.window.revision":%d,"keytrail.window.calls.total":%d,`+
		`"keytrail.window.state":%q}`, id, key, revision, calls, state)
}

func anomalyText(id string, revision int) string {
	return fmt.Sprintf(`{"event_name":"keytrail.anomaly","keytrail.anomaly.id":%q,"keytrail.anomaly.revision":%d}`, id, revision)
}

const eventText = `{"event_name":"aws.kms.api_call","log.record.uid":"e"}`

// TestAccount: each way in which a receiver can be wrong is counted as what it is, and
// nothing else.
func TestAccount(t *testing.T) {
	open, final := windowText("w", "k", 0, 1, "open"), windowText("w", "k", 1, 2, "final")
	want := &expected{windows: map[string]chaostest.Counts{"key k  2026-01-05T00:00:00Z": {Calls: 2, Final: true}},
		anomalies: map[string]bool{"anomaly_id a": true}, published: map[string]published{}}
	for _, text := range []string{open, final, anomalyText("a", 0), anomalyText("a", 1), eventText} {
		own, err := decodeFlat([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		want.publish(own, sum([]byte(text)))
	}
	all := []string{final, anomalyText("a", 1), eventText}
	for _, c := range []struct {
		name                         string
		upsert                       bool
		texts                        []string
		lost, doubled, stale, copies int
	}{
		{"all", true, all, 0, 0, 0, 0},
		{"older revisions before", false, append([]string{open, anomalyText("a", 0)}, all...), 0, 0, 0, 0},
		{"older revisions behind", false, append(all[:3:3], open), 0, 0, 0, 0},
		{"copies", false, append(all[:3:3], all...), 0, 0, 0, 3},
		{"copies where the id is a key", true, append(all[:3:3], all...), 0, 3, 0, 3},
		{"no event", true, all[:2], 1, 0, 0, 0},
		{"no anomaly", true, []string{final, eventText}, 1, 0, 0, 0},
		{"no window", true, all[1:], 1, 0, 0, 0},
		{"an old window", true, append(all[1:3:3], open), 0, 0, 1, 0},
		{"an old anomaly", true, []string{final, anomalyText("a", 0), eventText}, 0, 0, 1, 0},
		{"other content", true, append(all[1:3:3], windowText("w", "k", 1, 2, "final ")), 0, 0, 1, 0},
		{"another count", true, append(all[1:3:3], windowText("w", "k", 1, 3, "final")), 0, 0, 1, 0},
		{"a second id of a window", true, append(all[:3:3], windowText("x", "k", 1, 2, "final")), 0, 2, 0, 0},
		{"an unknown window", true, append(all[:3:3], windowText("y", "l", 1, 2, "final")), 0, 2, 0, 0},
		{"an unknown anomaly", true, append(all[:3:3], anomalyText("b", 1)), 0, 1, 0, 0},
		{"a record without id", false, append(all[:3:3], `{"event_name":"aws.kms.api_call"}`), 0, 1, 0, 0},
	} {
		a, err := want.take(t.Context(), receiver{name: c.name, upsert: c.upsert, read: func(_ context.Context, f func(found) error) error {
			for _, text := range c.texts {
				own, err := decodeFlat([]byte(text))
				if err != nil {
					return err
				}
				if err := f(found{own.id(), fmt.Sprint(own.revision()), []byte(text)}); err != nil {
					return err
				}
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		got := []int{len(a.lost), len(a.doubled), len(a.stale)}
		if !reflect.DeepEqual(got, []int{c.lost, c.doubled, c.stale}) || !c.upsert && a.copies != c.copies {
			t.Errorf("%s: lost, doubled and stale are %v, want %d, %d, %d; %d copies, want %d", c.name, got, c.lost, c.doubled,
				c.stale, a.copies, c.copies)
		}
	}
}

// TestAccountOfWrongIDs: a receiver that has another id beside a record than the record's own
// cannot tell copies.
func TestAccountOfWrongIDs(t *testing.T) {
	a := &account{newest: map[string]newest{}, doubled: map[string]bool{}}
	for _, f := range []found{{"event_id x", "", []byte(eventText)}, {"", "", []byte(eventText)},
		{"anomaly_id a", "1", []byte(anomalyText("a", 2))}, {"event_id e", "", []byte(`{`)}} {
		if err := a.add(f, false); err == nil {
			t.Errorf("%+v is taken", f)
		}
	}
}

// TestFaults: the faults follow from the seed, and each lane has some of each kind.
func TestFaults(t *testing.T) {
	draw := func(seed uint64) (list []fault, kinds map[string]int) {
		l := &lane{targets: make([]target, 3), actions: []action{{"kill", [2]time.Duration{0, time.Second}}, {"stop", [2]time.Duration{1, 2}}},
			up: [2]time.Duration{time.Second, 2 * time.Second}, rng: rand.New(rand.NewPCG(seed, 0))}
		kinds = map[string]int{}
		for range 100 {
			f := l.next()
			list = append(list, f)
			kinds[fmt.Sprint(f.what, f.target)]++
		}
		return list, kinds
	}
	first, kinds := draw(1)
	again, _ := draw(1)
	other, _ := draw(2)
	if !reflect.DeepEqual(first, again) || reflect.DeepEqual(first, other) || len(kinds) != 6 {
		t.Errorf("seed 1 gives %v, again %v, and seed 2 %v; %v", first[:3], again[:3], other[:3], kinds)
	}
}

// TestLane: a lane leaves every target running, and counts what it did.
func TestLane(t *testing.T) {
	running, did := true, map[string]int{}
	note := func(what string, after bool) { did[what]++; running = after }
	l := &lane{targets: []target{{"t", func() error { note("launch", true); return nil }, func() error { note("stop", false); return nil },
		func() { note("kill", false) }, func() { note("suspend", false) }, func() { note("resume", true) }}},
		up: [2]time.Duration{0, time.Millisecond}, rng: rand.New(rand.NewPCG(3, 0))}
	for _, what := range []string{"kill", "stop", "suspend"} {
		l.actions = append(l.actions, action{what, [2]time.Duration{0, time.Millisecond}})
	}
	kills := 0
	if err := l.run(t.Context(), time.Now().Add(time.Second), func() { kills++ }); err != nil {
		t.Fatal(err)
	}
	if !running || kills == 0 || kills != did["kill"] || did["kill"]+did["stop"] != did["launch"] || did["suspend"] != did["resume"] ||
		did["suspend"] != l.done["suspend"] {
		t.Errorf("running %v, %d kills, %v, %v", running, kills, did, l.done)
	}
}
