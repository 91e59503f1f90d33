package output

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"keytrail/plugins/internal/property"
)

func parse(values map[string]string) (Config, *property.Reader, error) {
	r := property.NewReader(func(name string) string { return values[name] })
	c, err := ParseConfig(r)
	return c, r, err
}

func TestParseConfigDefaults(t *testing.T) {
	c, r, err := parse(map[string]string{"brokers": "a:9092, b:9093"})
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Brokers = []string{"a:9092", "b:9093"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if c.Topic != "kms.events" || c.DeadLetterTopic != "kms.deadletter" {
		t.Errorf("topics are %q and %q", c.Topic, c.DeadLetterTopic)
	}
	for _, name := range r.Names() {
		if property.Reserved(name) {
			t.Errorf("Fluent Bit's core keeps the property %q for itself", name)
		}
	}
}

func TestParseConfigValues(t *testing.T) {
	c, _, err := parse(map[string]string{
		"brokers": "[::1]:9092", "topic": "t", "dead_letter_topic": "d", "flush_timeout": "2s", "compression": "ZSTD",
		"client_id": "me", "event_key": "cloudtrail", "max_message_bytes": "256K", "buffer_bytes": "1M",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Brokers: []string{"[::1]:9092"}, Topic: "t", DeadLetterTopic: "d", FlushTimeout: 2 * time.Second, Compression: "zstd",
		ClientID: "me", EventKey: "cloudtrail", MaxMessageBytes: 256 << 10, BufferBytes: 1 << 20,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestParseConfigRefusals(t *testing.T) {
	f := func(name, value, message string) {
		t.Helper()
		values := map[string]string{"brokers": "a:1", name: value}
		_, _, err := parse(values)
		if err == nil || !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(err.Error(), message) {
			t.Errorf("%s=%q: got %v, want a refusal that names it and says %q", name, value, err, message)
		}
	}
	f("brokers", "", "is missing")
	f("brokers", "kafka", "host:port")
	f("brokers", "a:1,,b:2", "host:port")
	f("brokers", ":9092", "host:port")
	f("topic", "kms events", "a topic's name")
	f("topic", "..", "a topic's name")
	f("dead_letter_topic", "kms.events", "another topic")
	f("flush_timeout", "1h", "to 30s")
	f("compression", "brotli", "none or gzip or snappy or lz4 or zstd")
	f("max_message_bytes", "1K", "from 16K")
	f("buffer_bytes", "lots", "a size such as 16M")
}
