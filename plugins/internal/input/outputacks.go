package input

import (
	"time"

	"keytrail/plugins/internal/ack"
)

// maxMarks bounds the marks of one output: 64 in one ack_timeout and the one before, 32
// bytes each.
const maxMarks = 65

// outputAcks are the acknowledgements of one output, or of all where any may acknowledge.
// Guarded by the window's mutex.
type outputAcks struct {
	ack.Ranges
	high  uint64    // behind the highest number that was acknowledged
	moved time.Time // when a number was last acknowledged for the first time, or the start
	// marks are what high was at some times, oldest first: at most maxMarks.
	marks []mark
}

// mark is what high was from a time on.
type mark struct {
	at   time.Time
	high uint64
}

// note adds the numbers of r.
func (s *outputAcks) note(r ack.Range, now time.Time) {
	if s.Covers(r) {
		return // a repeat
	}
	s.Add(r)
	s.moved, s.high = now, max(s.high, r.To)
}

// mark remembers high for as long as timeout. It is called every second or so.
func (s *outputAcks) mark(now time.Time, timeout time.Duration) {
	last := len(s.marks) - 1
	if last < 0 || s.high > s.marks[last].high && now.Sub(s.marks[last].at) >= timeout/(maxMarks-1) {
		s.marks = append(s.marks, mark{now, s.high})
	}
	n := 0 // before the last mark that is as old as timeout
	for n+1 < len(s.marks) && now.Sub(s.marks[n+1].at) >= timeout {
		n++
	}
	s.marks = append(s.marks[:0], s.marks[n:]...)
}

// overdue reports whether the missing numbers of r are lost: numbers that were handed over
// later have been acknowledged for at least timeout, or no number has. refusing tells that
// Kafka refuses records; then only the former counts. How long ago r was handed over proves
// nothing: where Kafka is slow, Fluent Bit's queue may be older than any timeout.
func (s *outputAcks) overdue(r ack.Range, refusing bool, now time.Time, timeout time.Duration) bool {
	if !refusing && now.Sub(s.moved) >= timeout {
		return true
	}
	return len(s.marks) > 0 && now.Sub(s.marks[0].at) >= timeout && r.To < s.marks[0].high
}
