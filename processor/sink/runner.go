package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"keytrail/processor/lograte"
)

// Outcome is what happened to records on their way to a sink.
type Outcome string

// The outcomes that Options.Observe receives. Every record ends as delivered,
// duplicate or dead-lettered; retried and rejected count what happened on the way.
const (
	// OutcomeDelivered: the sink took the records. Those that it lost in a partial success
	// are among them, and also count as rejected.
	OutcomeDelivered Outcome = "delivered"
	// OutcomeDuplicate: the sink had the records already.
	OutcomeDuplicate Outcome = "duplicate"
	// OutcomeRetried: the records are about to be sent again, in the same or in smaller
	// batches.
	OutcomeRetried Outcome = "retried"
	// OutcomeRejected: the sink refused the records permanently, or lost them.
	OutcomeRejected Outcome = "rejected"
	// OutcomeDeadLettered: the dead letter function took the records.
	OutcomeDeadLettered Outcome = "dead_lettered"
)

// Options say what a Runner or a Chain drives and how. Their functions are called by
// InFlight goroutines at a time.
type Options struct {
	Name  string // the sink's name in logs and errors
	Sink  Sink
	Batch Batch
	Retry Retry
	// InFlight bounds the batches that are on their way at the same time; 0 means 1.
	InFlight int
	// DeadLetter takes one record that the sink refuses permanently. When it fails, the
	// caller must not commit. It must not keep rec.Value after it has returned.
	DeadLetter func(ctx context.Context, rec Record, reason Reason, err error) error
	// Plan stores the boundaries of a batch of a Planned sink before the sink gets it; nil
	// for other sinks. After an error it is called again.
	Plan func(context.Context, Plan) error
	// Observe receives every outcome, with the number of records; nil is allowed. The
	// reason is "" for OutcomeDelivered, OutcomeDuplicate and OutcomeRetried.
	Observe func(o Outcome, reason Reason, records int)
	// Attempt is called before each attempt with its records, and what it returns with the
	// sink's answer; nil is allowed. Several goroutines call it.
	Attempt func(batch []Record) (ended func(error))
	// Watch receives the sink's state each time that it changes or an attempt fails, by
	// one goroutine at a time; nil is allowed. It must not wait.
	Watch func(Status)
	// Expires returns when Kafka deletes the oldest record that the sink has not taken,
	// for the log; false when that is not known. nil is allowed.
	Expires func() (time.Time, bool)
	// Log receives at most one line a minute for each kind of trouble; nil means
	// slog.Default.
	Log *slog.Logger
	// Random returns a number in [0, 1) for the pauses; nil means math/rand/v2.
	Random func() float64
}

// Runner delivers records to one sink, batch by batch. Deliver is for one goroutine; Chain
// delivers several batches at a time.
type Runner struct {
	o       Options
	planned bool // o.Sink is Planned: a batch comes again as it is until all of it has ended

	mu      sync.Mutex    // guards what follows
	states  []Status      // of each worker
	busy    []int         // how many batches, and halves of them, each worker has in hand
	since   time.Time     // since when a worker fails; zero while none does
	probing chan struct{} // closed when the one worker that asks a paused sink has ended that; nil: nobody does
	prober  int           // that worker
	failing lograte.Gate  // the lines about a sink that takes nothing
	pausing lograte.Gate  // the lines about a sink that is paused
	refused lograte.Gate  // the lines about records refused or lost
}

// NewRunner returns a Runner, or an error that names what is missing in o.
func NewRunner(o Options) (*Runner, error) {
	if o.Attempt == nil {
		o.Attempt = func([]Record) func(error) { return func(error) {} }
	}
	o.InFlight = max(o.InFlight, 1)
	switch {
	case o.Sink == nil:
		return nil, fmt.Errorf("cannot run sink %q: Options.Sink is nil", o.Name)
	case o.DeadLetter == nil:
		return nil, fmt.Errorf("cannot run sink %q: Options.DeadLetter is nil", o.Name)
	case o.InFlight > MaxInFlight:
		return nil, fmt.Errorf("cannot run sink %q: %d batches in flight, at most %d are possible", o.Name,
			o.InFlight, MaxInFlight)
	}
	if err := errors.Join(o.Batch.Validate(), o.Retry.Validate()); err != nil {
		return nil, fmt.Errorf("cannot run sink %q: %w", o.Name, err)
	}
	if o.Observe == nil {
		o.Observe = func(Outcome, Reason, int) {}
	}
	if o.Watch == nil {
		o.Watch = func(Status) {}
	}
	if o.Expires == nil {
		o.Expires = func() (time.Time, bool) { return time.Time{}, false }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	o.Log = o.Log.With("sink", o.Name)
	_, planned := o.Sink.(Planned)
	r := &Runner{o: o, planned: planned || o.Plan != nil, states: make([]Status, o.InFlight),
		busy: make([]int, o.InFlight)}
	for i := range r.states {
		r.states[i] = Status{State: StateTaking, Since: time.Now()}
	}
	r.o.Watch(r.states[0])
	return r, nil
}

// Deliver brings every record to the sink or to the dead letter, in batches and in order,
// and returns nil when none is left. It returns an error only when ctx is done or when the
// dead letter function failed; then some of the records may have been delivered, and the
// caller delivers all of them again.
//
// Deliver waits for a sink that is down as long as ctx allows. Once ctx is done it starts no
// further attempt.
func (r *Runner) Deliver(ctx context.Context, records []Record) error {
	for len(records) > 0 {
		n := r.o.Batch.take(records)
		if err := r.deliver(errand{ctx: ctx, stop: ctx}, records[:n:n]); err != nil {
			return r.named(err)
		}
		records = records[n:]
	}
	return nil
}

func (r *Runner) named(err error) error {
	return fmt.Errorf("cannot deliver to sink %q: %w", r.o.Name, err)
}

// take returns how many of the records make the next batch: at least one.
func (b Batch) take(records []Record) int {
	n, size := 0, int64(0)
	for n < len(records) && n < b.Records {
		size += int64(len(records[n].Value))
		if n > 0 && size > int64(b.Bytes) {
			break
		}
		n++
	}
	return n
}

// try makes one attempt. It returns what the sink said, and what that means. An error says
// that ctx is done; the records that the sink took until then have ended.
func (r *Runner) try(e errand, batch []Record) (said error, v verdict, err error) {
	if e.plan != nil {
		said = e.plan(e.ctx)
	}
	unasked := said != nil
	if unasked {
		said = fmt.Errorf("cannot store the boundaries of a batch: %w", said)
	} else {
		ended := r.o.Attempt(batch)
		said = r.o.Sink.Deliver(e.ctx, batch)
		ended(said)
	}
	v = judge(said, len(batch))
	v.unasked = unasked
	if err := e.ctx.Err(); said != nil && err != nil {
		if !r.planned {
			r.accept(e, batch, v)
		}
		return said, v, fmt.Errorf("%w; the sink said: %w", err, said)
	}
	if v.paused == nil {
		r.release(e.worker)
	}
	return said, v, nil
}

// deliver brings one batch to its end. A sink that is paused is asked again without end: the
// bounds of Retry count from the last pause on, and from the last attempt that ended records.
// They end the records that were part of each of these attempts.
func (r *Runner) deliver(e errand, batch []Record) error {
	r.mu.Lock()
	r.busy[e.worker]++
	r.mu.Unlock()
	defer r.leave(e.worker)
	p := patience{}
	for again := false; ; {
		if err := r.begin(e, batch, again); err != nil {
			return err
		}
		n := len(batch)
		if batch = e.own(batch); len(batch) == 0 {
			return nil
		}
		if len(batch) < n || p.start.IsZero() {
			p = patience{start: time.Now(), least: len(batch)}
		}
		said, v, err := r.try(e, batch)
		if err != nil {
			return err
		}
		if v.split != nil {
			r.recovered(e.worker) // it answers, and about the records
			return r.halve(e, batch, v.split)
		}
		pause, exhausted := p.next(r.o.Retry, v, r.o.Random)
		if r.planned {
			p.tried = v.left
		}
		whole := r.planned && len(v.left) > 0 && !exhausted // it comes again as it is
		if !whole {
			if err := r.settle(e, batch, v); err != nil {
				return err
			}
		}
		if exhausted {
			if err := r.deadLetter(e, pick(batch, p.tried), &Rejected{Reason: ReasonExhausted, Err: said}); err != nil {
				return err
			}
			v.left = without(v.left, p.tried)
			batch, v.retry, p = pick(batch, v.left), nil, patience{}
		} else if !whole {
			batch = pick(batch, v.left)
		}
		if again = len(v.retry) > 0; !again { // the others go on at once
			r.recovered(e.worker)
			if len(v.left) == 0 {
				return nil
			}
			continue
		}
		r.o.Observe(OutcomeRetried, "", len(v.retry))
		r.waits(e.worker, v.paused, said, max(p.attempts, p.pauses, 1), pause, v.after)
		if err := e.sleep(batch, pause); err != nil {
			return fmt.Errorf("%w; the sink said: %w", err, said)
		}
	}
}

// begin waits until the worker may begin an attempt: for the pause of a Paced sink, and while
// the sink is paused for the result of the one worker that asks it.
func (r *Runner) begin(e errand, batch []Record, again bool) error {
	for len(e.own(batch)) > 0 {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		if err := e.stop.Err(); err != nil && again {
			return err
		}
		if p, ok := r.o.Sink.(Paced); ok {
			if pause := p.Pause(); pause > 0 {
				if err := e.sleep(batch, pause); err != nil {
					return err
				}
				continue
			}
		}
		r.mu.Lock()
		probing := r.probing
		if r.prober == e.worker {
			probing = nil
		}
		r.mu.Unlock()
		if probing == nil {
			return nil
		}
		if err := e.wait(batch, nil, probing); err != nil {
			return err
		}
	}
	return nil
}

// leave notes that a worker has ended a batch.
func (r *Runner) leave(worker int) {
	r.release(worker)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy[worker]--
}

// release ends the worker's asking of a paused sink, if it did that: the others go on.
func (r *Runner) release(worker int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.probing != nil && r.prober == worker {
		close(r.probing)
		r.probing = nil
	}
}

// halve delivers the two halves of a batch that was refused as a whole. A batch of n records
// is cut at most n-1 times, so it costs at most 2n-1 requests; each level of halves sends
// the batch's bytes once, and there are log2(n) levels.
func (r *Runner) halve(e errand, batch []Record, why *Rejected) error {
	r.logRefusal("the sink refused a batch; looking for the record at fault", why, len(batch))
	r.o.Observe(OutcomeRetried, "", len(batch))
	middle := len(batch) / 2
	if err := r.deliver(e, batch[:middle:middle]); err != nil {
		return err
	}
	return r.deliver(e, batch[middle:])
}

// settle ends the records of the batch that are accepted or rejected.
func (r *Runner) settle(e errand, batch []Record, v verdict) error {
	if p := v.partial; p != nil {
		lost := min(max(p.Lost, 0), len(batch))
		r.o.Observe(OutcomeRejected, ReasonPartial, lost)
		r.logRefusal("the sink took a batch and lost some of its records", p, lost)
	}
	r.accept(e, batch, v)
	for i, why := range v.rejected {
		if why == nil {
			continue
		}
		r.o.Observe(OutcomeRejected, why.Reason, 1)
		r.logRefusal("the sink refused records; they go to the dead letter", why, 1)
		if err := r.deadLetter(e, batch[i:i+1], why); err != nil {
			return err
		}
	}
	return nil
}

// accept ends the records of the batch that are accepted.
func (r *Runner) accept(e errand, batch []Record, v verdict) {
	if v.split != nil {
		return
	}
	accepted := make([]Record, 0, len(batch)-len(v.left))
	left := v.left
	for i, rec := range batch {
		switch {
		case len(left) > 0 && left[0] == i:
			left = left[1:]
		case v.rejected == nil || v.rejected[i] == nil:
			accepted = append(accepted, rec)
		}
	}
	e.note(accepted...)
	known := min(v.known, len(accepted))
	if known > 0 {
		r.o.Observe(OutcomeDuplicate, "", known)
	}
	if len(accepted) > known {
		r.o.Observe(OutcomeDelivered, "", len(accepted)-known)
	}
}

// deadLetter hands the records to the dead letter function.
func (r *Runner) deadLetter(e errand, records []Record, why *Rejected) error {
	for i, rec := range records {
		if err := r.o.DeadLetter(e.ctx, rec, why.Reason, why.Err); err != nil {
			return fmt.Errorf("cannot write the dead letter of a record (%s): %w", why.Reason, err)
		}
		e.note(records[i])
		r.o.Observe(OutcomeDeadLettered, why.Reason, 1)
	}
	return nil
}

// pick returns the records at the given indexes, in a new slice.
func pick(batch []Record, indexes []int) []Record {
	if len(indexes) == len(batch) {
		return batch
	}
	picked := make([]Record, len(indexes))
	for i, at := range indexes {
		picked[i] = batch[at]
	}
	return picked
}
