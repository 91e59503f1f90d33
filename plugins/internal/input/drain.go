package input

import (
	"bytes"
	"math"
	"time"

	"keytrail/plugins/internal/logging"
)

const (
	// fillTime is how long one call of Fluent Bit's takes at most while there is more to
	// read or to be acknowledged. Fluent Bit calls once a second, on the input's own
	// thread, so that nothing else waits for it but a pause or an end.
	fillTime = 900 * time.Millisecond
	// pieceBytes is what Stream hands over at once: twice a usual chunk of Fluent Bit's,
	// so that ack_window is in 16 of them. It is handed over sooner when pieceTime is over.
	pieceBytes = 4 << 20
	pieceTime  = 100 * time.Millisecond
)

// Stream hands records over as msgpack, piece by piece, for as long as there are more, for
// fillTime at most and until it has handed over Config.BatchBytes: the last block may exceed
// them. For each piece it asks alloc for memory, which it uses until the next call of
// alloc, writes to it, and offers it with give, which may block. When give reports that
// the host refuses the piece, Stream returns, and the next call offers the same piece first.
func (in *Input) Stream(alloc func(n int) []byte, give func(size int) bool) {
	in.drainMu.Lock()
	defer in.drainMu.Unlock()
	end := time.Now().Add(fillTime)
	var out []byte
	use := func(n int) []byte { out = alloc(n); return out }
	more := true
	for left := in.cfg.BatchBytes; left > 0 && more; {
		var size int
		if len(in.refused) > 0 {
			size, more = in.repeatPiece(use)
		} else {
			size, more = in.piece(min(left, pieceBytes), end, pieceTime, use)
		}
		switch {
		case size == 0 && len(in.refused) > 0:
			return
		case size > 0 && !give(size):
			in.refuse(out[:size])
			return
		}
		in.refused = nil
		in.taken()
		left -= size
	}
}

// repeatPiece writes the piece that the host refused, unless it takes nothing now.
func (in *Input) repeatPiece(alloc func(n int) []byte) (size int, more bool) {
	if in.paused.Load() || in.stopping.Load() {
		return 0, false
	}
	return copy(alloc(len(in.refused)), in.refused), true
}

// refuse keeps a piece that the host has refused. Nothing in it is done meanwhile.
func (in *Input) refuse(piece []byte) {
	now := time.Now()
	in.progress.taken(false, now)
	if len(in.refused) == 0 {
		in.refused = bytes.Clone(piece)
	}
	if now.After(in.sayRefused) {
		in.sayRefused = now.Add(reportEvery)
		in.log.Printf(logging.Warn, "Fluent Bit refuses %d bytes of records, as when its ring buffer is full; "+
			"its own log says why; they are kept, and offered again every second", len(piece))
	}
}

// Drain hands over what Stream does in one piece, for a host that takes no more than one at
// a call. It returns the size of the piece, or 0 without records.
func (in *Input) Drain(alloc func(n int) []byte) (size int) {
	in.drainMu.Lock()
	defer in.drainMu.Unlock()
	size, _ = in.piece(in.cfg.BatchBytes, time.Now().Add(fillTime), fillTime, alloc)
	in.taken()
	return size
}

// taken notes that the host has taken what was written last.
func (in *Input) taken() {
	in.queued.Add(-in.offered)
	in.handedOver.Add(in.offered)
	in.offered = 0
	in.progress.taken(true, time.Now())
}

// piece writes the next records to memory that it asks for once. They are at most limit
// bytes, or one block when that alone is more, and as many as may be on their way. It
// waits only while an object is being read or records have no room, until end and for
// patience behind the first record. more reports whether another piece may follow at once.
func (in *Input) piece(
	limit int, end time.Time, patience time.Duration, alloc func(n int) []byte,
) (size int, more bool) {
	full := time.NewTimer(time.Until(end))
	defer full.Stop()
	var out []byte
	for !in.paused.Load() && !in.stopping.Load() {
		wait := in.reading.Load() > 0
		for _, q := range [...]*queue{in.repeats, in.q} {
			room, empty := in.progress.room(q == in.repeats)
			left := limit - size
			first := 0
			if size == 0 {
				if first = room; empty {
					first = math.MaxInt
				}
			}
			list, queued := q.take(min(room, left), first)
			if n := total(list); out == nil && n > 0 {
				out = alloc(max(n, left))
				full.Reset(min(patience, time.Until(end)))
			}
			size += in.write(out[size:], list)
			if size >= limit || queued && room >= left {
				return size, true
			}
			wait = wait || queued
		}
		if !wait {
			return size, false
		}
		select {
		case <-in.q.pushed:
		case <-in.progress.moved():
		case <-full.C:
			return size, time.Now().Before(end)
		}
	}
	return size, false
}

// write hands blocks over: it copies them to out and returns how many bytes they are.
func (in *Input) write(out []byte, list []block) (size int) {
	in.progress.hand(list, time.Now())
	for i := range list {
		size += copy(out[size:], list[i].buf)
		in.offered += int64(list[i].records)
		in.buffers.put(&list[i])
	}
	return size
}

// total is the size of blocks.
func total(list []block) (n int) {
	for i := range list {
		n += len(list[i].buf)
	}
	return n
}
