// Package eventtime holds what Keytrail knows about time: tumbling windows over
// event time, and watermarks, which say how far event time has come. It is
// pure: wall-clock time comes in as an argument.
package eventtime

// Start returns the start of the tumbling window of the given size that holds
// t; both are nanoseconds, and windows are aligned to 1970-01-01 UTC. The window
// is [Start, Start+size).
func Start(t, size int64) int64 {
	r := t % size
	if r < 0 {
		r += size
	}
	return t - r
}

// None is the watermark of a source of which nothing is known yet.
const None = int64(-1) << 62

// Progress tracks the watermark of one source partition.
//
// The watermark is the largest event time seen less the allowed disorder: no
// earlier event is expected any more, and one that comes all the same is late.
// It never moves back. An event from the future (past the clock plus a skew)
// is counted like any other, but moves the watermark only up to the clock, so a
// wrong clock somewhere can not close everybody's windows.
type Progress struct {
	Disorder int64 // out_of_orderness, ns
	Skew     int64 // how far ahead of our clock an honest event may be, ns
	mark     int64
	begun    bool
}

// Observe takes the event time of one event and the wall clock, both in ns, and
// returns whether the event was from the future.
func (p *Progress) Observe(at, now int64) (future bool) {
	if limit := now + p.Skew; at > limit {
		at, future = limit, true
	}
	p.Raise(at - p.Disorder)
	return future
}

// Raise moves the watermark up to mark, never back.
func (p *Progress) Raise(mark int64) {
	if !p.begun || mark > p.mark {
		p.mark, p.begun = mark, true
	}
}

// Watermark returns the watermark, or None.
func (p *Progress) Watermark() int64 {
	if !p.begun {
		return None
	}
	return p.mark
}

// Sources combines the watermarks of several source partitions into one: the
// minimum over the sources that are not idle. Not safe for concurrent use.
type Sources struct {
	marks map[int32]mark
	last  int64
	begun bool
}

type mark struct {
	at   int64
	idle bool
}

// Set records what source says of itself.
func (s *Sources) Set(source int32, watermark int64, idle bool) {
	if s.marks == nil {
		s.marks = make(map[int32]mark)
	}
	s.marks[source] = mark{watermark, idle}
}

// Watermark returns the combined watermark, or None while fewer than want
// sources have reported. It never moves back: a source that was idle and
// returns with older events finds its windows closed, and its calls are late or
// refine them.
func (s *Sources) Watermark(want int) int64 {
	if len(s.marks) < want {
		return s.current()
	}
	low, busy, high := int64(0), false, None
	for _, m := range s.marks {
		if !m.idle && m.at == None {
			return s.current() // it may still send anything
		}
		high = max(high, m.at)
		if !m.idle && (!busy || m.at < low) {
			low, busy = m.at, true
		}
	}
	if !busy { // all are idle: as far as anyone came
		low = high
	}
	if low != None && (!s.begun || low > s.last) {
		s.last, s.begun = low, true
	}
	return s.current()
}

// Restore raises the combined watermark to that of an earlier time, below which
// it will not go.
func (s *Sources) Restore(mark int64) {
	if mark != None && (!s.begun || mark > s.last) {
		s.last, s.begun = mark, true
	}
}

func (s *Sources) current() int64 {
	if !s.begun {
		return None
	}
	return s.last
}
