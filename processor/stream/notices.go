package stream

import (
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// This file contains the exchange between partitions of stage detect: counts for windows
// of principals that another partition may own.

// slowest returns the earliest event time up to which the n partitions have declared
// their windows settled: all notices for windows that end by then have been merged.
func (t *detectTask) slowest(n int32) int64 {
	low := int64(math.MaxInt64)
	for q := range n {
		a, ok := t.meta.Applied[-1-q]
		if !ok {
			return eventtime.None
		}
		low = min(low, a.Late)
	}
	return low
}

// notify sends the counts for principals of other partitions, and signals, in frames whose source is
// this partition's number negated. The frames say which windows accept no more calls
// here, and go to every partition when that has advanced by a window: a window must not
// be dropped while notices for it are on their way, and they may be behind a backlog
// longer than the lateness. A continued step may find more for the same watermark.
func (d *detector) notify(t *detectTask, more bool) {
	n := int(d.p.Partitions[d.p.Topics.Partials])
	byOwner := make([][]wire.Partial, n)
	for _, p := range t.notices {
		q := p.Owner(n)
		byOwner[q] = append(byOwner[q], p)
	}
	t.notices = nil
	late := t.engine.Mark().Late
	further := t.meta.Told == eventtime.None || late >= eventtime.Add(t.meta.Told, d.p.Window.Detect.Size)
	tell := !more && late > eventtime.None && further
	for q, list := range byOwner {
		for part := range slices.Chunk(list, d.p.mostNotices) {
			d.notice(t, int32(q), t.meta.Told, &wire.Frame{Partials: part}) // others may follow
		}
	}
	d.sendSignals(t)
	for q := int32(0); tell && q < int32(n); q++ {
		d.notice(t, q, late, &wire.Frame{})
	}
	if tell {
		t.meta.Told = late
	}
}

// notice sends one frame, with the content of f, to partition q.
func (d *detector) notice(t *detectTask, q int32, late int64, f *wire.Frame) {
	t.meta.Sent[q]++
	f.Settings, f.Source, f.Sequence = t.meta.Settings, -1-t.partition, t.meta.Sent[q]
	f.Watermark, f.Late = t.engine.Mark().Watermark, late
	d.emit(&kgo.Record{Topic: d.p.Topics.Partials, Partition: q, Value: wire.AppendFrame(nil, &d.enc, f)})
}

// frameNotices bounds the notices of one frame: 100, with principals of at most
// count.MaxNames, stay below Kafka's record limit.
const frameNotices = 100

// lateNotice keeps a notice that arrived after its window was dropped, because this
// partition is more than mostBehind windows ahead of the sender. The pairs' anomalies
// themselves are published; only the principal's window lacks them.
func (d *detector) lateNotice(t *detectTask, p *wire.Partial, now int64) *kgo.Record {
	w := entity.Window{Partial: *p}
	anomaly.WindowRecord(&d.rec, &w, d.p.Window.Detect.Size, now)
	n := anomaly.Count(p)
	d.stats.late += int(n)
	letter := wire.DeadLetter{
		Stage: "detect", Reason: "late_notice", Time: now, Raw: otellog.AppendRequest(nil, &d.rec),
		Detail: fmt.Sprintf("%d anomalies of pairs are not counted in the window of %q at %s, which was already dropped",
			n, p.Principal, stamp(p.Start)),
		Object: fmt.Sprintf("%s/%d", d.p.Topics.Partials, t.partition),
	}
	return d.p.letter(&letter)
}
