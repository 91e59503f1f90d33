package syslog

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/internal/receiver"
	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
	"keytrail/schemas/body"
	"keytrail/schemas/otellog"
)

// line is what the real receivers write of a message: its fields with tabs between them.
type line struct{ pri, time, host, app, id, data, text string }

// lines reads the file of a real receiver.
func lines(t *testing.T, path string) (list []line) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(content)) {
		f := strings.SplitN(strings.TrimSuffix(text, "\n"), "\t", 7)
		if len(f) < 7 {
			t.Fatalf("line %q", text)
		}
		list = append(list, line{f[0], f[1], f[2], f[3], f[4], f[5], f[6]})
	}
	return list
}

// certificate writes a certificate for 127.0.0.1 and its key, and returns their files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	private, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: server.Certificate().Raw}, key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// startSyslogNG starts syslog-ng with a source of the given driver, and returns its address,
// the file that it writes, and the authority of its certificate.
func startSyslogNG(t *testing.T, driver string) (p *receiver.Program, address, out, ca string) {
	t.Helper()
	binary := receiver.Find(t, "syslogd", "syslog-ng")
	folder := t.TempDir()
	address = receiver.Address(t)
	cert, key := certificate(t)
	p, out, err := receiver.SyslogNG(binary, folder, address, driver, "CERT",
		fmt.Sprintf("tls(key-file(%q) cert-file(%q) peer-verify(optional-untrusted))", key, cert))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.Launch(); err != nil {
		t.Fatal(err)
	}
	return p, address, out, cert
}

// startRsyslog starts rsyslog with TLS.
func startRsyslog(t *testing.T) (p *receiver.Program, address, out, ca string) {
	t.Helper()
	binary := receiver.Find(t, "syslogd", "rsyslogd")
	folder := t.TempDir()
	address = receiver.Address(t)
	out = filepath.Join(folder, "out")
	cert, key := certificate(t)
	_, port, _ := strings.Cut(address, ":")
	config := fmt.Sprintf(`module(load="imtcp")
global(workDirectory=%q maxMessageSize="1m" DefaultNetstreamDriverCAFile=%q
  DefaultNetstreamDriverCertFile=%q DefaultNetstreamDriverKeyFile=%q)
template(name="t" type="string" string="%%pri%%\t%%timereported:::date-rfc3339%%\t%%hostname%%\t%%app-name%%\t%%msgid%%\t%%structured-data%%\t%%msg%%\n")
ruleset(name="r") { action(type="omfile" file=%q template="t") }
input(type="imtcp" address="127.0.0.1" port=%q ruleset="r"
  streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
`, folder, cert, cert, key, out, port)
	settings := filepath.Join(folder, "rsyslog.conf")
	if err := os.WriteFile(settings, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return receiver.Start(t, address, binary, "-n", "-f", settings, "-i", filepath.Join(folder, "pid")), address, out, cert
}

// TestReal sends to real receivers, which are stopped and started again while it sends. Over
// TCP and TLS every record arrives, and its fields and its text are those that were sent.
func TestReal(t *testing.T) {
	for _, c := range []struct {
		name, scheme, driver, body string
		framing                    Framing
	}{
		{"syslog-ng tcp octet counting", schemeTCP, `syslog(transport("tcp") AT)`, "json", FramingOctet},
		{"syslog-ng tcp lf", schemeTCP, `network(transport("tcp") flags(syslog-protocol) AT)`, "ocsf", FramingLF},
		{"syslog-ng tcp cef", schemeTCP, `network(transport("tcp") flags(syslog-protocol) AT)`, "cef", ""},
		{"syslog-ng tcp leef", schemeTCP, `network(transport("tcp") flags(syslog-protocol) AT)`, "leef", ""},
		{"syslog-ng udp", schemeUDP, `syslog(transport("udp") so-rcvbuf(8388608) AT)`, "otlp_json", ""},
		{"syslog-ng tls", schemeTLS, `syslog(transport("tls") AT CERT)`, "ecs", FramingOctet},
		{"rsyslog tls octet counting", schemeTLS, "", "cef", FramingOctet},
		{"rsyslog tls lf", schemeTLS, "", "cim", FramingLF},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := func() (*receiver.Program, string, string, string) { return startSyslogNG(t, c.driver) }
			if c.driver == "" {
				start = func() (*receiver.Program, string, string, string) { return startRsyslog(t) }
			}
			server, address, out, ca := start()
			config := DefaultConfig()
			config.Endpoint, config.Framing, config.Hostname, config.Body = c.scheme+"://"+address, c.framing, "h1", c.body
			if c.scheme == schemeTLS {
				config.TLS.CAFile = ca
			}
			s, err := New(&config)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			sent := make(chan error)
			var want []string
			for i := range 2000 {
				want = append(want, fmt.Sprintf("record-%d", i))
			}
			go func() { sent <- send(t, s, want) }()
			if c.scheme != schemeUDP { // UDP loses what is sent to a receiver that is not there
				for range 3 {
					time.Sleep(100 * time.Millisecond)
					server.Stop()
					if err := server.Launch(); err != nil {
						t.Error(err)
					}
				}
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if s.deaf.Load() {
				t.Error("the receiver does not close connections")
			}
			time.Sleep(200 * time.Millisecond) // for UDP
			server.Stop()
			check(t, lines(t, out), want, c.body)
		})
	}
}

// send brings records through a Runner.
func send(t *testing.T, s sink.Sink, ids []string) error {
	runner, err := sink.NewRunner(sink.Options{
		Name: "siem", Sink: s, Batch: sink.Batch{Records: 20, Bytes: 1 << 20}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Retry: sink.Retry{Base: 10 * time.Millisecond, Cap: 50 * time.Millisecond},
		DeadLetter: func(_ context.Context, rec sink.Record, _ sink.Reason, err error) error {
			return fmt.Errorf("record %v: %w", rec.Ref, err)
		},
	})
	if err != nil {
		return err
	}
	return runner.Deliver(t.Context(), sinktest.Batch(ids...))
}

// check compares what a receiver has written with the ids that were sent.
func check(t *testing.T, got []line, want []string, form string) {
	t.Helper()
	encoder, err := body.New(form)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, l := range got {
		_, id, _ := strings.Cut(l.data, `event_id="`)
		id, _, _ = strings.Cut(id, `"`)
		seen[id]++
		var r otellog.Record
		if err := r.Decode(sinktest.Batch(id)[0].Value); err != nil {
			t.Fatal(err)
		}
		text, err := encoder.Append(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		if l.pri != "110" || !strings.HasPrefix(l.time, "2026-11-18T") || !strings.Contains(l.time, ":40.000000") || l.host != "h1" ||
			l.app != "keytrail" || l.id != "aws.kms.api_call" || l.text != string(text) {
			t.Fatalf("got %+v, want the text %s", l, text)
		}
	}
	copies := 0
	for _, id := range want {
		if seen[id] == 0 {
			t.Errorf("%s is lost", id)
		}
		copies += seen[id] - 1
	}
	t.Logf("%d records, %d copies", len(want), copies)
	if len(seen) != len(want) {
		t.Errorf("%d different records, want %d", len(seen), len(want))
	}
}

// TestRealPaused: real receivers show a wrong scheme, a wrong authority and a missing
// certificate.
func TestRealPaused(t *testing.T) {
	_, address, _, ca := startRsyslog(t)
	for _, c := range []struct {
		want   string
		change func(*Config)
	}{
		{"pause tls", func(c *Config) { c.TLS.CAFile = "" }},
		{"taken", func(*Config) {}},
	} {
		config := DefaultConfig()
		config.Endpoint, config.TLS.CAFile = "tls://"+address, ca
		c.change(&config)
		s, err := New(&config)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Deliver(t.Context(), sinktest.Batch("a")); kind(err) != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
		s.Close()
	}
	config := DefaultConfig()
	config.Endpoint, config.Timeout = "tcp://"+address, 3*time.Second
	s, err := New(&config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	t.Logf("tcp to rsyslog's TLS port: %v", s.Deliver(t.Context(), sinktest.Batch("a")))
}
