package dedup

import (
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"testing"

	"keytrail/schemas/wire"
)

func id(n uint64) (c wire.CallID) {
	binary.BigEndian.PutUint64(c[8:], n)
	return c
}

// The set agrees with a plain map for any ids, including a hostile producer's:
// sequential, all zero, equal in one half.
func TestAgreesWithAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s, want := NewSet(), map[wire.CallID]bool{}
	for i := range 300_000 {
		c := id(rng.Uint64N(100_000))
		if i%3 == 0 {
			binary.BigEndian.PutUint64(c[:8], rng.Uint64N(3))
		}
		if got := s.Add(c, 42*Span); got == want[c] {
			t.Fatalf("Add(%x) = %v, seen before: %v", c, got, want[c])
		}
		want[c] = true
	}
	if s.len() != len(want) {
		t.Errorf("len = %d, want %d", s.len(), len(want))
	}
}

// Whatever pattern a producer's ids follow, they are as close to their slots as random
// ones: an id is found in a few steps. The patterns defeat a mix of the two halves
// without a secret: halves whose products cancel out, ids that agree in all but some
// bits, multiples of powers of two.
func TestChosenIDsAreSpread(t *testing.T) {
	const n = 40_000
	products := func(odd uint64) func(i uint64) (uint64, uint64) {
		return func(i uint64) (uint64, uint64) { return i, i * odd }
	}
	patterns := map[string]func(i uint64) (low, high uint64){
		"counting up":             func(i uint64) (uint64, uint64) { return 0, i },
		"the upper half alone":    func(i uint64) (uint64, uint64) { return i << 32, 7 },
		"the same in both halves": func(i uint64) (uint64, uint64) { return i, i },
		"upper bits only":         func(i uint64) (uint64, uint64) { return i << 47, ^(i << 48) },
		"golden ratio":            products(0x9e3779b97f4a7c15),
		"another odd number":      products(0xd6e8feb86659fd93),
		"minus the golden ratio":  products(0x61c8864680b583eb),
	}
	for name, pattern := range patterns {
		s := table{seed: maphash.MakeSeed()}
		for i := range uint64(n) {
			var c wire.CallID
			low, high := pattern(i + 1)
			binary.LittleEndian.PutUint64(c[:8], low)
			binary.LittleEndian.PutUint64(c[8:], high)
			if !s.add(c) {
				t.Fatalf("%s: %x is a duplicate", name, c)
			}
		}
		steps, mask := uint64(0), uint64(len(s.slots)-1)
		for i, c := range s.slots {
			if c != (wire.CallID{}) {
				steps += (uint64(i) - maphash.Bytes(s.seed, c[:])) & mask
			}
		}
		if mean := float64(steps) / n; mean > 8 { // 1.5 are expected at three quarters full
			t.Errorf("%s: an id lies %.1f places from its own on average", name, mean)
		}
	}
}

// No two tables place ids alike, so that one reveals nothing about collisions in another.
func TestTablesDiffer(t *testing.T) {
	order := func() (list []wire.CallID) {
		s := NewSet()
		for i := range uint64(200) {
			s.Add(id(i+1), 0)
		}
		for _, c := range s.buckets[0].slots {
			if c != (wire.CallID{}) {
				list = append(list, c)
			}
		}
		return list
	}
	if slices.Equal(order(), order()) {
		t.Error("two sets hold 200 ids in the same order")
	}
}

func TestForgetsWholeBucketsByEventTime(t *testing.T) {
	s := NewSet()
	s.Add(id(1), 0)
	s.Add(id(2), 5*Span+1)
	s.Forget(Span - 1)
	if s.Add(id(1), 0) {
		t.Error("forgot a bucket that reaches over the bound")
	}
	s.Forget(Span)
	if !s.Add(id(1), 0) || s.Add(id(2), 5*Span+1) {
		t.Error("does not forget by event time")
	}
}

func TestCopiesInTheBucketBeside(t *testing.T) {
	s := NewSet()
	s.Add(id(7), 3*Span-1)
	if s.Add(id(7), 3*Span) || s.Add(id(7), 2*Span) {
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

// len returns the number of ids.
func (s *Set) len() int {
	n := 0
	for _, t := range s.buckets {
		n += t.n
	}
	return n
}
