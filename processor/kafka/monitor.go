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

// Monitor looks at an installation's topics and groups from outside while it runs. It is
// not safe for concurrent use, but for Close.
type Monitor struct {
	s     starter
	cl    *kgo.Client
	first map[string]topicInfo // as they were at the first look
	gone  map[string]int       // looks in a row in which a topic was not as at first
}

// NewMonitor returns a Monitor of the topics. It opens no connection yet.
func NewMonitor(c Config, topics []Topic) (*Monitor, error) {
	cl, err := c.startClient(2)
	if err != nil {
		return nil, err
	}
	return &Monitor{s: starter{c: &c, cl: cl, adm: kadm.NewClient(cl), topics: topics}, cl: cl,
		gone: map[string]int{}}, nil
}

// Close ends the connections.
func (m *Monitor) Close() { m.cl.Close() }

// goneLooks is in how many looks in a row a topic has to be another than at first: a
// broker that has just started knows less than the others for some seconds.
const goneLooks = 4

// Look compares the topics with what they were at the first look. It returns a fault when
// one was deleted, made anew, given partitions or a setting that cannot work: nobody can
// count on from there. away is why it could not be seen.
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
		return nil, nil // the settings are those of topics that may be gone
	}
	var stop *final
	quiet := *m.s.c
	quiet.Log = nil // risks were logged at the start
	s := m.s
	s.c = &quiet
	if err := s.check(ctx, l); errors.As(err, &stop) {
		return fmt.Errorf("a setting was changed while Keytrail runs: %w", stop.err), nil
	} else if err != nil {
		return nil, err
	}
	return nil, nil
}

// compare returns an error when a topic is not what it was at the first look. Brokers
// before 2.8 give topics no id, and one that is being upgraded may leave it out: only two
// ids can differ.
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
		return fmt.Errorf("topic %q was deleted and made again while Keytrail runs: what it held is gone. "+
			"Stop all processes; docs/operations.md, \"Starting over\", says what to delete before the next start", name)
	case !ok:
		return fmt.Errorf("topic %q was deleted while Keytrail runs: what it held is gone. "+
			"Stop all processes; docs/operations.md, \"Starting over\", says what to delete before the next start", name)
	}
	return fmt.Errorf("topic %q has %d partitions, and had %d when Keytrail started: their number decides where records are, and cannot be changed while it runs. "+
		"Stop all processes; docs/operations.md, \"Starting over, and other numbers of partitions\", says what to do", name, is.partitions, was.partitions)
}

// Standing is how far a consumer group has come in one partition, in offsets.
type Standing struct {
	// Start is the first offset that is still there, and End the one behind the last that
	// a reader of committed records can see.
	Start, End int64
	// Committed is the offset from which the group reads on; Start where the group has
	// committed nothing (None).
	Committed int64
	None      bool
}

// Lag returns how many offsets the group has not committed. Those of aborted records and
// of the markers of transactions are among them.
func (s Standing) Lag() int64 { return max(0, s.End-max(s.Start, s.Committed)) }

// Standings returns how far a group has come in all partitions of the topics. The ends
// are those of committed records.
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

// Oldest returns the time in Kafka of the oldest record that a group has not committed,
// for each topic where there is one. It reads one record of each partition, or as many as
// come before ctx is done.
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
	// A marker of a transaction may be all that is left to read of a partition: it has a
	// time, too, and without it the partition would answer nothing.
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

// Retention returns for how long each topic keeps records by their age. Topics that do not
// delete by age are left out, and all where the client may not know.
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
