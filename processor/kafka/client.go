// Package kafka holds what Keytrail does with Kafka and knows nothing of what
// the records mean: clients, topics, the loop of read-process-write
// transactions, reading a log back to restore state, and the embedded broker.
package kafka

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says how to reach a cluster.
type Config struct {
	Brokers  []string // host:port, at least one
	ClientID string
	// SessionTimeout is after how long without a heartbeat a member of a consumer
	// group counts as dead, and others take its partitions over: 6 s to 30 min by
	// Kafka's defaults; 0 is 45 s.
	SessionTimeout time.Duration
	// Stall is how long ReadLog waits for the next record, or for open transactions to
	// end; 0 is DefaultStall.
	Stall time.Duration
	// Security is how connections are encrypted and who the client is.
	Security Security
	Log      *slog.Logger
	// Trouble is where all clients of a process say that the brokers do not answer, so
	// that an outage is one line a minute and not one for each of them; nil makes one per
	// client, over Log.
	Trouble *Trouble
}

// defaultSessionTimeout is Kafka's own (KIP-735).
const defaultSessionTimeout = 45 * time.Second

// DefaultStall is several times what a broker's failure takes, and what Keytrail's
// transactions may.
const DefaultStall = 2 * time.Minute

func (c *Config) session() time.Duration { return cmp.Or(c.SessionTimeout, defaultSessionTimeout) }

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
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID(c.ClientID), kgo.WithLogger(clientLog{c.trouble()}),
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
	)
}

// KeyPartition returns the partition, of n, that Kafka's default partitioner
// (murmur2) gives to a record key: where every other producer puts it too.
func KeyPartition(key []byte, n int32) int32 {
	return int32(defaultPartitioner.Partition(&kgo.Record{Key: key}, int(n)))
}

// A keyed record's partition depends on the key alone, so one instance without
// a topic serves all.
var defaultPartitioner = kgo.StickyKeyPartitioner(nil).ForTopic("")
