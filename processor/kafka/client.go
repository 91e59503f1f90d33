// Package kafka contains everything that Keytrail does with Kafka, without knowing what
// the records mean: clients, topics, the loop of read-process-write transactions, reading
// a log back to restore state, and the embedded broker.
package kafka

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config describes how to reach a cluster.
type Config struct {
	Brokers  []string // host:port, at least one
	ClientID string
	// SessionTimeout is the time without a heartbeat after which the coordinator declares
	// a member dead and reassigns its partitions: 6 s to 30 min by Kafka's defaults; 0
	// means 45 s.
	SessionTimeout time.Duration
	// InstanceID makes the process a static member of its groups (group.instance.id): when a
	// process with the same id starts within SessionTimeout of the end of the last one, it
	// gets the same partitions at once, and no others move. "" for a dynamic member. Only
	// one process at a time may have an id; Kafka ends the older one's session.
	InstanceID string
	// Stall is how long ReadLog waits for the next record or for open transactions to
	// end; 0 means DefaultStall.
	Stall time.Duration
	// Patience is how long Look, One and ReadLog repeat a question while brokers do not
	// answer, and how long Look and One wait for the next record; 0 means DefaultPatience.
	Patience time.Duration
	// Security sets encryption and authentication.
	Security Security
	Log      *slog.Logger
	// Trouble logs the outages of all clients of a process, so that an outage is one line
	// a minute instead of one per client; nil makes one per client, over Log.
	Trouble *Trouble
	// Hooks see the requests of all clients; they must not wait.
	Hooks []kgo.Hook
}

// defaultSessionTimeout is Kafka's default (KIP-735).
const defaultSessionTimeout = 45 * time.Second

// DefaultStall is several times as long as a broker failover or a Keytrail transaction.
const DefaultStall = 2 * time.Minute

func (c *Config) session() time.Duration { return cmp.Or(c.SessionTimeout, defaultSessionTimeout) }

// Member returns the client options of a group member, to be added to Options.
func (c *Config) Member(group string) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(group), kgo.SessionTimeout(c.session()),
		kgo.HeartbeatInterval(min(3*time.Second, c.session()/3)), // Kafka's default and advice
	}
	if c.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.InstanceID))
	}
	return opts
}

// Options returns the client options that all Keytrail clients share.
func (c *Config) Options() []kgo.Opt {
	return append(c.Security.Options(),
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID(c.ClientID), kgo.WithLogger(clientLog{c.trouble()}),
		// A group without a committed offset starts with the oldest record, also after
		// its offset was deleted: it skips nothing that can still be read.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The client retries a refused request after a metadata update: for example, the
		// first produce while the broker still ends the previous transaction. Its default
		// of 5 s between updates would stall the stage.
		kgo.MetadataMinAge(100*time.Millisecond),
		// Per broker: fetched records that are not polled yet, before decompression.
		// Stages fetch less if their batches grow much: see fetched.
		kgo.FetchMaxBytes(mostFetch), kgo.FetchMaxPartitionBytes(mostFetch/4),
		kgo.WithHooks(c.Hooks...),
	)
}

// KeyPartition returns the partition, of n, that Kafka's default partitioner (murmur2)
// assigns to a record key, as every other producer does.
func KeyPartition(key []byte, n int32) int32 {
	return int32(defaultPartitioner.Partition(&kgo.Record{Key: key}, int(n)))
}

// A keyed record's partition depends on the key alone, so one instance without
// a topic serves all.
var defaultPartitioner = kgo.StickyKeyPartitioner(nil).ForTopic("")
