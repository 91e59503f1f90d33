package stream

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/processor/state"
	"keytrail/schemas/wire"
)

// errFrames means that frames are missing, or that a source has started over.
var errFrames = errors.New("frames are missing or repeated: counts would be lost or doubled; see " +
	"docs/operations.md, \"Frames are missing\"")

// admit checks that a frame continues its source: with the next sequence number, and at
// the end of the last frame's range. It skips nothing: stage detect reads on from the
// position in its own state, so a repeated frame was written twice.
func (t *detectTask) admit(f *wire.Frame) (fresh bool, err error) {
	last := t.meta.Applied[f.Source]
	if f.Sequence != last.Sequence+1 || last.Sequence > 0 && f.From != last.To || f.To < f.From {
		return false, fmt.Errorf("source %d: frame %d covers offsets [%d, %d), but the last one was frame %d up to %d: %w",
			f.Source, f.Sequence, f.From, f.To, last.Sequence, last.To, errFrames)
	}
	t.meta.Applied[f.Source] = state.Applied{Sequence: f.Sequence, To: f.To, Watermark: f.Watermark, Late: f.Late}
	if f.Source >= 0 {
		t.sources.Set(f.Source, eventtime.Mark{Watermark: f.Watermark, Late: f.Late, Quiet: f.Quiet})
	}
	return true, nil
}

// progress writes the task's progress.
func (d *detector) progress(t *detectTask) {
	t.meta.At, t.stored = state.Position(t.at), true
	d.emit(&kgo.Record{Topic: d.p.Topics.State, Partition: t.partition, Key: []byte(state.MetaKey),
		Value: t.meta.Append(nil, &d.enc)})
}

// Position implements kafka.Stateful.
func (d *detector) Position(partition int32) (at kafka.Position, ok bool) {
	t := d.tasks[partition]
	return t.at, t.stored
}

// Starts implements kafka.Stateful. Each frame names its own offsets.
func (d *detector) Starts(int32, int64) {}

// Expired implements kafka.Stateful. The next frame of each source shows whether frames
// expired: every source keeps sending the passage of time.
func (d *detector) Expired(int32, int64, int64) {}

// Read implements kafka.Stateful.
func (d *detector) Read(next map[int32]kafka.Position, commits bool) {
	d.commits = commits
	for p, at := range next {
		if t := d.tasks[p]; t != nil {
			t.at = at
		}
	}
}

var _ kafka.Stateful = (*detector)(nil)
