package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Monitor watches an installation's topics and groups while it runs. It is not safe for
// concurrent use, except Close.
type Monitor struct {
	s     starter
	cl    *kgo.Client
	first map[string]topicInfo // the topics at the first look
	gone  map[string]int       // consecutive looks in which a topic was missing or another one
}

// NewMonitor returns a Monitor of the topics. It opens no connections yet.
func NewMonitor(c Config, topics []Topic) (*Monitor, error) {
	cl, err := c.startClient(2)
	if err != nil {
		return nil, err
	}
	return &Monitor{s: starter{c: &c, cl: cl, adm: kadm.NewClient(cl), topics: topics}, cl: cl,
		gone: map[string]int{}}, nil
}

// Close closes the connections.
func (m *Monitor) Close() { m.cl.Close() }

// goneLooks is the number of consecutive looks that must find a topic changed: a broker
// that has just started has outdated metadata for some seconds.
const goneLooks = 4

// Look compares the topics with the first look. It returns a fault if a topic was
// deleted, recreated, or got more partitions or a setting that cannot work: counts are
// unreliable from then on. away is the reason why it could not look.
func (m *Monitor) Look(ctx context.Context) (fault, away error) {
	names := make([]string, len(m.s.topics))
	for i, t := range m.s.topics {
		names[i] = t.Name
	}
	l, err := describe(ctx, m.cl, names)
	var d *denied
	if errors.As(err, &d) {
		return nil, m.s.c.refusal(d)
	} else if err != nil {
		return nil, err
	}
	if m.first == nil {
		if len(l.topics) < len(names) {
			return nil, fmt.Errorf("the brokers know %d of %d topics", len(l.topics), len(names))
		}
		m.first = l.topics
	}
	for _, name := range names {
		if err := m.compare(name, l); err != nil {
			return err, nil
		}
	}
	if len(l.topics) < len(names) {
		return nil, nil // the settings may be those of deleted topics
	}
	var stop *final
	quiet := *m.s.c
	quiet.Log = nil // risks were logged at startup
	s := m.s
	s.c = &quiet
	if err := s.check(ctx, l); errors.As(err, &stop) {
		return fmt.Errorf("a setting was changed while Keytrail runs: %w", stop.err), nil
	} else if err != nil {
		return nil, err
	}
	return nil, nil
}

// compare returns an error if a topic has changed since the first look. Brokers before
// 2.8 give topics no id, and a broker during its upgrade may omit it: only two known ids
// can differ.
func (m *Monitor) compare(name string, l layout) error {
	was := m.first[name]
	is, ok := l.topics[name]
	if ok && was.id == ([16]byte{}) {
		was.id = is.id
		m.first[name] = was
	}
	anew := ok && is.id != was.id && is.id != ([16]byte{})
	if ok && !anew && is.partitions == was.partitions {
		m.gone[name] = 0
		return nil
	}
	if m.gone[name]++; m.gone[name] < goneLooks {
		return nil
	}
	switch {
	case anew:
		return fmt.Errorf("topic %q was deleted and created again while Keytrail runs: its records are gone. "+
			"Stop all processes; docs/operations.md, \"Starting over\", says what to delete before the next start", name)
	case !ok:
		return fmt.Errorf("topic %q was deleted while Keytrail runs: its records are gone. "+
			"Stop all processes; docs/operations.md, \"Starting over\", says what to delete before the next start", name)
	}
	return fmt.Errorf("topic %q has %d partitions, but had %d when Keytrail started: their number must not change "+
		"while it runs. "+
		"Stop all processes; docs/operations.md, \"Starting over, and other numbers of partitions\", says what to do", name, is.partitions, was.partitions)
}

// Standing is the progress of a consumer group in one partition, in offsets.
type Standing struct {
	// Start is the partition's first offset, and End is one past the last committed
	// record.
	Start, End int64
	// Committed is the group's next offset; Start if the group has committed none (None).
	Committed int64
	None      bool
}

// Lag returns the number of offsets that the group has not committed, including those of
// aborted records and transaction markers.
func (s Standing) Lag() int64 { return max(0, s.End-max(s.Start, s.Committed)) }

// Standings returns a group's progress in all partitions of the topics, up to the last
// committed records.
func (m *Monitor) Standings(ctx context.Context, group string, topics ...string) (map[string]map[int32]Standing,
	error) {
	starts, err := m.s.adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ends, err := m.s.adm.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	committed, err := m.s.adm.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // a group without members or offsets

		return nil, err
	}
	all := map[string]map[int32]Standing{}
	var failed error
	ends.Each(func(end kadm.ListedOffset) {
		start, ok := starts.Lookup(end.Topic, end.Partition)
		if err := errors.Join(end.Err, start.Err); err != nil || !ok {
			failed = fmt.Errorf("topic %q partition %d has no offsets: %w", end.Topic, end.Partition, err)
			return
		}
		s := Standing{Start: start.Offset, End: end.Offset, Committed: start.Offset, None: true}
		if at, ok := committed.Lookup(end.Topic, end.Partition); ok && at.Err == nil && at.At >= 0 {
			s.Committed, s.None = at.At, false
		}
		if all[end.Topic] == nil {
			all[end.Topic] = map[int32]Standing{}
		}
		all[end.Topic][end.Partition] = s
	})
	if failed != nil {
		return nil, failed
	}
	return all, nil
}

// Oldest returns, per topic, the Kafka timestamp of the oldest record that a group has
// not committed. It reads one record per partition, as far as it gets before ctx is done.
func (m *Monitor) Oldest(ctx context.Context, standings map[string]map[int32]Standing) (map[string]time.Time, error) {
	from := map[string]map[int32]kgo.Offset{}
	left := 0
	for topic, partitions := range standings {
		for p, s := range partitions {
			if s.Lag() == 0 {
				continue
			}
			if from[topic] == nil {
				from[topic] = map[int32]kgo.Offset{}
			}
			from[topic][p] = kgo.NewOffset().At(max(s.Start, s.Committed))
			left++
		}
	}
	found := map[string]time.Time{}
	if left == 0 {
		return found, nil
	}
	quiet := *m.s.c
	quiet.Log, quiet.Trouble = nil, nil
	// A partition may have only a transaction marker left to read. A marker has a
	// timestamp, and without it the partition would return nothing.
	cl, err := kgo.NewClient(append(quiet.Options(), kgo.ConsumePartitions(from), kgo.FetchMaxPartitionBytes(4<<10),
		kgo.FetchMaxBytes(256<<10), kgo.KeepControlRecords())...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	defer cl.Close()
	seen := map[string]map[int32]bool{}
	for left > 0 && ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 || seen[p.Topic][p.Partition] {
				return
			}
			if seen[p.Topic] == nil {
				seen[p.Topic] = map[int32]bool{}
			}
			seen[p.Topic][p.Partition] = true
			left--
			if at := p.Records[0].Timestamp; found[p.Topic].IsZero() || at.Before(found[p.Topic]) {
				found[p.Topic] = at
			}
		})
	}
	return found, nil
}

// Retention returns each topic's retention time. It omits topics that do not delete by
// age, and all topics if the client may not describe their settings.
func (m *Monitor) Retention(ctx context.Context, topics ...string) (map[string]time.Duration, error) {
	settings, err := m.s.settings(ctx, topics)
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	kept := map[string]time.Duration{}
	for topic, has := range settings {
		var ms int64
		if _, err := fmt.Sscan(has["retention.ms"], &ms); err == nil && ms > 0 &&
			policies(has["cleanup.policy"]) != "compact" {
			kept[topic] = time.Duration(ms) * time.Millisecond
		}
	}
	return kept, nil
}
