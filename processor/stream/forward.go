package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/lograte"
	"keytrail/processor/sink"
	"keytrail/processor/telemetry"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// forwarder is stage forward for one sink: its own consumer group over the topics that
// the sink takes. It commits offsets after the sink, or the dead letter topic, has
// everything: at least once. While the sink is down the group stops reading, and Kafka
// keeps the records.
type forwarder struct {
	p      *Pipeline
	d      Destination
	part   *part
	client *kgo.Client
	runner *sink.Runner
	rec    otellog.Record
	batch  []sink.Record
	oldest map[string]time.Time // of the current batch, by topic; read by expires
	dead   map[sink.Reason]int
	letter *lograte.Letters
	next   map[string]map[int32]int64 // position in each partition, as far as known
}

// forwardPoll bounds the held records: 5,000 of about 3 kB, 15 MB.
const forwardPoll = 5000

func (p *Pipeline) forward(ctx context.Context, d Destination) error {
	f := &forwarder{p: p, d: d, part: p.partOf("forward", d.Name), next: map[string]map[int32]int64{},
		letter: lograte.NewLetters(lograte.ToLog(p.Log.With("stage", "forward", "sink", d.Name)))}
	defer f.letter.Flush()
	topics := d.topics(p.Topics)
	if len(topics) == 0 {
		<-ctx.Done()
		return nil
	}
	var err error
	f.client, err = kgo.NewClient(append(append(p.Kafka.Options(), p.Kafka.Member(f.part.group)...),
		kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(),
		// Offsets of transaction markers are committed as well: uncommitted offsets count
		// as waiting.
		kgo.KeepControlRecords(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return fmt.Errorf("sink %q: cannot make a Kafka client: %w", d.Name, err)
	}
	defer f.client.Close()
	observed := p.Telemetry.Sink(d.Name)
	f.runner, err = sink.NewRunner(sink.Options{
		Name: d.Name, Sink: d.Sink, Batch: d.Batch, Retry: d.Retry, DeadLetter: f.deadLetter, Log: p.Log,
		Watch: f.part.tell, Expires: f.expires,
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
	f.part.health.Clear(telemetry.Starting)
	return f.loop(ctx)
}

// topics are the topics of which a sink takes records.
func (d *Destination) topics(t wire.Topics) []string {
	var list []string
	if d.Events {
		list = append(list, t.Events)
	}
	if d.Windows != WindowsNone {
		list = append(list, t.Windows)
	}
	if d.Anomalies {
		list = append(list, t.Anomalies)
	}
	return list
}

// loop polls, delivers and commits until ctx is done.
func (f *forwarder) loop(ctx context.Context) error {
	failing := time.Time{}
	for ctx.Err() == nil {
		fetches := f.client.PollRecords(ctx, forwardPoll)
		// One partition's error comes in the same poll as other partitions' records,
		// which are delivered all the same; the client retries.
		if err := firstError(f.part.group, fetches); err == nil {
			failing = time.Time{}
		} else if ctx.Err() == nil {
			if failing.IsZero() {
				failing = time.Now()
			}
			f.p.Kafka.Trouble.Failed(fmt.Sprintf("sink %q cannot read from Kafka", f.d.Name), err)
			if time.Since(failing) > giveUp {
				return fmt.Errorf("sink %q: cannot read from Kafka for %v: %w", f.d.Name, giveUp, err)
			}
		}
		received := f.take(ctx, fetches)
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := f.runner.Deliver(ctx, f.batch); err != nil {
			if ctx.Err() != nil {
				return nil // uncommitted: they come again after the next start
			}
			return fmt.Errorf("sink %q: %w", f.d.Name, err)
		}
		f.commit(ctx)
		f.count(received)
	}
	return nil
}

// firstError returns the first error of a poll, with its place.
func firstError(group string, fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		return kafka.FetchError(group, e)
	}
	return nil
}

// take adds the sink's records of a poll to the batch, and returns the number of records
// without transaction markers.
func (f *forwarder) take(ctx context.Context, fetches kgo.Fetches) (received int) {
	f.batch, f.dead, f.oldest = f.batch[:0], nil, map[string]time.Time{}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) > 0 {
			f.expired(ctx, p.Topic, p.Partition, p.Records[0].Offset)
			if f.next[p.Topic] == nil {
				f.next[p.Topic] = map[int32]int64{}
			}
			f.next[p.Topic][p.Partition] = p.Records[len(p.Records)-1].Offset + 1
		}
		oldest := f.oldest[p.Topic]
		for _, r := range p.Records {
			if r.Attrs.IsControl() {
				continue
			}
			received++
			if oldest.IsZero() || r.Timestamp.Before(oldest) {
				oldest = r.Timestamp
			}
			if f.wants(r) {
				f.batch = append(f.batch, sink.Record{Value: f.value(r), EventName: header(r), Ref: r})
			}
		}
		if !oldest.IsZero() {
			f.oldest[p.Topic] = oldest
		}
	})
	return received
}

// value returns a record as the sink gets it.
func (f *forwarder) value(r *kgo.Record) []byte {
	if len(f.p.Resource) == 0 {
		return r.Value
	}
	return otellog.AppendWithResource(nil, r.Value, otellog.EncodeResource(f.p.Resource))
}

// expired detects that Kafka deleted records before the sink took them: they are between
// the partition's position and its first record, and the log begins after them. (A gap
// alone proves nothing: aborted transactions leave one as well.)
func (f *forwarder) expired(ctx context.Context, topic string, partition int32, first int64) {
	at, ok := f.next[topic][partition]
	if ok && first <= at {
		return
	}
	if committed, known := f.client.CommittedOffsets()[topic][partition]; known && committed.Offset >= 0 && (!ok ||
		committed.Offset > at) {
		at, ok = committed.Offset, true
	}
	if !ok || first <= at {
		return
	}
	within, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	starts, err := kadm.NewClient(f.client).ListStartOffsets(within, topic)
	start, found := starts.Lookup(topic, partition)
	if err != nil || !found || start.Err != nil {
		return
	}
	lost := min(first, start.Offset) - at
	if lost <= 0 {
		return
	}
	f.p.Telemetry.Flow("forward", f.d.Name).Expired(lost)
	f.part.health.Report(telemetry.Expired,
		"Kafka deleted %d records of topic %q partition %d before the sink had taken them; the sink has lost them", lost, topic, partition)
	f.p.Log.Error("Kafka deleted records before the sink had taken them; keep the topic for longer than a sink may "+
		"be away (retention.ms)",
		"sink", f.d.Name, "topic", topic, "partition", partition, "records", lost)
}

// expires returns when Kafka deletes the oldest untaken record of the sink: as last
// looked up, else that of the current batch.
func (f *forwarder) expires() (first time.Time, ok bool) {
	if first, ok = f.part.expiresAt(); ok {
		return first, true
	}
	for topic, at := range f.oldest {
		if end, known := f.p.expiry(topic, at); known && (!ok || end.Before(first)) {
			first, ok = end, true
		}
	}
	return first, ok
}

// commit commits the offsets of delivered records, even after a request to stop. If that
// fails, the records are delivered again.
func (f *forwarder) commit(ctx context.Context) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := f.client.CommitUncommittedOffsets(within); err != nil {
		f.p.Kafka.Trouble.Failed(fmt.Sprintf(
			"the offsets of sink %q are not committed; its records will be delivered again", f.d.Name), err)
	}
}

// count adds the outcomes of a poll's records to the metrics.
func (f *forwarder) count(received int) {
	flow := f.p.Telemetry.Flow("forward", f.d.Name)
	flow.Received(received)
	flow.Filtered("not_taken", received-len(f.batch))
	lost := 0
	for reason, n := range f.dead {
		flow.DeadLettered(string(reason), n)
		lost += n
	}
	flow.Delivered(len(f.batch) - lost)
}

// wants reports whether the sink takes a record: possibly only windows with anomalies,
// and roll-ups.
func (f *forwarder) wants(r *kgo.Record) bool {
	if r.Topic != f.p.Topics.Windows || f.d.Windows == WindowsAll {
		return true
	}
	if f.rec.Decode(r.Value) != nil {
		return true // the sink decides, and a refused record becomes a dead letter
	}
	a := f.rec.Get(semconv.KeytrailWindowAnomaliesTotal)
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

// deadLetter writes a permanently refused record to the dead letter topic, and waits for
// the acknowledgement.
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
	f.letter.Add(string(reason), why.Error(), 1)
	return nil
}
