package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// loader makes log records of CloudTrail events and produces them like out_kms: one per
// Kafka record, under its call id.
type loader struct {
	cl    *kgo.Client
	topic string
	dec   *cloudtrail.Decoder
	norm  *normalize.Normalizer
	ev    cloudtrail.Event
	rec   otellog.Record

	sent, bytes int64
	mu          sync.Mutex
	failed      error
}

// newLoader returns a loader of an installation's events, whose topic it creates if
// missing. Records wait up to linger to share a batch.
func (in *installation) newLoader(ctx context.Context, linger time.Duration) (*loader, error) {
	_, err := kafka.EnsureTopics(ctx, in.e.kafka(), 1, []kafka.Topic{{Name: in.topics.Events,
		Partitions: eventPartitions}})
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(in.e.brokers()...), kgo.ProducerBatchCompression(in.e.codec),
		kgo.ProducerLinger(linger), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		return nil, err
	}
	return &loader{cl: cl, topic: in.topics.Events, dec: cloudtrail.NewDecoder(decoding.Limits{}),
		norm: normalize.New(normalize.Options{Direct: true})}, nil
}

// add produces the log record of an event; it skips an unwanted one, without an error or
// a count.
func (l *loader) add(ctx context.Context, json []byte) error {
	if err := l.dec.Decode(json, &l.ev); err != nil {
		return fmt.Errorf("cannot decode %s: %w", json, err)
	}
	ok, err := l.norm.Record(&l.ev, time.Now().UnixNano(), &l.rec)
	if err != nil || !ok {
		return err
	}
	r := &kgo.Record{
		Topic: l.topic, Key: wire.CallKey(&l.rec), Value: otellog.AppendRequest(nil, &l.rec),
		Headers: []kgo.RecordHeader{{Key: wire.HeaderEvent, Value: []byte(l.rec.EventName)}},
	}
	l.sent++
	l.bytes += int64(len(r.Value))
	l.cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
		if err != nil {
			l.mu.Lock()
			l.failed = errors.Join(l.failed, err)
			l.mu.Unlock()
		}
	})
	return nil
}

// flush waits until Kafka has acknowledged everything.
func (l *loader) flush(ctx context.Context) error {
	if err := l.cl.Flush(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// close ends the client without a flush.
func (l *loader) close() { l.cl.Close() }
