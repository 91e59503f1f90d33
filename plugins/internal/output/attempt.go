package output

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"keytrail/plugins/internal/ack"
)

// attempt is the delivery of one chunk. It outlives a flush that ran out of
// time: Fluent Bit then hands the same chunk over again, and the next flush
// goes on where this one stopped instead of producing everything twice. A chunk
// of any size is therefore delivered in the end, whatever FlushTimeout is.
type attempt struct {
	// tell never changes: Kafka's callbacks read it while a flush takes the attempt again.
	// It is nil where nobody waits for acknowledgements.
	tell func(ack.Run, []ack.Range)

	// Owned by the flush that holds the attempt.
	pos   int // bytes of the chunk that are dealt with
	unit  int // events and dead letters of the record at pos that are dealt with
	slot  int // of the record at pos, or noSlot
	begun bool
	tries int // flushes of this chunk that ended in Retry

	mu      sync.Mutex    // guards the following; taken by Kafka's acknowledgements too
	pending int           // produced and not yet acknowledged
	failed  error         // the first failure: this attempt cannot succeed anymore
	changed chan struct{} // a token when pending became 0 or failed was set
	slots   slots
	untold  int // records that were acknowledged since report
}

// noSlot is the slot of a record that nobody wants acknowledged.
const noSlot = -1

func newAttempt(tell func(ack.Run, []ack.Range)) *attempt {
	return &attempt{tell: tell, changed: make(chan struct{}, 1), slot: noSlot}
}

// begin opens the slot of a record, once however often the flush comes back to it.
func (a *attempt) begin(run ack.Run, number uint64) {
	if a.tell == nil || a.begun {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.slot, a.begun = a.slots.begin(run, number), true
}

// end notes that the record at pos is dealt with and that the next one begins at pos.
func (a *attempt) end(pos int) {
	a.pos, a.unit = pos, 0
	if a.begun {
		a.mu.Lock()
		a.slots.done(a.slot, false)
		a.mu.Unlock()
		a.slot, a.begun = noSlot, false
	}
}

// add notes that one more Kafka record was produced. It returns the slot for done.
func (a *attempt) add() (slot int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending++
	if a.slot != noSlot {
		a.slots.add(a.slot)
	}
	return a.slot
}

// done notes that a produced record was acknowledged, or failed for good.
func (a *attempt) done(slot int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending--
	if slot != noSlot {
		a.slots.done(slot, err != nil)
	}
	if err != nil && a.failed == nil {
		a.failed = err
	}
	if a.untold++; a.pending == 0 || err != nil || a.untold >= tellEvery {
		a.report()
	}
	if a.pending == 0 || err != nil {
		select {
		case a.changed <- struct{}{}:
		default: // a token is there already
		}
	}
}

// tellEvery is how many records are acknowledged until in_kms is told while others are in
// flight: of a chunk of 40,000 the first then make room for more while the last are still
// being decoded, and the slots are looked through ten times.
const tellEvery = 4096

// report tells what is acknowledged. The caller holds mu.
func (a *attempt) report() {
	a.untold = 0
	if a.tell != nil {
		a.slots.tell(a.tell)
	}
}

// rest is report for a flush that ends.
func (a *attempt) rest() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.report()
}

// state returns the number of records in flight and the first failure.
func (a *attempt) state() (pending int, failed error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending, a.failed
}

// wait returns nil when everything produced is acknowledged, the first failure,
// or the context's error.
func (a *attempt) wait(ctx context.Context) error {
	for {
		pending, failed := a.state()
		if failed != nil || pending == 0 {
			return failed
		}
		select {
		case <-a.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// maxAttempts bounds the unfinished chunks that are remembered: 256 at about 250 bytes,
// and the slots of those that in_kms waits for, which its ack_window bounds: 64 MiB of
// records of 300 bytes are 3.4 MB of slots. Fluent Bit has at most 2,048 chunks on
// their way; one that is forgotten is produced again from its beginning, which repeats
// records and loses none.
const maxAttempts = 256

// attempts remembers unfinished chunks by their content. Safe for concurrent
// use; an attempt that was taken belongs to the taker alone.
type attempts struct {
	tell func(ack.Run, []ack.Range) // of each attempt

	mu    sync.Mutex // guards the following
	byKey map[[sha256.Size]byte]*kept
	order [][sha256.Size]byte // oldest first
	taken []*attempt          // of unfinished chunks that a flush holds again
}

// kept is an unfinished chunk.
type kept struct {
	*attempt
	due time.Time // Fluent Bit has given the chunk up when it has not come again until then
}

// take returns the attempt that keep put away for this chunk, or a new one.
// Only when something is put away does it hash the chunk.
func (s *attempts) take(chunk []byte) *attempt {
	s.mu.Lock()
	none := len(s.byKey) == 0
	s.mu.Unlock()
	if none {
		return newAttempt(s.tell)
	}
	key := sha256.Sum256(chunk)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.byKey[key]
	if k == nil {
		return newAttempt(s.tell)
	}
	s.forget(key)
	a := k.attempt
	if _, failed := a.state(); failed != nil { // it cannot succeed: from the beginning
		a = newAttempt(s.tell)
		a.tries, a.slots.runs = k.tries, slices.Clone(k.slots.runs)
	}
	s.taken = append(s.taken, a)
	return a
}

// keep puts an unfinished attempt away until the chunk comes again.
func (s *attempts) keep(chunk []byte, a *attempt, now time.Time) {
	key := sha256.Sum256(chunk)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(a)
	a.tries++
	if s.byKey == nil {
		s.byKey = map[[sha256.Size]byte]*kept{}
	}
	if s.byKey[key] != nil {
		return // two chunks of one content at a time: one memory is enough
	}
	if len(s.order) >= maxAttempts {
		s.forget(s.order[0])
	}
	s.byKey[key] = &kept{a, now.Add(longestBackoff(a.tries))}
	s.order = append(s.order, key)
}

// finish notes that a chunk is delivered.
func (s *attempts) finish(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(a)
}

// end notes that a flush lets go of an attempt. The caller holds mu.
func (s *attempts) end(a *attempt) {
	if i := slices.Index(s.taken, a); i >= 0 {
		s.taken = slices.Delete(s.taken, i, i+1)
	}
}

// unfinished returns how many chunks with records of a run were given back and not
// delivered since; those of tail or of another in_kms say nothing about it. It forgets
// those that Fluent Bit has given up, as it does after retry_limit, and returns how many
// of all runs these were.
func (s *attempts) unfinished(run ack.Run, now time.Time) (n, abandoned int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range slices.Clone(s.order) {
		if s.byKey[key].due.Before(now) {
			s.forget(key)
			abandoned++
		} else if s.byKey[key].has(run) {
			n++
		}
	}
	for _, a := range s.taken {
		if a.has(run) {
			n++
		}
	}
	return n, abandoned
}

// has reports whether the chunk has records of a run, as far as a flush has read it: to
// its first record at least. The records of a chunk are of one input as a rule.
func (a *attempt) has(run ack.Run) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.slots.runs, run)
}

// longestBackoff is the time within which Fluent Bit hands a chunk over again after so
// many failures: at most scheduler.base (5 s) doubled each time, up to scheduler.cap
// (2,000 s), and a minute for a machine that is busy. Where they are set higher, records
// may be handed over twice by in_kms, and count once.
// Source: Fluent Bit 5.1, src/flb_scheduler.c, backoff_full_jitter.
func longestBackoff(tries int) time.Duration {
	const base, highest = 5 * time.Second, 2000 * time.Second
	return min(highest, base<<min(tries, 9)) + time.Minute
}

func (s *attempts) forget(key [sha256.Size]byte) {
	delete(s.byKey, key)
	if i := slices.Index(s.order, key); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
	}
}
