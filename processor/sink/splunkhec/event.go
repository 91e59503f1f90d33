package splunkhec

import (
	"fmt"
	"strconv"

	"keytrail/processor/sink"
	"keytrail/processor/sink/ids"
	"keytrail/schemas/body"
	"keytrail/schemas/otellog"
)

// keepBuffer bounds the memory that an encoder keeps between batches.
const keepBuffer = 2 * MaxRequest

// encoder makes events of records. It is for one goroutine at a time.
type encoder struct {
	body   body.Encoder
	meta   []byte // the members that are the same in every event
	record otellog.Record
	ids    []ids.ID
	buf    []byte // the events of one request
	part   []int  // the records that they are of
}

func newEncoder(c *Config) *encoder {
	e := &encoder{}
	var err error
	if e.body, err = body.New(c.Body); err != nil {
		panic(fmt.Sprintf("BUG: %v", err)) // Config.Validate has checked it
	}
	sourcetype := c.Sourcetype
	if sourcetype == "" {
		sourcetype = "keytrail:" + c.Body
	}
	for _, m := range []struct{ name, value string }{
		{"index", c.Index}, {"source", c.Source}, {"sourcetype", sourcetype}, {"host", c.Host},
	} {
		if m.value != "" {
			e.meta = append(e.meta, `"`+m.name+`":`...)
			e.meta = append(otellog.AppendString(e.meta, m.value), ',')
		}
	}
	return e
}

// fill encodes the records from a place in the batch on until a request has most bytes. It
// returns the places of those that it encoded, valid until the next call, and where to go
// on. Records that have no body go to bad.
func (e *encoder) fill(batch []sink.Record, from, most int, bad *sink.Rejected) (part []int, to int) {
	if cap(e.buf) > keepBuffer {
		e.buf = nil
	}
	e.buf, e.part = e.buf[:0], e.part[:0]
	for to = from; to < len(batch); to++ {
		before := len(e.buf)
		if err := e.event(batch[to].Value); err != nil {
			e.buf = e.buf[:before]
			bad.Records = append(bad.Records, to)
			bad.Err = fmt.Errorf("cannot encode record %d of the batch: %w", to, err)
			continue
		}
		if len(e.buf) > most && before > 0 {
			e.buf = e.buf[:before]
			break
		}
		e.part = append(e.part, to)
	}
	return e.part, to
}

// event appends the event of one record.
func (e *encoder) event(value []byte) (err error) {
	e.record.Reset()
	if err := e.record.Decode(value); err != nil {
		return err
	}
	b := append(e.buf, '{')
	if at := e.record.Time; at > 0 {
		b = append(appendSeconds(append(b, `"time":`...), at), ',')
	}
	b = append(append(b, e.meta...), `"event":`...)
	if b, err = e.body.Append(b, &e.record); err != nil {
		return err
	}
	e.ids = ids.Append(e.ids[:0], &e.record)
	for i, id := range e.ids {
		between := `,"`
		if i == 0 {
			between = `,"fields":{"`
		}
		b = append(append(append(b, between...), id.Name...), `":`...)
		b = otellog.AppendString(b, id.Value)
	}
	if len(e.ids) > 0 {
		b = append(b, '}')
	}
	e.buf = append(b, "}\n"...)
	return nil
}

// appendSeconds writes a time in ns since 1970 as seconds with six decimals, which Splunk
// keeps. The body holds the nanoseconds.
func appendSeconds(dst []byte, ns int64) []byte {
	dst = append(strconv.AppendInt(dst, ns/1e9, 10), '.')
	n := len(dst)
	dst = strconv.AppendInt(dst, 1e6+ns%1e9/1e3, 10) // a digit too many, for the zeros
	return append(dst[:n], dst[n+1:]...)
}
