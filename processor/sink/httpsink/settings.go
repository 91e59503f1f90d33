package httpsink

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
)

// Compression is how the body of a request is compressed.
type Compression string

// The compressions.
const (
	CompressionGzip Compression = "gzip"
	CompressionNone Compression = "none"
)

// Connection are the settings that all sinks over HTTP share.
type Connection struct {
	Compression Compression `yaml:"compression"` // default gzip
	// Headers are sent with every request; their values are secret. Headers that the sink
	// sets itself are not allowed.
	Headers map[string]setting.Secret `yaml:"headers"`
	// Timeout bounds one request, from dialing to the last byte of the answer.
	Timeout time.Duration `yaml:"timeout"`
	TLS     sink.TLS      `yaml:"tls"`
	// Insecure allows an http URL that leads beyond this machine.
	Insecure bool `yaml:"insecure"`
}

// Settings are those of a receiver whose address may be shown. A sink's Config embeds them
// with the tag `yaml:",inline"`, or a Hook.
type Settings struct {
	// Endpoint is the base URL of the receiver, such as "http://127.0.0.1:4318". It holds
	// neither credentials nor a query.
	Endpoint   string `yaml:"endpoint"`
	Connection `yaml:",inline"`
}

// DefaultSettings returns Settings that lack an Endpoint only. timeout is 30 s or more for
// a receiver that stores a batch before it answers: a request that times out after the
// receiver has accepted it is delivered twice.
func DefaultSettings(timeout time.Duration) Settings {
	return Settings{Connection: Connection{Compression: CompressionGzip, Timeout: timeout}}
}

// own are the headers that Client sets itself, and those that belong to one connection
// (RFC 9110, section 7.6.1).
var own = []string{"content-type", "content-encoding", "content-length",
	"transfer-encoding", "connection", "host", "te", "trailer", "upgrade"}

// Check adds the settings that cannot be used to p. path is what the sink adds to the
// endpoint, "" for nothing, and reserved are the headers that it sets, in lower case.
func (s *Settings) Check(p *setting.Problems, path string, reserved ...string) {
	s.check(p, s.checkEndpoint(p, path), reserved)
}

// check adds the settings that cannot be used to p. u is the URL of the receiver; nil if it
// cannot be used or is not known yet.
func (s *Connection) check(p *setting.Problems, u *url.URL, reserved []string) {
	setting.OneOf(p, "compression", s.Compression, CompressionGzip, CompressionNone)
	setting.Between(p, "timeout", s.Timeout, time.Millisecond, 10*time.Minute)
	p.Nest("tls", s.TLS.Validate(u == nil || u.Scheme == "https"))
	if s.Insecure && u != nil && u.Scheme == "https" {
		p.Add("insecure", "true does not apply to an https URL; leave it out")
	}
	reserved = append(slices.Clone(own), reserved...)
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		key, secret := "headers."+name, s.Headers[name]
		switch {
		case !isToken(name):
			p.Add(key, "%q is not the name of a header (RFC 9110, section 5.6.2)", name)
		case slices.Contains(reserved, strings.ToLower(name)):
			p.Add(key, "this header is set by the sink; not allowed: %s", strings.Join(reserved, ", "))
		case strings.ContainsFunc(secret.Reveal(), isControl):
			p.Add(key, "the value holds a control character, such as the end of a line")
		}
	}
}

// Peer is that of sink.Reaching.
func (s *Settings) Peer() sink.Peer { return sink.PeerOf(s.Endpoint, s.TLS) }

// CheckGRPC is Check for a receiver of gRPC, whose endpoint has no path.
func (s *Settings) CheckGRPC(p *setting.Problems) {
	s.Check(p, "", "te", "grpc-encoding", "grpc-timeout", "grpc-accept-encoding")
	if u, err := url.Parse(s.Endpoint); err == nil && strings.Trim(u.Path, "/") != "" {
		p.Add("endpoint", "%q has a path, which gRPC does not use; leave it out", s.Endpoint)
	}
}

// checkEndpoint returns the endpoint, or nil when it cannot be used.
func (s *Settings) checkEndpoint(p *setting.Problems, path string) *url.URL {
	if s.Endpoint == "" {
		p.Add("endpoint", `is missing; want a URL such as "http://127.0.0.1:4318"`)
		return nil
	}
	u, err := url.Parse(s.Endpoint)
	switch {
	case err != nil:
		// url.Parse's error repeats the URL, which may hold a password.
		p.Add("endpoint", `is not a URL; want one such as "http://127.0.0.1:4318"`)
	case u.User != nil:
		p.Add("endpoint", "holds a user or password; put credentials into headers")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		p.Add("endpoint", "holds a query or fragment; put credentials into headers")
	case u.Scheme != "http" && u.Scheme != "https":
		p.Add("endpoint", "%q has no scheme that is known; allowed: http, https", s.Endpoint)
	case u.Host == "":
		p.Add("endpoint", "%q names no host", s.Endpoint)
	case path != "" && strings.HasSuffix(strings.TrimRight(u.Path, "/"), path):
		p.Add("endpoint", "%q ends with %s, which is added to it; leave it out", s.Endpoint, path)
	case u.Scheme == "http" && !s.Insecure && !sink.Loopback(u.Hostname()):
		p.Add("endpoint", "%q leads beyond this machine without TLS; use https, or set insecure: true", s.Endpoint)
	default:
		return u
	}
	return nil
}

// isToken reports whether name is a token of RFC 9110, section 5.6.2.
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
