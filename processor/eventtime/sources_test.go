package eventtime_test

import (
	"math/rand/v2"
	"testing"

	"keytrail/processor/eventtime"
)

func TestSources(t *testing.T) {
	var s eventtime.Sources
	at := func(w int64) eventtime.Mark { return eventtime.Mark{Watermark: w, Late: w - 10, Quiet: w} }
	want := func(n int, mark eventtime.Mark) {
		t.Helper()
		if got := s.Mark(n); got != mark {
			t.Errorf("mark %v, want %v", got, mark)
		}
	}
	none := eventtime.Unknown()
	want(0, none)
	want(2, none)
	s.Set(0, at(100))
	want(2, none) // the other has not reported
	want(1, at(100))
	s = eventtime.Sources{}
	s.Set(0, at(100))
	s.Set(1, none)
	want(2, none) // it has reported, and may still send anything
	s.Set(1, at(50))
	want(2, at(50))
	s.Set(1, at(70))
	want(2, at(70))
	s.Set(1, at(60)) // never back
	want(2, at(70))
	s.Set(1, eventtime.Mark{Watermark: 90, Late: 30, Quiet: 500}) // with more lateness
	want(2, eventtime.Mark{Watermark: 90, Late: 60, Quiet: 100})
	s.Set(0, eventtime.Mark{Watermark: 90, Late: 30, Quiet: 400})
	want(2, eventtime.Mark{Watermark: 90, Late: 60, Quiet: 400})
	s.Set(1, at(91)) // events return
	want(2, eventtime.Mark{Watermark: 90, Late: 60, Quiet: 91})
	s.Set(0, none)
	s.Set(1, at(200))
	want(2, eventtime.Mark{Watermark: 90, Late: 60, Quiet: 91})
	s.Set(0, at(150))
	want(2, at(150))
	want(3, at(150)) // more sources than have reported
}

func TestSourcesRestore(t *testing.T) {
	var s eventtime.Sources
	s.Restore(eventtime.Unknown())
	if got := s.Mark(1); got != eventtime.Unknown() {
		t.Errorf("mark %v after restoring none", got)
	}
	s.Restore(eventtime.Mark{Watermark: 200, Late: 100})
	s.Set(0, eventtime.Mark{Watermark: 150, Late: 120})
	if got, want := s.Mark(1), (eventtime.Mark{Watermark: 200, Late: 120, Quiet: 200}); got != want {
		t.Errorf("mark %v, want %v", got, want)
	}
	s.Restore(eventtime.Mark{Watermark: 100, Late: 50})
	if got, want := s.Mark(1), (eventtime.Mark{Watermark: 200, Late: 120, Quiet: 200}); got != want {
		t.Errorf("restoring moved the mark back to %v", got)
	}
}

// The combined mark is never ahead of any source, never goes back, and reaches the
// slowest.
func TestSourcesAreNeverAhead(t *testing.T) {
	moves := 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		n := 1 + rng.IntN(5)
		var s eventtime.Sources
		told := make([]eventtime.Mark, n)
		for i := range told {
			told[i] = eventtime.Unknown()
		}
		last := eventtime.Unknown()
		for range 60 {
			i := rng.IntN(n)
			if told[i].Watermark == eventtime.None {
				told[i] = eventtime.Mark{Watermark: rng.Int64N(40), Late: -20}
			}
			told[i].Watermark += rng.Int64N(10)
			told[i].Late = max(told[i].Late, told[i].Watermark-rng.Int64N(10))
			s.Set(int32(i), told[i])
			if rng.IntN(10) == 0 { // a restart: the marks are set again
				old := s.Mark(n)
				s = eventtime.Sources{}
				for j, m := range told {
					if m != eventtime.Unknown() {
						s.Set(int32(j), m)
					}
				}
				s.Restore(old)
			}
			want := eventtime.Mark{Watermark: told[0].Watermark, Late: told[0].Late}
			for _, m := range told {
				want = eventtime.Mark{Watermark: min(want.Watermark, m.Watermark), Late: min(want.Late, m.Late)}
			}
			if want.Quiet = want.Watermark; want.Watermark == eventtime.None {
				want = eventtime.Unknown()
			}
			if got := s.Mark(n); got != want {
				t.Fatalf("seed %d: mark %v, want %v of %v", seed, got, want, told)
			} else if got != last {
				moves++
				last = got
			}
		}
	}
	if moves < 1000 {
		t.Errorf("the mark moved %d times only: this tests nothing", moves)
	}
}
