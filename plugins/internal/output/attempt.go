package output

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
)

// attempt is the delivery of one chunk. It outlives a flush that ran out of
// time: Fluent Bit then hands the same chunk over again, and the next flush
// goes on where this one stopped instead of producing everything twice. A chunk
// of any size is therefore delivered in the end, whatever FlushTimeout is.
type attempt struct {
	// Owned by the flush that holds the attempt.
	pos  int // bytes of the chunk that are dealt with
	unit int // events and dead letters of the record at pos that are dealt with

	mu      sync.Mutex    // guards the following; taken by Kafka's acknowledgements too
	pending int           // produced and not yet acknowledged
	failed  error         // the first failure: this attempt can not succeed anymore
	changed chan struct{} // a token when pending became 0 or failed was set
}

func newAttempt() *attempt { return &attempt{changed: make(chan struct{}, 1)} }

// add notes that one more record was produced.
func (a *attempt) add() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending++
}

// done notes that a produced record was acknowledged, or failed for good.
func (a *attempt) done(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending--
	if err != nil && a.failed == nil {
		a.failed = err
	}
	if a.pending == 0 || err != nil {
		select {
		case a.changed <- struct{}{}:
		default: // a token is there already
		}
	}
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

// maxAttempts bounds the unfinished chunks that are remembered: 256 at about
// 250 bytes. Fluent Bit has at most 2,048 chunks on their way; one that is
// forgotten is produced again from its beginning, which repeats records and
// loses none.
const maxAttempts = 256

// attempts remembers unfinished chunks by their content. Safe for concurrent
// use; an attempt that was taken belongs to the taker alone.
type attempts struct {
	mu    sync.Mutex // guards the following
	byKey map[[sha256.Size]byte]*attempt
	order [][sha256.Size]byte // oldest first
}

// take returns the attempt that keep put away for this chunk, or a new one.
// Only when something is put away does it hash the chunk.
func (s *attempts) take(chunk []byte) *attempt {
	s.mu.Lock()
	none := len(s.byKey) == 0
	s.mu.Unlock()
	if none {
		return newAttempt()
	}
	key := sha256.Sum256(chunk)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byKey[key]
	if a == nil {
		return newAttempt()
	}
	s.forget(key)
	return a
}

// keep puts an unfinished attempt away until the chunk comes again.
func (s *attempts) keep(chunk []byte, a *attempt) {
	key := sha256.Sum256(chunk)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey == nil {
		s.byKey = map[[sha256.Size]byte]*attempt{}
	}
	if s.byKey[key] != nil {
		return // two chunks of one content at a time: one memory is enough
	}
	if len(s.order) >= maxAttempts {
		s.forget(s.order[0])
	}
	s.byKey[key] = a
	s.order = append(s.order, key)
}

func (s *attempts) forget(key [sha256.Size]byte) {
	delete(s.byKey, key)
	if i := slices.Index(s.order, key); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
	}
}
