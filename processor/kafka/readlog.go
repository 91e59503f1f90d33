package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ReadLog reads the committed records of the given partitions from start to end, and
// calls f for each in order of offset within its partition. Stages restore their state
// with it.
//
// The end is the high watermark at the call, not the last stable offset: when a partition
// changes hands, the previous owner's last transaction may be decided before its marker
// is written here. ReadLog waits for the marker. It returns an error after Config.Stall
// without progress.
func ReadLog(ctx context.Context, c Config, topic string, list []int32, f func(*kgo.Record) error) error {
	return readLog(ctx, c, topic, list, f, func(kadm.ListedOffsets) error { return nil })
}

func readLog(ctx context.Context, c Config, topic string, list []int32, f func(*kgo.Record) error,
	check func(starts kadm.ListedOffsets) error) error {
	adminClient, err := kgo.NewClient(c.Options()...)
	if err != nil {
		return fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	defer adminClient.Close()
	stall := cmp.Or(c.Stall, DefaultStall)
	var left map[int32]bound
	c.Patience = min(c.patience(), stall)
	err = c.patiently(ctx, func(context.Context) (err error) {
		left, err = bounds(ctx, kadm.NewClient(adminClient), topic, list, stall, check)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot restore from topic %q: %w", topic, err)
	}
	if len(left) == 0 {
		return nil
	}
	return readBetween(ctx, c, topic, left, stall, f)
}

// readBetween reads the offsets in left.
func readBetween(ctx context.Context, c Config, topic string, left map[int32]bound, stall time.Duration,
	f func(*kgo.Record) error) error {
	from := map[int32]kgo.Offset{}
	for p, b := range left {
		from[p] = kgo.NewOffset().At(b.start)
	}
	cl, err := kgo.NewClient(append(c.Options(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // records deleted meanwhile must not be skipped silently
		// Control records show the end even if the log ends with a transaction's marker.
		kgo.KeepControlRecords())...)
	if err != nil {
		return fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	defer cl.Close()
	for len(left) > 0 {
		within, cancel := context.WithTimeout(ctx, stall)
		fetches := cl.PollFetches(within)
		cancel()
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("cannot restore from topic %q, with %d partitions not read to their end: %w",
				topic, len(left), err)
		}
		var failed error
		fetches.EachError(func(_ string, p int32, err error) {
			failed = fmt.Errorf("cannot restore from topic %q partition %d: %w", topic, p, err)
		})
		fetches.EachRecord(func(r *kgo.Record) {
			if b, ok := left[r.Partition]; ok && r.Offset+1 >= b.end {
				delete(left, r.Partition)
			} else if !ok {
				return
			}
			if failed == nil && !r.Attrs.IsControl() {
				if err := f(r); err != nil {
					failed = Fatal(err)
				}
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// ReadState is ReadLog of a compacted state topic. Its beginning is never deleted, so a
// partition that does not begin with offset 0 was cut, which is ErrStateMissing.
func ReadState(ctx context.Context, c Config, topic string, list []int32, f func(*kgo.Record) error) error {
	return readLog(ctx, c, topic, list, f, func(starts kadm.ListedOffsets) error {
		for _, p := range list {
			if s, ok := starts.Lookup(topic, p); ok && s.Offset > 0 {
				return Fatal(fmt.Errorf("topic %q partition %d begins with offset %d: its first records were deleted, by a "+
					"time of retention or by hand: %w", topic, p, s.Offset, ErrStateMissing))
			}
		}
		return nil
	})
}

type bound struct{ start, end int64 }

// bounds returns the first and the end offset of each partition that is not empty, once
// every earlier transaction is decided.
func bounds(ctx context.Context, adm *kadm.Client, topic string, list []int32, stall time.Duration,
	check func(kadm.ListedOffsets) error) (map[int32]bound, error) {
	ctx, cancel := context.WithTimeout(ctx, stall)
	defer cancel()
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := check(starts); err != nil {
		return nil, err
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	found := map[int32]bound{}
	for _, p := range list {
		s, ok1 := starts.Lookup(topic, p)
		e, ok2 := ends.Lookup(topic, p)
		if !ok1 || !ok2 || s.Err != nil || e.Err != nil {
			return nil, fmt.Errorf("partition %d has no offsets: %w", p,
				cmp.Or(s.Err, e.Err, error(kerr.UnknownTopicOrPartition)))
		}
		if s.Offset < e.Offset {
			found[p] = bound{s.Offset, e.Offset}
		}
	}
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		stable, err := adm.ListCommittedOffsets(ctx, topic)
		if err != nil {
			return nil, err
		}
		var open []int32
		for p, b := range found {
			if s, ok := stable.Lookup(topic, p); !ok || s.Offset < b.end {
				open = append(open, p)
			}
		}
		if len(open) == 0 {
			return found, nil
		}
		select {
		case <-ctx.Done():
			slices.Sort(open)
			return nil, &final{fmt.Errorf(
				"transactions of partitions %v stay open (kafka-transactions.sh find-hanging lists them): %w", open, ctx.Err())}
		case <-time.After(wait):
		}
	}
}
