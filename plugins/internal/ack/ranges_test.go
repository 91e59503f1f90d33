package ack

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever is added and removed, the set is that of a plain map, in order, without
// ranges that touch.
func TestRangesAreASet(t *testing.T) {
	const numbers = 200
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var s Ranges
		naive := map[uint64]bool{}
		for step := range 100 {
			from := rnd.Uint64N(numbers)
			r := Range{from, from + rnd.Uint64N(8)}
			add := rnd.IntN(3) > 0
			if add {
				s.Add(r)
			} else {
				s.Remove(r)
			}
			for n := r.From; n < r.To; n++ {
				naive[n] = add
			}
			check(t, &s, naive, numbers+8)
			if t.Failed() {
				t.Fatalf("seed %d, step %d, after %v of %v: %v", seed, step, add, r, s.list)
			}
		}
	}
}

// Subtract is Remove of each range.
func TestRangesSubtract(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var s, o Ranges
		naive := map[uint64]bool{}
		for _, set := range []*Ranges{&s, &o} {
			for range rnd.IntN(20) {
				from := rnd.Uint64N(100)
				r := Range{from, from + rnd.Uint64N(8)}
				set.Add(r)
				for n := r.From; n < r.To; n++ {
					naive[n] = set == &s
				}
			}
		}
		s.Subtract(&o)
		if check(t, &s, naive, 110); t.Failed() {
			t.Fatalf("seed %d: without %v it is %v", seed, o.list, s.list)
		}
	}
}

func check(t *testing.T, s *Ranges, naive map[uint64]bool, numbers uint64) {
	t.Helper()
	for i, r := range s.list {
		if r.From >= r.To || i > 0 && s.list[i-1].To >= r.From {
			t.Errorf("range %d of %v is empty, or touches the one before", i, s.list)
		}
	}
	var missing Ranges
	s.Missing(&missing, Range{3, numbers - 3})
	for n := range numbers {
		if s.Covers(Range{n, n + 1}) != naive[n] {
			t.Errorf("number %d: in the set %v, want %v", n, !naive[n], naive[n])
		}
		if inside := n >= 3 && n < numbers-3; missing.Covers(Range{n, n + 1}) != (inside && !naive[n]) {
			t.Errorf("number %d is wrongly missing, or not missing", n)
		}
		if n > 0 && s.Covers(Range{n - 1, n + 1}) != (naive[n-1] && naive[n]) {
			t.Errorf("the numbers %d and %d are wrongly covered, or not covered", n-1, n)
		}
		if n > 0 && s.Meets(Range{n - 1, n + 1}) != (naive[n-1] || naive[n]) {
			t.Errorf("the numbers %d and %d are wrongly met, or not met", n-1, n)
		}
	}
}

func TestRangesBounds(t *testing.T) {
	make5 := func() (s Ranges) {
		for n := range uint64(5) {
			s.Add(Range{10 * n, 10*n + 1})
		}
		return s
	}
	s := make5()
	s.Limit(2)
	if want := []Range{{0, 1}, {10, 41}}; !slices.Equal(s.List(), want) {
		t.Errorf("limited to %v, want %v: nothing may be left out", s.List(), want)
	}
	s = make5()
	s.Drop(2)
	if want := []Range{{30, 31}, {40, 41}}; !slices.Equal(s.List(), want) {
		t.Errorf("dropped to %v, want %v", s.List(), want)
	}
	s.Limit(2)
	s.Drop(2)
	s.Add(Range{7, 7})
	if s.Len() != 2 || !s.Covers(Range{5, 5}) {
		t.Errorf("within the bounds, and with empty ranges, it is %v", s.List())
	}
}

func TestID(t *testing.T) {
	run := Run{1, 2, 3, 15: 255}
	for _, n := range []uint64{0, 1, 1 << 40, 1<<64 - 1} {
		text := AppendID([]byte("before"), &run, n)[6:]
		got, m, ok := ParseID(text)
		if len(text) != IDSize || !ok || got != run || m != n {
			t.Errorf("%q is record %d of %x, %v", text, m, got, ok)
		}
		over := slices.Repeat([]byte("?"), IDSize+1)
		PutID(over, &run, n)
		if string(over) != string(text)+"?" {
			t.Errorf("%q was written over as %q", text, over)
		}
	}
	for _, text := range []string{"", "short", string(slices.Repeat([]byte("*"), IDSize)), string(slices.Repeat([]byte("A"), IDSize+4))} {
		if _, _, ok := ParseID([]byte(text)); ok {
			t.Errorf("%q is taken for a number", text)
		}
	}
}
