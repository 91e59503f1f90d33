package input

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/chunk"
	"keytrail/processor/source"
)

const (
	// maxSetRanges bounds the acknowledged ranges of one output, 16 bytes each: 1 MiB.
	// Behind the first record that is missing they join, so that there are as many as
	// there are gaps. The lowest are forgotten, and their records handed over again.
	maxSetRanges = 65_536
	// maxParked bounds the objects with records that were not acknowledged: 10,000 at
	// some 500 bytes, and maxLost ranges of 16 bytes each at the worst: 165 MB, where
	// filters drop every second record of all of them; 5 MB as a rule. While there are
	// as many, further ones keep their room in the window, which stops the input until
	// one of the 10,000 is done: they are handed over again although the window is full.
	maxParked = 10_000
	maxLost   = 1024
	// longestPark is the longest time between two readings of an object whose records
	// are not acknowledged.
	longestPark = time.Hour
	// silence is the time without an answer after which Kafka counts as away, and fresh
	// that without a message after which an output hangs. Outputs send one every second.
	silence = 30 * time.Second
	fresh   = 5 * time.Second
	// longestBacklog is how long after the start chunks of earlier runs hold up repeats.
	// Fluent Bit's storage has delivered them by then; later ones are of another in_kms
	// that is not connected to the output.
	longestBacklog = time.Hour
	// lonely is how long in_kms waits for an output before it says that there is none.
	lonely = 30 * time.Second
)

// window is the progress of an in_kms whose records out_kms acknowledges: at most a
// number of bytes are handed over and not acknowledged, and an object is done when each
// of its records is. Records that stay unacknowledged while Kafka acknowledges others
// and no chunk waits in an output are lost: a filter or Fluent Bit has dropped them. They
// are handed over again, at growing intervals, until they are acknowledged.
//
// Its state is bounded by the bytes (a parcel has 120 bytes, and its block at least one
// record of 300 bytes) and by maxParked. Safe for concurrent use.
type window struct {
	cfg   Config
	run   ack.Run
	began time.Time
	say   func(format string, args ...any)
	park  func(source.Object) // takes an object out of its source's way; nil in tests

	mu      sync.Mutex // guards the following
	next    uint64     // the next number
	bytes   int        // of the open parcels
	repeats int        // those of bytes that are handed over again
	parcels []*parcel  // by their numbers; the first is open
	closed  int        // of parcels
	sets    map[string]*outputAcks
	peers   map[int]peerState
	ready   []source.Object // done, and not yet returned by done
	parked  []*parkedFlight
	telling []*parkedFlight // of them those that their sources do not know of
	losing  int             // flights with a slot, those in parked among them
	limit   int             // of losing: maxParked
	paused  bool
	refused bool             // Fluent Bit has not taken what was handed over last
	calm    time.Time        // since when all is well without interruption; zero while it is not
	freed   [2]chan struct{} // each has an item when there may be room: for wait and for moved
	stats   windowStats
	heard   time.Time // when an output was last there, or the start
	said    string    // the last complaint about who is missing
	sayAt   time.Time // no line about lost records before
	full    time.Time // since when the window is full; zero while it is not
	sayFull time.Time // no line about a full window before
	odd     bool      // an output has acknowledged what was not handed over

	l       *ack.Listener // nil in tests
	closing sync.Once
}

// windowStats counts what a window did.
type windowStats struct {
	acknowledged int64 // records
	again        int64 // records that were handed over again
	accepted     int64 // records that were taken for done without an acknowledgement
}

// peerState is what an output said last.
type peerState struct {
	name   string
	health ack.Health
	at     time.Time
}

// parkedFlight is an object that is to be read again when its time has come.
type parkedFlight struct {
	f   *flight
	due time.Time

	told bool // its source knows
}

// newWindow returns a window of numbers from 1 on.
func newWindow(cfg Config, run ack.Run, now time.Time, say func(format string, args ...any)) *window {
	w := &window{
		cfg: cfg, run: run, began: now, say: say, next: 1, limit: maxParked, heard: now,
		sets: map[string]*outputAcks{}, peers: map[int]peerState{},
		freed: [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)},
	}
	for _, name := range cfg.AckBy {
		w.sets[name] = &outputAcks{moved: now}
	}
	if len(cfg.AckBy) == 0 {
		w.sets[""] = &outputAcks{moved: now}
	}
	return w
}

// room bounds all bytes by the window. Records that are handed over again may exceed it by
// one batch: the window can be full because maxParked of their objects are not done.
func (w *window) room(again bool) (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	free := max(0, w.cfg.AckWindow-w.bytes)
	if again {
		return max(free, w.cfg.BatchBytes-w.repeats), w.repeats == 0
	}
	return free, w.bytes == 0
}

func (w *window) hand(list []block, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range list {
		b := &list[i]
		if n := len(b.starts); n > 0 {
			for k, start := range b.starts {
				chunk.SetNumber(b.buf[start:], &w.run, w.next+uint64(k))
			}
			numbers := ack.Range{From: w.next, To: w.next + uint64(n)}
			w.next = numbers.To
			w.parcels = append(w.parcels, &parcel{numbers: numbers, places: b.places, bytes: len(b.buf), at: now, of: b.of})
			w.bytes += len(b.buf)
			b.of.open++
			if b.of.tries > 0 {
				w.stats.again += int64(n)
				w.repeats += len(b.buf)
			}
		}
		if b.end {
			b.of.ended = true
			w.finish(b.of, now)
		}
	}
}

func (w *window) taken(ok bool, _ time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = !ok
}

func (w *window) drop(f *flight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f.dropped, f.lost = true, ack.Ranges{}
	w.leave(f)
}

// leave frees the slot of a flight.
func (w *window) leave(f *flight) {
	if f.slot {
		f.slot = false
		w.losing--
	}
}

// acks notes the numbers that an output has delivered; see ack.Handlers.
func (w *window) acks(peer int, name string, h ack.Health, list []ack.Range) error {
	return w.acksAt(peer, name, h, list, time.Now())
}

func (w *window) acksAt(peer int, name string, h ack.Health, list []ack.Range, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peers[peer] = peerState{name, h, now}
	set := w.sets[name]
	if len(w.cfg.AckBy) == 0 {
		set = w.sets[""]
	}
	if set == nil {
		return nil // ack_by does not name it
	}
	for _, r := range list {
		if r.From == 0 {
			return errors.New("it acknowledges a record 0; numbers begin with 1")
		}
		if r.To > w.next { // after a refusal the output would only send it again
			if !w.odd {
				w.say("the output %q acknowledges the records %d to %d, and only %d were handed over: this is ignored; "+
					"please report it", name, r.From, r.To-1, w.next-1)
			}
			w.odd = true
			continue
		}
		set.note(r, now)
	}
	set.Drop(maxSetRanges)
	for _, r := range list {
		if r.To <= w.next {
			w.complete(r, now)
		}
	}
	w.trim()
	for _, c := range w.freed {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return nil
}

// gone notes that a connection has ended.
func (w *window) gone(peer int, _ string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.peers, peer)
}

func (w *window) pause(on bool, _ time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = on
}

func (w *window) done(now time.Time) []source.Object {
	w.mu.Lock()
	defer w.mu.Unlock()
	trouble := w.trouble(now)
	if trouble != "" {
		w.calm = time.Time{}
	} else if w.calm.IsZero() {
		w.calm = now
	}
	w.complain(now)
	for _, set := range w.sets {
		set.mark(now, w.cfg.AckTimeout)
	}
	if !w.calm.IsZero() && now.Sub(w.calm) >= w.cfg.AckTimeout {
		w.expire(now)
	}
	w.standing(now, trouble)
	list := w.ready
	w.ready = nil
	return list
}

func (w *window) wait(ctx context.Context) {
	for ctx.Err() == nil {
		if free, _ := w.room(false); free > 0 {
			return
		}
		select {
		case <-w.freed[0]:
		case <-time.After(time.Second): // a parcel may have been given up
		case <-ctx.Done():
		}
	}
}

func (w *window) moved() <-chan struct{} { return w.freed[1] }

func (w *window) again(now time.Time) (list []*flight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parked = slices.DeleteFunc(w.parked, func(p *parkedFlight) bool {
		if now.Before(p.due) || !p.told {
			return false
		}
		list = append(list, p.f)
		return true
	})
	return list
}

func (w *window) close() (err error) {
	w.closing.Do(func() {
		if w.l != nil {
			err = w.l.Close()
		}
	})
	return err
}

// snapshot returns what a window shows: bytes that are not acknowledged, objects with
// records that are lost and not yet acknowledged, and the counts.
func (w *window) snapshot() (bytes, parked int, s windowStats) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes, w.losing, w.stats
}
