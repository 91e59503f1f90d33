package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"keytrail/processor/generate"
	"keytrail/schemas/wire"
)

const (
	keyA   = "arn:aws:kms:us-east-1:111122223333:key/a"
	keyB   = "arn:aws:kms:us-east-1:111122223333:key/b"
	keyC   = "arn:aws:kms:us-east-1:444455556666:key/c"
	alice  = "arn:aws:iam::111122223333:user/alice"
	bob    = "arn:aws:iam::111122223333:user/bob"
	minute = int64(time.Minute)
)

// noon is the start of the incidents in these tests.
var noon = time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC)

// three are two incidents that begin at noon, one that begins an hour later, and a
// harmless scenario at noon.
func three() *incidents {
	rate, first := []generate.Kind{generate.KindRate}, []generate.Kind{generate.KindFirstSeen}
	return newIncidents([]generate.Label{
		{Scenario: "burst", Kinds: rate, KeyARN: keyA, Principal: alice, Start: noon, End: noon.Add(10 * time.Minute)},
		{Scenario: "first_use", Kinds: first, KeyARN: keyB, Principal: bob, Start: noon, End: noon.Add(10 * time.Minute)},
		{Scenario: "trail_blinded", Kinds: []generate.Kind{generate.KindBlindSpot}, Account: "444455556666",
			Start: noon.Add(time.Hour), End: noon.Add(time.Hour + time.Second), Aftermath: noon.Add(2 * time.Hour)},
		{Scenario: "reread", Benign: true, Account: "111122223333", Start: noon, End: noon.Add(time.Hour)},
	})
}

func keyWindow(arn string, after time.Duration, score float64, kind string) *finding {
	return &finding{Entity: wire.Entity{Scope: wire.ScopeKey, Key: arn}, start: noon.Add(after).UnixNano(), end: noon.Add(after + 5*time.Minute).UnixNano(),
		published: noon.Add(after + 20*time.Minute).UnixNano(), score: score, kind: kind}
}

// TestMatching checks the entities and times of an incident.
func TestMatching(t *testing.T) {
	s := three()
	f := func(what string, e wire.Entity, after time.Duration, want ...int) {
		t.Helper()
		var got []int
		s.match(&finding{Entity: e, start: noon.Add(after).UnixNano(), end: noon.Add(after).UnixNano() + 5*minute}, func(i int) {
			if !slices.Contains(got, i) && !s.list[i].Benign {
				got = append(got, i)
			}
		})
		if !slices.Equal(got, want) {
			t.Errorf("%s: about %v, want %v", what, got, want)
		}
	}
	key := func(arn string) wire.Entity { return wire.Entity{Scope: wire.ScopeKey, Key: arn} }
	who := func(name string) wire.Entity { return wire.Entity{Scope: wire.ScopePrincipal, Principal: name} }
	pair := func(arn, name string) wire.Entity {
		return wire.Entity{Scope: wire.ScopePair, Key: arn, Principal: name}
	}
	f("its key", key(keyA), 0, 0)
	f("its principal", who(alice), 0, 0)
	f("its pair", pair(keyA, alice), 0, 0)
	f("its principal on another key", pair(keyB, alice), 0)
	f("another principal on its key", pair(keyA, bob), 0)
	f("its principal on no key", pair("-", alice), 0, 0)
	f("another key", key(keyC), 0)
	f("the window that ends when it begins", key(keyA), -5*time.Minute)
	f("a window that overlaps its beginning", key(keyA), -4*time.Minute, 0)
	f("a window at the end of the tolerance", key(keyA), 24*time.Minute, 0)
	f("a window behind it", key(keyA), 25*time.Minute)
	f("a key of the blinded account", key(keyC), time.Hour, 2)
	f("a principal of the blinded account", who("arn:aws:iam::444455556666:role/r"), time.Hour, 2)
	f("the blinded account, as other owners see it", pair(keyA, "account:444455556666"), time.Hour, 2)
	f("the aftermath", key(keyC), 130*time.Minute, 2)
	f("behind the aftermath", key(keyC), 135*time.Minute)
}

// TestFigures follows a hand-computed example. Three incidents:
//
//	score 9  rate on A's key      about the burst, an expected kind
//	score 8  rate on key C        false
//	score 7  first_seen on key B  about the first use
//	score 6  rate on key C        false
//	score 5  rate on A's key      about the burst again
//	score 4  rate on key B        about the first use, but of no expected kind
//
// The blinded trail is never found.
func TestFigures(t *testing.T) {
	r := newTrial("x", 6, 0, three(), noon.Add(-time.Hour).UnixNano())
	for _, f := range []*finding{
		keyWindow(keyA, 5*time.Minute, 5, "rate"), keyWindow(keyC, 0, 8, "rate"), keyWindow(keyB, 0, 7, "first_seen"),
		keyWindow(keyC, 10*time.Minute, 6, "rate"), keyWindow(keyA, 0, 9, "rate"), keyWindow(keyB, 5*time.Minute, 4, "rate"),
		keyWindow(keyC, -2*time.Hour, 99, "rate"), // before the judged time
	} {
		r.add(f)
	}
	r.days, r.entityDays = 2, 4000
	want := []figures{
		{9, 1, 3, 1, 0}, {8, 1, 3, 2, 1}, {7, 2, 3, 3, 1}, {6, 2, 3, 4, 2}, {5, 2, 3, 5, 2}, {4, 2, 3, 6, 2},
	}
	curve := r.curve(nil)
	if !slices.Equal(curve, want) {
		t.Errorf("curve %v, want %v", curve, want)
	}
	for _, f := range want {
		if got := r.at(f.threshold, nil); got != f {
			t.Errorf("at %v: %v, want %v", f.threshold, got, f)
		}
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	f := r.at(6, nil)
	near("recall", f.recall(), 2.0/3)
	near("precision", f.precision(), 0.5)
	near("false for 1,000 entity-days", r.perThousand(f), 0.5)
	near("false a day", r.perDay(f), 1)
	// Recall rises by a third at score 9, where precision is 1, and by a third at
	// score 7, where it is 2/3.
	near("area", area(curve), 1.0/3+1.0/3*2/3)
	if got, ok := atRecall(curve, 0.5); !ok || got != want[2] {
		t.Errorf("at recall 0.5: %v", got)
	}
	if _, ok := atRecall(curve, 0.7); ok {
		t.Error("a recall is reached that is not")
	}
	burst := func(o *outcome) bool { return o.scenario == "burst" }
	if got := r.at(6, burst); got.planted != 1 || got.found != 1 || got.wrong != 2 {
		t.Errorf("the burst alone: %v", got)
	}
	if o := r.incidents[0]; o.took != 20*time.Minute || o.best != 9 {
		t.Errorf("the burst took %v with score %v, want 20m and 9", o.took, o.best)
	}
	if o := r.incidents[1]; o.took != 20*time.Minute || o.seen != 7 || !slices.Equal(o.other, []string{"rate"}) {
		t.Errorf("the first use: %+v", o)
	}
	if o := r.incidents[2]; o.took >= 0 || o.best != 0 {
		t.Errorf("the blinding was found: %+v", o)
	}
}

// TestHarmless checks that an anomaly about a harmless scenario is false, unless it is
// also about an incident.
func TestHarmless(t *testing.T) {
	r := newTrial("x", 0, 0, three(), 0)
	for _, f := range []struct {
		f      *finding
		wrong  bool
		benign string
	}{
		{keyWindow(keyA, 0, 5, "rate"), false, "reread"},
		{keyWindow(keyA, 40*time.Minute, 5, "rate"), true, "reread"},
		{keyWindow(keyC, 0, 5, "rate"), true, ""},
	} {
		if wrong, benign := r.add(f.f); wrong != f.wrong || benign != f.benign {
			t.Errorf("%s at %v: false %v in %q, want %v in %q", f.f.Key, f.f.start, wrong, benign, f.wrong, f.benign)
		}
	}
	if r.benign["reread"] != 1 {
		t.Errorf("%d false anomalies in what is harmless, want 1", r.benign["reread"])
	}
}

// TestJoin checks that the figures of two joined trails are those of all findings together.
func TestJoin(t *testing.T) {
	a, b := newTrial("x", 6, 0, three(), 0), newTrial("x", 6, 0, three(), 0)
	a.add(keyWindow(keyA, 0, 9, "rate"))
	b.add(keyWindow(keyC, 0, 8, "rate"))
	a.days, b.days, a.entityDays, b.entityDays = 1, 2, 30, 40
	a.join(&b.tally)
	if f := a.at(6, nil); f != (figures{6, 1, 6, 2, 1}) || a.days != 3 || a.entityDays != 70 {
		t.Errorf("joined: %v, %v days, %d entity-days", f, a.days, a.entityDays)
	}
}
