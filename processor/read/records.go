package read

import (
	"context"
	"time"

	"keytrail/schemas/cloud"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// Records reads objects and normalizes their events. It is not safe for
// concurrent use.
type Records struct {
	*Events
	in     cloud.Reader
	rec    otellog.Record
	from   decoding.Origin
	now    func() time.Time
	record func(context.Context, *decoding.Origin, *otellog.Record) error
}

// Config configures Records.
type Config struct {
	cloud.Options
	Counts *Counts
	// Record takes each log record and the event's origin, which are valid only during
	// the call. Its *decoding.BadRecord goes to Dead; any other error ends the reading of
	// the object.
	Record func(context.Context, *decoding.Origin, *otellog.Record) error
	Dead   Dead
	// Now returns the time at which a record is observed; nil leaves it 0.
	Now func() time.Time
}

// NewRecords returns a Records.
func NewRecords(c Config) *Records {
	r := &Records{in: cloud.NewReader(c.Options), now: c.Now, record: c.Record}
	r.Events = NewEvents(r.in, c.Counts, r.normalize, c.Dead)
	return r
}

// normalize passes on the log record of a wanted event.
func (r *Records) normalize(ctx context.Context) (decoding.Filter, error) {
	observed := int64(0)
	if r.now != nil {
		observed = r.now().UnixNano()
	}
	if why, err := r.in.Record(observed, &r.rec); why != decoding.Kept || err != nil {
		return why, err
	}
	r.from = r.in.Origin()
	return decoding.Kept, r.record(ctx, &r.from, &r.rec)
}
