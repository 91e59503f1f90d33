package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/read"
	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/normalize"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// normalizer is stage normalize: kms.raw, where other shippers put CloudTrail
// JSON in any envelope, to kms.events. It has no state.
type normalizer struct {
	p      *Pipeline
	in     *read.Records
	counts read.Counts // of this transaction
	out    []*kgo.Record
	stats  tally
}

func newNormalizer(p *Pipeline) *normalizer {
	n := &normalizer{p: p}
	n.in = read.NewRecords(read.Config{
		Limits: p.Limits, Normalize: direct(p.Normalize), Counts: &n.counts, Record: n.publish, Dead: n.dead, Now: time.Now,
	})
	return n
}

// direct is how records are made that are only encoded.
func direct(o normalize.Options) normalize.Options {
	o.Direct = true
	return o
}

func (n *normalizer) Assign(context.Context, []int32) error { return nil }

func (n *normalizer) Revoke([]int32) { n.drop() }

// drop forgets the transaction.
func (n *normalizer) drop() { n.out, n.stats, n.counts = nil, tally{}, read.Counts{} }

// Lag is not needed: this stage has no watermark.
func (n *normalizer) Lag(map[int32]int64) {}

func (n *normalizer) Process(r *kgo.Record) error {
	return n.in.Bytes(context.Background(), r.Value, fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset))
}

// dead takes a record that is not published.
func (n *normalizer) dead(_ context.Context, bad *cloudtrail.BadRecord) error {
	letter := wire.FromBadRecord("normalize", bad, time.Now())
	n.stats.dead(letter.Reason)
	n.out = append(n.out, n.p.letter(&letter))
	return nil
}

// publish writes a log record to kms.events. One that Kafka would refuse for its
// size goes to the dead letter instead.
func (n *normalizer) publish(_ context.Context, ev *cloudtrail.Event, rec *otellog.Record) error {
	value := otellog.AppendRequest(nil, rec)
	if len(value) > wire.MaxValueBytes {
		return tooBig(ev, len(value))
	}
	key := wire.CallKey(rec)
	n.out = append(n.out, &kgo.Record{
		Topic: n.p.Topics.Events, Partition: kafka.KeyPartition(key, n.p.Partitions[n.p.Topics.Events]), Key: key,
		Value: value, Headers: []kgo.RecordHeader{{Key: wire.HeaderEvent, Value: []byte(rec.EventName)}},
	})
	return nil
}

func tooBig(ev *cloudtrail.Event, n int) error {
	return ev.Bad(cloudtrail.ReasonRecordSize, fmt.Sprintf("its log record has %d bytes, and Kafka takes %d", n, wire.MaxValueBytes))
}

func (n *normalizer) Output(_ time.Time, emit func(*kgo.Record)) (more bool, err error) {
	for _, r := range n.out {
		emit(r)
	}
	n.out = nil
	return false, nil
}

func (n *normalizer) Committed(ok bool) {
	n.stats.received, n.stats.delivered, n.stats.filtered = int(n.counts.Received.Load()), int(n.counts.Delivered.Load()), n.counts.Why()
	n.stats.commit(n.p, "normalize", ok)
	n.drop()
}
