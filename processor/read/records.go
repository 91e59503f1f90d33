package read

import (
	"context"
	"time"

	"keytrail/processor/source"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// Records reads objects and normalizes their events. It is not safe for
// concurrent use.
type Records struct {
	in     *Events
	norm   *normalize.Normalizer
	rec    otellog.Record
	from   decoding.Origin
	now    func() time.Time
	record func(context.Context, *decoding.Origin, *otellog.Record) error
}

// Options are the users' settings of decoding and normalizing. The zero value is the
// default.
type Options struct {
	Limits decoding.Limits
	// OmitBody omits the record's body, which is the event byte for byte.
	OmitBody bool
	// SelfPrincipals are the collector's own users and roles.
	SelfPrincipals []string
}

// Config configures Records.
type Config struct {
	Options
	// Encoded makes records for otellog.AppendRequest only: their attributes are encoded
	// at once (see otellog.Record.Direct) and cannot be read.
	Encoded bool
	Counts  *Counts
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
	norm := normalize.Options{OmitBody: c.OmitBody, SelfPrincipals: c.SelfPrincipals, Direct: c.Encoded}
	r := &Records{norm: normalize.New(norm), now: c.Now, record: c.Record}
	r.in = NewEvents(c.Limits, c.Counts, r.normalize, c.Dead)
	return r
}

// Object reads one object to its end: see Events.Object.
func (r *Records) Object(ctx context.Context, o source.Object) error { return r.in.Object(ctx, o) }

// Bytes reads an object that is in memory: see Events.Bytes.
func (r *Records) Bytes(ctx context.Context, data []byte, name string) error {
	return r.in.Bytes(ctx, data, name)
}

// normalize passes on the log record of a wanted event.
func (r *Records) normalize(ctx context.Context, ev *cloudtrail.Event) (wanted bool, err error) {
	observed := int64(0)
	if r.now != nil {
		observed = r.now().UnixNano()
	}
	if wanted, err = r.norm.Record(ev, observed, &r.rec); !wanted || err != nil {
		return false, err
	}
	r.from = ev.Origin()
	return true, r.record(ctx, &r.from, &r.rec)
}
