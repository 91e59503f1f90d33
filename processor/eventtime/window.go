// Package eventtime holds what Keytrail knows about time: tumbling windows over
// event time, and watermarks, which say how far event time has come. It is
// pure: wall-clock time comes in as an argument.
//
// All times are nanoseconds since 1970 UTC. The functions are total: sums and
// differences saturate, so no event time, however wrong, wraps around.
package eventtime

import "math"

// Spans of event time, in ns.
const (
	Hour = int64(3600e9)
	Day  = 24 * Hour
)

// Last is the last event time that is counted: the end of 2261. The 100 days up to
// the largest int64 are for the sums that code makes of event times, windows and
// lateness.
const Last = int64(9_214_646_400)*1e9 - 1

// InRange reports whether t can be an event time: after the first nanosecond of 1970,
// which is how a missing time reads, and not after Last. Anything else is a dead letter
// where it comes in.
func InRange(t int64) bool { return t > 0 && t <= Last }

// Start returns the start of the tumbling window of the given size that holds
// t; windows are aligned to 1970-01-01 UTC. The window is [Start, Start+size). size is
// above 0. The window that would begin before the smallest int64 begins there.
func Start(t, size int64) int64 {
	r := t % size
	if r < 0 {
		r += size
	}
	return Sub(t, r)
}

// End returns the end of the window of the given size that holds t.
func End(t, size int64) int64 {
	r := t % size
	if r < 0 {
		r += size
	}
	return Add(t, size-r)
}

// Add returns a+b, or the int64 that is nearest to it.
func Add(a, b int64) int64 {
	switch sum := a + b; {
	case a > 0 && b > 0 && sum < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && sum >= 0:
		return math.MinInt64
	default:
		return sum
	}
}

// Sub returns a-b, or the int64 that is nearest to it.
func Sub(a, b int64) int64 {
	switch d := a - b; {
	case a >= 0 && b < 0 && d < 0:
		return math.MaxInt64
	case a < 0 && b > 0 && d >= 0:
		return math.MinInt64
	default:
		return d
	}
}
