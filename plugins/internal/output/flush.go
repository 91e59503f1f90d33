package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/plugins/internal/chunk"
	"keytrail/plugins/internal/logging"
	"keytrail/processor/read"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// stage names out_kms in dead letters.
const stage = "out_kms"

// The reasons of this package, besides those of package cloudtrail.
const (
	reasonMsgpack = "bad_msgpack" // not a Fluent Bit record
	reasonPanic   = "panic"       // the decoder failed on it: a bug to report
)

// recordCost is what a Kafka record costs in memory besides its value: its
// struct, key and bookkeeping, rounded up.
const recordCost = 512

// worker is the state of decoding, used by one flush at a time.
type worker struct {
	walker  chunk.Walker
	decoder *cloudtrail.Decoder
	events  *read.Events // for what is not a single event
	counts  read.Counts  // of events
	norm    *normalize.Normalizer
	ev      cloudtrail.Event
	rec     otellog.Record
	f       *flush // the one at work
}

func newWorker(cfg *Config) *worker {
	w := &worker{
		walker:  chunk.Walker{EventKey: cfg.EventKey},
		decoder: cloudtrail.NewDecoder(cfg.Limits),
		norm:    newNormalizer(cfg),
	}
	w.events = w.newEvents(cfg)
	return w
}

// newEvents returns what reads a record that is not a single event, for the flush at
// work.
func (w *worker) newEvents(cfg *Config) *read.Events {
	in := normalize.NewReader(cfg.Limits, w.norm)
	return read.NewEvents(in, &w.counts, func(context.Context) (decoding.Filter, error) {
		return decoding.Kept, w.f.event(&in.Event)
	}, func(_ context.Context, bad *decoding.BadRecord) error {
		return w.f.deadLetter(wire.FromBadRecord(stage, bad, w.f.observed))
	})
}

// newNormalizer returns a Normalizer that makes only the parts that the format needs.
func newNormalizer(cfg *Config) *normalize.Normalizer {
	return normalize.New(normalize.Options{Direct: cfg.Format == FormatProto, OmitBody: cfg.Format == FormatRaw})
}

// encode appends the value of an event's Kafka record.
func (c *Config) encode(dst []byte, ev *cloudtrail.Event, rec *otellog.Record) []byte {
	switch c.Format {
	case FormatJSON:
		return otellog.AppendJSON(dst, rec)
	case FormatRaw:
		return append(dst, ev.Raw...)
	}
	return otellog.AppendRequest(dst, rec)
}

// flush is the state of one chunk in one call of Flush.
type flush struct {
	o        *Output
	w        *worker
	a        *attempt
	ctx      context.Context
	tag      string
	observed time.Time
	entry    chunk.Entry
	number   int   // of the events and dead letters met in the current record
	again    *unit // to be produced alone, because Kafka refused it; nil for what is new
}

// record deals with one Fluent Bit record. An error means that it could not be
// dealt with in time; a.unit then says how far it came. A panic costs this
// record: it becomes a dead letter, because a chunk that is tried again would
// panic again.
func (f *flush) record() (err error) {
	defer func() {
		if p := recover(); p != nil {
			f.o.log.Printf(logging.Error, "the decoder panicked on a record, which goes to %q; please report it: %v",
				f.o.cfg.DeadLetterTopic, p)
			detail := fmt.Sprintf("panic: %v at %s", p, clip(debug.Stack(), 4096))
			f.w.decoder, f.w.norm = cloudtrail.NewDecoder(f.o.cfg.Limits), newNormalizer(&f.o.cfg)
			f.w.events = f.w.newEvents(&f.o.cfg)
			f.number = f.a.unit // what panicked is the next unit, and the last
			if f.again != nil {
				f.number = f.again.number - 1
			}
			err = f.bad(reasonPanic, detail, f.entry.JSON)
		}
	}()
	f.number = 0
	e := &f.entry
	if e.Numbered && f.again == nil {
		f.a.begin(e.Run, e.Number)
	}
	if e.Bad != "" {
		return f.bad(reasonMsgpack, e.Bad, e.Raw)
	}
	ev := &f.w.ev
	ev.Object, ev.Index, ev.Offset = e.Object, e.Index, e.Offset
	if !e.Placed {
		ev.Object = f.tag
	}
	err = f.w.decoder.Decode(e.JSON, ev)
	if err == nil {
		return f.event(ev)
	}
	var bad *decoding.BadRecord
	if e.Placed && errors.As(err, &bad) && bad.Reason != decoding.ReasonEnvelope {
		return f.deadLetter(wire.FromBadRecord(stage, bad, f.observed))
	}
	return f.envelope(ev)
}

// envelope reads a record that is not a single event: whatever cloudtrail.Reader
// knows, with its bad records apart from the good ones. A record without any content,
// such as an empty line that tail passed on, and parts that are about no call are
// filtered: every record that Fluent Bit hands over is counted.
func (f *flush) envelope(ev *cloudtrail.Event) error {
	f.w.f = f
	before := f.w.counts.Filtered.Load()
	if err := f.w.events.Bytes(context.Background(), f.entry.JSON, ev.Object); err != nil {
		return err
	}
	if f.again != nil { // what is filtered was counted before
		return nil
	}
	n := f.w.counts.Filtered.Load() - before
	if n == 0 && f.number == 0 {
		n = 1
	}
	f.o.received.Add(n)
	f.filter(decoding.NotEvent, n)
	return nil
}

func (f *flush) filter(why decoding.Filter, n int64) {
	f.o.filtered.Add(n)
	f.o.why[why].Add(n)
}

// repeated reports whether this unit of the record was dealt with in an earlier
// flush of the same chunk. Decoding is deterministic, so counting is enough.
func (f *flush) repeated() bool {
	f.number++
	if f.again != nil {
		return f.number != f.again.number
	}
	return f.number <= f.a.unit
}

// event delivers one event as a log record.
func (f *flush) event(ev *cloudtrail.Event) error {
	if f.repeated() {
		return nil
	}
	rec := &f.w.rec
	f.w.norm.Self = f.entry.Self
	ok, err := f.w.norm.Record(ev, f.observed.UnixNano(), rec)
	switch {
	case err != nil:
		return f.letter(wire.FromBadRecord(stage, err, f.observed))
	case !ok:
		f.o.received.Add(1)
		f.filter(normalize.FilterOf(ev), 1)
		f.a.unit = f.number
		return nil
	}
	value := f.o.cfg.encode(*values.Get().(*[]byte), ev, rec)
	if len(value) > f.o.cfg.MaxMessageBytes-recordCost {
		detail := fmt.Sprintf("its Kafka record has %d bytes, and max_message_bytes is %d",
			len(value), f.o.cfg.MaxMessageBytes)
		return f.letter(wire.DeadLetter{
			Stage: stage, Reason: string(decoding.ReasonRecordSize), Detail: detail,
			Object: ev.Object, Index: ev.Index, Offset: ev.Offset, Time: f.observed.UnixNano(), Raw: ev.Raw,
		})
	}
	return f.produce(&kgo.Record{Topic: f.o.cfg.Topic, Key: wire.CallKey(rec), Value: value}, nil)
}

// bad makes a dead letter of raw, which is not an event.
func (f *flush) bad(reason, detail string, raw []byte) error {
	object, index, offset := f.entry.Object, f.entry.Index, f.entry.Offset
	if !f.entry.Placed {
		object, index, offset = f.tag, 0, 0
	}
	return f.deadLetter(wire.DeadLetter{
		Stage: stage, Reason: reason, Detail: detail, Object: object, Index: index, Offset: offset,
		Time: f.observed.UnixNano(), Raw: raw,
	})
}

// deadLetter delivers a dead letter, unless an earlier flush did.
func (f *flush) deadLetter(d wire.DeadLetter) error {
	if f.repeated() {
		return nil
	}
	return f.letter(d)
}

// letter produces d. Its bytes are copied and cut so that they fit into one
// message with the headers: half of it for the bytes, an eighth each for the
// detail and the object's name, the rest for short headers.
func (f *flush) letter(d wire.DeadLetter) error {
	limit := min(decoding.MaxRawBytes, f.o.cfg.MaxMessageBytes/2)
	d.Cut = d.Cut || len(d.Raw) > limit
	r := &kgo.Record{Topic: f.o.cfg.DeadLetterTopic, Value: bytes.Clone(clip(d.Raw, limit))}
	text := min(4096, f.o.cfg.MaxMessageBytes/8)
	d.Detail, d.Object = string(clip([]byte(d.Detail), text)), string(clip([]byte(d.Object), text))
	for _, h := range d.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return f.produce(r, &d)
}

// values holds the buffers of acknowledged records for the next ones.
var values = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// maxPooledValue bounds the buffers that values keeps: ten usual log records.
const maxPooledValue = 40 << 10

// produce hands r to the producer, which is counted when Kafka has acknowledged it: as a
// dead letter where letter is not nil. It waits for room, and returns the context's error
// if it ends first; r is then not produced.
func (f *flush) produce(r *kgo.Record, letter *wire.DeadLetter) error {
	o, a := f.o, f.a
	cost := min(int64(len(r.Value)+recordCost), int64(o.cfg.BufferBytes))
	if err := o.room.Acquire(f.ctx, cost); err != nil {
		return err
	}
	o.received.Add(1)
	o.inFlight.Add(1)
	var u unit
	if f.again != nil {
		u = *f.again
		a.repeat()
	} else {
		u = a.add()
	}
	reason, detail := "", ""
	if letter != nil {
		reason, detail = letter.Reason, letter.Detail
	}
	// Not the flush's context: a record must outlive the flush that produced it.
	o.client.TryProduce(context.Background(), r, func(r *kgo.Record, err error) {
		o.inFlight.Add(-1)
		if err != nil {
			o.failed.Add(1)
		} else {
			o.answer(o.clock())
			o.count(reason, detail)
			if v := r.Value[:0]; cap(v) > 0 && cap(v) <= maxPooledValue {
				values.Put(&v)
			}
		}
		o.room.Release(cost)
		a.done(u, err)
	})
	return nil
}

// count notes a record that Kafka has acknowledged: a dead letter where there is a reason.
func (o *Output) count(reason, detail string) {
	if reason == "" {
		o.delivered.Add(1)
		return
	}
	o.deadLettered.Add(1)
	if reason != reasonPanic { // which has its own line
		o.letters.Add(reason, string(clip([]byte(detail), 200)), 1)
	}
}

// OnBrokerConnect notes the outcome of a connection. The client calls it for each.
func (h connectHook) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil {
		h.o.brokerErr.Store(nil)
		return
	}
	h.o.brokerErr.Store(&err)
}

func clip(b []byte, n int) []byte {
	if len(b) > n {
		return b[:n]
	}
	return b
}
