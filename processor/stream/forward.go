package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// forwarder is stage forward for one sink: a consumer group of its own over the
// topics that the sink takes. Offsets are committed after the sink, or the dead
// letter, has everything: at least once. When the sink is down the group stops
// reading, and Kafka keeps what comes.
type forwarder struct {
	p      *Pipeline
	d      Destination
	client *kgo.Client
	runner *sink.Runner
	rec    otellog.Record
	batch  []sink.Record
	dead   map[sink.Reason]int
}

// forwardPoll bounds the records held at a time: 5,000 of about 3 kB, 15 MB.
const forwardPoll = 5000

func (p *Pipeline) forward(ctx context.Context, d Destination) error {
	f := &forwarder{p: p, d: d}
	topics := f.topics()
	if len(topics) == 0 {
		<-ctx.Done()
		return nil
	}
	var err error
	f.client, err = kgo.NewClient(append(append(p.Kafka.Options(), p.Kafka.Member(p.TransactionID+"-forward-"+d.Name)...),
		kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return fmt.Errorf("sink %q: cannot make a Kafka client: %w", d.Name, err)
	}
	defer f.client.Close()
	observed := p.Telemetry.Sink(d.Name)
	f.runner, err = sink.NewRunner(sink.Options{
		Name: d.Name, Sink: d.Sink, Batch: d.Batch, Retry: d.Retry, DeadLetter: f.deadLetter, Log: p.Log,
		Observe: func(o sink.Outcome, reason sink.Reason, n int) {
			switch o {
			case sink.OutcomeDelivered:
				observed.Delivered(n)
			case sink.OutcomeRetried:
				observed.Retried(n)
			case sink.OutcomeRejected:
				observed.Rejected(string(reason), n)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("sink %q: %w", d.Name, err)
	}
	return f.loop(ctx)
}

func (f *forwarder) topics() []string {
	var list []string
	if f.d.Events {
		list = append(list, f.p.Topics.Events)
	}
	if f.d.Windows != WindowsNone {
		list = append(list, f.p.Topics.Windows)
	}
	if f.d.Anomalies {
		list = append(list, f.p.Topics.Anomalies)
	}
	return list
}

// loop polls, delivers and commits until ctx is done.
func (f *forwarder) loop(ctx context.Context) error {
	flow := f.p.Telemetry.Flow("forward", f.d.Name)
	failing := time.Time{}
	for ctx.Err() == nil {
		fetches := f.client.PollRecords(ctx, forwardPoll)
		// One partition's error comes in the same poll as the records of others,
		// which are delivered all the same; the client goes on trying.
		if err := fetches.Err(); err == nil {
			failing = time.Time{}
		} else if ctx.Err() == nil && failing.IsZero() {
			failing = time.Now()
		} else if ctx.Err() == nil && time.Since(failing) > giveUp {
			return fmt.Errorf("sink %q: cannot read from Kafka for %v: %w", f.d.Name, giveUp, err)
		}
		f.batch, f.dead = f.batch[:0], nil
		received := 0
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			received++
			if f.wants(r) {
				f.batch = append(f.batch, sink.Record{Value: r.Value, EventName: header(r), Ref: r})
			}
		}
		if received == 0 {
			continue
		}
		if err := f.runner.Deliver(ctx, f.batch); err != nil {
			if ctx.Err() != nil {
				return nil // not committed: they come again after the next start
			}
			return fmt.Errorf("sink %q: %w", f.d.Name, err)
		}
		// Even when a stop is asked for by now: what was delivered is committed.
		commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		err := f.client.CommitUncommittedOffsets(commit)
		cancel()
		if err != nil {
			f.p.Log.Warn("forward: offsets are not committed; the records will be delivered again", "sink", f.d.Name, "error", err)
		}
		flow.Received(received)
		flow.Filtered("not_taken", received-len(f.batch))
		lost := 0
		for reason, n := range f.dead {
			flow.DeadLettered(string(reason), n)
			lost += n
		}
		flow.Delivered(len(f.batch) - lost)
	}
	return nil
}

// wants tells whether the sink takes a record: of the windows perhaps only
// those with anomalies, and roll-ups.
func (f *forwarder) wants(r *kgo.Record) bool {
	if r.Topic != f.p.Topics.Windows || f.d.Windows == WindowsAll {
		return true
	}
	if f.rec.Decode(r.Value) != nil {
		return true // the sink decides, and its refusal goes to the dead letter
	}
	a := f.rec.Get(semconv.KeytrailWindowAnomalies)
	return a != nil && a.Int > 0 || f.rec.Get(semconv.KeytrailWindowRollup) != nil
}

func header(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == wire.HeaderEvent {
			return string(h.Value)
		}
	}
	return ""
}

// deadLetter puts a record that the sink refused for good into the dead letter
// topic, and waits until it is there.
func (f *forwarder) deadLetter(ctx context.Context, rec sink.Record, reason sink.Reason, why error) error {
	r, ok := rec.Ref.(*kgo.Record)
	if !ok {
		return errors.New("BUG: a record without its Kafka record")
	}
	letter := f.p.deadLetter("forward", "rejected_"+string(reason), fmt.Sprintf("sink %s: %v", f.d.Name, why), r)
	if err := f.client.ProduceSync(ctx, letter).FirstErr(); err != nil {
		return fmt.Errorf("cannot write dead letter: %w", err)
	}
	if f.dead == nil {
		f.dead = map[sink.Reason]int{}
	}
	f.dead[reason]++
	return nil
}
