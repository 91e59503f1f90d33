package stream

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// headroom keeps memory near to what the state takes, and collects garbage no more often
// than pays. By default Go's heap may grow to twice what is live before garbage is
// collected, because looking at all that is live costs as much as that. The packed state
// costs nothing to look at, as there are no pointers in it: the room for garbage follows
// what is looked at. And memory in which garbage was goes back to the system once more
// than that is held.
//
// While there is little state, some room saves more time than memory.
//
// It leaves the settings alone when the user has set them (GOGC, GOMEMLIMIT). One for
// all stages of a process; safe for concurrent use.
type headroom struct {
	mu      sync.Mutex
	asked   time.Time
	packed  int
	percent int
	limit   int64
	cycle   uint64 // of garbage, the last one seen
	scanned int    // bytes with pointers, the least seen since
}

const (
	headroomEvery = 200 * time.Millisecond // setting it stops the program for some microseconds
	headroomFrom  = 96 << 20               // bytes of state; below it memory is no question
	leastHeadroom = 48 << 20
	smallHeadroom = 96 << 20 // with little state
)

// beside tells how many bytes of packed state there are.
func (h *headroom) beside(packed int) {
	h.mu.Lock()
	h.packed = packed
	h.mu.Unlock()
}

// follow sets the room for garbage anew.
func (h *headroom) follow(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.asked) < headroomEvery || os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	h.asked = now
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(heap)
	live, scanned, cycle := int(heap[0].Value.Uint64()), int(heap[1].Value.Uint64()), heap[2].Value.Uint64()
	percent := gcPercent(live, h.least(scanned, cycle), h.packed)
	if d := percent - h.percent; d < -5 || d > 5 {
		debug.SetGCPercent(percent)
		h.percent = percent
	}
	limit := memoryLimit(live, h.packed, percent)
	if d := limit - h.limit; d < -h.limit/32 || d > h.limit/64 {
		debug.SetMemoryLimit(limit)
		h.limit = limit
	}
}

// least returns the least of what was said to be scanned in this cycle of garbage: the
// runtime adds to it all that is allocated until the next collection, and the room must
// not grow with the garbage in it.
func (h *headroom) least(scanned int, cycle uint64) int {
	if cycle != h.cycle || scanned < h.scanned {
		h.cycle, h.scanned = cycle, scanned
	}
	return h.scanned
}

// leave gives back what follow has set, for a process that goes on.
func (h *headroom) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.percent != 0 {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
	}
	h.percent, h.limit = 0, 0
}

// memoryLimit is from how many bytes on memory without objects goes back to the
// system: above the size at which garbage is collected, a sixteenth of it for what is
// lost between objects, and 40 MB for all that is not heap. It is no bound of the
// state: what is live raises it.
func memoryLimit(live, packed, percent int) int64 {
	if packed < headroomFrom || live <= 0 {
		return math.MaxInt64
	}
	goal := int64(live) + int64(live)*int64(percent)/100
	return goal + goal/16 + 40<<20
}

// gcPercent is how many percent of live bytes the heap may grow by. scanned are those
// that a collection of garbage looks at, with pointers: at the most what is not packed,
// and more than are live when it was asked long after the last collection.
func gcPercent(live, scanned, packed int) int {
	if live <= 0 {
		return 100
	}
	scanned = min(scanned, max(0, live-packed))
	if packed < headroomFrom {
		return min(400, max(10, 100*max(scanned, smallHeadroom)/live))
	}
	return min(100, max(10, 100*max(scanned, leastHeadroom)/live))
}
