package sink

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"keytrail/processor/setting"
)

// TLS says how the connections of a sink are encrypted: TLS 1.2 or newer, and the
// receiver's certificate is always verified. It is plain data: safe for concurrent use.
type TLS struct {
	// CAFile is a PEM file of the authorities that sign the receiver's certificate; ""
	// means those of the system.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are PEM files of the client's own certificate and its key; ""
	// for none. They are read again for each connection, so they can be renewed.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name that the receiver's certificate must have; "" means that of
	// the endpoint.
	ServerName string `yaml:"server_name"`
}

// Peer is the receiver of a sink. It is plain data.
type Peer struct {
	Address   string // host and port; "" if a file or a command holds it, or without connections
	Encrypted bool   // by TLS
	TLS       TLS
}

// Reaching is implemented by a Config whose sink connects to one address.
type Reaching interface {
	Config
	Peer() Peer
}

// PeerOf returns the receiver that a URL of http or https leads to.
func PeerOf(text string, how TLS) Peer {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return Peer{}
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return Peer{net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)), u.Scheme == "https", how}
}

// Validate returns setting.Problems that name the settings that cannot be used. used
// reports whether the sink encrypts its connections. Validate opens no file.
func (t TLS) Validate(used bool) error {
	var p setting.Problems
	for _, s := range []struct{ key, text string }{
		{"ca_file", t.CAFile}, {"cert_file", t.CertFile}, {"key_file", t.KeyFile}, {"server_name", t.ServerName},
	} {
		if s.text != "" && !used {
			p.Add(s.key, "%q is set, and the sink does not use TLS; use TLS or leave it out", s.text)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		p.Add("cert_file", "cert_file and key_file belong together; set both or none")
	}
	return p.Err()
}

// Config reads the files and returns the settings of a client. An error names the file.
func (t TLS) Config() (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use ca_file %q: it holds no certificate in PEM form", t.CAFile)
		}
	}
	if t.CertFile == "" {
		return c, nil
	}
	pair := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		own, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot use cert_file %q with key_file %q: %w", t.CertFile, t.KeyFile, err)
		}
		return &own, nil
	}
	if _, err := pair(nil); err != nil {
		return nil, err
	}
	c.GetClientCertificate = pair
	return c, nil
}

// CheckPlain adds a problem to p if a sink would send records without TLS to host, which is
// beyond this machine, and the user has not set insecure. key is the setting that names host.
func CheckPlain(p *setting.Problems, key, host string, insecure bool) {
	if !insecure && !Loopback(host) {
		p.Add(key, "%q is beyond this machine and not encrypted; use TLS, or set insecure: true", host)
	}
}

// Loopback reports whether host, a name or an address without a port, is this machine: as
// the proxy settings of the environment have it, so that no proxy gets what is sent there.
// Names below localhost are not: a resolver may take them elsewhere.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
