package sinktest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keytrail/processor/internal/certs"
	"keytrail/processor/sink"
)

// authorities are two authorities, with certificates for the tests of TLS.
type authorities struct {
	t             *testing.T
	folder        string
	ca, other     *certs.Authority
	caPath, wrong string
}

func newAuthorities(t *testing.T) *authorities {
	t.Helper()
	a := &authorities{t: t, folder: t.TempDir()}
	a.caPath, a.wrong = filepath.Join(a.folder, "ca.pem"), filepath.Join(a.folder, "wrong.pem")
	var err, more error
	a.ca, err = certs.New("sinktest", a.caPath)
	a.other, more = certs.New("wrong", a.wrong)
	if err = errors.Join(err, more); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign returns the files of a new certificate and its key.
func (a *authorities) sign(by *certs.Authority, name string, change func(*x509.Certificate)) (cert, key string) {
	a.t.Helper()
	cert, key = filepath.Join(a.folder, name+".pem"), filepath.Join(a.folder, name+".key")
	if err := by.Sign(name, cert, key, change); err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// server returns the TLS settings of a receiver with a new certificate.
func (a *authorities) server(d Door, name string, change func(*x509.Certificate)) *tls.Config {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(a.sign(a.ca, name, change))
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: d.ALPN, ClientCAs: x509.NewCertPool()}
}

// badTLS: a receiver that cannot be trusted gets nothing, and the sink pauses.
func badTLS(t *testing.T, d Door) {
	a := newAuthorities(t)
	good := a.server(d, "good", nil)
	old := good.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for name, c := range map[string]struct {
		server *tls.Config
		ca     string
	}{
		"unknown authority": {good, a.wrong},
		"TLS 1.1":           {old, a.caPath},
		"another name": {a.server(d, "other", func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"other.example"}
		}), a.caPath},
		"expired": {a.server(d, "expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), a.caPath},
	} {
		t.Run(name, func(t *testing.T) {
			r := d.Receive(t)
			s := d.open(t, Target{Address: lay(t, r.Address, c.server).address, Secured: true,
				TLS: sink.TLS{CAFile: c.ca}, Timeout: patient})
			if got := settled(t, s); got != "paused tls" {
				t.Errorf("got %q, want a pause", got)
			}
			if got := r.Stored(t); len(got) > 0 {
				t.Errorf("%q arrived", got)
			}
		})
	}
}

// clientCertificate: the sink shows its own certificate, and pauses if that is refused.
func clientCertificate(t *testing.T, d Door) {
	a := newAuthorities(t)
	server := a.server(d, "server", nil)
	server.ClientAuth = tls.RequireAndVerifyClientCert
	server.ClientCAs = pool(t, a.caPath)
	good := sink.TLS{CAFile: a.caPath}
	good.CertFile, good.KeyFile = a.sign(a.ca, "client", nil)
	foreign := good
	foreign.CertFile, foreign.KeyFile = a.sign(a.other, "foreign", nil)
	for name, c := range map[string]struct {
		tls  sink.TLS
		want string
	}{
		"none": {sink.TLS{CAFile: a.caPath}, "paused tls"}, "refused": {foreign, "paused tls"}, "accepted": {good, "accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			r := d.Receive(t)
			s := d.open(t, Target{Address: lay(t, r.Address, server).address, Secured: true, TLS: c.tls, Timeout: patient})
			if got := settled(t, s); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if stored := len(r.Stored(t)) > 0; stored != (c.want == "accepted") {
				t.Errorf("stored: %v", stored)
			}
		})
	}
}

func pool(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(path)
	p := x509.NewCertPool()
	if err != nil || !p.AppendCertsFromPEM(text) {
		t.Fatalf("cannot use %s: %v", path, err)
	}
	return p
}

// settled delivers a record until the answer is another than to try again: an alert of TLS
// may be lost when the receiver closes the connection behind it.
func settled(t *testing.T, s sink.Sink) string {
	t.Helper()
	var err error
	for range 50 {
		if err = s.Deliver(t.Context(), Batch("a")); Verdict(err) != "again" {
			break
		}
	}
	t.Logf("the sink says: %v", err)
	return Verdict(err)
}
