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

// This file contains the one decision about which calls are late. Stage count makes it, by the
// late mark of the call's source, once for all entities of the call. Stage detect is never
// ahead of a source (eventtime.Sources), and checks that the sources keep to their marks.
//
// The late mark follows from the records of the source, so the decision is the same for
// every reader at every time. The clock and the other sources influence only the
// watermark, which closes windows, and the bound of mostBehind.

// mostBehind bounds the windows that a source keeps open for late calls, behind the
// largest event time: the late ones, plus as many as a hold or a silent source can add
// (17 h 20 min at 5 min a window). It also bounds the windows that wait for notices.
// kafka.MaxBatchBytes depends on it.
const mostBehind = window.MaxLate + 128

// late returns the event time up to which windows accept no more calls, for all entities
// of a call and in all stages. Earlier marks stay valid, also after the allowed lateness
// has grown.
func (t *countTask) late(p *Pipeline) int64 {
	own := p.Window.Detect.MarkAt(t.progress.LateMark()).Late
	return max(t.sent.Late, own, p.behind(t.progress.Front()))
}

// behind returns the event time up to which windows are closed and accept no more calls
// at event time mark, in spite of any hold.
func (p *Pipeline) behind(mark int64) int64 {
	if mark <= eventtime.None {
		return eventtime.None
	}
	return eventtime.Sub(mark, p.mostBehind*p.Window.Detect.Size)
}

// topicView is stage count's knowledge of all sources together, whichever process counts
// them.
type topicView struct {
	stream eventtime.Stream
	ends   map[int32]int64 // of the partitions, at the last look
	moved  int64           // when one of them last moved, or was unknown; see since
}

// arrive records that a record of t is read, and when it was written. It returns the
// latest plausible event time in ns: the record's broker timestamp. A producer's may be
// wrong, so it uses this process's clock instead.
func (c *counter) arrive(t *countTask, r *kgo.Record) (now int64) {
	clock := c.p.now()
	c.now, t.lastEvent = clock.UnixNano(), c.since(clock)
	c.topic.moved = t.lastEvent
	hold := t.progress.Hold()
	t.progress.Arrive(r.Timestamp.UnixNano(), t.cut)
	if t.progress.Hold() != hold {
		t.held = t.lastEvent
	}
	if r.Attrs.TimestampType() == logAppendTime && t.progress.Clock() > eventtime.None {
		return t.progress.Clock()
	}
	return c.now
}

// logAppendTime is the value in kgo.RecordAttrs for a broker's timestamp.
const logAppendTime = 1

// marks updates the watermark of t, and returns it, the progress of the clock for it, and
// whether t is silent. Once the source has nothing to read, the clock ends a hold of the
// watermark, but not of the late mark. Other sources that follow use the watermark of t's
// own events (own).
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
	if idle && c.topic.ends != nil { // else no look has happened yet
		quiet = p.Follow(c.topic.stream, c.now)
	}
	return p.Watermark(), quiet, idle
}

// note is the text that count commits with the offset of a source: its own watermark, in ns.
func (c *counter) note(partition int32) string {
	if t := c.tasks[partition]; t != nil && t.own > eventtime.None {
		return strconv.FormatInt(t.own, 10)
	}
	return ""
}

// saw takes in the brokers' state of all sources, about once a second. An idle source
// follows the state of this or an earlier moment: a later record may have been written
// together with one that still waits in this source.
func (c *counter) saw(seen kafka.Seen) {
	v, now := &c.topic, c.since(c.p.now())
	front := eventtime.None
	for _, t := range c.tasks {
		front = max(front, t.own)
	}
	for _, note := range seen.Notes {
		if n, err := strconv.ParseInt(note, 10, 64); err == nil { // a note of another program is ignored
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

// since returns the nanoseconds since the counter's first look at the clock. The clock is
// monotonic: a change of the time of day is not silence of the sources.
func (c *counter) since(now time.Time) int64 {
	if c.began.IsZero() {
		c.began = now
	}
	return int64(now.Sub(c.began))
}

// silent reports whether t has had nothing to read for so long that it follows other sources.
func (c *counter) silent(t *countTask, since int64) bool {
	return since-t.lastEvent >= c.p.Window.IdleAfter
}

// tells reports whether detect must hear of a source although it counted nothing. A
// watermark that only follows is sent in steps of a minute: often enough to close
// windows, and with a hundred times fewer frames.
func (t *countTask) tells(mark, quiet int64, idle bool, since int64) bool {
	const step = int64(time.Minute)
	if idle != t.sent.Idle {
		return true
	}
	further := max(eventtime.Sub(mark, t.sent.Watermark), eventtime.Sub(quiet, t.sent.Quiet))
	return further >= step || further > 0 && since >= t.told+step
}

// onTime checks that no partial of a frame belongs to a window that its source has
// already declared closed, late. Only stage count decides which calls are late, once for
// all their entities. Here a late partial is a fault: omitting it would lose counts for
// some entities of a call and keep them for others.
func (d *detector) onTime(f *wire.Frame, late int64) error {
	for i := range f.Partials {
		p := &f.Partials[i]
		if end := eventtime.Add(p.Start, d.p.Window.Detect.Size); end <= late {
			return fmt.Errorf("source %d: frame %d counts in the window that ended at %s, "+
				"after an earlier frame closed windows up to %s: %s",
				f.Source, f.Sequence, stamp(end), stamp(late), lateHere)
		}
	}
	return nil
}

// stamp formats an event time for an error.
func stamp(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339) }
