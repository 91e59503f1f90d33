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
	// live reports whether the record is still this process's to deliver; nil: always.
	live func(Record) bool
	// rest notes that the batch begins to wait between attempts, or ends that, and changed
	// returns a channel that is closed when what live reports may have changed; nil without
	// live.
	rest    func(bool)
	changed func() <-chan struct{}
	// plan stores the boundaries of the batch, if they are not yet; nil: never.
	plan func(context.Context) error
}

// own returns the records of the batch that are still this process's to deliver.
func (e *errand) own(batch []Record) []Record {
	if e.live == nil || !slices.ContainsFunc(batch, func(r Record) bool { return !e.live(r) }) {
		return batch
	}
	return slices.DeleteFunc(slices.Clone(batch), func(r Record) bool { return !e.live(r) })
}

// revoked reports whether no record of the batch is this process's to deliver any more.
func (e *errand) revoked(batch []Record) bool {
	return e.live != nil && !slices.ContainsFunc(batch, e.live)
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
	if e.rest != nil {
		e.rest(true)
		defer e.rest(false)
	}
	for {
		var changed <-chan struct{}
		if e.changed != nil {
			changed = e.changed()
		}
		if e.revoked(batch) {
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
