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
	ledger *ledger   // never changes: Kafka's callbacks read it while a flush takes the attempt again
	since  time.Time // when the chunk was handed over; never changes
	again  bool      // the chunk was given back before; guarded by attempts.mu

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

func newAttempt(l *ledger) *attempt {
	return &attempt{ledger: l, since: time.Now(), changed: make(chan struct{}, 1), slot: noSlot}
}

// begin finds the slot of a record, once however often the flush comes back to it.
func (a *attempt) begin(run ack.Run, number uint64) {
	if a.ledger.tell == nil || a.begun {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.slot, a.begun = a.slots.find(run, number), true
}

// end notes that the record at pos is dealt with and that the next one begins at pos.
func (a *attempt) end(pos int) {
	a.pos, a.unit = pos, 0
	if a.slot != noSlot {
		a.mu.Lock()
		a.slots.done(a.slot, false)
		a.mu.Unlock()
	}
	a.slot, a.begun = noSlot, false
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
	if a.note(slot, err) {
		a.ledger.report(a)
	}
}

// note is done without the telling. It reports whether it is time for that.
func (a *attempt) note(slot int, err error) (report bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending--
	if slot != noSlot {
		a.slots.done(slot, err != nil)
	}
	if err != nil && a.failed == nil {
		a.failed = err
	}
	if a.pending == 0 || err != nil {
		select {
		case a.changed <- struct{}{}:
		default: // a token is there already
		}
	}
	a.untold++
	return a.pending == 0 || err != nil || a.untold >= tellEvery
}

// tellEvery is how many records are acknowledged until in_kms is told while others are in
// flight: of a chunk of 40,000 the first then make room for more while the last are still
// being decoded, and the slots are looked through ten times.
const tellEvery = 4096

// take returns the numbers that are acknowledged and were not told, a set for each run.
func (a *attempt) take() (runs []ack.Run, sets []ack.Ranges) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.untold = 0
	sets = make([]ack.Ranges, len(a.slots.runs))
	a.slots.take(sets)
	return a.slots.runs, sets
}

// withhold removes from set the numbers of run that this attempt has yet to deliver.
func (a *attempt) withhold(run ack.Run, set *ack.Ranges) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.slots.withhold(run, set)
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

// maxAttempts bounds the unfinished chunks that are remembered, at about 250 bytes each,
// and maxSlots the numbers in them: 64 MiB, for 1.2 GB of records of 300 bytes in Fluent
// Bit's storage. Fluent Bit begins with room for 2,048 chunks on their way, and extends it
// to 16,384. A chunk beyond these bounds is forgotten. When it comes again, it is produced
// from its beginning. Its open numbers are never acknowledged (see ledger.forget), so
// in_kms also hands their records over again: that repeats records and loses none.
const (
	maxAttempts = 2048
	maxSlots    = 4 << 20
)

// attempts remembers unfinished chunks by their content. Safe for concurrent
// use; an attempt that was taken belongs to the taker alone.
type attempts struct {
	ledger   ledger                                      // of each attempt
	numbers  func(chunk []byte, f func(ack.Run, uint64)) // passes a chunk's numbers to f
	patience time.Duration                               // for a first flush to end; 0 is endless

	mu    sync.Mutex // guards the following; taken before the ledger's
	byKey map[[sha256.Size]byte]*kept
	order [][sha256.Size]byte // oldest first
	slots int                 // of those in byKey
	taken []*attempt          // of unfinished chunks that a flush holds again
}

// kept is an unfinished chunk.
type kept struct {
	*attempt
	due time.Time // Fluent Bit has given the chunk up when it has not come again until then
}

// take returns the attempt that keep put away for this chunk, or a new one.
func (s *attempts) take(chunk []byte) *attempt {
	old := s.recall(chunk)
	if old != nil {
		if _, failed := old.state(); failed == nil {
			return old
		}
	}
	a := newAttempt(&s.ledger)
	if s.ledger.tell != nil {
		s.numbers(chunk, a.slots.expect)
		s.ledger.enter(a)
	}
	if old != nil { // it cannot succeed: from the beginning
		a.tries = old.tries
		s.replace(old, a)
	}
	return a
}

// recall returns the attempt that keep put away for this chunk, nil when there is none.
// Only when something is put away does it hash the chunk.
func (s *attempts) recall(chunk []byte) *attempt {
	s.mu.Lock()
	none := len(s.byKey) == 0
	s.mu.Unlock()
	if none {
		return nil
	}
	key := sha256.Sum256(chunk)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.byKey[key]
	if k == nil {
		return nil
	}
	s.remove(key)
	s.taken = append(s.taken, k.attempt)
	return k.attempt
}

// replace lets a stand for old, which a flush holds.
func (s *attempts) replace(old, a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.again = true
	s.taken[slices.Index(s.taken, old)] = a
	s.ledger.leave(old)
}

// keep puts an unfinished attempt away until the chunk comes again.
func (s *attempts) keep(chunk []byte, a *attempt, now time.Time) {
	key := sha256.Sum256(chunk)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(a)
	a.tries++
	a.again = true
	if s.byKey == nil {
		s.byKey = map[[sha256.Size]byte]*kept{}
	}
	if s.byKey[key] != nil { // two chunks of one content at a time: one memory is enough
		s.ledger.leave(a)
		return
	}
	n := len(a.slots.list)
	for len(s.order) > 0 && (len(s.order) >= maxAttempts || s.slots+n > maxSlots) {
		s.forget(s.order[0])
	}
	s.byKey[key] = &kept{a, now.Add(longestBackoff(a.tries))}
	s.order = append(s.order, key)
	s.slots += n
}

// finish notes that a chunk is delivered.
func (s *attempts) finish(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(a)
	s.ledger.leave(a)
}

// end notes that a flush lets go of an attempt. The caller holds mu.
func (s *attempts) end(a *attempt) {
	if i := slices.Index(s.taken, a); i >= 0 {
		s.taken = slices.Delete(s.taken, i, i+1)
	}
}

// unfinished returns how many chunks with records of a run are not delivered and were given
// back, or have waited for their turn beyond patience. Chunks of tail or of another in_kms
// say nothing about it. It forgets those that Fluent Bit has given up, as it does after
// retry_limit, and returns how many of all runs these were.
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
	if s.patience > 0 {
		n += s.ledger.late(run, now.Add(-s.patience))
	}
	return n, abandoned
}

// has reports whether the chunk has records of a run.
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

// forget drops an unfinished chunk: what is open of it is not waited for, and never told.
func (s *attempts) forget(key [sha256.Size]byte) {
	s.ledger.forget(s.byKey[key].attempt)
	s.remove(key)
}

func (s *attempts) remove(key [sha256.Size]byte) {
	s.slots -= len(s.byKey[key].attempt.slots.list)
	delete(s.byKey, key)
	if i := slices.Index(s.order, key); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
	}
}
