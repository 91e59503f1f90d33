package stream

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/sink"
	"keytrail/processor/telemetry"
)

// traced puts the transactions of a stage into spans. The zero value of a process without
// traces is never made: its stages run without it.
type traced struct {
	kafka.Processor
	p      *Pipeline
	stage  string
	topic  string
	enters bool
	batch  *telemetry.Batch // nil between transactions
	n      int              // records that the batch has taken
}

// trace returns proc with spans, if this process exports traces. Early of t passes through
// them as well.
func (p *Pipeline) trace(stage string, enters bool, t *kafka.Transact, proc kafka.Processor) kafka.Processor {
	if p.Telemetry.Traces() == nil {
		return proc
	}
	tr := &traced{Processor: proc, p: p, stage: stage, topic: t.Topic, enters: enters}
	if early := t.Early; early != nil {
		t.Early = func(emit func(*kgo.Record)) { early(tr.mark(emit)) }
	}
	if state, ok := proc.(kafka.Stateful); ok {
		return struct {
			*traced
			kafka.Stateful
		}{tr, state}
	}
	return tr
}

func (t *traced) Assign(ctx context.Context, partitions []int32) error {
	t.end(false)
	return t.Processor.Assign(ctx, partitions)
}

func (t *traced) Revoke(partitions []int32) {
	t.end(false)
	t.Processor.Revoke(partitions)
}

func (t *traced) Process(r *kgo.Record) error {
	if t.batch == nil {
		t.batch = t.p.Telemetry.Traces().Begin(t.stage, t.topic, "", t.enters)
	}
	t.n++
	took(t.batch, r)
	return t.Processor.Process(r)
}

func (t *traced) Output(now time.Time, emit func(*kgo.Record)) (more bool, err error) {
	return t.Processor.Output(now, t.mark(emit))
}

func (t *traced) Committed(ok bool) {
	t.end(ok)
	t.Processor.Committed(ok)
}

func (t *traced) end(ok bool) {
	if ok {
		t.batch.End(t.n, nil)
	} else {
		t.batch.Abort(t.n)
	}
	t.batch, t.n = nil, 0
}

// mark returns emit with the header of the batch. State has none: it outlives the trace.
func (t *traced) mark(emit func(*kgo.Record)) func(*kgo.Record) {
	if t.batch.Header() == nil {
		return emit
	}
	return func(r *kgo.Record) {
		if r.Topic != t.p.Topics.State && r.Topic != t.p.Topics.Dedup && r.Topic != t.p.Topics.Keys {
			marked(t.batch, r)
		}
		emit(r)
	}
}

// took notes the trace of a record that a batch has taken.
func took(b *telemetry.Batch, r *kgo.Record) {
	for i := range r.Headers {
		if r.Headers[i].Key == telemetry.HeaderTrace {
			b.Took(r.Headers[i].Value)
		}
	}
}

// marked adds the header of a batch with a span to a record that it makes.
func marked(b *telemetry.Batch, r *kgo.Record) {
	if h := b.Header(); h != nil {
		n := len(r.Headers)
		r.Headers = append(r.Headers[:n:n], kgo.RecordHeader{Key: telemetry.HeaderTrace, Value: h})
	}
}

// attempt returns sink.Options.Attempt with a span per attempt, where this process exports
// traces.
func (f *forwarder) attempt(observe func() func(error)) func([]sink.Record) func(error) {
	traces := f.p.Telemetry.Traces()
	return func(batch []sink.Record) func(error) {
		ended := observe()
		if traces == nil || len(batch) == 0 {
			return ended
		}
		b := traces.Begin("forward", batch[0].Topic, f.d.Name, false)
		for i := range batch {
			if r, ok := batch[i].Ref.(*kgo.Record); ok {
				took(b, r)
			}
		}
		return func(err error) {
			b.End(len(batch), err)
			ended(err)
		}
	}
}
