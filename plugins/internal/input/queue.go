package input

import (
	"sync"

	"keytrail/plugins/internal/ack"
)

// block is a run of encoded records of one object.
type block struct {
	buf     []byte
	records int
	// starts are where each record begins in buf and places the records' places among
	// those of the object, both only where records are numbered.
	starts []uint32
	places []ack.Range
	of     *flight
	// end reports whether the object's last record is in this block. An object without
	// any record to pass on ends with an empty block.
	end bool
}

// queue is a bounded first-in, first-out queue of blocks between one reader
// and one taker. It holds at most maxBytes and maxRecords, or one block when
// that alone is more: blockBytes and one record, of at most 4 MiB. An empty
// block counts as a record, so their number is bounded too.
type queue struct {
	maxBytes, maxRecords int
	pushed               chan struct{} // has an item when a block was added, and after close; queues may share it

	mu             sync.Mutex // guards the following
	room           *sync.Cond // signaled when something was taken, and by close
	blocks         []block
	bytes, records int
	closed         bool
}

func newQueue(maxBytes, maxRecords int) *queue {
	q := &queue{maxBytes: maxBytes, maxRecords: maxRecords, pushed: make(chan struct{}, 1)}
	q.room = sync.NewCond(&q.mu)
	return q
}

// push adds b and blocks while there is no room. It reports false, without
// adding, when the queue was closed.
func (q *queue) push(b block) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && len(q.blocks) > 0 &&
		(q.bytes+len(b.buf) > q.maxBytes || q.records+max(b.records, 1) > q.maxRecords) {
		q.room.Wait()
	}
	if q.closed {
		return false
	}
	q.blocks = append(q.blocks, b)
	q.bytes += len(b.buf)
	q.records += max(b.records, 1)
	q.signal()
	return true
}

func (q *queue) signal() {
	select {
	case q.pushed <- struct{}{}:
	default:
	}
}

// take removes the blocks at the front that together have at most limit bytes, or the
// first alone when it has more and at most first. It reports whether there are more. It
// never blocks.
func (q *queue) take(limit, first int) (taken []block, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.blocks) && (size+len(q.blocks[n].buf) <= limit || n == 0 && len(q.blocks[0].buf) <= first) {
		size += len(q.blocks[n].buf)
		q.records -= max(q.blocks[n].records, 1)
		n++
	}
	if n == 0 {
		return nil, len(q.blocks) > 0
	}
	taken = q.blocks[:n:n]
	q.blocks = append([]block(nil), q.blocks[n:]...)
	q.bytes -= size
	q.room.Signal()
	return taken, len(q.blocks) > 0
}

// close wakes push and makes it refuse from now on.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.room.Broadcast()
	q.signal()
}
