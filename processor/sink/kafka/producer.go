package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/sink"
	"keytrail/schemas/body"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// eventHeader is the header with the event name, as in the source.
const eventHeader = wire.HeaderEvent

// producer writes the records of one lane.
type producer struct {
	s    *Sink
	lane lane
	name string

	released atomic.Bool // the partition was revoked

	mu     sync.Mutex   // guards what follows
	client *kgo.Client  // nil while it is closed
	next   int64        // the position that the target has; -1 for none
	body   body.Encoder // nil: the stored bytes
	rec    otellog.Record
}

// close drops the client. An open transaction is left to the next open.
func (p *producer) close() {
	if p.client != nil {
		p.client.Close()
		p.client = nil
	}
}

// reap closes a released producer, unless it is in use: then its user does.
func (p *producer) reap() {
	if p.released.Load() && p.mu.TryLock() {
		defer p.mu.Unlock()
		p.close()
	}
}

// open fences the former owner, and then reads the position; with the lock held.
func (p *producer) open(ctx context.Context) error {
	c := &p.s.c
	if c.Body != "otlp" && p.body == nil {
		e, err := body.New(c.Body)
		if err != nil {
			return fmt.Errorf("BUG: %w", err) // Config.Validate has checked it
		}
		p.body = e
	}
	client, err := kgo.NewClient(append(p.s.kafka.Options(), kgo.TransactionalID(p.name),
		// Retries end before the context does, so that an error says why.
		kgo.TransactionTimeout(c.Timeout), kgo.RetryTimeout(c.Timeout/2),
		kgo.RecordDeliveryTimeout(c.Timeout), kgo.UnknownTopicRetries(2),
		// A batch of one record is larger than the record by less than 1 KiB.
		kgo.ProducerBatchMaxBytes(int32(c.MaxRecord)), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()))...)
	if err != nil {
		return fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	within, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err = p.begin(within, client)
	// A coordinator that moves, or that a new cluster is about to make.
	for kerr.IsRetriable(err) && sleep(within, 250*time.Millisecond) {
		err = p.begin(within, client)
	}
	if err != nil {
		client.Close()
		return p.s.verdict(fmt.Errorf("cannot begin as transactional id %q: %w", p.name, err))
	}
	p.client = client
	return nil
}

// sleep waits, and reports false if ctx is done before.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// begin fences the former owner and then reads the position.
func (p *producer) begin(ctx context.Context, client *kgo.Client) error {
	err := p.check(ctx, client)
	if err == nil {
		_, _, err = client.ProducerID(ctx)
	}
	if err == nil {
		p.next, err = position(ctx, client, p.name)
	}
	return err
}

// check returns an error if a topic of the target is missing, or is the source.
func (p *producer) check(ctx context.Context, client *kgo.Client) error {
	t := p.s.c.Topics
	list, err := kadm.NewClient(client).ListTopics(ctx, t.Events, t.Windows, t.Anomalies, t.Incidents)
	if err != nil {
		return err
	}
	for _, one := range list {
		if one.Err == nil && one.ID != (kadm.TopicID{}) && [16]byte(one.ID) == p.lane.id {
			return fmt.Errorf("topic %q: %w", one.Topic, errOwnSource)
		}
	}
	return nil
}

// position returns the position that a group has stored, -1 for none: the highest, as a
// changed configuration leaves another topic's behind.
func position(ctx context.Context, client *kgo.Client, group string) (int64, error) {
	stored, err := kadm.NewClient(client).FetchOffsets(kadm.RequireStable(ctx), group)
	if err == nil {
		err = stored.Error()
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return -1, nil
	}
	at := int64(-1)
	stored.Each(func(o kadm.OffsetResponse) { at = max(at, o.At) })
	return at, err
}

// deliver writes the records of a batch at some places. It returns how many of them the
// target had. A batch with a record that cannot be written is refused as a whole, to be halved:
// the position would pass the record before its dead letter is stored, and a process that
// dies in between would lose it.
func (p *producer) deliver(ctx context.Context, batch []sink.Record, at []int) (known int, err error) {
	p.mu.Lock()
	defer p.reap()
	defer p.mu.Unlock()
	if p.client == nil {
		if err := p.open(ctx); err != nil {
			return 0, err
		}
	}
	var list []*kgo.Record
	last := int64(-1)
	for _, i := range at {
		r := &batch[i]
		if p.lane.topic != "" && r.Offset < p.next {
			known++
			continue
		}
		out, reason := (*kgo.Record)(nil), sink.ReasonTooLarge
		if size := len(r.Value) + len(r.Key); size+overhead > int(p.s.c.MaxRecord) && p.body == nil {
			err = fmt.Errorf("the record has %d bytes, and max_record is %d; raise it if the target takes more", size,
				p.s.c.MaxRecord)
		} else {
			out, err = p.record(r)
			reason = sink.ReasonInvalid
		}
		if err != nil {
			return 0, &sink.Rejected{Reason: reason, Split: true, Err: err}
		}
		list, last = append(list, out), r.Offset
	}
	if len(list) == 0 {
		return known, nil
	}
	within, cancel := context.WithTimeout(ctx, p.s.c.Timeout)
	defer cancel()
	if err := p.transact(within, list, last+1); err != nil {
		p.end()
		p.close()
		return 0, p.s.verdict(fmt.Errorf("cannot write as transactional id %q: %w", p.name, err))
	}
	p.next = last + 1
	return known, nil
}

// overhead is more than what a batch of one record adds to its key and value: 61 bytes of
// the batch, and the record's header with the event name.
const overhead = 512

// transact writes records and the position behind them in one transaction.
func (p *producer) transact(ctx context.Context, list []*kgo.Record, next int64) error {
	if err := p.client.BeginTransaction(); err != nil {
		return err
	}
	if err := p.client.ProduceSync(ctx, list...).FirstErr(); err != nil {
		return err
	}
	if p.lane.topic != "" { // else a test record, which has no place in the source
		if err := p.store(ctx, list[0].Topic, next); err != nil {
			return fmt.Errorf("cannot store the position: %w", err)
		}
	}
	return p.client.EndTransaction(ctx, kgo.TryCommit)
}

// end aborts the transaction, if that is possible, so that consumers need not wait for the
// next open.
func (p *producer) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if p.client.AbortBufferedRecords(ctx) == nil {
		_ = p.client.EndTransaction(ctx, kgo.TryAbort) // the next open aborts it otherwise
	}
}

// store adds the position to the transaction: as the offset of partition 0 of a topic that
// exists in the target.
func (p *producer) store(ctx context.Context, topic string, next int64) error {
	id, epoch, err := p.client.ProducerID(ctx)
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = p.name, id, epoch, p.name
	added, err := add.RequestWith(ctx, p.client)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		return err
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.Group, commit.ProducerID, commit.ProducerEpoch = p.name, p.name, id, epoch
	commit.Generation = -1 // the group has no members
	one := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	one.Offset, one.Metadata = next, kmsg.StringPtr(fmt.Sprintf("%s/%d", p.lane.topic, p.lane.partition))
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, one)
	if known, err := kadm.NewClient(p.client).ListTopics(ctx, topic); err == nil {
		t.TopicID = known[topic].ID
	}
	commit.Topics = append(commit.Topics, t)
	answer, err := commit.RequestWith(ctx, p.client)
	if err != nil {
		return err
	}
	for _, t := range answer.Topics {
		for _, one := range t.Partitions {
			if err := kerr.ErrorForCode(one.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}
