package input

import (
	"math"
	"time"
)

// fillTime is how long Drain waits for objects that are being read, and for
// acknowledgements: Fluent Bit calls once a second, so that nothing is delayed by it. The
// queue can be smaller than a batch for that, and what is acknowledged shortly after a
// call makes room within it and not a second later. A pause or an end of Fluent Bit's
// waits for it at most, on the input's own thread.
const fillTime = 600 * time.Millisecond

// Drain hands the next records over as msgpack: it asks alloc for memory, once, writes to
// it and returns how much, 0 when there are no records. They are at most
// Config.BatchBytes, or one block when that alone is more, and as many as may be on their
// way. It waits only while an object is being read or records have no room, and fillTime
// at most.
func (in *Input) Drain(alloc func(n int) []byte) (size int) {
	in.drainMu.Lock()
	defer in.drainMu.Unlock()
	full := time.NewTimer(fillTime)
	defer full.Stop()
	var out []byte
	for !in.paused.Load() && !in.stopping.Load() {
		wait := in.reading.Load() > 0
		for _, q := range [...]*queue{in.repeats, in.q} {
			room, empty := in.progress.room(q == in.repeats)
			left := in.cfg.BatchBytes - size
			first := 0
			if size == 0 {
				if first = room; empty {
					first = math.MaxInt
				}
			}
			list, more := q.take(min(room, left), first)
			if n := total(list); out == nil && n > 0 {
				out = alloc(max(n, left))
			}
			in.progress.hand(list, time.Now())
			for i := range list {
				size += copy(out[size:], list[i].buf)
				in.queued.Add(-int64(list[i].records))
				in.handedOver.Add(int64(list[i].records))
				in.buffers.put(&list[i])
			}
			if size >= in.cfg.BatchBytes || more && room >= left {
				return size
			}
			wait = wait || more
		}
		if !wait {
			break
		}
		select {
		case <-in.q.pushed:
			continue
		case <-in.progress.moved():
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
