package stream

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/schemas/semconv"
)

// history reports whether a record is about a time before the setting detect.seed_until:
// such events teach the detectors, and no sink takes a record about them. The time is that
// of an event, or the start of the window of a window or an anomaly; an anomaly that goes
// on afterwards is delivered from then on.
func (f *forwarder) history(r *kgo.Record) bool {
	if f.seedEnd == 0 || f.rec.Decode(r.Value) != nil { // the sink refuses what cannot be read
		return false
	}
	at := f.rec.Time
	if start := f.rec.Str(semconv.KeytrailWindowStart); start != "" {
		if t, err := time.Parse(time.RFC3339Nano, start); err == nil {
			at = t.UnixNano()
		}
	}
	return at < f.seedEnd
}
