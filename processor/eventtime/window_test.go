package eventtime_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"keytrail/processor/eventtime"
)

const minute = int64(time.Minute)

func TestStart(t *testing.T) {
	f := func(at, size, want int64) {
		t.Helper()
		if got := eventtime.Start(at, size); got != want {
			t.Errorf("Start(%d, %d) = %d, want %d", at, size, got, want)
		}
	}
	f(0, 5, 0)
	f(4, 5, 0)
	f(5, 5, 5)
	f(9, 5, 5)
	// before 1970: down, not towards zero
	f(-1, 5, -5)
	f(-5, 5, -5)
	f(-6, 5, -10)
	f(7, 1, 7)
	f(-7, 1, -7)
	// aligned to midnight UTC, whatever the day
	day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	f(day.Add(26*time.Hour).UnixNano()-1, int64(24*time.Hour), day.Add(24*time.Hour).UnixNano())
	f(day.Add(61*time.Second).UnixNano(), minute, day.Add(time.Minute).UnixNano())
}

// A window holds the times from its start on and before its end, and the next
// window begins where it ends.
func TestStartTiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		size := 1 + rng.Int64N(int64(24*time.Hour))
		at := rng.Int64N(4e18) - 2e18
		s := eventtime.Start(at, size)
		if s > at || at >= s+size || s%size != 0 {
			t.Fatalf("Start(%d, %d) = %d", at, size, s)
		}
		if eventtime.Start(s, size) != s || eventtime.Start(s+size-1, size) != s || eventtime.Start(s+size, size) != s+size || eventtime.Start(s-1, size) != s-size {
			t.Fatalf("the windows beside %d of size %d do not meet it", s, size)
		}
	}
}

func TestProgress(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixNano()
	p := eventtime.Progress{Disorder: 15 * minute, Skew: 5 * minute}
	if got := p.Watermark(); got != eventtime.None {
		t.Fatalf("watermark %d before the first event", got)
	}
	see := func(at int64, future bool, want int64) {
		t.Helper()
		if got := p.Observe(at, now); got != future {
			t.Errorf("Observe tells future %v, want %v", got, future)
		}
		if got := p.Watermark(); got != want {
			t.Errorf("watermark %d, want %d", got, want)
		}
	}
	see(now-60*minute, false, now-75*minute)
	see(now-90*minute, false, now-75*minute) // an older event does not move it back
	see(now+5*minute, false, now-10*minute)  // the skew itself is honest
	see(now+5*minute+1, true, now-10*minute)
	see(now+1000*minute, true, now-10*minute) // a wrong clock moves it up to the clock only
	now += minute
	see(now+1000*minute, true, now-10*minute)
	now -= 30 * minute // our own clock steps back
	see(now+1000*minute, true, now+20*minute)
	p.Raise(now)
	if got := p.Watermark(); got != now+20*minute {
		t.Errorf("Raise moved the watermark back to %d", got)
	}
	p.Raise(now + 40*minute)
	see(now, false, now+40*minute)
}

// A watermark that was unknown when it was stored is unknown again, and the
// first event replaces it, even one before 1970.
func TestProgressRaisedToNone(t *testing.T) {
	p := eventtime.Progress{Disorder: minute}
	p.Raise(eventtime.None)
	if got := p.Watermark(); got != eventtime.None {
		t.Fatalf("watermark %d", got)
	}
	p.Observe(-10*minute, 0)
	if got := p.Watermark(); got != -11*minute {
		t.Errorf("watermark %d, want %d", got, -11*minute)
	}
}

func TestSources(t *testing.T) {
	var s eventtime.Sources
	want := func(n int, mark int64) {
		t.Helper()
		if got := s.Watermark(n); got != mark {
			t.Errorf("watermark %d, want %d", got, mark)
		}
	}
	const none = eventtime.None
	want(0, none)
	want(2, none)
	s.Set(0, 100, false)
	want(2, none) // the other has not reported
	want(1, 100)
	s = eventtime.Sources{}
	s.Set(0, 100, false)
	s.Set(1, none, false)
	want(2, none) // it has reported, and may still send anything
	s.Set(1, 50, false)
	want(2, 50)
	s.Set(1, 70, false)
	want(2, 70)
	s.Set(1, 60, false) // a source that lost its state
	want(2, 70)
	s.Set(1, 60, true)
	want(2, 100) // an idle one holds nothing back
	s.Set(1, 80, false)
	want(2, 100) // one that returns finds its windows closed
	s.Set(0, 300, false)
	s.Set(1, 250, true)
	want(2, 300)
	s.Set(0, 400, true)
	s.Set(1, 500, true)
	want(2, 500) // all idle: as far as anyone came
	s.Set(0, none, false)
	want(2, 500) // one begins again from nothing
	s.Set(0, none, true)
	s.Set(1, 600, false)
	want(2, 600) // an idle source that never had an event
	want(3, 600) // there are more sources than have reported
}

func TestSourcesAllIdleWithoutEvents(t *testing.T) {
	var s eventtime.Sources
	s.Set(0, eventtime.None, true)
	s.Set(1, eventtime.None, true)
	if got := s.Watermark(2); got != eventtime.None {
		t.Errorf("watermark %d", got)
	}
}

func TestSourcesRestore(t *testing.T) {
	var s eventtime.Sources
	s.Restore(eventtime.None)
	if got := s.Watermark(1); got != eventtime.None {
		t.Errorf("watermark %d after restoring none", got)
	}
	s.Restore(200)
	if got := s.Watermark(1); got != 200 {
		t.Errorf("watermark %d, want the restored 200", got)
	}
	s.Set(0, 150, false)
	if got := s.Watermark(1); got != 200 {
		t.Errorf("watermark %d went below the restored one", got)
	}
	s.Set(0, 250, false)
	if got := s.Watermark(1); got != 250 {
		t.Errorf("watermark %d, want 250", got)
	}
	s.Restore(100)
	if got := s.Watermark(1); got != 250 {
		t.Errorf("restoring moved the watermark back to %d", got)
	}
}

// report is what one source said last.
type report struct {
	known, idle, none bool
	at                int64
}

// model is the combined watermark by the words of its definition: every source
// has reported; none that is not idle is without a watermark; then the least of
// those that are not idle, or the greatest when all are; never back.
func model(reports []report, last int64, begun bool) (int64, bool) {
	var busy, all []int64
	for _, r := range reports {
		if !r.known || r.none && !r.idle {
			return last, begun
		}
		if r.none {
			continue
		}
		all = append(all, r.at)
		if !r.idle {
			busy = append(busy, r.at)
		}
	}
	mark, found := int64(0), false
	for _, at := range busy {
		if !found || at < mark {
			mark, found = at, true
		}
	}
	if len(busy) == 0 {
		for _, at := range all {
			if !found || at > mark {
				mark, found = at, true
			}
		}
	}
	if !found || begun && mark <= last {
		return last, begun
	}
	return mark, true
}

func TestSourcesAgainstModel(t *testing.T) {
	moves := 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		n := 1 + rng.IntN(5)
		var s eventtime.Sources
		reports, last, begun := make([]report, n), int64(0), false
		for step := range 60 {
			i := rng.IntN(n)
			r := report{known: true, idle: rng.IntN(3) == 0, none: rng.IntN(8) == 0, at: rng.Int64N(40) - 10 + int64(step)}
			reports[i] = r
			at := r.at
			if r.none {
				at = eventtime.None
			}
			s.Set(int32(i), at, r.idle)
			if rng.IntN(10) == 0 { // a restart: what is known is set again
				old := s.Watermark(n)
				last, begun = model(reports, last, begun)
				s = eventtime.Sources{}
				for j, r := range reports {
					if at := r.at; r.known {
						if r.none {
							at = eventtime.None
						}
						s.Set(int32(j), at, r.idle)
					}
				}
				s.Restore(old)
			}
			before := last
			last, begun = model(reports, last, begun)
			want := eventtime.None
			if begun {
				want = last
			}
			if got := s.Watermark(n); got != want {
				t.Fatalf("seed %d step %d: watermark %d, want %d of %+v", seed, step, got, want, reports)
			}
			if last != before {
				moves++
			}
		}
	}
	if moves < 1000 {
		t.Errorf("the watermark moved %d times only: this tests nothing", moves)
	}
}
