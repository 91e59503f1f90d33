// Package read is the only way from an object's bytes to events or log records, and to
// dead letters. Records returns the log records of KMS keys and trails, from any cloud's
// events; Events returns CloudTrail events as they are, for the plugins and for trying
// rules. The callers decide the use of a result and of a dead letter.
//
// For every object,
//
//	received = delivered + filtered + dead
//
// once Object or Bytes has returned nil. An object that cannot be opened is one record
// received and dead; a known record that is not a call (see cloudtrail.Reader.NotEvents)
// is received and filtered.
//
// The package holds one record at a time (see cloudtrail.Reader for its size), starts no
// goroutine, and neither retries nor logs.
package read

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"

	"keytrail/processor/source"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
)

// Counts counts the records by outcome. Any number of readers may share it, and it may be
// read at any time; the sum holds between two objects.
type Counts struct {
	Received  atomic.Int64 // records, good and bad
	Delivered atomic.Int64 // those that were handed on
	Filtered  atomic.Int64 // unwanted ones, and those that are not calls
	why       [decoding.NumFilters]atomic.Int64
	Dead      atomic.Int64 // dead letters
}

// Why returns the number of filtered records by reason.
func (c *Counts) Why() (by decoding.Filtered) {
	for i := range c.why {
		by[i] = c.why[i].Load()
	}
	return by
}

func (c *Counts) filter(why decoding.Filter, n int64) {
	c.Filtered.Add(n)
	c.why[why].Add(n)
}

// Dead takes a refused record. bad is valid only during the call. An error ends the
// reading of the object.
type Dead func(ctx context.Context, bad *decoding.BadRecord) error

// Events reads the events of objects. Keep one for many objects: it caches their common
// names. It is not safe for concurrent use.
type Events struct {
	in     *cloudtrail.Reader
	ev     cloudtrail.Event
	counts *Counts
	event  func(context.Context, *cloudtrail.Event) (wanted bool, err error)
	dead   Dead
}

// NewEvents returns an Events that counts in counts.
//
// event takes each event, which is valid only during the call, and reports whether it was
// wanted. Its *decoding.BadRecord goes to dead; any other error ends the reading of the
// object.
func NewEvents(limits decoding.Limits, counts *Counts,
	event func(context.Context, *cloudtrail.Event) (wanted bool, err error), dead Dead) *Events {
	return &Events{in: cloudtrail.NewReader(nil, "", limits), counts: counts, event: event, dead: dead}
}

// Object reads one object to its end. An object that cannot be opened or read to its end
// becomes a dead letter with the reason decoding.ReasonRead and the cause. The error is
// that of a callback, or of ctx.
func (e *Events) Object(ctx context.Context, o source.Object) error {
	body, err := o.Open()
	if err != nil {
		e.counts.Received.Add(1)
		return e.bad(ctx, &decoding.BadRecord{Object: o.Name, Reason: decoding.ReasonRead, Detail: err.Error(), Err: err})
	}
	defer body.Close() // opened for reading: no data to lose
	return e.read(ctx, body, o.Name)
}

// Bytes reads an object in memory like Object. data must not change during the call.
func (e *Events) Bytes(ctx context.Context, data []byte, name string) error {
	return e.read(ctx, bytes.NewReader(data), name)
}

func (e *Events) read(ctx context.Context, src io.Reader, name string) error {
	e.in.Reset(src, name)
	for {
		err := e.in.Next(&e.ev)
		if err == io.EOF {
			e.counts.Received.Add(int64(e.in.NotEvents))
			e.counts.filter(decoding.NotEvent, int64(e.in.NotEvents))
			return nil
		}
		e.counts.Received.Add(1)
		if err == nil {
			err = e.take(ctx)
		}
		if err != nil {
			err = e.refuse(ctx, err)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// take passes on the event in e.ev.
func (e *Events) take(ctx context.Context) error {
	wanted, err := e.event(ctx, &e.ev)
	switch {
	case err != nil:
	case wanted:
		e.counts.Delivered.Add(1)
	default:
		e.counts.filter(max(normalize.FilterOf(&e.ev), decoding.NotWanted), 1)
	}
	return err
}

// refuse makes a dead letter of a bad record, and returns any other error.
func (e *Events) refuse(ctx context.Context, err error) error {
	if bad := (*decoding.BadRecord)(nil); errors.As(err, &bad) {
		return e.bad(ctx, bad)
	}
	return err
}

func (e *Events) bad(ctx context.Context, bad *decoding.BadRecord) error {
	e.counts.Dead.Add(1)
	return e.dead(ctx, bad)
}
