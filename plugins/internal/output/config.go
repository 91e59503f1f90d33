package output

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/property"
	"keytrail/processor/kafka"
	"keytrail/processor/setting"
	"keytrail/schemas/decoding"
	"keytrail/schemas/wire"
)

// Config says where an Output delivers and within what bounds.
type Config struct {
	// Brokers are the seed brokers, host:port.
	Brokers []string
	// Topic takes the log records and DeadLetterTopic the dead letters. Both must exist:
	// "keytrail run" creates them.
	Topic, DeadLetterTopic string
	// FlushTimeout bounds one flush. Keep it below Fluent Bit's service.grace
	// (5 s unless set): at shutdown Fluent Bit waits no longer for a flush.
	FlushTimeout time.Duration
	// Format is the form of a Kafka record's value: otlp_proto, the log record as
	// protobuf, which Keytrail's stages read; otlp_json, the same as OTLP/JSON for
	// other readers; raw, the event as CloudTrail wrote it, such as for kms.raw. The key
	// is the call's id in each.
	Format string
	// Compression is the codec of the produced batches.
	Compression string
	// Acks names the replicas that must have a record before it counts as delivered: all
	// that are in sync, or the leader alone. With the leader alone a record is lost when
	// the leader is lost right after it, and may repeat: the producer is idempotent only
	// with all.
	Acks string
	// ClientID is the name that brokers log and count by.
	ClientID string
	// EventKey names the field of a Fluent Bit record that holds the event,
	// before those that are looked at anyway: event, log, message and payload.
	EventKey string
	// MaxMessageBytes must not be above the max.message.bytes of either topic. A
	// log record that is larger becomes a dead letter.
	MaxMessageBytes int
	// BufferBytes bounds the records that wait for Kafka's acknowledgement. A
	// flush that finds the buffer full waits for room.
	BufferBytes int
	// AckPaths are the sockets of each in_kms on this host whose records come here: its
	// ack_path, several separated by commas. out_kms acknowledges there the records that
	// Kafka has.
	AckPaths []string
	// Security is how connections are encrypted and who the producer is.
	Security kafka.Security
	// Limits bounds what one event may cost the decoder.
	Limits decoding.Limits
}

// The values of Config.Format and Config.Acks.
const (
	FormatProto = "otlp_proto"
	FormatJSON  = "otlp_json"
	FormatRaw   = "raw"

	AcksAll    = "all"
	AcksLeader = "leader"
)

// DefaultConfig returns the defaults; Brokers are missing. The arithmetic: a
// log record is about three times its event (the event itself, its attributes
// and their names), so 32 MiB are a third of the largest batch of in_kms, and as much
// as a Kafka that acknowledges after 100 ms takes at 320 MB/s. A flush fills the buffer
// again as it empties. MaxMessageBytes is Kafka's own default.
func DefaultConfig() Config {
	topics := wire.DefaultTopics()
	return Config{
		Topic: topics.Events, DeadLetterTopic: topics.DeadLetter,
		FlushTimeout: 4 * time.Second, Format: FormatProto, Compression: "snappy", Acks: AcksAll,
		ClientID:        "keytrail-out_kms",
		MaxMessageBytes: 1_000_012, BufferBytes: 32 << 20,
		Security: kafka.Security{SASL: kafka.SASL{Mechanism: kafka.MechanismNone}},
	}
}

// ParseConfig reads the properties of out_kms. It returns every complaint at
// once and does not connect.
func ParseConfig(r *property.Reader) (Config, error) {
	c := DefaultConfig()
	c.Brokers = brokers(r, "brokers")
	c.Topic = topic(r, "topic", c.Topic)
	c.DeadLetterTopic = topic(r, "dead_letter_topic", c.DeadLetterTopic)
	if c.Topic == c.DeadLetterTopic {
		r.Refuse("dead_letter_topic", c.DeadLetterTopic, "another topic than that of the events")
	}
	c.FlushTimeout = r.Duration("flush_timeout", c.FlushTimeout, 100*time.Millisecond, 30*time.Second)
	c.Format = r.Choice("format", c.Format, FormatProto, FormatJSON, FormatRaw)
	c.Compression = r.Choice("compression", c.Compression, "none", "gzip", "snappy", "lz4", "zstd")
	c.Acks = r.Choice("acks", c.Acks, AcksAll, AcksLeader)
	c.ClientID = r.Text("client_id", c.ClientID)
	c.EventKey = r.Text("event_key", "")
	c.MaxMessageBytes = r.Bytes("max_message_bytes", c.MaxMessageBytes, 16<<10, 64<<20)
	c.BufferBytes = r.Bytes("buffer_bytes", c.BufferBytes, 1<<20, 4<<30)
	c.AckPaths = ackPaths(r, "ack_path", c.Acks)
	c.Security = security(r)
	return c, r.Err()
}

// Properties returns the properties that ParseConfig reads.
func Properties() []property.Spec {
	return property.Specs(func(r *property.Reader) { _, _ = ParseConfig(r) })
}

// security reads how connections are secured. The names begin otherwise than the
// settings of kafka.Security because Fluent Bit keeps tls and tls.* for itself.
func security(r *property.Reader) (s kafka.Security) {
	s.TLS.Enabled = r.Bool("kafka_tls", false)
	s.TLS.CAFile = r.Text("kafka_tls_ca_file", "")
	s.TLS.CertFile = r.Text("kafka_tls_cert_file", "")
	s.TLS.KeyFile = r.Text("kafka_tls_key_file", "")
	s.TLS.ServerName = r.Text("kafka_tls_server_name", "")
	words := make([]string, 0, len(kafka.Mechanisms()))
	for _, m := range kafka.Mechanisms() {
		words = append(words, string(m))
	}
	s.SASL.Mechanism = kafka.Mechanism(r.Choice("sasl_mechanism", string(kafka.MechanismNone), words...))
	s.SASL.Username = r.Text("sasl_username", "")
	s.SASL.Password = setting.NewSecret(r.Secret("sasl_password"))
	s.SASL.PasswordFile = r.Text("sasl_password_file", "")
	s.SASL.TokenFile = r.Text("sasl_token_file", "")
	s.SASL.TokenURL = r.Text("sasl_token_url", "")
	s.SASL.Scope = r.Text("sasl_scope", "")
	var found setting.Problems
	errors.As(s.Validate(), &found)
	for _, p := range found {
		r.Complain(propertyName(p.Key), propertyNames(p.Text))
	}
	if found == nil {
		if err := s.Load(); err != nil {
			r.Fail(errors.New(propertyNames(err.Error())))
		}
	}
	return s
}

// propertyName is the property of a setting of kafka.Security.
func propertyName(key string) string {
	key = strings.Replace(key, "tls.enabled", "tls", 1)
	if rest, ok := strings.CutPrefix(key, "tls"); ok {
		return "kafka_tls" + strings.Replace(rest, ".", "_", 1)
	}
	return strings.Replace(key, ".", "_", 1)
}

// settingNames are the settings of kafka.Security as its messages name them.
var settingNames = regexp.MustCompile(`\b(?:(ca_file|cert_file|key_file|server_name)|` +
	`(password_file|token_file|token_url)|together with (password))\b`)

// propertyNames puts the names of properties into a message about settings.
func propertyNames(text string) string {
	return settingNames.ReplaceAllStringFunc(text, func(name string) string {
		switch m := settingNames.FindStringSubmatch(name); {
		case m[1] != "":
			return "kafka_tls_" + m[1]
		case m[2] != "":
			return "sasl_" + m[2]
		default:
			return "together with sasl_" + m[3]
		}
	})
}

// Misplaced says what to do about a property that Fluent Bit's core takes from the
// section of an output and keeps, or returns "" for one that is harmless there.
func Misplaced(name string) (instead string) {
	switch name {
	case "host", "port":
		return "name Kafka in brokers, such as brokers kafka-1:9092"
	case "tls":
		return "set kafka_tls"
	case "tls.ca_file", "tls.ca_path":
		return "set kafka_tls_ca_file"
	case "tls.crt_file":
		return "set kafka_tls_cert_file"
	case "tls.key_file":
		return "set kafka_tls_key_file"
	case "tls.vhost":
		return "set kafka_tls_server_name"
	case "tls.verify", "tls.verify_hostname":
		return "leave it out: the certificate and the name of a broker are always verified; " +
			"kafka_tls_ca_file names whom to trust"
	}
	switch {
	case strings.HasPrefix(name, "tls."):
		return "leave it out; the properties of connections to Kafka begin with kafka_tls"
	case strings.HasPrefix(name, "oauth2"):
		return "set sasl_mechanism OAUTHBEARER and sasl_token_url"
	}
	return ""
}

func brokers(r *property.Reader, name string) (list []string) {
	text := r.Required(name, "Kafka's addresses such as kafka-1:9092,kafka-2:9092")
	for _, broker := range strings.Split(text, ",") {
		broker = strings.TrimSpace(broker)
		host, port, err := net.SplitHostPort(broker)
		if text != "" && (err != nil || host == "" || port == "") {
			r.Refuse(name, text, fmt.Sprintf("host:port, separated by commas (%q is not)", broker))
		}
		list = append(list, broker)
	}
	return list
}

// ackPaths reads the sockets to which deliveries are acknowledged.
func ackPaths(r *property.Reader, name, acks string) []string {
	text := r.Text(name, "")
	if text == "" {
		return nil
	}
	list := strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' })
	if len(list) > ack.MaxPaths {
		r.Refuse(name, text, fmt.Sprintf("at most %d sockets, separated by commas", ack.MaxPaths))
	}
	for i, path := range list {
		if err := ack.CheckPath(path); err != nil {
			r.Refuse(name, path, err.Error())
		}
		if slices.Contains(list[:i], path) {
			r.Refuse(name, path, "each socket once")
		}
	}
	if len(list) > 0 && acks != AcksAll {
		r.Refuse("acks", acks, "all, because ack_path is set: what only the leader has may be lost, "+
			"and in_kms would count it as done")
	}
	return list
}

// topicName matches the names that Kafka allows for a topic.
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
