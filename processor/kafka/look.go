package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Look reads the committed records of a topic up to its current end, without a consumer
// group, so it leaves nothing behind on the brokers.
type Look struct {
	Topic string
	// Key restricts the look to the partition of this record key; nil: all partitions.
	Key []byte
	// Since skips the records before the first one whose Kafka timestamp is not earlier;
	// the zero time skips nothing.
	Since time.Time
	// Most bounds the number of records, at least 1, with an equal share per partition.
	Most int64
	// Newest selects the newest records if there are more than Most; otherwise the oldest.
	Newest bool
	// Follow continues beyond the current end, until ctx ends or f returns an error. Most
	// and Newest do not apply.
	Follow bool
	// Latest begins at the current end; Since does not apply.
	Latest bool
	// From begins partitions at these offsets, or at the oldest record if that is later;
	// Since applies to the others.
	From map[int32]int64
}

// ErrBeyond means that a look was to begin behind the end of a partition: the topic was
// deleted and created again.
var ErrBeyond = errors.New("it is beyond the end of the topic")

// One reads one record. It fails if the record is not there, such as after its retention, and
// if no broker delivers it within Config.Patience.
func One(ctx context.Context, c Config, topic string, partition int32, offset int64) (found *kgo.Record, err error) {
	cl, err := kgo.NewClient(append(c.Options(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {partition: kgo.NewOffset().At(offset)}}), kgo.ConsumeResetOffset(kgo.NoResetOffset()))...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	defer cl.Close()
	within, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	for {
		fetches := cl.PollFetches(within)
		err := fetches.Err()
		if err != nil && within.Err() != nil && ctx.Err() == nil {
			err = c.gaveUp(ctx, c.patience(), err)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read topic %q partition %d offset %d: %w", topic, partition, offset, err)
		}
		for _, r := range fetches.Records() {
			if r.Offset == offset {
				return r, nil
			}
			return nil, fmt.Errorf("topic %q partition %d has no record at offset %d", topic, partition, offset)
		}
	}
}

// Read is Each for callers that need no more than key and value.
func (l Look) Read(ctx context.Context, c Config, f func(key, value []byte)) (unread int64, err error) {
	return l.Each(ctx, c, func(r *kgo.Record) error {
		f(r.Key, r.Value)
		return nil
	})
}

// Each calls f for each record, in order of offset within its partition; f may keep the
// record. An error of f ends the look and is returned. Unread is the number of offsets
// skipped because of Most, or because ctx reached its deadline, which is not an error.
// A look waits while another broker takes over from one that fails: up to
// Config.Patience for the bounds, and for each next record unless it follows.
func (l Look) Each(ctx context.Context, c Config, f func(*kgo.Record) error) (unread int64, err error) {
	cl, err := kgo.NewClient(c.Options()...)
	if err != nil {
		return 0, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	var left map[int32]bound
	err = c.patiently(ctx, func(ctx context.Context) (err error) {
		left, err = l.bounds(ctx, kadm.NewClient(cl))
		return err
	})
	cl.Close()
	if err != nil {
		return 0, fmt.Errorf("cannot read topic %q at %v: %w", l.Topic, c.Brokers, err)
	}
	unread = l.limit(left)
	if len(left) == 0 {
		return unread, nil
	}
	rest, err := l.poll(ctx, c, left, f)
	return unread + rest, err
}

// bounds returns the offsets to read of each partition.
func (l Look) bounds(ctx context.Context, adm *kadm.Client) (map[int32]bound, error) {
	ends, err := adm.ListCommittedOffsets(ctx, l.Topic)
	if err != nil {
		return nil, err
	}
	var starts kadm.ListedOffsets
	if l.Since.IsZero() {
		starts, err = adm.ListStartOffsets(ctx, l.Topic)
	} else {
		starts, err = adm.ListOffsetsAfterMilli(ctx, l.Since.UnixMilli(), l.Topic)
	}
	if err != nil {
		return nil, err
	}
	found, n := map[int32]bound{}, int32(len(ends[l.Topic]))
	for p, e := range ends[l.Topic] {
		s, ok := starts.Lookup(l.Topic, p)
		switch {
		case e.Err != nil:
			return nil, e.Err
		case !ok:
			return nil, fmt.Errorf("partition %d has no start", p)
		case s.Err != nil:
			return nil, s.Err
		}
		b := bound{s.Offset, e.Offset}
		if from, ok := l.From[p]; ok && from > b.start {
			if from > e.Offset {
				return nil, fmt.Errorf("partition %d: offset %d: %w", p, from, ErrBeyond)
			}
			b.start = from
		}
		if l.Latest {
			b.start = b.end
		}
		if l.Follow {
			b.end = math.MaxInt64
		}
		if (l.Key == nil || p == KeyPartition(l.Key, n)) && b.start < b.end {
			found[p] = b
		}
	}
	return found, nil
}

// limit shortens left to Most offsets and returns how many it cut off.
func (l Look) limit(left map[int32]bound) (cut int64) {
	if l.Follow {
		return 0
	}
	total := int64(0)
	for _, b := range left {
		total += b.end - b.start
	}
	if total <= l.Most {
		return 0
	}
	share := float64(l.Most) / float64(total)
	for p, b := range left {
		n := max(int64(float64(b.end-b.start)*share), 1)
		cut += b.end - b.start - n
		if l.Newest {
			b.start = b.end - n
		} else {
			b.end = b.start + n
		}
		left[p] = b
	}
	return cut
}

// poll reads the offsets in left and returns how many it did not read in time.
func (l Look) poll(ctx context.Context, c Config, left map[int32]bound,
	f func(*kgo.Record) error) (rest int64, err error) {
	from := map[int32]kgo.Offset{}
	for p, b := range left {
		from[p] = kgo.NewOffset().At(b.start)
	}
	cl, err := kgo.NewClient(append(c.Options(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.Topic: from}),
		kgo.KeepControlRecords())...) // the log may end with a transaction's marker, as in ReadLog
	if err != nil {
		return 0, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	defer cl.Close()
	for len(left) > 0 {
		fetches, stalled := l.next(ctx, c, cl)
		if err := ctx.Err(); err != nil {
			for _, b := range left {
				rest += b.end - b.start
			}
			if errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
			return rest, err
		}
		if stalled {
			return 0, fmt.Errorf("cannot read topic %q to its end: %w", l.Topic, c.gaveUp(ctx, c.patience(),
				fmt.Errorf("partitions %v give no records", slices.Sorted(maps.Keys(left)))))
		}
		var failed error
		fetches.EachError(func(_ string, p int32, err error) {
			failed = fmt.Errorf("cannot read topic %q partition %d: %w", l.Topic, p, err)
		})
		if failed != nil {
			return 0, failed
		}
		fetches.EachRecord(func(r *kgo.Record) {
			b, ok := left[r.Partition]
			if !ok || r.Offset >= b.end {
				delete(left, r.Partition) // compaction has removed the last records
				return
			}
			if failed == nil && !r.Attrs.IsControl() {
				failed = f(r)
			}
			if b.start = r.Offset + 1; b.start >= b.end {
				delete(left, r.Partition)
			} else {
				left[r.Partition] = b
			}
		})
		if failed != nil {
			return 0, failed
		}
	}
	return 0, nil
}

// next waits for records, and reports whether none came within Config.Patience. A look that
// follows waits as long as ctx lasts.
func (l Look) next(ctx context.Context, c Config, cl *kgo.Client) (fetches kgo.Fetches, stalled bool) {
	if l.Follow {
		return cl.PollFetches(ctx), false
	}
	within, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	fetches = cl.PollFetches(within)
	return fetches, within.Err() != nil && fetches.NumRecords() == 0
}
