// Package kafka holds what Keytrail does with Kafka and knows nothing of what
// the records mean: clients, topics, the loop of read-process-write
// transactions, reading a log back to restore state, and the embedded broker.
package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says how to reach a cluster.
type Config struct {
	Brokers  []string // host:port, at least one
	ClientID string
	// SessionTimeout is after how long without a heartbeat a member of a consumer
	// group counts as dead, and others take its partitions over: 6 s to 30 min by
	// Kafka's defaults; 0 is DefaultSessionTimeout.
	SessionTimeout time.Duration
	// Stall is how long ReadLog waits for the next record, or for open transactions to
	// end; 0 is DefaultStall.
	Stall time.Duration
	// Security is how connections are encrypted and who the client is.
	Security Security
	Log      *slog.Logger
}

// DefaultSessionTimeout is Kafka's own (KIP-735).
const DefaultSessionTimeout = 45 * time.Second

// DefaultStall is several times what a broker's failure takes, and what Keytrail's
// transactions may.
const DefaultStall = 2 * time.Minute

func (c *Config) session() time.Duration { return cmp.Or(c.SessionTimeout, DefaultSessionTimeout) }

// Member returns the client options of a member of a consumer group, which come on
// top of Options.
func (c *Config) Member(group string) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(group), kgo.SessionTimeout(c.session()),
		kgo.HeartbeatInterval(min(3*time.Second, c.session()/3)), // 3 s is Kafka's default, and a third of a session its advice
	}
}

// Options returns the client options that every Keytrail client shares.
func (c *Config) Options() []kgo.Opt {
	return append(c.Security.Options(),
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID(c.ClientID), kgo.WithLogger(clientLog{c.Log}),
		// Where nothing is committed yet a group begins at the oldest record, and
		// does so again when its offset has been deleted: nothing is skipped that
		// can still be read.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A refused request, such as the first produce after the end of a transaction that
		// the broker has not finished yet, is tried again once metadata has been asked for.
		// With the client's default of 5 s between two such questions, that is a stall.
		kgo.MetadataMinAge(100*time.Millisecond),
		// Memory of what is fetched and not polled yet, before it is decompressed: from each
		// broker. Stages ask for less where that grows much: see fetched.
		kgo.FetchMaxBytes(mostFetch), kgo.FetchMaxPartitionBytes(mostFetch/4),
		kgo.WithDecompressor(newLZ4Blocks()),
	)
}

// clientLog passes the client's warnings on; its own chatter stays out.
type clientLog struct{ log *slog.Logger }

func (l clientLog) Level() kgo.LogLevel {
	if l.log == nil {
		return kgo.LogLevelNone
	}
	return kgo.LogLevelWarn
}

func (l clientLog) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	if level == kgo.LogLevelError {
		l.log.Error("kafka: "+msg, keyvals...)
	} else {
		l.log.Warn("kafka: "+msg, keyvals...)
	}
}

// Topic is a topic that must exist.
type Topic struct {
	Name       string
	Partitions int32
	// Configs are topic settings for the case that it has to be created.
	Configs map[string]*string
}

// EnsureTopics creates the topics that do not exist, with the given replication
// factor, and returns the number of partitions of each. A topic that exists
// keeps its partitions and settings. It waits until the cluster knows them all, but
// not when the brokers refuse the client or it refuses them (Security.Refused).
func EnsureTopics(ctx context.Context, c Config, replication int16, topics []Topic) (map[string]int32, error) {
	if err := c.Security.Load(); err != nil {
		return nil, err
	}
	// New topics are asked for until they are there, and by default the client
	// would answer from what it learned five seconds ago.
	cl, err := kgo.NewClient(append(c.Options(), kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	var last error
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		if counts, err := partitions(ctx, adm, names); err == nil && len(counts) == len(topics) {
			return counts, nil
		} else if err != nil && last != nil && ctx.Err() != nil {
			// What ends because there is no more time says nothing that is new.
		} else if err != nil {
			last = fmt.Errorf("cannot list topics at %v: %w", c.Brokers, c.Security.Explain(err))
			if c.Security.Refused(err) {
				return nil, last
			}
		} else {
			last = create(ctx, adm, replication, topics)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(last, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// partitions returns the partition counts of those of the topics that exist.
func partitions(ctx context.Context, adm *kadm.Client, names []string) (map[string]int32, error) {
	details, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, err
	}
	counts := map[string]int32{}
	for _, t := range details {
		if t.Err == nil && len(t.Partitions) > 0 {
			counts[t.Topic] = int32(len(t.Partitions))
		}
	}
	return counts, nil
}

// create creates the topics one by one; one that exists already is fine.
func create(ctx context.Context, adm *kadm.Client, replication int16, topics []Topic) error {
	for _, t := range topics {
		_, err := adm.CreateTopic(ctx, t.Partitions, replication, t.Configs, t.Name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("cannot create topic %q with %d partitions and replication %d: %w", t.Name, t.Partitions, replication, err)
		}
	}
	return nil
}

// KeyPartition returns the partition, of n, that Kafka's default partitioner
// (murmur2) gives to a record key: where every other producer puts it too.
func KeyPartition(key []byte, n int32) int32 {
	return int32(defaultPartitioner.Partition(&kgo.Record{Key: key}, int(n)))
}

// A keyed record's partition depends on the key alone, so one instance without
// a topic serves all.
var defaultPartitioner = kgo.StickyKeyPartitioner(nil).ForTopic("")
