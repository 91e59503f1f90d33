package stream

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/schemas/wire"
)

// This file is the one decision about which calls are late. Stage count makes it, by the
// watermark of the call's source, once for all entities of the call; stage detect is never
// ahead of a source (eventtime.Sources), and checks that the sources keep to what they told.

// isLate decides, for all entities of a call and for all who hear of it, whether the
// window of its event time takes no more calls. What was told of that before holds, also
// when the allowed lateness has grown since.
func (t *countTask) isLate(at int64, w *Window) bool {
	return eventtime.End(at, w.Detect.Size) <= t.late(t.progress.Watermark(), w)
}

// late returns the event time up to which windows take no more calls at a watermark.
func (t *countTask) late(mark int64, w *Window) int64 {
	return max(t.sent.Late, w.Detect.MarkAt(mark).Late)
}

// topicView is what stage count knows of all sources together, whichever process counts
// them.
type topicView struct {
	stream eventtime.Stream
	ends   map[int32]int64 // of the partitions, as of the last look
	moved  int64           // when one of them was seen to move, or was not known; see since
	hold   int64           // until when watermarks are held; see since
}

// arrived takes down that there is something to read at a time; see since. After a silence
// of the whole stream that was longer than out_of_orderness, watermarks are held for as
// long as that by the clock: what was held up comes in any order, of one shipper before
// that of another. This keeps no window of the present open for longer than otherwise.
func (v *topicView) arrived(now, disorder int64) {
	if v.ends != nil && now-v.moved >= disorder {
		v.hold = now + disorder
	}
	v.moved = now
}

// held has the watermark of t stay where it is, or go on.
func (c *counter) held(t *countTask, since int64) {
	if t.progress.Held = since < c.topic.hold; !t.progress.Held {
		t.progress.Raise(t.progress.Front())
	}
}

// note is what count commits with the offset of a source: its front, in ns.
func (c *counter) note(partition int32) string {
	if t := c.tasks[partition]; t != nil && t.progress.Front() > eventtime.None {
		return strconv.FormatInt(t.progress.Front(), 10)
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
		front = max(front, t.progress.Front())
	}
	for _, note := range seen.Notes {
		if n, err := strconv.ParseInt(note, 10, 64); err == nil { // a note of another program says nothing
			front = max(front, n)
		}
	}
	known := len(seen.Ends) >= int(c.p.Partitions[c.p.Topics.Events])
	if !known {
		v.moved = now
	} else if !maps.Equal(seen.Ends, v.ends) {
		v.arrived(now, c.p.Window.OutOfOrderness)
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
