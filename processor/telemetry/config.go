package telemetry

import (
	"net"
	"strconv"

	"keytrail/processor/setting"
)

// Config configures the metrics server.
type Config struct {
	// Listen is the address of the HTTP server with /metrics, /readyz and /livez, such as
	// "127.0.0.1:9464"; "", the default, serves none. Metrics contain no event data, but
	// the server has no authentication: keep it on loopback or behind a proxy.
	Listen string `yaml:"listen"`
}

// DefaultConfig returns a Config that serves no metrics.
func DefaultConfig() Config { return Config{} }

// Validate returns setting.Problems that name the unusable settings.
func (c Config) Validate() error {
	var p setting.Problems
	if c.Listen != "" {
		host, port, err := net.SplitHostPort(c.Listen)
		_, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil || host == "" {
			p.Add("listen", `%q is not an address; want a host and a port such as "127.0.0.1:9464"`, c.Listen)
		}
	}
	return p.Err()
}
