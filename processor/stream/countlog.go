package stream

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/dedup"
	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/processor/state"
	"keytrail/schemas/wire"
)

// countLog is stage count's view of one partition of kms.dedup. The topic is compacted.
// For a source partition it contains the records of counted calls that may still be
// needed, each under its own key, and the head that accounts for them. A tombstone
// deletes a record once all of its calls are forgotten. No clock is involved, so ids are
// remembered over any outage.
//
// Memory: 24 bytes per record, and a record has at least one id of those in dedup.Set.
type countLog struct {
	head   state.Head // as last written or read
	stored bool       // there is a head in the topic
	// live are the needed records, grouped by the event time after which they are
	// obsolete; done are the obsolete ones that still exist.
	live map[int64][]state.CountedName
	done []state.CountedName
	read map[state.CountedName]int64 // during the restore: the records, with their Until
}

// mostTombstones bounds the deletions of one commit per partition: a watermark that jumps
// by days must not make a huge transaction. At 4 commits a second it is a thousand times
// the rate of new records.
const mostTombstones = 1000

// due returns the event time after which a record is obsolete: the end of a bucket.
func due(until int64) int64 {
	if until > math.MaxInt64-dedup.Span {
		return math.MaxInt64
	}
	return eventtime.Start(until, dedup.Span) + dedup.Span
}

// add accounts for a record.
func (l *countLog) add(name state.CountedName, until int64) {
	if l.live == nil {
		l.live = map[int64][]state.CountedName{}
	}
	at := due(until)
	l.live[at] = append(l.live[at], name)
	l.head.Live.Add(name)
}

// forget marks the records as obsolete that are not needed after calls before the event
// time before are forgotten.
func (l *countLog) forget(before int64) {
	l.head.Forgotten = before
	for _, at := range slices.Sorted(maps.Keys(l.live)) {
		if at > before {
			return
		}
		for _, name := range l.live[at] {
			l.head.Live.Remove(name)
		}
		l.done = append(l.done, l.live[at]...)
		delete(l.live, at)
	}
}

// restore takes one record of the dedup topic. It adds to forgotten the observations of
// removed correlations. Heads in the log show what was forgotten when, so a restart needs
// no more memory than normal operation.
func (t *countTask) restore(r *kgo.Record, forgotten *int) error {
	l := &t.log
	if err := state.Known(r.Value); err != nil {
		return err
	}
	if string(r.Key) == state.HeadKey {
		head, err := state.DecodeHead(r.Value)
		if err != nil {
			return err
		}
		l.head, l.stored = head, true
		t.drop(head.Forgotten)
		return nil
	}
	name, err := state.ParseCountedName(r.Key)
	if err != nil {
		return err
	}
	if r.Value == nil {
		delete(l.read, name)
		return nil
	}
	counted, err := state.DecodeCounted(r.Value)
	if err != nil {
		return err
	}
	if l.read == nil {
		l.read = map[state.CountedName]int64{}
	}
	l.read[name] = counted.Until()
	for _, k := range counted.Keys {
		t.Seen.Add(k.ID, k.Time)
	}
	for _, credit := range counted.Credits {
		t.Credit(credit)
	}
	*forgotten += t.observed.restore(&counted, t.Credits)
	return nil
}

// restored follows the last record: it brings the task to the state of the head, or
// refuses if a record is missing that the head accounts for.
func (t *countTask) restored() error {
	l := &t.log
	head, found := l.head, state.Live{}
	l.head.Live = state.Live{}
	byName := func(a, b state.CountedName) int {
		return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.Part, b.Part))
	}
	for _, name := range slices.SortedFunc(maps.Keys(l.read), byName) {
		if due(l.read[name]) <= head.Forgotten {
			l.done = append(l.done, name)
			continue
		}
		l.add(name, l.read[name])
	}
	found, l.read = l.head.Live, nil
	switch {
	case !l.stored && found.N > 0:
		return fmt.Errorf("%d records of counted calls, but no record of the progress of counting: %w",
			found.N, kafka.ErrStateMissing)
	case found != head.Live:
		return fmt.Errorf("%d of %d records of counted calls exist: %w", found.N, head.Live.N, kafka.ErrStateMissing)
	case !l.stored:
		return nil
	}
	t.begun, t.sequence, t.from, t.to = true, head.Sequence, head.Framed, head.Framed
	t.at = kafka.Position(head.At)
	t.progress.Restore(head.Progress)
	t.progress.Raise(head.Watermark)
	t.ended = head.Ended
	t.sent.Watermark, t.sent.Late, t.sent.Quiet = head.Watermark, head.Late, head.Watermark
	t.observed.restored(t.ended, t.Credits)
	return nil
}

// logCounted writes the counted calls of t to the dedup topic: 24 bytes a call, in parts
// of at most 20,000 calls and the credits that fit.
func (c *counter) logCounted(t *countTask) {
	keys, credits := t.Keys, t.Changed
	for name := (state.CountedName{Sequence: t.sequence}); len(keys)+len(credits) > 0; name.Part++ {
		k, m := min(len(keys), 20_000), t.observed.fits(credits)
		one := state.Counted{Keys: keys[:k], Credits: credits[:m], Observed: t.observed.logged(credits[:m])}
		c.put(t, name.Key(), one.Append(nil, &c.enc))
		t.log.add(name, one.Until())
		keys, credits = keys[k:], credits[m:]
	}
}

// logHead deletes obsolete records and writes the progress of t.
func (c *counter) logHead(t *countTask) {
	l := &t.log
	n := min(len(l.done), mostTombstones)
	for _, name := range l.done[:n] {
		c.put(t, name.Key(), nil)
	}
	if l.done = l.done[n:]; len(l.done) == 0 {
		l.done = nil
	}
	l.head.At, l.head.Sequence, l.head.Framed = state.Position(t.at), t.sequence, t.from
	l.head.Watermark, l.head.Late, l.head.Ended = t.sent.Watermark, t.sent.Late, t.ended
	l.head.Progress = t.progress.Saved()
	c.put(t, []byte(state.HeadKey), l.head.Append(nil, &c.enc))
	l.stored = true
}

func (c *counter) put(t *countTask, key, value []byte) {
	c.emit(&kgo.Record{Topic: c.p.Topics.Dedup, Partition: t.partition, Key: key, Value: value})
}

// forget drops ids older than any call that could still count, plus one window, so that a
// duplicate can never change a count. It runs once a window, as it visits all credits,
// and at points determined only by what was sent, so the remembered ids do not depend on
// commits and restarts. Sent marks stay valid when the lateness grows: calls whose ids
// are forgotten remain late.
func (t *countTask) forget(w *Window) {
	horizon := eventtime.Start(eventtime.Sub(t.sent.Late, 2*w.Detect.Size), w.Detect.Size)
	if horizon <= t.log.head.Forgotten {
		return
	}
	t.log.forget(horizon)
	t.drop(horizon)
}

// drop forgets the calls before an event time.
func (t *countTask) drop(before int64) { t.Forget(before, t.observed.drop) }

// Position implements kafka.Stateful.
func (c *counter) Position(partition int32) (at kafka.Position, ok bool) {
	t := c.tasks[partition]
	return t.at, t.log.stored
}

// Starts implements kafka.Stateful.
func (c *counter) Starts(partition int32, offset int64) { c.tasks[partition].cut = offset > 0 }

// Expired implements kafka.Stateful: the next frame reports the missing offsets.
func (c *counter) Expired(partition int32, from, to int64) {
	t := c.tasks[partition]
	t.to = to
	t.lost += uint64(to - from)
	c.stats.expired += int(to - from)
}

// Read implements kafka.Stateful.
func (c *counter) Read(next map[int32]kafka.Position, commits bool) {
	c.commits = commits
	for p, at := range next {
		t := c.tasks[p]
		if t == nil {
			continue
		}
		if t.at = at; !t.begun { // a source without records so far
			t.begun, t.from, t.to = true, at.Offset, at.Offset
		}
	}
}

// heads writes the progress of tasks whose source has been read on without a frame: a
// commit covers the offsets of all tasks.
func (c *counter) heads() {
	for _, t := range c.tasks {
		if !t.log.stored || t.log.head.At != state.Position(t.at) {
			c.logHead(t)
		}
	}
}

var _ kafka.Stateful = (*counter)(nil)

// frame returns the k-th of the n frames of one commit. Only the last has the new
// watermark: windows must not close before all frames have arrived.
func (t *countTask) frame(k, n int, mark, late int64, idle bool) wire.Frame {
	t.sequence++
	f := wire.Frame{Settings: t.log.head.Settings, Source: t.partition, Sequence: t.sequence, From: t.from, To: t.to,
		Lost: t.lost, Watermark: t.sent.Watermark, Late: t.sent.Late, Quiet: t.sent.Watermark, Idle: idle}
	if k > 0 {
		f.From, f.Lost = t.to, 0 // the first frame has them
	}
	if k == n-1 {
		f.Watermark, f.Late, f.Quiet = mark, late, max(mark, t.quiet)
	}
	return f
}
