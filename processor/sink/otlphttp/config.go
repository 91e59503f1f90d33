package otlphttp

import (
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// Protocol is how OTLP travels.
type Protocol string

// The protocols.
const (
	ProtocolHTTP Protocol = "http" // requests with a protobuf body
	ProtocolGRPC Protocol = "grpc"
)

// Config says where the log records go and how. With ProtocolHTTP the path /v1/logs is added
// to Endpoint, or /v1/metrics for metrics.
type Config struct {
	httpsink.Settings `yaml:",inline"`
	Protocol          Protocol `yaml:"protocol"` // default ProtocolHTTP
	Metrics           Metrics  `yaml:"metrics"`
}

// DefaultConfig returns a Config that lacks an Endpoint only. A request may take 10 s, as
// the OTLP exporter specification has it.
func DefaultConfig() Config {
	return Config{Settings: httpsink.DefaultSettings(10 * time.Second), Protocol: ProtocolHTTP}
}

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Config) Validate() error {
	var p setting.Problems
	setting.OneOf(&p, "protocol", c.Protocol, ProtocolHTTP, ProtocolGRPC)
	if c.Protocol == ProtocolGRPC {
		c.CheckGRPC(&p)
	} else {
		c.Check(&p, c.Metrics.path())
	}
	c.Metrics.check(&p)
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
