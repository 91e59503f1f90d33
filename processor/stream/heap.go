package stream

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// headroom keeps memory near to what the state takes. By default Go's heap may grow to
// twice what is live before garbage is collected, because looking at all that is live
// costs as much as that. The packed state costs nothing to look at, as there are no
// pointers in it: the room for garbage follows the rest of the heap. And memory in
// which garbage was goes back to the system once more than that is held.
//
// It leaves the settings alone when the user has set them (GOGC, GOMEMLIMIT).
type headroom struct {
	asked   time.Time
	percent int
}

const (
	headroomEvery = 200 * time.Millisecond // setting it stops the program for some microseconds
	headroomFrom  = 32 << 20               // bytes of state; below it memory is no question
	leastHeadroom = 48 << 20
)

// follow sets the room for garbage beside so many bytes of packed state.
func (h *headroom) follow(packed int, now time.Time) {
	if now.Sub(h.asked) < headroomEvery || os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	h.asked = now
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(heap)
	live := int(heap[0].Value.Uint64())
	percent := gcPercent(live, packed)
	if d := percent - h.percent; d < -5 || d > 5 {
		debug.SetGCPercent(percent)
		h.percent = percent
	}
	debug.SetMemoryLimit(memoryLimit(live, packed, percent))
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

// gcPercent is how many percent of live bytes the heap may grow by, of which packed
// are without pointers.
func gcPercent(live, packed int) int {
	if packed < headroomFrom || live <= 0 {
		return 100
	}
	room := max(live-packed, leastHeadroom)
	return min(100, max(10, 100*room/live))
}
