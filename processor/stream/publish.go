package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/read"
	"keytrail/processor/source"
	"keytrail/schemas/cloud"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// Publisher puts files into kms.events: read, decode, normalize, produce. It does the
// work of the Fluent Bit plugins in one process. Not safe for concurrent use, except
// Counts.
type Publisher struct {
	client *kgo.Client
	topics wire.Topics
	in     *read.Records
	counts read.Counts // of the input; published and dead are confirmed by Kafka
	// late refuses events that the installation would not count; the zero value refuses none.
	late Horizon

	published, dead atomic.Int64
	wg              sync.WaitGroup
	mu              sync.Mutex
	failed          error
}

// PublishCounts accounts for a Publisher's records: Received = Published + Filtered +
// DeadLettered, once Flush has returned nil.
type PublishCounts struct {
	Received, Published, Filtered, DeadLettered int64
	FilteredBy                                  decoding.Filtered
}

// NewPublisher returns a Publisher with an idempotent producer.
func NewPublisher(c kafka.Config, topics wire.Topics, o cloud.Options) (*Publisher, error) {
	client, err := newProducer(c, kgo.MaxBufferedRecords(20_000)) // about 60 MB; then Produce blocks
	if err != nil {
		return nil, err
	}
	p := &Publisher{client: client, topics: topics}
	o.Encoded = true
	p.in = read.NewRecords(read.Config{Options: o, Counts: &p.counts, Record: p.event,
		Dead: p.bad, Now: time.Now})
	return p, nil
}

// newProducer returns a client with an idempotent producer whose records all in-sync replicas
// acknowledge.
func newProducer(c kafka.Config, more ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(append(c.Options(),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		// The default partitioner's rule: the key's murmur2, like every other producer.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil))), more...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	return client, nil
}

// eventRecord returns a log record as a Kafka record whose key decides its partition. A record
// above Kafka's limit is a *decoding.BadRecord.
func eventRecord(topic string, from *decoding.Origin, rec *otellog.Record) (*kgo.Record, error) {
	value := otellog.AppendRequest(nil, rec)
	if len(value) > wire.MaxValueBytes {
		return nil, tooBig(from, len(value))
	}
	return &kgo.Record{
		Topic: topic, Key: wire.CallKey(rec), Value: value,
		Headers: []kgo.RecordHeader{{Key: wire.HeaderEvent, Value: []byte(rec.EventName)}},
	}, nil
}

// RefuseLate makes Object end with an error at the first event that is late by h, before
// publishing it.
func (p *Publisher) RefuseLate(h Horizon) { p.late = h }

// Counts returns the counts so far. Safe for concurrent use.
func (p *Publisher) Counts() PublishCounts {
	return PublishCounts{p.counts.Received.Load(), p.published.Load(), p.counts.Filtered.Load(),
		p.dead.Load(), p.counts.Why()}
}

// Object publishes one object's events. Bad records go to the dead letter topic. An error
// comes from Kafka or ctx.
func (p *Publisher) Object(ctx context.Context, o source.Object) error {
	if err := p.in.Object(ctx, o); err != nil {
		return err
	}
	return p.failure()
}

// event publishes a log record.
func (p *Publisher) event(ctx context.Context, from *decoding.Origin, rec *otellog.Record) error {
	if p.late.Late(rec.Time) {
		return p.late.lateError(from.Object, rec.Time, p.topics)
	}
	r, err := eventRecord(p.topics.Events, from, rec)
	if err != nil {
		return err
	}
	p.produce(ctx, r, &p.published)
	return nil
}

func (p *Publisher) bad(ctx context.Context, bad *decoding.BadRecord) error {
	letter := wire.FromBadRecord("publish", bad, time.Now())
	r := &kgo.Record{Topic: p.topics.DeadLetter, Value: append([]byte(nil), letter.Raw...)}
	for _, h := range letter.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	p.produce(ctx, r, &p.dead)
	return p.failure()
}

// produce passes r to the client; count grows once Kafka has it.
func (p *Publisher) produce(ctx context.Context, r *kgo.Record, count *atomic.Int64) {
	p.wg.Add(1)
	p.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
		defer p.wg.Done()
		if err == nil {
			count.Add(1)
			return
		}
		p.mu.Lock()
		p.failed = errors.Join(p.failed, err)
		p.mu.Unlock()
	})
}

func (p *Publisher) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return fmt.Errorf("cannot produce to Kafka: %w", p.failed)
	}
	return nil
}

// Flush waits until Kafka has everything.
func (p *Publisher) Flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return err
	}
	p.wg.Wait()
	return p.failure()
}

// Close ends the client.
func (p *Publisher) Close() { p.client.Close() }
