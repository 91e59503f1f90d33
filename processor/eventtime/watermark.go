package eventtime

// None is the watermark of a source of which nothing is known yet. Every real one is
// above it.
const None = int64(-1) << 62

// Progress tracks the watermark of one source partition.
//
// The watermark is the largest event time seen less the allowed disorder: no
// earlier event is expected any more, and one that comes all the same may be late.
// It never moves back. An event from the future (past the clock plus a skew)
// is counted like any other, but moves the watermark only up to the clock, so a
// wrong clock somewhere cannot close everybody's windows. A source that has nothing to
// read follows the others; see Follow.
//
// The zero value is ready once Disorder and Skew are set. Not safe for concurrent use.
type Progress struct {
	Disorder int64 // out_of_orderness, ns, at least 0
	Skew     int64 // how far ahead of our clock an honest event may be, ns, at least 0
	// Held keeps a watermark that is known where it is, and lets the front go on: for a
	// backlog that comes in any order. Once it is false, the next event or Follow, or
	// Raise to the Front, brings the watermark up.
	Held   bool
	mark   int64
	begun  bool
	front  int64 // as mark, by the source's own events alone
	events bool  // it has had some
}

// Observe takes the event time of one event and the wall clock, both in ns, and
// reports whether the event was from the future.
func (p *Progress) Observe(at, now int64) (future bool) {
	if limit := Add(now, p.Skew); at > limit {
		at, future = limit, true
	}
	mark := Sub(at, p.Disorder)
	p.RaiseFront(mark)
	if !p.Held || !p.begun {
		p.Raise(p.Front())
	}
	return future
}

// Raise moves the watermark up to mark, never back. It does nothing for None and below.
func (p *Progress) Raise(mark int64) {
	if mark > None && (!p.begun || mark > p.mark) {
		p.mark, p.begun = mark, true
	}
}

// RaiseFront moves the front up, never back: for restoring it.
func (p *Progress) RaiseFront(front int64) {
	if front > None && (!p.events || front > p.front) {
		p.front, p.events = front, true
	}
}

// Watermark returns the watermark, or None.
func (p *Progress) Watermark() int64 {
	if !p.begun {
		return None
	}
	return p.mark
}

// Front returns the watermark that the source's own events alone have made, or None.
func (p *Progress) Front() int64 {
	if !p.events {
		return None
	}
	return p.front
}

// Stream is what is known of all sources together, at a moment at which a source had
// nothing to read.
type Stream struct {
	// Front is the largest Front of all sources; None when it is unknown. It may be that
	// of an earlier moment, never of a later one.
	Front int64
	// Quiet says that no source has had anything to read for a while.
	Quiet bool
}

// Follow moves the watermark of a source that has been silent for a while, and returns how
// far the clock has come for it: see Mark.Quiet.
//
// All sources get their events from the same producers, so a source that has nothing to
// read is as far as the stream as a whole: the watermark moves up to the stream's front.
// That holds nobody up.
//
// No clock moves a watermark. While the whole stream is quiet, nobody knows whether nothing
// happens or nothing is delivered; the clock, now, closes windows then, but only events make
// later ones late. Events in order are on time after an outage of any length.
func (p *Progress) Follow(s Stream, now int64) (quiet int64) {
	if !p.Held || !p.begun {
		p.Raise(s.Front)
	}
	mark := p.Watermark()
	if s.Quiet && mark > None {
		return max(mark, Sub(now, p.Disorder))
	}
	return mark
}

// Mark is how far event time has come, somewhere.
type Mark struct {
	Watermark int64 // no earlier event is expected; never goes back
	Late      int64 // a window that ends by it takes no more calls; never goes back
	// Quiet is how far the clock has come while nothing is delivered, at least Watermark:
	// windows close by it, and take calls as before. It goes back to the watermark with the
	// next event, so that the windows of a backlog are judged whole.
	Quiet int64
}

// Unknown is the Mark before anything is known.
func Unknown() Mark { return Mark{Watermark: None, Late: None, Quiet: None} }

// Sources combines the marks of several source partitions into one: the minimum over all
// of them. The combination is therefore never ahead of the source that accepted a call, and
// an accepted call is late nowhere. Not safe for concurrent use.
type Sources struct {
	marks map[int32]Mark
	last  Mark
	begun bool
}

// Set records what a source says of itself.
func (s *Sources) Set(source int32, m Mark) {
	if s.marks == nil {
		s.marks = make(map[int32]Mark)
	}
	s.marks[source] = m
}

// Mark returns the combined mark, which is Unknown while fewer than want sources have
// reported, or one does not know its own.
func (s *Sources) Mark(want int) Mark {
	low, known := Mark{}, false
	for _, m := range s.marks {
		if m.Watermark <= None {
			return s.current()
		}
		if !known {
			low, known = m, true
		}
		low = Mark{min(low.Watermark, m.Watermark), min(low.Late, m.Late), min(low.Quiet, m.Quiet)}
	}
	if known && len(s.marks) >= want {
		s.Restore(low)
	}
	return s.current()
}

// Restore raises the combined mark to that of an earlier time, below which it will not
// go, except for Quiet.
func (s *Sources) Restore(m Mark) {
	if m.Watermark <= None {
		return
	}
	if s.begun {
		m.Watermark, m.Late = max(m.Watermark, s.last.Watermark), max(m.Late, s.last.Late)
	}
	m.Quiet = max(m.Quiet, m.Watermark)
	s.last, s.begun = m, true
}

func (s *Sources) current() Mark {
	if !s.begun {
		return Unknown()
	}
	return s.last
}
