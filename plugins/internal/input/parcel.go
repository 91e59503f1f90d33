package input

import (
	"slices"
	"sort"
	"time"

	"keytrail/plugins/internal/ack"
)

// parcel is a block that was handed over: records with numbers in a row.
type parcel struct {
	numbers ack.Range
	places  []ack.Range // of its records among those of the object, in order
	bytes   int
	at      time.Time
	of      *flight
	closed  bool
}

// complete closes the parcels that r has completed.
func (w *window) complete(r ack.Range, now time.Time) {
	i := sort.Search(len(w.parcels), func(i int) bool { return w.parcels[i].numbers.To > r.From })
	for ; i < len(w.parcels) && w.parcels[i].numbers.From < r.To; i++ {
		p := w.parcels[i]
		if p.closed || !w.covered(p.numbers) {
			continue
		}
		w.stats.acknowledged += int64(p.numbers.Len())
		w.shut(p, now)
	}
}

func (w *window) covered(r ack.Range) bool {
	for _, set := range w.sets {
		if !set.Covers(r) {
			return false
		}
	}
	return true
}

// shut takes a parcel out of the window.
func (w *window) shut(p *parcel, now time.Time) {
	p.closed = true
	w.closed++
	w.bytes -= p.bytes
	if p.of.tries > 0 {
		w.repeats -= p.bytes
	}
	p.of.open--
	w.finish(p.of, now)
}

// finish ends a flight whose parcels are all closed: the object is done, or parked to be
// read again.
func (w *window) finish(f *flight, now time.Time) {
	if !f.ended || f.dropped || f.open > 0 {
		return
	}
	if f.lost.Len() == 0 {
		w.ready = append(w.ready, f.object)
		w.leave(f)
		return
	}
	pause := time.Duration(0) // the first time: five quiet minutes have passed
	if f.tries > 0 {
		pause = min(longestPark, w.cfg.AckTimeout<<min(f.tries-1, 20))
	}
	only := f.lost
	next := &flight{object: f.object, only: &only, tries: f.tries + 1, slot: f.slot}
	p := &parkedFlight{f: next, due: now.Add(pause), told: w.park == nil}
	w.parked = append(w.parked, p)
	if !p.told {
		w.telling = append(w.telling, p)
	}
}

// tell parks objects at their source, so that objects behind them can become done. A source
// may be busy for as long as a directory hangs, so the lock is not held. A flight comes again
// only after that; otherwise its reader could give it back to the source first. One goroutine
// calls tell.
func (w *window) tell() {
	w.mu.Lock()
	list := w.telling
	w.telling = nil
	w.mu.Unlock()
	for _, p := range list {
		w.park(p.f.object)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range list {
		p.told = true
	}
}

// trim forgets the parcels that are closed, and the acknowledgements of numbers before
// the first that is open.
func (w *window) trim() {
	n := 0
	for n < len(w.parcels) && w.parcels[n].closed {
		n++
	}
	w.closed -= n
	w.parcels = slices.Delete(w.parcels, 0, n)
	if w.closed > 1024 && w.closed > len(w.parcels)/2 {
		w.parcels = slices.DeleteFunc(w.parcels, func(p *parcel) bool { return p.closed })
		w.closed = 0
	}
	low := w.next
	if len(w.parcels) > 0 {
		low = w.parcels[0].numbers.From
	}
	for _, set := range w.sets {
		set.Remove(ack.Range{To: low})
	}
}
