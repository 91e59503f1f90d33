package cli_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/internal/certs"
	"keytrail/processor/source/aws/awstest"
)

// secureServer accepts connections of TLS with a certificate that change alters, until the
// end of the test, and returns its address.
func secureServer(t *testing.T, a *certs.Authority, change func(*x509.Certificate)) string {
	t.Helper()
	cert, key := inTemp(t, "cert.pem"), inTemp(t, "key.pem")
	if err := a.Sign("siem", cert, key, change); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.(*tls.Conn).HandshakeContext(t.Context())
			}()
		}
	}()
	return l.Addr().String()
}

// "config check --online" says of each sink whether its receiver can be reached and what its
// certificate is worth, and of each source whether AWS lets it be read.
func TestConfigCheckOnline(t *testing.T) {
	b := startBroker(t)
	for name, value := range awstest.Environment {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	a, err := certs.New("authority", ca)
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.New("another", filepath.Join(dir, "other.pem"))
	if err != nil {
		t.Fatal(err)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<Error><Code>AccessDenied</Code><Message>not allowed</Message></Error>")
	}))
	defer refusing.Close()
	history := awstest.StartHistory(t)
	lasting := func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(1, 0, 0) }
	var sinks strings.Builder
	for name, address := range map[string]string{
		"good": secureServer(t, a, lasting), "soon": secureServer(t, a, nil), "stranger": secureServer(t, other, nil),
		"expired": secureServer(t, a, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"renamed": secureServer(t, a, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} }),
		"plain":   strings.TrimPrefix(plain.URL, "http://"), "away": "127.0.0.1:1",
	} {
		fmt.Fprintf(&sinks, "  - {name: %s, type: otlp, endpoint: \"https://%s\", tls: {ca_file: %q}}\n", name, address, ca)
	}
	fmt.Fprintf(&sinks, "  - {name: lines, type: syslog, endpoint: \"tls://%s\", tls: {ca_file: %q}}\n", secureServer(t, a, lasting), ca)
	fmt.Fprintf(&sinks, "  - {name: open, type: splunk_hec, endpoint: %q, token: hunter2hunter2, ack: off}\n", plain.URL)
	fmt.Fprintf(&sinks, "sources:\n"+
		"  - {name: folder, type: file, path: %[1]q, checkpoint: %[2]q}\n"+
		"  - {name: nowhere, type: file, path: \"%[1]s/none\", checkpoint: \"%[1]s/none/c\"}\n"+
		"  - {name: bucket, type: s3, s3_bucket: trail, checkpoint: \"%[2]s2\", aws_region: eu-central-1, aws_endpoint: %[3]q}\n"+
		"  - {name: queue, type: sqs, sqs_queue_url: \"%[3]s/111122223333/trail\", aws_region: eu-central-1, aws_endpoint: %[3]q}\n"+
		"  - {name: history, type: lookup, checkpoint: \"%[2]s3\", aws_region: eu-central-1, aws_endpoint: %[4]q}\n",
		dir, filepath.Join(dir, "checkpoint"), refusing.URL, history.URL)
	o := keytrail(t, nil, "config", "check", "--online", "-c", b.config(t, sinks.String())).wants(t, 1, "cannot work as it is")
	for _, want := range [][3]string{
		{"ok", "transactions", "can begin"},
		{"ok", "addresses", "sink open: 127.0.0.1:"},
		{"warning", "addresses", "sink away: dial tcp 127.0.0.1:1"},
		{"ok", "certificates", "the certificate of sink good ("},
		{"ok", "certificates", "the certificate of sink lines ("},
		{"warning", "certificates", "the certificate of sink soon ("},
		{"error", "certificates", "sink stranger: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"error", "certificates", "sink expired: tls: failed to verify certificate: x509: certificate has expired"},
		{"error", "certificates", "sink renamed: tls: failed to verify certificate: x509: certificate is valid for 127.0.0.2"},
		{"error", "certificates", "sink plain: tls: first record does not look like a TLS handshake"},
		{"skipped", "sinks", "sink good is not tried"},
		{"ok", "sources", "source folder: "},
		{"error", "sources", "source nowhere: stat "},
		{"error", "sources", "source nowhere: file does not exist"},
		{"error", "sources", "source bucket: cannot list s3://trail/"},
		{"error", "sources", "source queue: cannot get the attributes of queue"},
		{"skipped", "sources", "source queue: "},
		{"ok", "sources", "source history: events of Region eu-central-1 can be looked up"},
	} {
		o.found(t, want[0], want[1], want[2])
	}
	if !strings.Contains(o.stdout, "deploy/aws/s3.json") || strings.Contains(o.stdout+o.stderr, "hunter2") {
		t.Errorf("the output lacks the policy, or shows a secret:\n%s", o.stdout)
	}
}
