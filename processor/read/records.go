package read

import (
	"context"
	"time"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// Records reads objects and normalizes their events. It is not safe for
// concurrent use.
type Records struct {
	*Events
	norm   *normalize.Normalizer
	rec    otellog.Record
	now    func() time.Time
	record func(context.Context, *cloudtrail.Event, *otellog.Record) error
}

// Config says how Records reads.
type Config struct {
	Limits    decoding.Limits
	Normalize normalize.Options
	Counts    *Counts
	// Record takes each log record and the event that it was made of, which are valid
	// only during the call. When it returns a *decoding.BadRecord, that goes to
	// Dead; any other error ends the reading of the object.
	Record func(context.Context, *cloudtrail.Event, *otellog.Record) error
	Dead   Dead
	// Now gives the time at which a record is observed; nil leaves it 0.
	Now func() time.Time
}

// NewRecords returns a Records.
func NewRecords(c Config) *Records {
	r := &Records{norm: normalize.New(c.Normalize), now: c.Now, record: c.Record}
	r.Events = NewEvents(c.Limits, c.Counts, r.normalize, c.Dead)
	return r
}

// normalize hands on the log record of an event, if it is a wanted one.
func (r *Records) normalize(ctx context.Context, ev *cloudtrail.Event) (wanted bool, err error) {
	observed := int64(0)
	if r.now != nil {
		observed = r.now().UnixNano()
	}
	if wanted, err = r.norm.Record(ev, observed, &r.rec); !wanted || err != nil {
		return false, err
	}
	return true, r.record(ctx, ev, &r.rec)
}
