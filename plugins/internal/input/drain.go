package input

import (
	"math"
	"time"
)

// fillTime is how long Drain waits for objects that are being read: Fluent Bit calls once
// a second, so that nothing is delayed by it, and the queue can be smaller than a batch.
// A pause or an end of Fluent Bit's waits for it at most, on the input's own thread.
const fillTime = 400 * time.Millisecond

// Drain hands the next records over as msgpack: it asks alloc for memory, once, writes to
// it and returns how much, 0 when there are no records. They are at most
// Config.BatchBytes, or one block when that alone is more, and as many as may be on their
// way. It waits for an object only while one is being read, and fillTime at most.
func (in *Input) Drain(alloc func(n int) []byte) (size int) {
	in.drainMu.Lock()
	defer in.drainMu.Unlock()
	full := time.NewTimer(fillTime)
	defer full.Stop()
	room, empty := in.progress.room()
	limit, first := min(room, in.cfg.BatchBytes), room
	if empty {
		first = math.MaxInt
	}
	var out []byte
	for !in.paused.Load() && !in.stopping.Load() {
		reading := in.reading.Load() > 0
		list, more := in.q.take(limit-size, first)
		if len(list) > 0 {
			in.progress.hand(list, time.Now())
			if n := total(list); out == nil && n > 0 {
				out = alloc(max(n, limit))
			}
			for i := range list {
				size += copy(out[size:], list[i].buf)
				in.queued.Add(-int64(list[i].records))
				in.handedOver.Add(int64(list[i].records))
				in.buffers.put(&list[i])
			}
			first = 0
		}
		if more || !reading || size >= limit {
			break
		}
		select {
		case <-in.q.pushed:
			continue
		case <-full.C:
		}
		break
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
