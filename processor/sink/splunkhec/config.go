package splunkhec

import (
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/schemas/body"
)

// Ack says what proves that Splunk has an event.
type Ack string

// The values of Config.Ack.
const (
	// AckRequire: the indexers acknowledge each request. The token must have indexer
	// acknowledgement.
	AckRequire Ack = "require"
	// AckOff: the answer to the request is enough. Splunk then answers before its indexing
	// pipeline has the events, and loses them if the receiving node dies.
	AckOff Ack = "off"
)

// Config says where events go and how. The path /services/collector/event is added to
// Endpoint.
type Config struct {
	httpsink.Settings `yaml:",inline"`
	// Token is that of the HTTP Event Collector.
	Token setting.Secret `yaml:"token"`
	// Ack is AckRequire by default.
	Ack Ack `yaml:"ack"`
	// AckTimeout is how long the indexers may take to acknowledge a request, before it is
	// sent again (default 5 m).
	AckTimeout time.Duration `yaml:"ack_timeout"`
	// Body is the form of an event: one of Bodies (default "json").
	Body string `yaml:"body"`
	// Index, Source and Host go into every event; "" leaves them to the token's settings.
	Index  string `yaml:"index"`
	Source string `yaml:"source"`
	Host   string `yaml:"host"`
	// Sourcetype goes into every event; "" is "keytrail:" and the name of the body.
	Sourcetype string `yaml:"sourcetype"`
}

// The longest time for acknowledgements: a token forgets an idle channel after ten minutes.
const maxAckTimeout = 10 * time.Minute

// DefaultConfig returns a Config that lacks an Endpoint and a Token only.
func DefaultConfig() Config {
	return Config{Settings: httpsink.DefaultSettings(30 * time.Second), Ack: AckRequire, AckTimeout: 5 * time.Minute,
		Body: "json", Source: "keytrail"}
}

// Bodies returns the forms that an event can have: those that are JSON.
func Bodies() (names []string) {
	for _, name := range body.Names() {
		if body.ContentType(name) == contentType {
			names = append(names, name)
		}
	}
	return names
}

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Config) Validate() error {
	var p setting.Problems
	c.Check(&p, basePath, "authorization", "cookie", "x-splunk-request-channel")
	if c.Token.Reveal() == "" && !c.Token.Sourced() {
		p.Add("token", "is missing; want a token of the HTTP Event Collector, such as ${SPLUNK_HEC_TOKEN}")
	}
	setting.OneOf(&p, "ack", c.Ack, AckRequire, AckOff)
	setting.Between(&p, "ack_timeout", c.AckTimeout, time.Second, maxAckTimeout)
	setting.OneOf(&p, "body", c.Body, Bodies()...)
	return p.Err()
}

// Open returns a Sink for the receiver that c names. It reads the files of c.TLS and opens no
// connection.
func (c *Config) Open(sink.Identity) (sink.Sink, error) {
	s, err := New(c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Output returns "": the sink writes no file.
func (*Config) Output() string { return "" }
