package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/sink"
)

// This file decides where a sink begins to read, and commits how far it has come.
//
// A sink's setting `from` counts once per topic: when the group has not committed anything
// of the topic. The sink then commits at once where it begins, with the time from which it
// reads in the metadata of the offset, and keeps that metadata in all later commits. A
// partition without an offset of a topic that has some was added later, or belongs to a
// member that was stopped before its first commit. It is read from that same time, so
// neither a restart nor another partition skips or repeats anything.

// startMark begins the metadata of the offsets; the time in RFC 3339 follows, or startOldest.
const (
	startMark   = "keytrail-from="
	startOldest = "earliest"
)

// offsets are those of partitions by topic.
type offsets = map[string]map[int32]kgo.Offset

// begin decides where partitions are read from that are new to the client; o has the group's
// own offsets of them, and begin commits and sets the others.
func (f *forwarder) begin(ctx context.Context, o offsets) error {
	admin := kadm.NewClient(f.client)
	stored, err := admin.FetchOffsets(ctx, f.part.group)
	if err == nil {
		err = stored.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("sink %q: cannot read the offsets of group %q: %w", f.d.Name, f.part.group, err)
	}
	known, err := withIDs(ctx, admin, slices.Collect(maps.Keys(o))...)
	if err != nil {
		return fmt.Errorf("sink %q: cannot look up its topics: %w", f.d.Name, err)
	}
	fresh := map[string]map[int32]int64{}
	for topic, partitions := range o {
		since, begun := startOf(stored[topic])
		if !begun {
			since = f.d.From.Since(f.began.at)
		}
		f.mu.Lock()
		f.starts[topic] = mark(since)
		f.topics[topic] = known[topic]
		f.mu.Unlock()
		f.resume(topic, partitions, stored[topic])
		var missing []int32
		for p := range partitions {
			if one, ok := stored.Lookup(topic, p); !ok || one.At < 0 {
				missing = append(missing, p)
			}
		}
		at, err := f.first(ctx, admin, topic, missing, since, !begun && since.Equal(f.began.at))
		if err != nil {
			return err
		}
		for p, offset := range at {
			set(fresh, topic, p, offset)
		}
		if own, ok := f.d.Sink.(sink.Positioned); ok {
			at, err := own.Positions(ctx, f.topics[topic], keys(partitions))
			if err != nil {
				return fmt.Errorf("sink %q: cannot read its position in topic %q: %w", f.d.Name, topic, err)
			}
			for p, offset := range at {
				// The group is behind if the process died after the transaction, and ahead
				// where records were left out or went to the dead letter.
				if one, ok := stored.Lookup(topic, p); !ok || one.At < offset {
					set(fresh, topic, p, offset)
				}
			}
		}
		for p, offset := range fresh[topic] {
			partitions[p] = kgo.NewOffset().At(offset)
		}
		for p := range partitions {
			f.part.owned.add(topic, p)
		}
	}
	if err := f.storeFirst(ctx, fresh); err != nil {
		return fmt.Errorf("sink %q: cannot store where it begins: %w", f.d.Name, err)
	}
	return nil
}

// withIDs returns topics with their ids, by which requests for offsets name them (KIP-848
// from version 10 on), and sinks their positions and objects. A topic that a broker does not
// know yet has none: that is an error, as those names would be others.
func withIDs(ctx context.Context, admin *kadm.Client, topics ...string) (map[string]sink.Topic, error) {
	found, err := admin.ListTopics(ctx, topics...)
	list := map[string]sink.Topic{}
	for _, topic := range topics {
		list[topic] = sink.Topic{Name: topic, ID: found[topic].ID}
		if err == nil && found[topic].Err != nil {
			err = fmt.Errorf("topic %q: %w", topic, found[topic].Err)
		}
	}
	return list, err
}

// beginning is where new sinks begin that begin at the latest record.
type beginning struct {
	at   time.Time
	ends kadm.ListedOffsets // of the topics at that time, as far as they are known
}

// noteEnds notes where the topics end, before any stage runs or a reload adds a sink. A
// sink that begins at the latest record begins there: the other stages of the process do
// not wait until it has joined its group. Where that fails, the sink goes by the time.
func (p *Pipeline) noteEnds(ctx context.Context) (b beginning) {
	b.at = time.Now()
	client, err := kgo.NewClient(p.Kafka.Options()...)
	if err != nil {
		return b
	}
	defer client.Close()
	within, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	// Not behind open transactions: they may end after the sink has begun.
	if b.ends, err = kadm.NewClient(client).ListCommittedOffsets(within, p.Topics.Events, p.Topics.Windows,
		p.Topics.Anomalies, p.Topics.Incidents); err != nil {
		p.Log.Warn("cannot find out where the topics end; new sinks go by the times of records", "error", err)
	}
	return b
}

// storeFirst commits where partitions begin. The client itself commits nothing before it
// knows what it reads, which begin decides.
func (f *forwarder) storeFirst(ctx context.Context, offsets map[string]map[int32]int64) error {
	if len(offsets) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group = f.part.group
	r.MemberID, r.Generation = f.client.GroupMetadata()
	names := map[[16]byte]string{}
	for topic, partitions := range offsets {
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = topic, f.topics[topic].ID
		names[t.TopicID] = topic
		for p, at := range partitions {
			one := kmsg.NewOffsetCommitRequestTopicPartition()
			one.Partition, one.Offset, one.Metadata = p, at, kmsg.StringPtr(f.metadata(topic, p, at))
			t.Partitions = append(t.Partitions, one)
		}
		r.Topics = append(r.Topics, t)
	}
	answer, err := r.RequestWith(ctx, f.client)
	if err != nil {
		return err
	}
	for i := range answer.Topics {
		if t := &answer.Topics[i]; t.Topic == "" {
			t.Topic = names[t.TopicID]
		}
	}
	if err := f.stored(answer, offsets); err != nil {
		return err
	}
	f.p.Log.Info("the sink begins to read", "sink", f.d.Name, "offsets", offsets)
	return nil
}

// stored notes which offsets a commit has stored; with the lock held.
func (f *forwarder) stored(answer *kmsg.OffsetCommitResponse, offsets map[string]map[int32]int64) (failed error) {
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				failed = errors.Join(failed, fmt.Errorf("topic %q partition %d: %w", t.Topic, p.Partition, err))
				continue
			}
			set(f.committed, t.Topic, p.Partition, offsets[t.Topic][p.Partition])
		}
	}
	return failed
}

// first returns the offsets from which partitions of a topic are read: those of the first
// records from a time on. latest asks for their ends at the start of the process instead, so
// that the clocks of producers do not matter.
func (f *forwarder) first(ctx context.Context, admin *kadm.Client, topic string, partitions []int32, since time.Time,
	latest bool) (map[int32]int64, error) {
	at := map[int32]int64{}
	if latest {
		for _, p := range partitions {
			if end, ok := f.began.ends.Lookup(topic, p); ok && end.Err == nil {
				at[p] = end.Offset
			}
		}
	}
	if len(at) == len(partitions) {
		return at, nil
	}
	var list kadm.ListedOffsets
	var err error
	if since.IsZero() {
		list, err = admin.ListStartOffsets(ctx, topic)
	} else {
		list, err = offsetsSince(ctx, admin, topic, since)
	}
	if err == nil {
		err = list.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("sink %q: cannot find out where topic %q is to be read from: %w", f.d.Name, topic, err)
	}
	for _, p := range partitions {
		if _, known := at[p]; known {
			continue
		}
		one, ok := list.Lookup(topic, p)
		if !ok {
			return nil, fmt.Errorf("sink %q: the brokers do not know partition %d of topic %q", f.d.Name, p, topic)
		}
		at[p] = one.Offset
	}
	return at, nil
}

// offsetsSince returns the offsets of the first records from a time on, of a partition
// without such a record its end. The end is asked for first: the client asks for it in a
// second request, and a record that arrives between the two would be skipped.
func offsetsSince(ctx context.Context, admin *kadm.Client, topic string, since time.Time) (kadm.ListedOffsets, error) {
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	list, err := admin.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic)
	for p, one := range list[topic] {
		if end, ok := ends.Lookup(topic, p); ok && end.Err == nil {
			one.Offset = min(one.Offset, end.Offset)
			list[topic][p] = one
		}
	}
	return list, err
}

// startOf returns the time from which a group reads a topic, by the metadata of its offsets:
// the earliest, or the zero time for the oldest record. begun is false if it has none.
func startOf(stored map[int32]kadm.OffsetResponse) (since time.Time, begun bool) {
	for _, one := range stored {
		if one.At < 0 {
			continue
		}
		at := unmark(one.Metadata)
		if !begun || at.Before(since) {
			since = at
		}
		begun = true
	}
	return since, begun
}

// mark returns the metadata for a time, and unmark the time; the zero time without one.
func mark(since time.Time) string {
	if since.IsZero() {
		return startMark + startOldest
	}
	return startMark + since.UTC().Format(time.RFC3339Nano)
}

func unmark(metadata string) time.Time {
	text, ok := strings.CutPrefix(metadata, startMark)
	if !ok {
		return time.Time{}
	}
	text, _, _ = strings.Cut(text, " ")
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

func keys[V any](m map[int32]V) (list []int32) {
	for k := range m {
		list = append(list, k)
	}
	return list
}

// commit commits the positions that have changed, even when a stop is asked for by now. When
// that fails, the records are delivered again after the next start, or it is tried again.
func (f *forwarder) commit(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.storePositions(ctx, f.chain.Positions())
}

// storePositions commits the positions that have changed; with the lock held.
func (f *forwarder) storePositions(ctx context.Context, positions map[string]map[int32]int64) {
	changed := map[string]map[int32]int64{}
	for topic, partitions := range positions {
		for p, at := range partitions {
			if before, ok := f.committed[topic][p]; !ok || before != at {
				set(changed, topic, p, at)
			}
		}
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := f.store(within, changed); err != nil {
		f.p.Kafka.Trouble.Failed(fmt.Sprintf("the offsets of sink %q are not committed; "+
			"its records may be delivered again", f.d.Name), err)
	}
}

// store commits offsets; with the lock held.
func (f *forwarder) store(ctx context.Context, offsets map[string]map[int32]int64) error {
	if len(offsets) == 0 {
		return nil
	}
	list := map[string]map[int32]kgo.EpochOffset{}
	for topic, partitions := range offsets {
		list[topic] = map[int32]kgo.EpochOffset{}
		for p, at := range partitions {
			list[topic][p] = kgo.EpochOffset{Epoch: -1, Offset: at}
		}
	}
	marked := kgo.PreCommitFnContext(ctx, func(r *kmsg.OffsetCommitRequest) error {
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				p := &r.Topics[i].Partitions[j]
				p.Metadata = kmsg.StringPtr(f.metadata(r.Topics[i].Topic, p.Partition, p.Offset))
			}
		}
		return nil
	})
	failed := errors.New("the group's coordinator has not answered")
	done := func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err == nil {
			failed = f.stored(answer, offsets)
		}
	}
	f.client.CommitOffsetsSync(marked, list, done)
	return failed
}

// revoked gives partitions up: to another member, once the batches with their records have
// ended and their offsets are committed, or at once when they are lost.
func (f *forwarder) revoked(ctx context.Context, list map[string][]int32, commit bool) {
	within, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	if !commit {
		cancel()
	}
	positions := f.chain.Revoke(within, list)
	f.mu.Lock()
	defer f.mu.Unlock()
	if commit {
		f.storePositions(ctx, positions)
	}
	for topic, partitions := range list {
		if own, ok := f.d.Sink.(sink.Positioned); ok {
			own.Release(f.topics[topic], partitions)
		}
		for _, p := range partitions {
			delete(f.next[topic], p)
			delete(f.committed[topic], p)
			delete(f.plans[topic], p)
			f.part.owned.drop(topic, p)
		}
	}
	if f.part.owned.none() { // what was in trouble is another process's
		f.part.tell(sink.Status{State: sink.StateTaking})
	}
}
