package anomaly_test

import (
	"fmt"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/schemas/wire"
)

// Each rule has its bound, per principal and KMS key, in each window.
func TestStorm(t *testing.T) {
	var s anomaly.Storm
	admitted := func(start int64, rule string, n int, pair func(i int) wire.Entity) (published int) {
		for i := range n {
			if s.Admit(start, rule, pair(i)) {
				published++
			}
		}
		return published
	}
	f := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d are published, want %d", what, got, want)
		}
	}
	const bound = anomaly.StormBound
	f("one pair", admitted(begin, "a", 3*bound, func(int) wire.Entity { return pairOf(1, 1) }), bound)
	f("another rule", admitted(begin, "b", 3*bound, func(int) wire.Entity { return pairOf(1, 1) }), bound)
	f("another window", admitted(begin+size, "a", 5, func(int) wire.Entity { return pairOf(1, 1) }), 5)
	f("the same principal on other keys", admitted(begin, "a", bound, func(i int) wire.Entity { return pairOf(10+i, 1) }), 0)
	f("other principals on the same key", admitted(begin, "a", bound, func(i int) wire.Entity { return pairOf(1, 10+i) }), 0)
	f("others on others", admitted(begin, "a", bound, func(i int) wire.Entity { return pairOf(10+i, 10+i) }), bound)
	f("no key", admitted(begin, "a", 2*bound, func(i int) wire.Entity {
		return wire.Entity{Scope: wire.ScopePair, Key: "-", Principal: role(1000 + i)}
	}), 2*bound)
}

// However many windows and entities come, its memory is bounded, and it refuses no entity
// without a storm.
func TestStormIsBounded(t *testing.T) {
	var s anomaly.Storm
	for w := range int64(2000) {
		for i := range 40 {
			if !s.Admit(begin+w*size, "a", pairOf(i, i)) {
				t.Fatalf("window %d, pair %d is refused", w, i)
			}
		}
	}
	if s.Admit(begin, "a", pairOf(1, 1)); s.Windows() > 150 {
		t.Errorf("%d windows", s.Windows())
	}
	for i := range 200_000 {
		s.Admit(begin+5000*size, fmt.Sprint(i), pairOf(i, i))
		if n := s.Counts(); n > 1<<16+2 {
			t.Fatalf("%d counts", n)
		}
	}
}
