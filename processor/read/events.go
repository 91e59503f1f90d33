// Package read is the one way from an object's bytes to events or log records,
// and to dead letters. Records gives the log records of KMS keys and of trails, whichever
// cloud wrote the events; Events gives the events of CloudTrail as they are, for the
// plugins and for trying rules. Commands, stages and plugins decide the use of a result,
// and of a dead letter; everything between is here.
//
// Of every object
//
//	received = delivered + filtered + dead
//
// once Object or Bytes has returned nil: an object that cannot be opened is one
// record received and dead, what is known and about no call (see
// cloudtrail.Reader.NotEvents) is received and filtered.
//
// Limits. The package holds one record at a time (see cloudtrail.Reader for how
// much that is), starts no goroutine, and neither retries nor logs.
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

// Counts counts what became of the records. It may be shared by any number of
// readers, and read at any time; the sum holds between two objects.
type Counts struct {
	Received  atomic.Int64 // records, good and bad
	Delivered atomic.Int64 // those that were handed on
	Filtered  atomic.Int64 // those that nobody wanted, and what is about no call
	why       [decoding.NumFilters]atomic.Int64
	Dead      atomic.Int64 // dead letters
}

// Why returns the filtered records by the reason.
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

// Dead takes a record that did not become what was wanted. bad is valid only
// during the call. An error ends the reading of the object.
type Dead func(ctx context.Context, bad *decoding.BadRecord) error

// Events reads the events of objects. A reader of many objects keeps one: it
// knows the names that they have in common. It is not safe for concurrent use.
type Events struct {
	in     *cloudtrail.Reader
	ev     cloudtrail.Event
	counts *Counts
	event  func(context.Context, *cloudtrail.Event) (wanted bool, err error)
	dead   Dead
}

// NewEvents returns an Events that counts in counts.
//
// event takes each event, which is valid only during the call, and reports
// whether it was wanted. When it returns a *decoding.BadRecord, that goes to
// dead; any other error ends the reading of the object.
func NewEvents(limits decoding.Limits, counts *Counts, event func(context.Context, *cloudtrail.Event) (wanted bool, err error), dead Dead) *Events {
	return &Events{in: cloudtrail.NewReader(nil, "", limits), counts: counts, event: event, dead: dead}
}

// Object reads one object to its end. One that cannot be opened, or read to its
// end, is a dead letter with the reason decoding.ReasonRead and the cause. The
// error is that of a callback, or of ctx.
func (e *Events) Object(ctx context.Context, o source.Object) error {
	body, err := o.Open()
	if err != nil {
		e.counts.Received.Add(1)
		return e.bad(ctx, &decoding.BadRecord{Object: o.Name, Reason: decoding.ReasonRead, Detail: err.Error(), Err: err})
	}
	defer body.Close() // opened for reading: nothing to lose
	return e.read(ctx, body, o.Name)
}

// Bytes reads an object that is in memory, as Object does. data must not change
// during the call.
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

// take hands on the event in e.ev.
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
