package stream

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestRoomForGarbage(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct{ live, scanned, packed, want int }{
		{0, 0, 64 * mb, 100},                                                                    // not known
		{100 * mb, 10 * mb, 31 * mb, 96}, {48 * mb, 10 * mb, 10 * mb, 200}, {5 * mb, 0, 0, 400}, // headroom saves time
		{500 * mb, 450 * mb, 0, 90},
		{500 * mb, 100 * mb, 300 * mb, 20}, // 100 MB with pointers
		{500 * mb, 10 * mb, 490 * mb, 10},  // the least: 48 MB
		{4000 * mb, 10 * mb, 3990 * mb, 10},
		{200 * mb, 10 * mb, 190 * mb, 24},
		{10 * mb, 2 * mb, 200 * mb, 100},   // measured before the state grew
		{300 * mb, 250 * mb, 200 * mb, 33}, // memory with pointers is not packed
	} {
		if got := gcPercent(c.live, c.scanned, c.packed); got != c.want {
			t.Errorf("%d MB live, %d scanned, %d packed: %d %%, want %d", c.live/mb, c.scanned/mb, c.packed/mb, got, c.want)
		}
	}
}

// Headroom does not grow with garbage.
func TestRoomDoesNotFeedOnGarbage(t *testing.T) {
	var h headroom
	for i, c := range []struct {
		scanned int
		cycle   uint64
		want    int
	}{{50, 1, 50}, {90, 1, 50}, {40, 1, 40}, {200, 1, 40}, {60, 2, 60}, {61, 2, 60}} {
		if got := h.least(c.scanned, c.cycle); got != c.want {
			t.Errorf("step %d: %d, want %d", i, got, c.want)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		live, packed, percent int
		want                  int64
	}{
		{100 * mb, 31 * mb, 100, math.MaxInt64}, {0, 64 * mb, 100, math.MaxInt64},
		{400 * mb, 300 * mb, 24, (496 + 31 + 40) * mb},
		{4000 * mb, 3990 * mb, 10, (4400 + 275 + 40) * mb},
	} {
		if got := memoryLimit(c.live, c.packed, c.percent); got != c.want {
			t.Errorf("%d MB live, %d packed, %d %%: %d, want %d", c.live/mb, c.packed/mb, c.percent, got, c.want)
		}
	}
}

// A pipeline's settings end with it.
func TestHeadroomLeaves(t *testing.T) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("SKIPPED: the settings of garbage are the user's (GOGC, GOMEMLIMIT)")
	}
	var h headroom
	runtime.GC() // the last collection determines the live heap
	h.beside(headroomFrom)
	for range 2 { // one pipeline after another
		h.follow(time.Now().Add(time.Hour))
		if debug.SetMemoryLimit(-1) == math.MaxInt64 {
			t.Fatal("no limit is set")
		}
		h.leave()
		if percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1); percent != 100 || limit != math.MaxInt64 {
			t.Errorf("%d %% and a limit of %d bytes stay", percent, limit)
		}
		h.asked = time.Time{}
	}
}
