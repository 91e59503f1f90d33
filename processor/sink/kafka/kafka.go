// Package kafka is the sink that writes records to topics of another Kafka cluster, each
// exactly once.
//
// Each partition of the source has a producer with its own transactional id in the target.
// A transaction holds the records of a batch and the position behind them, as the offset of
// a consumer group of the same name. Exactly once follows from one rule: a producer writes
// no record below the position that it has read after its transactional id was initialized.
// Initializing ends the former owner's transaction and fences it, so the position is final
// when it is read. A failure of any kind closes the producer, and the next attempt begins
// with both steps. So the answer to a commit may be lost, and two processes may own a
// partition for a while: none of that loses or repeats a record, for consumers that read
// committed records.
//
// The names hold the id of the source topic: several clusters can write into one target.
// Kafka forgets the position of a group after offsets.retention.minutes (7 days by default)
// without a commit; by then the source's group has the same position.
//
// Source: KIP-98, KIP-447, and KIP-890.
package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	cluster "keytrail/processor/kafka"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/schemas/semconv"
)

// Sink writes records to one cluster. It implements sink.Positioned and is safe for
// concurrent use.
type Sink struct {
	c     Config
	group string
	kafka cluster.Config

	mu    sync.Mutex // guards lanes
	lanes map[lane]*producer
}

// lane is one partition of the source.
type lane struct {
	topic     string
	id        [16]byte
	partition int32
}

// name returns the transactional id of a lane, and the group of its position.
func (s *Sink) name(l lane) string {
	topic := hex.EncodeToString(l.id[:])
	if l.id == [16]byte{} {
		topic = l.topic
	}
	return s.group + "-" + topic + "-" + strconv.Itoa(int(l.partition))
}

// of returns the producer of a lane, which may be closed.
func (s *Sink) of(l lane) *producer {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.lanes[l]
	if p == nil {
		p = &producer{s: s, lane: l, name: s.name(l)}
		s.lanes[l] = p
	}
	return p
}

// Positions fences the former owners of partitions, and returns the positions that they
// have stored.
func (s *Sink) Positions(ctx context.Context, topic sink.Topic, partitions []int32) (map[int32]int64, error) {
	found := map[int32]int64{}
	var mu sync.Mutex
	errs := make([]error, len(partitions))
	var all sync.WaitGroup
	for i, partition := range partitions {
		all.Go(func() {
			p := s.of(lane{topic.Name, topic.ID, partition})
			p.mu.Lock()
			defer p.mu.Unlock()
			p.close()
			if errs[i] = p.open(ctx); errs[i] == nil && p.next >= 0 {
				mu.Lock()
				defer mu.Unlock()
				found[partition] = p.next
			}
		})
	}
	all.Wait()
	return found, errors.Join(errs...)
}

// Release closes the producers of partitions, each when its transaction has ended.
func (s *Sink) Release(topic sink.Topic, partitions []int32) {
	for _, partition := range partitions {
		l := lane{topic.Name, topic.ID, partition}
		s.mu.Lock()
		p := s.lanes[l]
		delete(s.lanes, l)
		s.mu.Unlock()
		if p != nil {
			p.released.Store(true)
			p.reap()
		}
	}
}

// Deliver writes the records of each partition in one transaction.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	parts := map[lane][]int{}
	for i := range batch {
		l := lane{batch[i].Topic, batch[i].TopicID, batch[i].Partition}
		parts[l] = append(parts[l], i)
	}
	var mu sync.Mutex
	var failed []error
	var left []int
	known := 0
	var all sync.WaitGroup
	for l, at := range parts {
		all.Go(func() {
			n, err := s.of(l).deliver(ctx, batch, at)
			mu.Lock()
			defer mu.Unlock()
			if known += n; err != nil {
				failed, left = append(failed, err), append(left, at...)
			}
		})
	}
	all.Wait()
	err := sink.Stopped(len(batch), errors.Join(failed...), left, nil)
	if known > 0 {
		err = errors.Join(err, &sink.Duplicate{Records: known})
	}
	return err
}

// Close closes all producers.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range maps.Values(s.lanes) {
		p.mu.Lock()
		p.close()
		p.mu.Unlock()
	}
	return nil
}

// topic returns the target's topic for a record.
func (s *Sink) topic(r *sink.Record) string {
	switch r.EventName {
	case semconv.EventKeytrailWindow:
		return s.c.Topics.Windows
	case semconv.EventKeytrailAnomaly:
		return s.c.Topics.Anomalies
	case semconv.EventKeytrailIncident:
		return s.c.Topics.Incidents
	}
	return s.c.Topics.Events
}

// errOwnSource means that the sink would read what it writes.
var errOwnSource = errors.New("the target is the topic that the sink reads; set topics to others, or brokers to " +
	"another cluster")

// verdict returns an error of a client as one of package sink.
func (s *Sink) verdict(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errOwnSource):
		return &sink.Paused{Cause: sink.CauseTarget, Err: err}
	case is(err, kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed,
		kerr.ClusterAuthorizationFailed, kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism):
		s.c.SASL.Password.Forget()
		return &sink.Paused{Cause: sink.CauseCredentials, Err: s.kafka.Security.Explain(err)}
	case is(err, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException, kerr.PolicyViolation):
		return &sink.Paused{Cause: sink.CauseTarget, Err: err}
	case is(err, kerr.MessageTooLarge, kerr.RecordListTooLarge):
		return &sink.Rejected{Reason: sink.ReasonTooLarge, Split: true, Err: err}
	case is(err, kerr.InvalidRecord):
		return &sink.Rejected{Reason: sink.ReasonInvalid, Split: true, Err: err}
	case s.kafka.Security.Refused(err):
		return &sink.Paused{Cause: sink.CauseTLS, Err: s.kafka.Security.Explain(err)}
	}
	return httpsink.Failure(err)
}

func is(err error, list ...*kerr.Error) bool {
	return slices.ContainsFunc(list, func(one *kerr.Error) bool { return errors.Is(err, one) })
}

// record returns the target's record for one of the source, or an error if it has no body.
func (p *producer) record(r *sink.Record) (*kgo.Record, error) {
	out := &kgo.Record{Topic: p.s.topic(r), Key: r.Key, Value: r.Value}
	if r.EventName != "" {
		out.Headers = []kgo.RecordHeader{{Key: eventHeader, Value: []byte(r.EventName)}}
	}
	if p.body == nil {
		return out, nil
	}
	p.rec.Reset()
	if err := p.rec.Decode(r.Value); err != nil {
		return nil, fmt.Errorf("cannot decode a record: %w", err)
	}
	var err error
	if out.Value, err = p.body.Append(nil, &p.rec); err != nil {
		return nil, fmt.Errorf("cannot encode a record: %w", err)
	}
	return out, nil
}
