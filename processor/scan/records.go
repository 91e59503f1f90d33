package scan

import (
	"context"
	"errors"

	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Records takes log records that others made, such as those of Kafka, into a scan. It is
// not safe for concurrent use.
type Records struct {
	r   *reader
	rec otellog.Record
}

// Records returns a Records of the scan. Flush ends it, before Finish or Calls.
func (s *Scanner) Records() *Records { return &Records{r: newReader(s)} }

// Take takes an encoded log record of an event, which place names. One that cannot be
// decoded or counted becomes a dead letter. Other errors are those of Config's callbacks.
func (r *Records) Take(ctx context.Context, place string, value []byte) error {
	s := r.r.s
	s.counts.Received.Add(1)
	from := decoding.Origin{Object: place, Raw: value}
	r.rec.Reset()
	err := r.rec.Decode(value)
	if err != nil {
		err = from.Bad(decoding.ReasonEnvelope, "not a log record: "+err.Error())
	} else {
		from.ID = r.rec.Str(semconv.LogRecordUID)
		err = r.r.record(ctx, &from, &r.rec)
	}
	var bad *decoding.BadRecord
	switch {
	case err == nil:
		s.counts.Delivered.Add(1)
	case errors.As(err, &bad):
		s.counts.Dead.Add(1)
		return s.dead(ctx, bad)
	}
	return err
}

// Flush hands on what Take has collected.
func (r *Records) Flush() error { return r.r.flush() }
