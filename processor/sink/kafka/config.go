package kafka

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"

	cluster "keytrail/processor/kafka"
	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/schemas/body"
)

// Topics are the topics of the target. Nothing else chooses a topic.
type Topics struct {
	Events    string `yaml:"events"`    // default "keytrail.events"
	Windows   string `yaml:"windows"`   // default "keytrail.windows"
	Anomalies string `yaml:"anomalies"` // default "keytrail.anomalies"
	Incidents string `yaml:"incidents"` // default "keytrail.incidents"
}

// Config says which cluster records go to, and how.
type Config struct {
	// Brokers are host:port of some brokers of the target.
	Brokers []string `yaml:"brokers"`
	Topics  Topics   `yaml:"topics"`
	// Body is the form of a record's value: one of package body (default "otlp", the stored
	// bytes).
	Body string `yaml:"body"`
	// MaxRecord bounds a record: the target's max.message.bytes (default 1,000,000 bytes). A
	// larger one goes to the dead letter.
	MaxRecord setting.Size `yaml:"max_record"`
	// Timeout bounds one transaction (default 30 s).
	Timeout time.Duration `yaml:"timeout"`
	TLS     cluster.TLS   `yaml:"tls"`
	SASL    cluster.SASL  `yaml:"sasl"`
	// Insecure allows brokers beyond this machine without TLS.
	Insecure bool `yaml:"insecure"`
}

// DefaultConfig returns a Config that lacks Brokers only.
func DefaultConfig() Config {
	return Config{
		Topics:    Topics{"keytrail.events", "keytrail.windows", "keytrail.anomalies", "keytrail.incidents"},
		Body:      "otlp",
		MaxRecord: 1_000_000, Timeout: 30 * time.Second}
}

// topicName is what Kafka allows.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Config) Validate() error {
	var p setting.Problems
	if len(c.Brokers) == 0 {
		p.Add("brokers", `is missing; want a list such as [kafka-1.example:9093]`)
	}
	for _, b := range c.Brokers {
		host, port, err := net.SplitHostPort(b)
		if err != nil || host == "" || port == "" {
			p.Add("brokers", "%q is not a host:port address", b)
		} else if !c.TLS.Enabled {
			sink.CheckPlain(&p, "brokers", host, c.Insecure)
		}
	}
	if c.Insecure && c.TLS.Enabled {
		p.Add("insecure", "true does not apply with tls.enabled; leave it out")
	}
	for _, t := range []struct{ key, name string }{
		{"topics.events", c.Topics.Events}, {"topics.windows", c.Topics.Windows}, {"topics.anomalies", c.Topics.Anomalies},
		{"topics.incidents", c.Topics.Incidents},
	} {
		if !topicName.MatchString(t.name) || t.name == "." || t.name == ".." {
			p.Add(t.key, "%q is not the name of a topic: up to 249 of the characters A-Z a-z 0-9 . _ -", t.name)
		}
	}
	setting.OneOf(&p, "body", c.Body, body.Names()...)
	setting.Between(&p, "max_record", c.MaxRecord, 1<<10, 64<<20)
	setting.Between(&p, "timeout", c.Timeout, time.Second, 10*time.Minute)
	var inner setting.Problems
	if errors.As(cluster.Security{TLS: c.TLS, SASL: c.SASL}.Validate(), &inner) {
		p = append(p, inner...)
	}
	return p.Err()
}

// Open returns a Sink for the cluster that c names. It reads the files of c.TLS and c.SASL
// and opens no connection.
func (c *Config) Open(id sink.Identity) (sink.Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make a Kafka sink: %w", err)
	}
	s := &Sink{c: *c, group: id.Group, lanes: map[lane]*producer{}, kafka: cluster.Config{Brokers: c.Brokers,
		ClientID: "keytrail", Security: cluster.Security{TLS: c.TLS, SASL: c.SASL}, Log: id.Log}}
	if err := s.kafka.Security.Load(); err != nil {
		return nil, err
	}
	return s, nil
}

// Output returns "": the sink writes no file.
func (*Config) Output() string { return "" }
