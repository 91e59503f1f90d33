package eventtime

// None is the watermark of a source about which nothing is known. Every real one is above
// it.
const None = int64(-1) << 62

// Progress tracks the event time of one source partition. Its front is the largest event
// time seen minus the allowed disorder. Two marks follow the front, and neither goes
// back:
//
//   - The late mark decides which events are late. It follows from the source's records
//     alone: their event times and write times (Arrive), in order. No clock, other source
//     or restart moves it, as long as Saved is restored.
//   - The watermark closes windows. It is at least the late mark. A source with nothing
//     to read follows the others; see Follow.
//
// Records written after a gap of at least Disorder may be a backlog in any order:
// shippers that were stopped deliver side by side, each at its own speed. A hold
// therefore keeps both marks where they are until records were written Disorder later.
//
// An event from the future (past the given time plus the skew) is counted like any other,
// but moves the front only up to there, so one wrong clock cannot close everybody's
// windows.
//
// The zero value is ready once Disorder and Skew are set. Not safe for concurrent use.
type Progress struct {
	Disorder int64 // out_of_orderness, ns, at least 0
	Skew     int64 // how far ahead of the given time a plausible event may be, ns, at least 0

	front, late, mark instant
	clock             instant // write time of the records so far
	hold              int64   // the marks are held until clock reaches it
}

// instant is a time that may be unknown, like the zero value.
type instant struct {
	at    int64
	known bool
}

// raise moves i up to a time, never back. It ignores None and below.
func (i *instant) raise(to int64) {
	if to > None && (!i.known || to > i.at) {
		i.at, i.known = to, true
	}
}

// get returns the time, or None.
func (i instant) get() int64 {
	if !i.known {
		return None
	}
	return i.at
}

// Arrive takes the time at which the next record was written, ns since 1970, before
// Observe takes its event. A time of 0 or below is unknown and ends a hold, which nothing
// else would end in a source without times. cut means that records before the first one
// are gone, so it is unknown whether they had begun a hold.
//
// A time less than Disorder below an earlier one counts as that one. A time further below
// sets the clock back, and the end of a hold with it. So a wrong time costs one hold, or
// ends one, and no hold lasts longer than Disorder after the last record.
func (p *Progress) Arrive(written int64, cut bool) {
	switch {
	case written <= 0:
		p.hold = None
		p.settle()
		return
	case !p.clock.known && cut: // twice: the clock may have been ahead of this record
		p.hold = Add(written, Add(p.Disorder, p.Disorder))
	case !p.clock.known:
		p.hold = written
	case written >= Add(p.clock.at, p.Disorder):
		p.clock.at = written
		p.settle() // an earlier hold is over
		p.hold = Add(written, p.Disorder)
	case written <= Sub(p.clock.at, p.Disorder):
		p.clock.at, p.hold = written, min(p.hold, Add(written, p.Disorder))
	}
	p.clock.raise(written)
	p.settle()
}

// Observe takes the event time of one event and the latest plausible time, both in ns,
// and reports whether the event was from the future.
func (p *Progress) Observe(at, now int64) (future bool) {
	if limit := Add(now, p.Skew); at > limit {
		at, future = limit, true
	}
	p.front.raise(Sub(at, p.Disorder))
	p.settle()
	return future
}

// settle moves the marks to the front, unless there is a hold. A finished hold does not
// return with an earlier clock.
func (p *Progress) settle() {
	if !p.Holding() {
		p.hold = None
		p.late.raise(p.Front())
		p.mark.raise(p.Front())
	}
}

// Holding reports whether a hold keeps the marks where they are.
func (p *Progress) Holding() bool { return p.clock.known && p.clock.at < p.hold }

// Raise moves the watermark up to mark, never back. It ignores None and below.
func (p *Progress) Raise(mark int64) { p.mark.raise(mark) }

// Watermark returns the watermark, or None.
func (p *Progress) Watermark() int64 { return p.mark.get() }

// LateMark returns the late mark, or None.
func (p *Progress) LateMark() int64 { return p.late.get() }

// Front returns the front, or None.
func (p *Progress) Front() int64 { return p.front.get() }

// Clock returns the write time of the records so far, or None.
func (p *Progress) Clock() int64 { return p.clock.get() }

// Hold returns the time of Clock that ends a hold; it is meaningless without a hold.
func (p *Progress) Hold() int64 { return p.hold }

// Saved is the state of a source that later decisions depend on: it must be stored with
// the source's position. An unknown time is None.
type Saved struct {
	Front, LateMark int64
	Clock, Hold     int64
}

// Saved returns what has to be stored.
func (p *Progress) Saved() Saved {
	return Saved{Front: p.Front(), LateMark: p.LateMark(), Clock: p.Clock(), Hold: p.Hold()}
}

// Restore sets p to a stored Saved, except for the watermark: see Raise.
func (p *Progress) Restore(s Saved) {
	p.front.raise(s.Front)
	p.late.raise(s.LateMark)
	p.mark.raise(s.LateMark)
	p.clock.raise(s.Clock)
	p.hold = s.Hold
}

// Stream is the state of all sources together, at a moment when a source had nothing to
// read.
type Stream struct {
	// Front is the largest watermark of any source's own events; None if unknown. It may
	// be that of an earlier moment, never of a later one.
	Front int64
	// Quiet means that no source has had anything to read for a while.
	Quiet bool
}

// Follow advances the watermark of a source that has been silent for a while, and returns
// the progress of the clock for it: see Mark.Quiet.
//
// All sources get their events from the same producers, so a source with nothing to read
// has caught up with the stream: its watermark moves to the stream's front, and closes
// windows there. The late mark stays.
//
// No clock moves a watermark. While the whole stream is quiet, it is unknown whether
// nothing happens or nothing is delivered; the clock, now, closes windows then.
func (p *Progress) Follow(s Stream, now int64) (quiet int64) {
	p.Raise(s.Front)
	mark := p.Watermark()
	if s.Quiet && mark > None {
		return max(mark, Sub(now, p.Disorder))
	}
	return mark
}

// Mark is the progress of event time somewhere.
type Mark struct {
	Watermark int64 // no earlier event is expected; never goes back
	Late      int64 // a window that ends by it accepts no more calls; never goes back
	// Quiet is the progress of the clock while nothing is delivered, at least Watermark:
	// windows close by it, and accept calls as before. It returns to the watermark with
	// the next event, so that the windows of a backlog are judged whole.
	Quiet int64
}

// Unknown is the Mark before anything is known.
func Unknown() Mark { return Mark{Watermark: None, Late: None, Quiet: None} }

// Sources combines the marks of several source partitions into one: the minimum over all
// of them. The combination is never ahead of the source that accepted a call, so an
// accepted call is late nowhere. Not safe for concurrent use.
type Sources struct {
	marks map[int32]Mark
	last  Mark
	begun bool
}

// Set records a source's own mark.
func (s *Sources) Set(source int32, m Mark) {
	if s.marks == nil {
		s.marks = make(map[int32]Mark)
	}
	s.marks[source] = m
}

// Mark returns the combined mark, which is Unknown while fewer than want sources have
// reported, or one of them is unknown.
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

// Restore raises the combined mark to an earlier one, below which it will not go, except
// Quiet.
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
