// Package eventtime implements event time: tumbling windows, and watermarks, which
// measure the progress of event time. It is pure: wall-clock time is an argument.
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

// Last is the last countable event time: the end of 2261. The 100 days up to the largest
// int64 are for sums of event times, windows and lateness.
const Last = int64(9_214_646_400)*1e9 - 1

// InRange reports whether t can be an event time: after the first nanosecond of 1970, the
// value of a missing time, and not after Last. Any other event becomes a dead letter on
// arrival.
func InRange(t int64) bool { return t > 0 && t <= Last }

// Start returns the start of the tumbling window of the given size that contains t;
// windows are aligned to 1970-01-01 UTC. The window is [Start, Start+size). size is above
// 0. A window that would begin before the smallest int64 begins there.
func Start(t, size int64) int64 {
	r := t % size
	if r < 0 {
		r += size
	}
	return Sub(t, r)
}

// End returns the end of the window of the given size that contains t.
func End(t, size int64) int64 {
	r := t % size
	if r < 0 {
		r += size
	}
	return Add(t, size-r)
}

// Add returns a+b, or the nearest int64.
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

// Sub returns a-b, or the nearest int64.
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
