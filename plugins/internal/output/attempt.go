package output

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"keytrail/plugins/internal/ack"
)

// attempt is the delivery of one chunk. It outlives a flush that did not deliver all of it:
// Fluent Bit then hands the same chunk over again, and the next flush goes on where this one
// stopped and produces again only what Kafka has refused. A chunk of any size is therefore
// delivered in the end, whatever FlushTimeout is.
type attempt struct {
	ledger *ledger   // never changes: Kafka's callbacks read it while a flush takes the attempt again
	since  time.Time // when the chunk was handed over; never changes
	again  bool      // the chunk was given back before; guarded by attempts.mu

	// Owned by the flush that holds the attempt.
	pos   int // bytes of the chunk that are dealt with
	unit  int // events and dead letters of the record at pos that are dealt with
	slot  int // of the record at pos, or noSlot
	begun bool
	whole bool // all of the chunk was read to its end
	tries int  // flushes of this chunk that ended in Retry

	mu      sync.Mutex    // guards the following; taken by Kafka's acknowledgements too
	pending int           // produced and not yet answered
	refused []unit        // to be produced again, in no order
	failed  error         // why the last of them was refused
	changed chan struct{} // a token when pending became 0
	slots   slots
	untold  int // records that were acknowledged since report
	// held are the numbers that are open only because Kafka refuses their records, a set per
	// run. nil while other records of the chunk may be open, too.
	held []ack.Ranges
}

// unit is an event or a dead letter of a chunk: the one with this number in the Fluent Bit
// record at pos, counted from 1. slot is that of the record.
type unit struct{ pos, number, slot int }

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
		a.slots.done(a.slot)
		a.mu.Unlock()
	}
	a.slot, a.begun = noSlot, false
}

// add notes that the next unit of the record at pos is produced. It returns the unit for done.
func (a *attempt) add() unit {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending++
	if a.slot != noSlot {
		a.slots.add(a.slot)
	}
	a.unit++
	return unit{a.pos, a.unit, a.slot}
}

// repeat notes that a unit that Kafka refused is produced again.
func (a *attempt) repeat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending++
}

// done notes that Kafka has acknowledged a unit that was produced, or has refused it.
func (a *attempt) done(u unit, err error) {
	if a.note(u, err) {
		a.ledger.report(a)
	}
}

// note is done without the telling. It reports whether it is time for that.
func (a *attempt) note(u unit, err error) (report bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending--
	if err != nil { // its slot stays open
		a.refused, a.failed = append(a.refused, u), err
	} else if u.slot != noSlot {
		a.slots.done(u.slot)
	}
	if a.pending == 0 {
		select {
		case a.changed <- struct{}{}:
		default: // a token is there already
		}
	}
	a.untold++
	return a.pending == 0 || a.untold >= tellEvery
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

// state returns the number of records in flight, and why one was refused: nil when Kafka
// has refused none, or has taken all of them since.
func (a *attempt) state() (pending int, failed error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.refused) == 0 {
		return a.pending, nil
	}
	return a.pending, a.failed
}

// wait returns nil when Kafka has answered for everything that was produced, or the
// context's error.
func (a *attempt) wait(ctx context.Context) error {
	for {
		if pending, _ := a.state(); pending == 0 {
			return nil
		}
		select {
		case <-a.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// takeRefused takes the units that are to be produced again, in the order of the chunk.
func (a *attempt) takeRefused() []unit {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.refused
	a.refused = nil
	slices.SortFunc(list, func(u, v unit) int { return cmp.Or(u.pos-v.pos, u.number-v.number) })
	return list
}

// giveBack undoes takeRefused for units that were not produced.
func (a *attempt) giveBack(list []unit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = append(a.refused, list...)
}

// hold notes which numbers stay open because Kafka refuses their records, where nothing else
// of the chunk is open. It returns how many units these are.
func (a *attempt) hold() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.whole && a.pending == 0 && a.held == nil {
		a.held = make([]ack.Ranges, len(a.slots.runs))
		for i := range a.slots.list {
			if e := &a.slots.list[i]; e.missing() {
				a.held[e.run].Add(ack.Range{From: e.number, To: e.number + 1})
				a.held[e.run].Limit(maxHeld) // holds the numbers between the highest, too
			}
		}
	}
	return len(a.refused)
}

// maxAttempts bounds the unfinished chunks that are remembered, at about 300 bytes each,
// and maxSlots the numbers and the refused units in them: 96 MiB, for 1.2 GB of records of
// 300 bytes in Fluent Bit's storage. maxHeld bounds the ranges of held per run of a chunk: 4
// KiB. Fluent Bit begins with room for 2,048 chunks on their way, and extends it to 16,384. A
// chunk beyond these bounds is forgotten. When it comes again, it is produced from its
// beginning. Its open numbers are never acknowledged (see ledger.forget), so in_kms also
// hands their records over again: that repeats records and loses none.
const (
	maxAttempts = 2048
	maxSlots    = 4 << 20
	maxHeld     = 256
)

// attempts remembers unfinished chunks by their content. Safe for concurrent
// use; an attempt that was taken belongs to the taker alone.
type attempts struct {
	ledger  ledger                                      // of each attempt
	numbers func(chunk []byte, f func(ack.Run, uint64)) // passes a chunk's numbers to f

	mu    sync.Mutex // guards the following; taken before the ledger's
	byKey map[[sha256.Size]byte]*kept
	order [][sha256.Size]byte // oldest first
	size  int                 // of those in byKey: slots and refused units
}

// kept is an unfinished chunk.
type kept struct {
	*attempt
	due  time.Time // Fluent Bit has given the chunk up when it has not come again until then
	size int       // as it counts for maxSlots
}

// take returns the attempt that keep put away for this chunk, or a new one.
func (s *attempts) take(chunk []byte) *attempt {
	if old := s.recall(chunk); old != nil {
		return old
	}
	a := newAttempt(&s.ledger)
	if s.ledger.tell != nil {
		s.numbers(chunk, a.slots.expect)
		s.ledger.enter(a)
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
	return k.attempt
}

// keep puts an unfinished attempt away until the chunk comes again.
func (s *attempts) keep(chunk []byte, a *attempt, now time.Time) {
	key := sha256.Sum256(chunk)
	s.mu.Lock()
	defer s.mu.Unlock()
	a.tries++
	a.again = true
	if s.byKey == nil {
		s.byKey = map[[sha256.Size]byte]*kept{}
	}
	if s.byKey[key] != nil { // two chunks of one content at a time: one memory is enough
		s.ledger.leave(a)
		return
	}
	n := len(a.slots.list) + a.hold()
	for len(s.order) > 0 && (len(s.order) >= maxAttempts || s.size+n > maxSlots) {
		s.forget(s.order[0])
	}
	s.byKey[key] = &kept{a, now.Add(longestBackoff(a.tries)), n}
	s.order = append(s.order, key)
	s.size += n
}

// finish notes that a chunk is delivered.
func (s *attempts) finish(a *attempt) { s.ledger.leave(a) }

// health returns how the chunks fare, for the in_kms of a run. It forgets those that Fluent
// Bit has given up, as it does after retry_limit, and returns how many of all runs these
// were.
func (s *attempts) health(run ack.Run, now time.Time) (h ack.Health, abandoned int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range slices.Clone(s.order) {
		if s.byKey[key].due.Before(now) {
			s.forget(key)
			abandoned++
		}
	}
	return s.ledger.health(run, now), abandoned
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
	s.size -= s.byKey[key].size
	delete(s.byKey, key)
	if i := slices.Index(s.order, key); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
	}
}
