// Package read is the only way from an object's bytes to events or log records, and to
// dead letters. Records returns the log records of KMS keys and trails, Events the events
// as they are, for the plugins and for trying rules. schemas/cloud chooses the decoder. The
// callers decide the use of a result and of a dead letter.
//
// For every object,
//
//	received = delivered + filtered + dead
//
// once Object or Bytes has returned nil. An object that cannot be opened is one record
// received and dead; a known record that is not a call (see cloud.Reader)
// is received and filtered.
//
// The package holds one record at a time (see decoding.Limits for its size), starts no
// goroutine, and neither retries nor logs.
package read

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"

	"keytrail/processor/source"
	"keytrail/schemas/cloud"
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

// Events reads the events of objects. Keep one for many objects: its Reader caches their
// common names. It is not safe for concurrent use.
type Events struct {
	in     cloud.Reader
	counts *Counts
	event  func(context.Context) (decoding.Filter, error)
	dead   Dead
}

// NewEvents returns an Events that reads with in and counts in counts.
//
// event takes the event that in has read, and returns why it was filtered, or
// decoding.Kept. Its *decoding.BadRecord goes to dead; any other error ends the reading of
// the object.
func NewEvents(in cloud.Reader, counts *Counts,
	event func(context.Context) (decoding.Filter, error), dead Dead) *Events {
	return &Events{in: in, counts: counts, event: event, dead: dead}
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
		err := e.in.Next()
		if err == io.EOF {
			n := int64(e.in.NotEvents())
			e.counts.Received.Add(n)
			e.counts.filter(decoding.NotEvent, n)
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

// take passes on the event that was read.
func (e *Events) take(ctx context.Context) error {
	why, err := e.event(ctx)
	switch {
	case err != nil:
	case why == decoding.Kept:
		e.counts.Delivered.Add(1)
	default:
		e.counts.filter(why, 1)
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
