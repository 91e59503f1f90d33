package normalize

import (
	"io"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// Reader reads CloudTrail's objects and makes log records of their events. It implements
// the Reader of package cloud, which documents the methods.
type Reader struct {
	Event cloudtrail.Event // the event that Next has read, valid until its next call

	in   *cloudtrail.Reader
	norm *Normalizer
}

// NewReader returns a Reader with the given bounds that normalizes with norm.
func NewReader(limits decoding.Limits, norm *Normalizer) *Reader {
	return &Reader{in: cloudtrail.NewReader(nil, "", limits), norm: norm}
}

// Reset begins an object.
func (r *Reader) Reset(src io.Reader, object string) { r.in.Reset(src, object) }

// Next reads the next event into r.Event.
func (r *Reader) Next() error { return r.in.Next(&r.Event) }

// NotEvents returns cloudtrail.Reader's NotEvents.
func (r *Reader) NotEvents() int { return r.in.NotEvents }

// Origin returns the event's origin.
func (r *Reader) Origin() decoding.Origin { return r.Event.Origin() }

// Call returns the event's call.
func (r *Reader) Call() (decoding.Call, error) {
	at, valid := parseTime(r.Event.Time)
	if !valid {
		return decoding.Call{}, badTime(&r.Event)
	}
	r.norm.scratch = r.norm.scratch[:0]
	return decoding.Call{ID: r.norm.callID(&r.Event), Time: at, Filter: FilterOf(&r.Event)}, nil
}

// Record fills rec from the event: see Normalizer.Record.
func (r *Reader) Record(observed int64, rec *otellog.Record) (decoding.Filter, error) {
	if why := FilterOf(&r.Event); why != decoding.Kept {
		return why, nil
	}
	return decoding.Kept, r.norm.fill(&r.Event, observed, rec)
}
