package syslog

import (
	"net"
	"net/url"
	"strings"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/schemas/body"
)

// Framing is how messages are told apart on a connection (RFC 6587).
type Framing string

// The framings.
const (
	FramingOctet Framing = "octet_counting" // each message after its length: every receiver of RFC 5425
	FramingLF    Framing = "lf"             // each message before a line feed
)

// The schemes of Config.Endpoint.
const (
	schemeUDP = "udp"
	schemeTCP = "tcp"
	schemeTLS = "tls"
)

// The bounds of a message. rsyslog cuts messages at 8 KiB and syslog-ng at 64 KiB unless
// they are configured otherwise.
const (
	defaultMaxMessage    = 64 << 10
	defaultMaxMessageUDP = 8 << 10
	maxMessage           = 16 << 20
	maxDatagram          = 65_507 // IPv4
)

// exampleEnterprise is the enterprise number for examples (RFC 5612).
const exampleEnterprise = 32473

// Config says where messages go and how.
type Config struct {
	// Endpoint is a URL with the transport, the host and the port: udp://host:514,
	// tcp://host:601 or tls://host:6514.
	Endpoint string `yaml:"endpoint"`
	// Framing is that of tcp and tls; "" means FramingLF for the bodies cef and leef over
	// tcp, and FramingOctet otherwise.
	Framing Framing `yaml:"framing"`
	// Body is the form of a message's text: one of Bodies (default "json").
	Body string `yaml:"body"`
	// Facility is the name of the facility (default "audit", number 13).
	Facility string `yaml:"facility"`
	// Hostname and AppName are fields of the header: 1 to 255 and 1 to 48 printable ASCII
	// characters. The defaults are the machine's name and "keytrail".
	Hostname string `yaml:"hostname"`
	AppName  string `yaml:"app_name"`
	// EnterpriseID is the private enterprise number in the name of the structured data
	// (default exampleEnterprise).
	EnterpriseID int `yaml:"enterprise_id"`
	// MaxMessage bounds a message; a larger one goes to the dead letter. 0 means 64 KiB,
	// and 8 KiB for udp.
	MaxMessage setting.Size `yaml:"max_message"`
	// Timeout bounds connecting, each 64 KiB written, and the wait for the receiver to
	// close (default 30 s).
	Timeout time.Duration `yaml:"timeout"`
	TLS     sink.TLS      `yaml:"tls"`
	// Insecure allows udp and tcp to a host beyond this machine.
	Insecure bool `yaml:"insecure"`
}

// DefaultConfig returns a Config that lacks an Endpoint only.
func DefaultConfig() Config {
	return Config{Body: "json", Facility: "audit", AppName: "keytrail", EnterpriseID: exampleEnterprise,
		Timeout: 30 * time.Second}
}

// Bodies returns the forms that the text of a message can have: those that are text.
func Bodies() (names []string) {
	for _, name := range body.Names() {
		if body.ContentType(name) != "application/x-protobuf" {
			names = append(names, name)
		}
	}
	return names
}

// facilities are the names of the facilities, by number (RFC 5424, table 1; names of
// syslog.conf).
var facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
	"ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Config) Validate() error {
	var p setting.Problems
	scheme := c.checkEndpoint(&p)
	if c.Framing != "" {
		setting.OneOf(&p, "framing", c.Framing, FramingOctet, FramingLF)
		if scheme == schemeUDP {
			p.Add("framing", "%q does not apply to udp, where a datagram is a message; leave it out", c.Framing)
		}
	}
	setting.OneOf(&p, "body", c.Body, Bodies()...)
	setting.OneOf(&p, "facility", c.Facility, facilities...)
	if c.Hostname != "" {
		checkField(&p, "hostname", c.Hostname, 255)
	}
	checkField(&p, "app_name", c.AppName, 48)
	setting.Between(&p, "enterprise_id", c.EnterpriseID, 1, 1<<31-1)
	if c.MaxMessage != 0 {
		most := setting.Size(maxMessage)
		if scheme == schemeUDP {
			most = maxDatagram
		}
		setting.Between(&p, "max_message", c.MaxMessage, 480, most)
	}
	setting.Between(&p, "timeout", c.Timeout, time.Millisecond, 10*time.Minute)
	p.Nest("tls", c.TLS.Validate(scheme == "" || scheme == schemeTLS))
	return p.Err()
}

// Peer is that of sink.Reaching. A receiver of datagrams cannot be reached by a connection.
func (c *Config) Peer() sink.Peer {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme == schemeUDP {
		return sink.Peer{}
	}
	return sink.Peer{Address: u.Host, Encrypted: u.Scheme == schemeTLS, TLS: c.TLS}
}

// checkEndpoint returns the scheme of the endpoint, "" for one that cannot be used.
func (c *Config) checkEndpoint(p *setting.Problems) string {
	if c.Endpoint == "" {
		p.Add("endpoint", `is missing; want a URL such as "tls://siem.example:6514"`)
		return ""
	}
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil:
		p.Add("endpoint", `%q is not a URL; want one such as "tls://siem.example:6514"`, c.Endpoint)
	case u.Scheme != schemeUDP && u.Scheme != schemeTCP && u.Scheme != schemeTLS:
		p.Add("endpoint", "%q has no scheme that is known; allowed: udp, tcp, tls", c.Endpoint)
	case u.Hostname() == "" || u.Port() == "":
		p.Add("endpoint", "%q names no host and port; syslog uses 514 over udp, 601 over tcp and 6514 over tls", c.Endpoint)
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		p.Add("endpoint", "holds more than a scheme, a host and a port")
	default:
		if u.Scheme != schemeTLS {
			sink.CheckPlain(p, "endpoint", u.Hostname(), c.Insecure)
		} else if c.Insecure {
			p.Add("insecure", "true does not apply to a tls endpoint; leave it out")
		}
		return u.Scheme
	}
	return ""
}

// checkField adds a problem if text is not a field of the header of 1 to most characters.
func checkField(p *setting.Problems, key, text string, most int) {
	if text == "" || len(text) > most || strings.ContainsFunc(text, notPrintable) {
		p.Add(key, "%q is not allowed; allowed: 1 to %d printable ASCII characters without blanks", text, most)
	}
}

// notPrintable reports whether r is not PRINTUSASCII (RFC 5424, section 6).
func notPrintable(r rune) bool { return r < 33 || r > 126 }

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

// split returns the scheme and the address of a valid endpoint.
func (c *Config) split() (scheme, address string) {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return "", "" // Validate has refused it
	}
	return u.Scheme, net.JoinHostPort(u.Hostname(), u.Port())
}
