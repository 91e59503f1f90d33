package stream

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// headroom keeps memory near to what the state takes. By default Go's heap may grow to
// twice what is live before garbage is collected, because looking at all that is live
// costs as much as that. The packed state costs nothing to look at, as there are no
// pointers in it: the room for garbage follows the rest of the heap.
//
// It leaves the setting alone when the user has one (GOGC).
type headroom struct {
	asked   time.Time
	percent int
}

const (
	headroomEvery = time.Second // setting it stops the program for some microseconds
	headroomFrom  = 32 << 20    // bytes of state; below it memory is no question
	leastHeadroom = 48 << 20
)

// follow sets the room for garbage beside so many bytes of packed state.
func (h *headroom) follow(packed int, now time.Time) {
	if now.Sub(h.asked) < headroomEvery || os.Getenv("GOGC") != "" {
		return
	}
	h.asked = now
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := gcPercent(int(live[0].Value.Uint64()), packed)
	if d := percent - h.percent; d < -5 || d > 5 {
		debug.SetGCPercent(percent)
		h.percent = percent
	}
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
