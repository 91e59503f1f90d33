package output

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/plugins/internal/property"
	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/wire"
)

// Config says where an Output delivers and within what bounds.
type Config struct {
	// Brokers are the seed brokers, host:port.
	Brokers []string
	// Topic takes the log records and DeadLetterTopic what could not become one.
	// Both must exist: "keytrail run" creates them.
	Topic, DeadLetterTopic string
	// FlushTimeout bounds one flush. Keep it below Fluent Bit's service.grace
	// (5 s unless set): at shutdown Fluent Bit waits no longer for a flush, and
	// without workers a flush stops everything else in Fluent Bit meanwhile.
	FlushTimeout time.Duration
	// Compression is the codec of the produced batches: none, gzip, snappy, lz4
	// or zstd.
	Compression string
	// ClientID is the name that brokers log and count by.
	ClientID string
	// EventKey names the field of a Fluent Bit record that holds the event,
	// besides those that are known: see chunk.Walker.
	EventKey string
	// MaxMessageBytes must not be above the max.message.bytes of either topic. A
	// log record that is larger becomes a dead letter.
	MaxMessageBytes int
	// BufferBytes bounds the records that wait for Kafka's acknowledgement. A
	// flush that finds the buffer full waits for room.
	BufferBytes int
	// Limits bounds what one event may cost the decoder.
	Limits cloudtrail.Limits
}

// DefaultConfig returns the defaults; Brokers are missing. The arithmetic: a
// log record is about three times its event (the event itself, its attributes
// and their names), so an 8 MiB chunk, the most that in_kms hands over at once,
// takes 24 MiB, and the buffer holds two and a half of them. MaxMessageBytes is
// Kafka's own default.
func DefaultConfig() Config {
	topics := wire.DefaultTopics()
	return Config{
		Topic: topics.Events, DeadLetterTopic: topics.DeadLetter,
		FlushTimeout: 4 * time.Second, Compression: "snappy", ClientID: "keytrail-out_kms",
		MaxMessageBytes: 1_000_012, BufferBytes: 64 << 20,
	}
}

// ParseConfig reads the properties of out_kms. It returns every complaint at
// once and does not connect.
func ParseConfig(r *property.Reader) (Config, error) {
	c := DefaultConfig()
	list := r.Required("brokers", "Kafka's addresses such as kafka-1:9092,kafka-2:9092")
	for _, broker := range strings.Split(list, ",") {
		broker = strings.TrimSpace(broker)
		host, port, err := net.SplitHostPort(broker)
		if list != "" && (err != nil || host == "" || port == "") {
			r.Refuse("brokers", list, fmt.Sprintf("host:port, separated by commas (%q is not)", broker))
		}
		c.Brokers = append(c.Brokers, broker)
	}
	c.Topic = topic(r, "topic", c.Topic)
	c.DeadLetterTopic = topic(r, "dead_letter_topic", c.DeadLetterTopic)
	if c.Topic == c.DeadLetterTopic {
		r.Refuse("dead_letter_topic", c.DeadLetterTopic, "another topic than that of the events")
	}
	c.FlushTimeout = r.Duration("flush_timeout", c.FlushTimeout, 100*time.Millisecond, 30*time.Second)
	c.Compression = r.Choice("compression", c.Compression, "none", "gzip", "snappy", "lz4", "zstd")
	c.ClientID = r.Text("client_id", c.ClientID)
	c.EventKey = r.Text("event_key", "")
	c.MaxMessageBytes = r.Bytes("max_message_bytes", c.MaxMessageBytes, 16<<10, 64<<20)
	c.BufferBytes = r.Bytes("buffer_bytes", c.BufferBytes, 1<<20, 4<<30)
	return c, r.Err()
}

// topicName is what Kafka takes for a topic's name.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func topic(r *property.Reader, name, def string) string {
	v := r.Text(name, def)
	if !topicName.MatchString(v) || v == "." || v == ".." {
		r.Refuse(name, v, "a topic's name: up to 249 letters, digits, dots, hyphens and underscores")
	}
	return v
}

// codecs are the values of Compression.
var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}
