package stream

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// This file is the one decision about which calls are late. Stage count makes it, by the late
// mark of the call's source, once for all entities of the call; stage detect is never ahead
// of a source (eventtime.Sources), and checks that the sources keep to what they told.
//
// The late mark follows from the records of the source, so the decision is the same whoever
// reads them and whenever. The clock and the other sources have a say in the watermark,
// which closes windows, and in the bound of mostBehind.

// mostBehind bounds the windows that a source keeps open for late calls, behind the largest
// event time: the late ones, and as many as a hold, or a source that has nothing to read,
// can make more (17 h 20 min at 5 min a window). Notices hold no more either.
// kafka.MaxBatchBytes counts on it.
const mostBehind = window.MaxLate + 128

// late returns the event time up to which windows take no more calls, for all entities of a
// call and for all who hear of it. What was told of that before holds, also when the allowed
// lateness has grown since.
func (t *countTask) late(p *Pipeline) int64 {
	own := p.Window.Detect.MarkAt(t.progress.LateMark()).Late
	return max(t.sent.Late, own, p.behind(t.progress.Front()))
}

// behind returns the event time up to which windows are closed and take no more calls when
// event time has come to mark, whatever holds them.
func (p *Pipeline) behind(mark int64) int64 {
	if mark <= eventtime.None {
		return eventtime.None
	}
	return eventtime.Sub(mark, p.mostBehind*p.Window.Detect.Size)
}

// topicView is what stage count knows of all sources together, whichever process counts
// them.
type topicView struct {
	stream eventtime.Stream
	ends   map[int32]int64 // of the partitions, as of the last look
	moved  int64           // when one of them was seen to move, or was not known; see since
}

// arrive takes down that a record of t is read, and when it was written. It returns the
// latest time, ns, that its event can honestly have: the record's, if a broker's clock wrote
// it. A producer's may be wrong, so this process's clock has to do.
func (c *counter) arrive(t *countTask, r *kgo.Record) (now int64) {
	clock := c.p.now()
	c.now, t.lastEvent = clock.UnixNano(), c.since(clock)
	c.topic.moved = t.lastEvent
	hold := t.progress.Hold()
	t.progress.Arrive(r.Timestamp.UnixNano(), r.Offset > 0)
	if t.progress.Hold() != hold {
		t.held = t.lastEvent
	}
	if r.Attrs.TimestampType() == logAppendTime && t.progress.Clock() > eventtime.None {
		return t.progress.Clock()
	}
	return c.now
}

// logAppendTime is what kgo.RecordAttrs has for a time that the broker wrote.
const logAppendTime = 1

// marks brings the watermark of t up and returns it, how far the clock has come for it, and
// whether t is silent. The clock ends a hold of the watermark, not of the late mark, when
// the source has nothing to read any more. Other sources that follow hear of the watermark
// that t's own events have made (own).
func (c *counter) marks(t *countTask, since int64) (mark, quiet int64, idle bool) {
	p := &t.progress
	idle = c.silent(t, since)
	over := idle && (c.now >= p.Hold() || since-t.held >= c.p.Window.OutOfOrderness)
	if own := p.LateMark(); !p.Holding() || over {
		t.own = max(t.own, p.Front())
	} else {
		t.own = max(t.own, own, c.p.behind(p.Front()))
	}
	p.Raise(t.own)
	quiet = p.Watermark()
	if idle && c.topic.ends != nil { // else nobody has looked yet
		quiet = p.Follow(c.topic.stream, c.now)
	}
	return p.Watermark(), quiet, idle
}

// note is what count commits with the offset of a source: its own watermark, in ns.
func (c *counter) note(partition int32) string {
	if t := c.tasks[partition]; t != nil && t.own > eventtime.None {
		return strconv.FormatInt(t.own, 10)
	}
	return ""
}

// saw takes down what the brokers say of all sources, about once a second. What a source
// that has nothing to read then follows is of this moment or an earlier one: a record that
// somebody has counted since may have come together with one that waits for this source.
func (c *counter) saw(seen kafka.Seen) {
	v, now := &c.topic, c.since(c.p.now())
	front := eventtime.None
	for _, t := range c.tasks {
		front = max(front, t.own)
	}
	for _, note := range seen.Notes {
		if n, err := strconv.ParseInt(note, 10, 64); err == nil { // a note of another program says nothing
			front = max(front, n)
		}
	}
	known := len(seen.Ends) >= int(c.p.Partitions[c.p.Topics.Events])
	if !known || !maps.Equal(seen.Ends, v.ends) {
		v.moved = now
	}
	v.ends = seen.Ends
	v.stream = eventtime.Stream{Front: front, Quiet: now-v.moved >= c.p.Window.IdleAfter}
}

// since returns how long ago the counter looked at the clock for the first time, ns. It is
// by the monotonic clock, which nobody sets: a change of the time of day is not a silence
// of the sources.
func (c *counter) since(now time.Time) int64 {
	if c.began.IsZero() {
		c.began = now
	}
	return int64(now.Sub(c.began))
}

// silent reports whether t has had nothing to read for so long that it follows others.
func (c *counter) silent(t *countTask, since int64) bool {
	return since-t.lastEvent >= c.p.Window.IdleAfter
}

// tells reports whether detect has to hear of a source although nothing was counted. A
// watermark that only follows is told in steps of a minute: often enough to close windows,
// and a hundred times fewer frames.
func (t *countTask) tells(mark, quiet int64, idle bool, since int64) bool {
	const step = int64(time.Minute)
	if idle != t.sent.Idle {
		return true
	}
	further := max(eventtime.Sub(mark, t.sent.Watermark), eventtime.Sub(quiet, t.sent.Quiet))
	return further >= step || further > 0 && since >= t.told+step
}

// onTime checks that no partial of a frame is of a window that takes no more calls by what
// its source told before, late. Only stage count judges which calls are late, once for all their
// entities. Here a late partial is a fault: to leave it out would lose counts for some
// entities of a call and keep them for others.
func (d *detector) onTime(f *wire.Frame, late int64) error {
	for i := range f.Partials {
		p := &f.Partials[i]
		if end := eventtime.Add(p.Start, d.p.Window.Detect.Size); end <= late {
			return fmt.Errorf("source %d: frame %d counts in the window that ended at %s, "+
				"after an earlier frame told that windows up to %s take no more calls: %s",
				f.Source, f.Sequence, stamp(end), stamp(late), lateHere)
		}
	}
	return nil
}

// stamp is an event time in an error.
func stamp(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339) }
