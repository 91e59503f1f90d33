package dedup

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"keytrail/schemas/wire"
)

func id(n uint64) (c wire.CallID) {
	binary.BigEndian.PutUint64(c[8:], n)
	return c
}

// The set must agree with a plain map, whatever the ids, also those that a
// hostile producer would choose: counting up, all zero, alike in one half.
func TestAgreesWithAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s, want := NewSet(), map[wire.CallID]bool{}
	for i := range 300_000 {
		c := id(rng.Uint64N(100_000))
		if i%3 == 0 {
			binary.BigEndian.PutUint64(c[:8], rng.Uint64N(3))
		}
		if got := s.Add(c, 42*span); got == want[c] {
			t.Fatalf("Add(%x) = %v, seen before: %v", c, got, want[c])
		}
		want[c] = true
	}
	if s.Len() != len(want) {
		t.Errorf("Len = %d, want %d", s.Len(), len(want))
	}
}

func TestForgetsWholeBucketsByEventTime(t *testing.T) {
	s := NewSet()
	s.Add(id(1), 0)
	s.Add(id(2), 5*span+1)
	s.Forget(span - 1)
	if s.Add(id(1), 0) {
		t.Error("forgot a bucket that reaches over the bound")
	}
	s.Forget(span)
	if !s.Add(id(1), 0) || s.Add(id(2), 5*span+1) {
		t.Error("does not forget by event time")
	}
}

func TestCopiesInTheBucketBeside(t *testing.T) {
	s := NewSet()
	s.Add(id(7), 3*span-1)
	if s.Add(id(7), 3*span) || s.Add(id(7), 2*span) {
		t.Error("a copy one second away is counted as another call")
	}
}

func TestKeysRoundTrip(t *testing.T) {
	want := []Key{{id(1), 5}, {id(2), -1}, {wire.CallID{0xff}, 1 << 62}}
	b := AppendKeys(nil, want)
	if got := slices.Collect(Keys(append(b, 1, 2, 3))); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func BenchmarkAdd(b *testing.B) {
	s := NewSet()
	rng := rand.New(rand.NewPCG(1, 2))
	var c wire.CallID
	for i := 0; b.Loop(); i++ {
		binary.LittleEndian.PutUint64(c[:], rng.Uint64())
		s.Add(c, int64(i)*1e6)
	}
}
