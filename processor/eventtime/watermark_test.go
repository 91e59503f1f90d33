package eventtime_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"keytrail/processor/eventtime"
)

func TestProgress(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixNano()
	p := eventtime.Progress{Disorder: 15 * minute, Skew: 5 * minute}
	if got := p.Watermark(); got != eventtime.None {
		t.Fatalf("watermark %d before the first event", got)
	}
	see := func(at int64, future bool, want int64) {
		t.Helper()
		if got := p.Observe(at, now); got != future {
			t.Errorf("Observe reports future %v, want %v", got, future)
		}
		if got := p.Watermark(); got != want {
			t.Errorf("watermark %d, want %d", got, want)
		}
	}
	see(now-60*minute, false, now-75*minute)
	see(now-90*minute, false, now-75*minute) // an older event does not move it back
	see(now+5*minute, false, now-10*minute)  // the skew itself is plausible
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

// A watermark that was stored as unknown is unknown again, and the first event replaces
// it, even one before 1970.
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

// A source with nothing to read has caught up with the stream. The clock does not move it.
func TestFollow(t *testing.T) {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC).UnixNano()
	p := eventtime.Progress{Disorder: 15 * minute}
	f := func(front int64, quiet bool, now, want, wantQuiet int64) {
		t.Helper()
		clock := p.Follow(eventtime.Stream{Front: front, Quiet: quiet}, now)
		if got := p.Watermark(); got != want || clock != wantQuiet {
			t.Errorf("watermark %v and %v, want %v and %v", time.Unix(0, got).UTC(), time.Unix(0, clock).UTC(), time.Unix(0, want).UTC(), time.Unix(0, wantQuiet).UTC())
		}
	}
	f(eventtime.None, true, noon, eventtime.None, eventtime.None) // nobody has ever had an event
	f(noon-30*minute, false, noon+1000*minute, noon-30*minute, noon-30*minute)
	f(noon-30*minute, true, noon-13*minute, noon-30*minute, noon-28*minute) // the clock, minus the disorder
	f(noon-30*minute, true, noon-20*minute, noon-30*minute, noon-30*minute)
	f(noon-30*minute, true, noon+1000*minute, noon-30*minute, noon+985*minute)
	f(noon-20*minute, false, noon+1000*minute, noon-20*minute, noon-20*minute)
	f(eventtime.None, true, noon+1000*minute, noon-20*minute, noon+985*minute) // the others are not known
	if p.Front() != eventtime.None {
		t.Error("following others is taken for events of its own")
	}
}

// A gap between the times of two records holds both marks for as long as the disorder, by
// the times of the following records.
func TestHold(t *testing.T) {
	p := eventtime.Progress{Disorder: 15 * minute}
	at := func(written, event, mark int64, holding bool) {
		t.Helper()
		p.Arrive(written*minute, false)
		p.Observe(event*minute, math.MaxInt64)
		if p.LateMark() != mark*minute || p.Watermark() != mark*minute || p.Holding() != holding {
			t.Errorf("at %d: marks %d and %d min, holding %v; want %d, %v",
				written, p.LateMark()/minute, p.Watermark()/minute, p.Holding(), mark, holding)
		}
	}
	at(100, 95, 80, false)
	at(114, 109, 94, false)
	at(129, 128, 94, true) // a gap of 15 min: the event of a quick shipper
	at(135, 112, 94, true)
	at(143, 140, 94, true)
	at(144, 120, 125, false) // 15 min later: up to the front
	at(150, 148, 133, false)
	at(170, 169, 133, true)
	at(190, 171, 154, true) // another gap ends the previous hold
	at(191, 190, 154, true)
	at(192, 191, 154, true)
	at(0, 190, 176, false) // an unknown time
	p.Raise(190 * minute)  // others are ahead: windows close, but nothing becomes late
	if p.LateMark() != 176*minute || p.Watermark() != 190*minute {
		t.Errorf("marks %d and %d", p.LateMark()/minute, p.Watermark()/minute)
	}
}

// If the records before the first one are gone, a hold may be in progress.
func TestHoldAtACut(t *testing.T) {
	p := eventtime.Progress{Disorder: 15 * minute}
	for _, written := range []int64{100, 110, 120, 129} {
		p.Arrive(written*minute, true)
		p.Observe(written*minute, math.MaxInt64)
		if p.LateMark() != eventtime.None {
			t.Errorf("at %d: late mark %d", written, p.LateMark()/minute)
		}
	}
	p.Arrive(130*minute, true)
	if p.LateMark() != 114*minute {
		t.Errorf("after the hold: %d", p.LateMark()/minute)
	}
}

// model is a second implementation of Progress: it looks at all records from the beginning.
func model(written, events []int64, disorder int64) (late int64) {
	late, front, clock, end := eventtime.None, eventtime.None, int64(0), int64(0)
	timed := false
	for i, w := range written {
		if w <= 0 {
			end = 0
			front = max(front, events[i]-disorder)
			late = max(late, front)
			continue
		}
		gap := timed && w-clock >= disorder
		if !timed || gap || clock-w >= disorder {
			clock = w
		}
		timed, clock = true, max(clock, w)
		if end = min(end, clock+disorder); clock >= end {
			late, end = max(late, front), 0 // of the records before
		}
		if gap {
			end = clock + disorder
		}
		if front = max(front, events[i]-disorder); clock >= end {
			late, end = max(late, front), 0
		}
	}
	return late
}

// The late mark follows from the records: it is the same however often the source changes
// hands, and whatever others and the clock say; it is never ahead of the watermark.
// Timestamps may jump anywhere.
func TestLateMarkFollowsFromTheRecords(t *testing.T) {
	holds := 0
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 5))
		disorder := (1 + rng.Int64N(20)) * minute
		now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC).UnixNano()
		p := eventtime.Progress{Disorder: disorder}
		var written, events []int64
		for range 40 {
			now += rng.Int64N([...]int64{minute, minute, minute, 40 * minute}[rng.IntN(4)])
			w := now
			switch rng.IntN(20) {
			case 0:
				w += rng.Int64N(600*minute) - 300*minute
			case 1:
				w -= rng.Int64N(disorder)
			case 2:
				w = -rng.Int64N(2) // nobody knows it
			}
			written, events = append(written, w), append(events, now-rng.Int64N(100*minute))
			p.Arrive(w, false)
			p.Observe(events[len(events)-1], math.MaxInt64)
			if want := model(written, events, disorder); p.LateMark() != want || p.Watermark() < want {
				t.Fatalf("seed %d: record %d: late mark %d, watermark %d, want %d", seed, len(events), p.LateMark(), p.Watermark(), want)
			}
			if p.Hold() > eventtime.Add(p.Clock(), disorder) {
				t.Fatalf("seed %d: a hold of more than the disorder", seed)
			}
			if p.Holding() {
				holds++
			}
			switch rng.IntN(4) {
			case 0: // a restart
				saved, mark := p.Saved(), p.Watermark()
				p = eventtime.Progress{Disorder: disorder}
				p.Restore(saved)
				p.Raise(mark)
			case 1:
				p.Follow(eventtime.Stream{Front: now, Quiet: true}, now+rng.Int64N(1000*minute))
			}
		}
	}
	if holds < 10_000 {
		t.Errorf("%d records in a hold: this tests too little", holds)
	}
}

// A reader of a log without its beginning finds no call late that was on time for a
// reader of the whole log.
func TestCutLogIsNotStricter(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 6))
		disorder := (1 + rng.Int64N(20)) * minute
		now, high := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC).UnixNano(), int64(0)
		whole, rest := eventtime.Progress{Disorder: disorder}, eventtime.Progress{Disorder: disorder}
		from := rng.IntN(20)
		for i := range 40 {
			now += rng.Int64N([...]int64{minute, minute, minute, 40 * minute}[rng.IntN(4)])
			w, event := max(now-rng.Int64N(disorder), high-disorder+1), now-rng.Int64N(100*minute)
			high = max(high, w)
			whole.Arrive(w, false)
			if i >= from {
				rest.Arrive(w, true)
			}
			if rest.LateMark() > whole.LateMark() {
				t.Fatalf("seed %d: record %d: late mark %d, and %d with the whole log", seed, i, rest.LateMark(), whole.LateMark())
			}
			if whole.Observe(event, math.MaxInt64); i >= from {
				rest.Observe(event, math.MaxInt64)
			}
		}
	}
}

// After an outage of any length, however the source followed meanwhile and whatever the
// clock said, events in their previous order are not late.
func TestNothingInOrderIsLateAfterAnOutage(t *testing.T) {
	const size = 5 * minute
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		disorder, lateness := rng.Int64N(30*minute), rng.Int64N(120*minute)
		p := eventtime.Progress{Disorder: disorder, Skew: 5 * minute}
		newest := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC).UnixNano() // of the stream, whatever its delay
		if rng.IntN(2) == 0 {
			p.Observe(newest-rng.Int64N(100*minute), newest)
		}
		for range 20 {
			p.Follow(eventtime.Stream{Front: newest - disorder, Quiet: rng.IntN(2) == 0}, anyInt64(rng))
		}
		at := newest - rng.Int64N(disorder+1) + rng.Int64N(200*minute)
		if end := eventtime.End(at, size); end <= max(p.Watermark(), p.LateMark())-lateness {
			t.Fatalf("seed %d: an event in order is late", seed)
		}
	}
}

// anyInt64 is any int64, often an extreme one.
func anyInt64(rng *rand.Rand) int64 {
	edges := []int64{math.MinInt64, math.MaxInt64, 0, eventtime.None, eventtime.Last, int64(time.Hour), math.MinInt64 / 2, math.MaxInt64 / 2}
	switch rng.IntN(4) {
	case 0:
		return edges[rng.IntN(len(edges))]
	case 1:
		return eventtime.Add(edges[rng.IntN(len(edges))], rng.Int64N(2e9)-1e9)
	case 2:
		return int64(rng.Uint64()) >> rng.IntN(64)
	}
	return int64(rng.Uint64())
}

// No event time and no clock make a watermark wrap around: it only grows, up to the
// largest of its inputs.
func TestWatermarksSaturate(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 4))
		p := eventtime.Progress{Disorder: rng.Int64N(7 * 24 * 60 * minute), Skew: rng.Int64N(24 * 60 * minute)}
		last, most := eventtime.None, eventtime.None
		for step := range 30 {
			at, now := anyInt64(rng), anyInt64(rng)
			switch rng.IntN(4) {
			case 0, 1:
				if future := p.Observe(at, now); future != (at > now && at-p.Skew > now) && at > math.MinInt64+p.Skew {
					t.Fatalf("seed %d step %d: Observe(%d, %d) reports %v", seed, step, at, now, future)
				}
				most = max(most, at)
			case 2:
				p.Raise(at)
				most = max(most, at)
			case 3:
				if quiet := p.Follow(eventtime.Stream{Front: at, Quiet: rng.IntN(2) == 0}, now); quiet < p.Watermark() {
					t.Fatalf("seed %d step %d: quiet %d at watermark %d", seed, step, quiet, p.Watermark())
				}
				most = max(most, at)
			}
			got := p.Watermark()
			if got < last || got > most {
				t.Fatalf("seed %d step %d: watermark %d after %d, of at most %d", seed, step, got, last, most)
			}
			last = got
		}
	}
}
