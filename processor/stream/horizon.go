package stream

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/processor/state"
	"keytrail/schemas/wire"
)

// Horizon is an installation's progress of counting, from its state: events whose window
// closed before it are late. The zero value belongs to an installation without any
// counts.
type Horizon struct {
	mark, late, size int64 // nanoseconds; mark is 0 without any counts
}

// newestState is how many of the newest records of kms.state are read first: every commit
// writes the progress, so its newest record is near the end.
const newestState = 20_000

// Horizon reads the installation's progress: the greatest watermark in the progress
// records of kms.state. The topics must exist (MakeTopics).
func (p *Pipeline) Horizon(ctx context.Context) (Horizon, error) {
	h := Horizon{size: p.Window.Detect.Size}
	mark, late := eventtime.None, eventtime.None
	var failed error
	look := kafka.Look{Topic: p.Topics.State, Most: newestState, Newest: true}
	for {
		unread, err := look.Read(ctx, p.Kafka, func(key, value []byte) {
			if string(key) != state.MetaKey || failed != nil {
				return
			}
			m, err := state.DecodeMeta(value)
			if err == nil {
				err = p.sameSettings(m.Settings)
			}
			if failed = err; err != nil {
				return
			}
			mark, late = max(mark, m.Watermark), max(late, m.Late)
			for _, a := range m.Applied {
				mark, late = max(mark, a.Watermark), max(late, a.Late)
			}
		})
		if err == nil && failed != nil {
			err = fmt.Errorf("topic %q: %w", p.Topics.State, failed)
		}
		if err != nil {
			return h, fmt.Errorf("cannot read how far this installation has counted: %w", err)
		}
		if mark != eventtime.None || unread == 0 {
			break
		}
		look.Most = math.MaxInt64 // the progress is before them
	}
	if mark > 0 {
		h.mark, h.late = mark, late
	}
	return h, nil
}

// Late reports whether an event at a time, in nanoseconds since 1970, is late: its window
// accepts no more calls.
func (h Horizon) Late(t int64) bool {
	return h.mark > 0 && t != 0 && eventtime.End(t, h.size) <= h.late
}

// lateError returns the error that an event would be late, with advice.
func (h Horizon) lateError(object string, t int64, topics wire.Topics) error {
	at := func(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339) }
	prefix := strings.TrimSuffix(topics.State, "state")
	return fmt.Errorf("%s: an event of %s is late: this installation (topics %s*) has counted up to %s and takes "+
		"events up to %v late, so it would go to the dead letter uncounted. "+
		"Use \"keytrail scan\" for old trails, or replay them into a separate installation, with another kafka.prefix "+
		"and another kafka.transactional_id; --allow-late replays them here all the same",
		object, at(t), prefix, at(h.mark), time.Duration(h.mark-h.late))
}
