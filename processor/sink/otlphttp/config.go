package otlphttp

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"keytrail/processor/setting"
)

// Compression is how a request's body is compressed.
type Compression string

// The compressions that every OTLP receiver takes (OTLP specification 1.9,
// "OTLP/HTTP Request": servers must support no compression and gzip).
const (
	CompressionGzip Compression = "gzip"
	CompressionNone Compression = "none"
)

// Config says where the log records go and how.
type Config struct {
	// Endpoint is the base URL of the receiver, such as "http://127.0.0.1:4318".
	// The path /v1/logs is added to it. It holds neither credentials nor a query.
	Endpoint    string      `yaml:"endpoint"`
	Compression Compression `yaml:"compression"` // default gzip
	// Headers are sent with every request; values are secret. Those that describe
	// the body are not allowed: they are the sink's own.
	Headers map[string]setting.Secret `yaml:"headers"`
	// Timeout bounds one request, from dialing to the last byte of the answer
	// (default 10 s, as the OTLP exporter specification has it).
	Timeout time.Duration `yaml:"timeout"`
	// CAFile names a PEM file of the authorities that sign the receiver's
	// certificate; "" means those of the system.
	CAFile string `yaml:"ca_file"`
}

// DefaultConfig returns a Config that lacks an Endpoint only.
func DefaultConfig() Config {
	return Config{Compression: CompressionGzip, Timeout: 10 * time.Second}
}

// reserved are the headers that the sink sets itself, and those that belong to
// one connection (RFC 9110, section 7.6.1).
var reserved = []string{"content-type", "content-encoding", "content-length",
	"transfer-encoding", "connection", "host", "te", "trailer", "upgrade"}

// Validate returns setting.Problems that name the settings that cannot be used.
func (c Config) Validate() error {
	var p setting.Problems
	c.validateEndpoint(&p)
	setting.OneOf(&p, "compression", c.Compression, CompressionGzip, CompressionNone)
	setting.Between(&p, "timeout", c.Timeout, time.Millisecond, 10*time.Minute)
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		key, secret := "headers."+name, c.Headers[name]
		switch {
		case !isToken(name):
			p.Add(key, "%q is not the name of a header (RFC 9110, section 5.6.2)", name)
		case slices.Contains(reserved, strings.ToLower(name)):
			p.Add(key, "this header is set by the sink; not allowed: %s", strings.Join(reserved, ", "))
		case strings.ContainsFunc(secret.Reveal(), isControl):
			p.Add(key, "the value holds a control character, such as the end of a line")
		}
	}
	return p.Err()
}

func (c Config) validateEndpoint(p *setting.Problems) {
	if c.Endpoint == "" {
		p.Add("endpoint", `is missing; want a URL such as "http://127.0.0.1:4318"`)
		return
	}
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil:
		// url.Parse's error repeats the URL, which may hold a password.
		p.Add("endpoint", `is not a URL; want one such as "http://127.0.0.1:4318"`)
	case u.User != nil:
		p.Add("endpoint", "holds a user or password; put credentials into headers")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		p.Add("endpoint", "holds a query or fragment; put credentials into headers")
	case u.Scheme != "http" && u.Scheme != "https":
		p.Add("endpoint", "%q has no scheme that is known; allowed: http, https", c.Endpoint)
	case u.Host == "":
		p.Add("endpoint", "%q names no host", c.Endpoint)
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), logsPath):
		p.Add("endpoint", "%q ends with %s, which is added to it; leave it out", c.Endpoint, logsPath)
	}
}

// isToken tells whether name is a token of RFC 9110, section 5.6.2.
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
