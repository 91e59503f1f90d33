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

// countLog is what stage count knows of one partition of kms.dedup. The topic is compacted
// and holds, of a source partition, the records of counted calls that may still be needed,
// each under a key of its own, and the head that accounts for them. A record is deleted by
// a tombstone once all of its calls are forgotten, and by nothing else: no clock decides,
// so ids are remembered over any outage.
//
// Memory: 24 bytes a record, and a record has at least one id of those in dedup.Set.
type countLog struct {
	head   state.Head // as written or read last
	stored bool       // there is a head in the topic
	// live are the records that are accounted for, by the event time that has to be
	// forgotten for them to be needed no more; done are those past it that are still there.
	live map[int64][]state.CountedName
	done []state.CountedName
	read map[state.CountedName]int64 // while it is restored: the records, with their Until
}

// mostTombstones bounds the records that one commit deletes of one partition: a watermark
// that leaps by days must not make a transaction of any size. At 4 commits a second it is
// a thousand times more than are written.
const mostTombstones = 1000

// due is the event time that has to be forgotten for a record to be needed no more: the
// end of a bucket.
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

// forget has the records go that nobody needs once calls before the event time before are
// forgotten.
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

// restore takes one record of the dedup topic. It adds to forgotten what is of
// correlations that there are no more. Heads in the log say what was forgotten when, so a
// restart needs no more memory than running does.
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

// restored is for after the last record: it makes the task what the head says, or refuses
// to, when something is missing that the head accounts for.
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
		return fmt.Errorf("%d records of counted calls, and nothing that says how far counting had come: %w", found.N, kafka.ErrStateMissing)
	case found != head.Live:
		return fmt.Errorf("%d of %d records of counted calls are there: %w", found.N, head.Live.N, kafka.ErrStateMissing)
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

// logCounted writes what t has counted to the dedup topic: 24 bytes a call, and in parts
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

// logHead deletes what is not needed any more and writes how far t has come.
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

// forget drops what is older than any call that could still be counted, and a window
// more, so that a duplicate can never change a count. Once a window, because it looks at
// all credits, and at places that only what was told decides: what is known does not
// depend on commits and restarts. What was told stays so, also when the lateness grows:
// calls whose ids are forgotten are late for ever.
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

// Expired implements kafka.Stateful: the next frame says what is missing.
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
		if t.at = at; !t.begun { // a source without records yet
			t.begun, t.from, t.to = true, at.Offset, at.Offset
		}
	}
}

// heads writes how far the tasks have come that have not told since their source was read
// on: a commit takes the offsets of all of them.
func (c *counter) heads() {
	for _, t := range c.tasks {
		if !t.log.stored || t.log.head.At != state.Position(t.at) {
			c.logHead(t)
		}
	}
}

var _ kafka.Stateful = (*counter)(nil)

// frame returns the k-th of the n frames of one commit. Only the last carries the new
// watermark: windows must not close before all of it is there.
func (t *countTask) frame(k, n int, mark, late int64, idle bool) wire.Frame {
	t.sequence++
	f := wire.Frame{Settings: t.log.head.Settings, Source: t.partition, Sequence: t.sequence, From: t.from, To: t.to, Lost: t.lost, Watermark: t.sent.Watermark, Late: t.sent.Late, Quiet: t.sent.Watermark, Idle: idle}
	if k > 0 {
		f.From, f.Lost = t.to, 0 // the first has told them
	}
	if k == n-1 {
		f.Watermark, f.Late, f.Quiet = mark, late, max(mark, t.quiet)
	}
	return f
}
