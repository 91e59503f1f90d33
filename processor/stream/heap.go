package stream

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// headroom keeps memory close to the size of the state, and collects garbage only as
// often as pays. By default Go's heap may grow to twice the live size between
// collections, because a collection costs as much as scanning the live heap. Packed state
// has no pointers and costs nothing to scan, so GC headroom scales with the scanned heap.
// Free memory beyond that headroom returns to the system.
//
// With little state, more headroom saves more time than memory.
//
// It leaves the settings alone if the user has set them (GOGC, GOMEMLIMIT). One per
// process, for all stages; safe for concurrent use.
type headroom struct {
	mu      sync.Mutex
	asked   time.Time
	packed  int
	percent int
	limit   int64
	cycle   uint64 // of garbage collection, at the last look
	scanned int    // bytes with pointers, the minimum since the last cycle
}

const (
	headroomEvery = 200 * time.Millisecond // changing it stops the world for some microseconds
	headroomFrom  = 96 << 20               // bytes of state; less needs no tuning
	leastHeadroom = 48 << 20
	smallHeadroom = 96 << 20 // for little state
)

// beside returns the bytes of packed state.
func (h *headroom) beside(packed int) {
	h.mu.Lock()
	h.packed = packed
	h.mu.Unlock()
}

// follow updates the GC settings.
func (h *headroom) follow(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.asked) < headroomEvery || os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	h.asked = now
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"}}
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

// least returns the minimum of scanned in this GC cycle: the runtime adds all allocations
// since the last collection to it, and headroom must not grow with garbage.
func (h *headroom) least(scanned int, cycle uint64) int {
	if cycle != h.cycle || scanned < h.scanned {
		h.cycle, h.scanned = cycle, scanned
	}
	return h.scanned
}

// leave restores the settings, for a process that continues.
func (h *headroom) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.percent != 0 {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
	}
	h.percent, h.limit = 0, 0
}

// memoryLimit returns the size above which free memory returns to the system: the heap
// size at which a collection starts, a sixteenth for fragmentation, and 40 MB for
// everything outside the heap. It does not limit the state: live memory raises it.
func memoryLimit(live, packed, percent int) int64 {
	if packed < headroomFrom || live <= 0 {
		return math.MaxInt64
	}
	goal := int64(live) + int64(live)*int64(percent)/100
	return goal + goal/16 + 40<<20
}

// gcPercent returns by how many percent of the live heap the heap may grow. scanned are
// the live bytes with pointers: at most the live heap without packed state, because long
// after a collection the measured value is too large.
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
