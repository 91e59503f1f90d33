package sink

import (
	"context"
	"slices"
	"time"
)

// errand is the way of one batch.
type errand struct {
	ctx    context.Context // ends an attempt
	stop   context.Context // no attempt begins again after its end, which is not later than that of ctx
	worker int             // the number of the goroutine
	// keep returns the records of the batch that are still this process's to deliver. It is
	// called between attempts. changed returns a channel that is closed when its result may
	// have changed. Both are nil if all records are.
	keep    func([]Record) []Record
	changed func() <-chan struct{}
	// ended notes that records have ended; nil: nobody wants to know.
	ended func([]Record)
	// plan stores the boundaries of the batch, if they are not yet; nil: never.
	plan func(context.Context) error
}

// own returns the records of the batch that are still this process's to deliver.
func (e *errand) own(batch []Record) []Record {
	if e.keep == nil {
		return batch
	}
	return e.keep(batch)
}

// note notes that records have ended.
func (e *errand) note(records ...Record) {
	if e.ended != nil && len(records) > 0 {
		e.ended(records)
	}
}

// sleep is wait for a pause.
func (e *errand) sleep(batch []Record, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	return e.wait(batch, timer.C, nil)
}

// wait waits for one of the channels, until the batch is revoked, or for the end of e.stop,
// whose error it returns.
func (e *errand) wait(batch []Record, timer <-chan time.Time, done <-chan struct{}) error {
	for {
		var changed <-chan struct{}
		if e.changed != nil {
			changed = e.changed()
		}
		if len(batch) > 0 && len(e.own(batch)) == 0 {
			return nil
		}
		select {
		case <-timer:
			return nil
		case <-done:
			return nil
		case <-changed:
		case <-e.stop.Done():
			return e.stop.Err()
		}
	}
}

// patience counts the attempts to send a batch that ended none of its records.
type patience struct {
	start    time.Time
	least    int // the fewest records that were left
	attempts int
	tried    []int // the indexes of the records that each of them sent
	pauses   int   // attempts in a row that met a pause, or did not ask the sink
}

// next counts an attempt. It returns the pause before the next one, or that the records to be
// sent again have reached a bound.
func (p *patience) next(retry Retry, v verdict, random func() float64) (pause time.Duration, exhausted bool) {
	advanced := len(v.left) < p.least
	p.least = min(p.least, len(v.left))
	switch {
	case v.paused != nil:
		*p = patience{start: time.Now(), least: p.least, pauses: p.pauses + 1}
		return retry.probe(p.pauses, v.after, random()), false
	case v.unasked:
		*p = patience{start: time.Now(), least: p.least, pauses: p.pauses + 1}
		return retry.pause(p.pauses, 0, random()), false
	case advanced:
		*p = patience{start: time.Now(), least: p.least}
		if len(v.retry) == 0 {
			return 0, false
		}
		return retry.pause(1, v.after, random()), false
	}
	p.pauses = 0
	p.attempts++
	if p.tried = without(p.tried, without(p.tried, v.retry)); len(p.tried) == 0 { // the first, or about others
		p.attempts, p.tried = 1, v.retry
	}
	pause = retry.pause(p.attempts, v.after, random())
	return pause, retry.exhausted(p.attempts, time.Since(p.start), pause)
}

// without returns the numbers of list that are not among others; both are in order.
func without(list, others []int) (rest []int) {
	for _, n := range list {
		if _, found := slices.BinarySearch(others, n); !found {
			rest = append(rest, n)
		}
	}
	return rest
}
