package output

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"keytrail/plugins/internal/property"
	"keytrail/processor/kafka"
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
		"format": "OTLP_JSON", "acks": "leader",
		"client_id": "me", "event_key": "cloudtrail", "max_message_bytes": "256K", "buffer_bytes": "1M",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Brokers: []string{"[::1]:9092"}, Topic: "t", DeadLetterTopic: "d", FlushTimeout: 2 * time.Second, Compression: "zstd",
		Format: FormatJSON, Acks: AcksLeader, Security: DefaultConfig().Security,
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
	f("format", "avro", "otlp_proto or otlp_json or raw")
	f("acks", "none", "all or leader")
	f("kafka_tls", "maybe", "on or off")
	f("kafka_tls_ca_file", "/nowhere", "TLS is not enabled")
	f("kafka_tls_cert_file", "/nowhere", "belong together")
	f("sasl_mechanism", "GSSAPI", "none or PLAIN or SCRAM-SHA-256 or SCRAM-SHA-512 or OAUTHBEARER or AWS_MSK_IAM")
	f("sasl_username", "me", "mechanism none does not use it")
}

func TestParseConfigSecurity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"brokers": "a:1", "kafka_tls": "on", "kafka_tls_server_name": "kafka", "sasl_mechanism": "scram-sha-512", "sasl_username": "me", "sasl_password_file": path}
	c, _, err := parse(values)
	want := kafka.Security{TLS: kafka.TLS{Enabled: true, ServerName: "kafka"}, SASL: kafka.SASL{Mechanism: kafka.MechanismSHA512, Username: "me", PasswordFile: path}}
	if err != nil || !reflect.DeepEqual(c.Security, want) {
		t.Errorf("got %+v, %v, want %+v", c.Security, err, want)
	}
	f := func(name, value string, message ...string) {
		t.Helper()
		set := maps.Clone(values)
		set[name] = value
		_, r, err := parse(set)
		for _, m := range message {
			if err == nil || !strings.Contains(err.Error(), m) {
				t.Errorf("%s=%q: got %v, want %q", name, value, err, m)
			}
		}
		if strings.Contains(fmt.Sprint(r.Summary(), err), "hunter2") {
			t.Errorf("a secret is shown: %s, %v", r.Summary(), err)
		}
	}
	f("sasl_password", "hunter2", `"sasl_password_file"`, "is set together with sasl_password")
	f("sasl_password_file", "/nowhere", "cannot use sasl_password_file", "/nowhere: no such file")
	f("kafka_tls_ca_file", path, "cannot use kafka_tls_ca_file", "holds no certificate")
	f("sasl_mechanism", "OAUTHBEARER", `property "sasl_token_file" is missing; mechanism OAUTHBEARER requires sasl_token_file or sasl_token_url`)
	f("sasl_mechanism", "AWS_MSK_IAM", `property "sasl_password_file" is set, but mechanism AWS_MSK_IAM does not use it`)
	values["kafka_tls"], values["kafka_tls_server_name"] = "off", ""
	f("sasl_mechanism", "AWS_MSK_IAM", `property "sasl_mechanism": AWS_MSK_IAM requires TLS`)
}

// Whatever may be asked of the core before the plugin is.
func TestPropertiesAreComplete(t *testing.T) {
	names := map[string]bool{}
	for _, s := range Properties() {
		names[s.Name] = true
		if property.Reserved(s.Name) || s.Description() == "" {
			t.Errorf("property %+v: the core keeps the name, or nothing describes it", s)
		}
	}
	for _, name := range []string{"brokers", "format", "acks", "kafka_tls", "sasl_token_url", "buffer_bytes"} {
		if !names[name] {
			t.Errorf("%q is missing in %v", name, names)
		}
	}
}
