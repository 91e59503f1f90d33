package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/oauth2"

	"keytrail/processor/setting"
)

// TLS says how connections are encrypted: TLS 1.2 or newer, and the broker's
// certificate is always checked.
type TLS struct {
	// Enabled encrypts the connections.
	Enabled bool `yaml:"enabled"`
	// CAFile is a PEM file of the authorities that sign the brokers' certificates;
	// "" means those of the system.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are PEM files of the client's own certificate, with what is
	// between it and its authority, and of its key; "" for none.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name that the brokers' certificates have to have; "" means
	// that of each broker's address.
	ServerName string `yaml:"server_name"`
}

// Validate returns setting.Problems that name the settings that cannot be used.
func (t TLS) Validate() error {
	var p setting.Problems
	if !t.Enabled {
		for _, s := range []struct{ key, text string }{
			{"ca_file", t.CAFile}, {"cert_file", t.CertFile}, {"key_file", t.KeyFile}, {"server_name", t.ServerName},
		} {
			if s.text != "" {
				p.Add(s.key, "%q is set, and TLS is not enabled", s.text)
			}
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		p.Add("cert_file", "cert_file and key_file belong together; set both or none")
	}
	return p.Err()
}

// dialTimeout bounds how long one connection may take, and one question for a
// token: the client's own default.
const dialTimeout = 10 * time.Second

// dial connects to a broker.
func (t TLS) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	c, err := t.config(host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	plain, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, c)
	err = conn.HandshakeContext(ctx)
	if err == nil {
		return conn, nil
	}
	_ = plain.Close()
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		err = fmt.Errorf("%w: %w", errNoHandshake, err)
	}
	return nil, err
}

// errNoHandshake is that a broker hung up on the first bytes of TLS, as Kafka's plain
// listeners do, which take them for the length of a request.
var errNoHandshake = errors.New("the broker hung up in the TLS handshake")

// config reads the files. It is made anew for each connection, so that a
// certificate can be replaced while the program runs.
func (t *TLS) config(host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	if t.CAFile != "" {
		pem, err := readFile("ca_file", t.CAFile)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use ca_file %q: it holds no certificate in PEM form", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := readFile("cert_file", t.CertFile)
		if err != nil {
			return nil, err
		}
		key, err := readFile("key_file", t.KeyFile)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("cannot use cert_file %q with key_file %q: %w", t.CertFile, t.KeyFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// refusedCertificate reports whether err is an alert by which a server refuses the
// client's certificate (RFC 8446, section 6). The alert's type is crypto/tls's own, so
// its text has to do: all of them name the certificate, and no other does.
func refusedCertificate(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate")
}

// Explain adds to err, which a client made with s returned, what it means for the
// settings and what to do about it. An error that has nothing to do with s comes
// back as it is.
func (s *Security) Explain(err error) error {
	hint := s.hint(err)
	if hint == "" {
		return err
	}
	return fmt.Errorf("%s: %w", hint, err)
}

func (s *Security) hint(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var token *oauth2.RetrieveError
	m := s.SASL.mechanism()
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "the brokers refuse SASL " + string(m) + s.who() + "; " + remedies[m]
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return fmt.Sprintf("this listener of the brokers does not offer SASL %s; choose another mechanism or add it to their sasl.enabled.mechanisms", m)
	case errors.As(err, &unknown):
		return fmt.Sprintf("no authority of ca_file %s signed a broker's certificate; set it to the PEM file of the authority that did", orSystem(s.TLS.CAFile))
	case errors.As(err, &name):
		return "a broker's certificate is not for the name that it was reached by; use a name of the certificate in the brokers' addresses, or set server_name"
	case errors.As(err, &invalid):
		return "a broker's certificate is not valid; compare its dates with the clock"
	case strings.Contains(err.Error(), "tls alert record"): // the client guesses it from the first bytes
		return "this listener of the brokers speaks TLS; set kafka.tls.enabled, or use the port of their plain listener"
	case errors.As(err, &record):
		return "this listener of the brokers does not speak TLS; use the port of their TLS listener, or do not enable TLS"
	case errors.As(err, &token) && token.Response.StatusCode/100 == 4:
		return "the server of token_url refuses us; check username, password and scope"
	case refusedCertificate(err) && s.TLS.CertFile == "":
		return "the brokers want a certificate of the client; set cert_file and key_file"
	case refusedCertificate(err):
		return fmt.Sprintf("the brokers refuse the certificate of cert_file %q; ask which authority they trust", s.TLS.CertFile)
	}
	return ""
}

// remedies say for each mechanism what to look at when it is refused.
var remedies = map[Mechanism]string{
	MechanismNone:   "set a mechanism",
	MechanismPlain:  "check the user and the password",
	MechanismSHA256: "check the user and the password, and that the user has credentials of this mechanism",
	MechanismSHA512: "check the user and the password, and that the user has credentials of this mechanism",
	MechanismOAuth:  "check that the token is not out of date and is for these brokers",
	MechanismMSKIAM: "check that the IAM policy allows kafka-cluster:Connect, and the region",
}

func (s *Security) who() string {
	if s.SASL.Username == "" {
		return ""
	}
	return fmt.Sprintf(" for user %q", s.SASL.Username)
}

func orSystem(path string) string {
	if path == "" {
		return "(the system's, as none is set)"
	}
	return fmt.Sprintf("%q", path)
}

// Refused reports whether err is a refusal that another try does not change: of the
// mechanism, of who the client is, or of a certificate.
func (s *Security) Refused(err error) bool { return s.hint(err) != "" }
