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

// TLS configures encryption: TLS 1.2 or newer, always with verification of the broker's
// certificate.
type TLS struct {
	// Enabled encrypts the connections.
	Enabled bool `yaml:"enabled"`
	// CAFile is a PEM file of the authorities that sign the brokers' certificates; ""
	// means the system's.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are PEM files of the client's certificate, with its
	// intermediates, and of its key; "" for none.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name that the brokers' certificates must have; "" means the name
	// in each broker's address.
	ServerName string `yaml:"server_name"`
}

// Validate returns setting.Problems that name the unusable settings.
func (t TLS) Validate() error {
	var p setting.Problems
	if !t.Enabled {
		for _, s := range []struct{ key, text string }{
			{"ca_file", t.CAFile}, {"cert_file", t.CertFile}, {"key_file", t.KeyFile}, {"server_name", t.ServerName},
		} {
			if s.text != "" {
				p.Add(s.key, "%q is set, but TLS is not enabled", s.text)
			}
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		p.Add("cert_file", "cert_file and key_file belong together; set both or none")
	}
	return p.Err()
}

// dialTimeout bounds one connection attempt or token request: the client's default.
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

// errNoHandshake means that a broker hung up on the first bytes of TLS. Kafka's plaintext
// listeners do, as they read them as the length of a request.
var errNoHandshake = errors.New("the broker hung up in the TLS handshake")

// config reads the files. Each connection calls it, so that certificates can be rotated
// while the program runs.
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
// client's certificate (RFC 8446, section 6). The alert's type is private to crypto/tls,
// so its text must do: exactly those alerts name the certificate.
func refusedCertificate(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate")
}

// Explain adds to an error of a client with s which setting causes it and what to do. It
// returns an unrelated error unchanged.
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
		return fmt.Sprintf("this listener of the brokers does not offer SASL %s; choose another mechanism or add it to "+
			"their sasl.enabled.mechanisms", m)
	case errors.As(err, &unknown):
		return fmt.Sprintf("no authority in ca_file %s signed the broker's certificate; set ca_file to the PEM file of "+
			"its authority", orSystem(s.TLS.CAFile))
	case errors.As(err, &name):
		return "a broker's certificate does not have the name in its address; use a name of the certificate in " +
			"kafka.brokers, or set server_name"
	case errors.As(err, &invalid):
		return "a broker's certificate is not valid now; compare its dates with the clock"
	case strings.Contains(err.Error(), "tls alert record"): // the client's guess from the first bytes
		return "this listener of the brokers speaks TLS; set kafka.tls.enabled, or use the port of their plain listener"
	case errors.As(err, &record):
		return "this listener of the brokers does not speak TLS; use the port of their TLS listener, or do not enable TLS"
	case errors.As(err, &token) && token.Response.StatusCode/100 == 4:
		return "the server of token_url refuses the request; check username, password and scope"
	case refusedCertificate(err) && s.TLS.CertFile == "":
		return "the brokers require a client certificate; set cert_file and key_file"
	case refusedCertificate(err):
		return fmt.Sprintf("the brokers refuse the certificate of cert_file %q; ask which authority they trust",
			s.TLS.CertFile)
	}
	return ""
}

// remedies maps each mechanism to the advice for its refusal.
var remedies = map[Mechanism]string{
	MechanismNone:   "set a mechanism",
	MechanismPlain:  "check the user and the password",
	MechanismSHA256: "check the user and the password, and that the user has credentials of this mechanism",
	MechanismSHA512: "check the user and the password, and that the user has credentials of this mechanism",
	MechanismOAuth:  "check that the token has not expired and is for these brokers",
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
		return "(the system's, because none is set)"
	}
	return fmt.Sprintf("%q", path)
}

// Refused reports whether err is a permanent refusal: of the mechanism, the client's
// identity, or a certificate.
func (s *Security) Refused(err error) bool { return s.hint(err) != "" }
