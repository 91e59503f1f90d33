package syslog

import (
	"strings"
	"testing"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// TestMessage holds the form of a message (RFC 5424, section 6).
func TestMessage(t *testing.T) {
	record := func(name string, severity otellog.Severity, id string) *otellog.Record {
		r := &otellog.Record{EventName: name, Time: 1_767_225_600_000_001_999, Severity: severity}
		r.String(semconv.LogRecordUID, id)
		r.String(semconv.KeytrailWindowID, "w")
		r.Int(semconv.KeytrailWindowRevision, 3)
		return r
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		record *otellog.Record
		want   string
	}{
		{"event", nil, record("aws.kms.api_call", 9, "e"),
			`<110>1 2026-01-01T00:00:00.000001Z h keytrail - aws.kms.api_call [keytrail@32473 event_id="e"] {`},
		{"window", func(c *Config) { c.Facility, c.AppName, c.EnterpriseID = "local7", "kt", 1 },
			record(semconv.EventKeytrailWindow, 13, ""),
			`<188>1 2026-01-01T00:00:00.000001Z h kt - keytrail.window [keytrail@1 window_id="w" revision="3"] {`},
		{"escapes", nil, record("a b\n"+strings.Repeat("x", 40), 17, "a\"b\\c]d\ne\x7fé"),
			`<107>1 2026-01-01T00:00:00.000001Z h keytrail - a_b_` + strings.Repeat("x", 28) + ` [keytrail@32473 event_id="a\"b\\c\]d e é"] {`},
		{"nothing", func(c *Config) { c.Facility = "kern" }, &otellog.Record{}, `<6>1 - h keytrail - - - {`},
		{"observed", nil, &otellog.Record{Observed: 1e9, Severity: 21}, `<106>1 1970-01-01T00:00:01.000000Z h keytrail - - - {`},
		{"debug", nil, &otellog.Record{Severity: 5}, `<111>1 - h keytrail - - - {`},
		{"cef", func(c *Config) { c.Body = "cef" }, record("aws.kms.api_call", 9, "e"), `[keytrail@32473 event_id="e"] CEF:0|Keytrail|`},
		{"leef", func(c *Config) { c.Body = "leef" }, record("aws.kms.api_call", 9, "e"), `[keytrail@32473 event_id="e"] LEEF:2.0|Keytrail|`},
	} {
		config := DefaultConfig()
		config.Endpoint, config.Hostname = "udp://127.0.0.1:1", "h"
		if c.change != nil {
			c.change(&config)
		}
		if err := config.Validate(); err != nil {
			t.Fatal(err)
		}
		e := newEncoder(&config)
		if err := e.add(otellog.AppendRequest(nil, c.record), 0); err != nil {
			t.Fatal(err)
		}
		if got := string(e.buf); !strings.Contains(got, c.want) || strings.HasPrefix(c.want, "<") && !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got\n%s, want\n%s", c.name, got, c.want)
		}
	}
}

// TestFraming: lengths by default, as RFC 5425 requires for TLS, and line feeds for the
// bodies whose receivers over TCP know nothing else.
func TestFraming(t *testing.T) {
	for _, c := range []struct {
		scheme, body string
		framing      Framing
		octet        bool
	}{
		{schemeTCP, "json", "", true}, {schemeTCP, "cef", "", false}, {schemeTCP, "leef", "", false},
		{schemeTLS, "json", "", true}, {schemeTLS, "cef", "", true}, {schemeTLS, "cef", FramingLF, false},
		{schemeTCP, "cef", FramingOctet, true}, {schemeTCP, "json", FramingLF, false},
	} {
		config := DefaultConfig()
		config.Endpoint, config.Body, config.Framing = c.scheme+"://127.0.0.1:1", c.body, c.framing
		if err := config.Validate(); err != nil {
			t.Fatal(err)
		}
		e := newEncoder(&config)
		for i, name := range []string{"a", "bé"} {
			if err := e.add(otellog.AppendRequest(nil, &otellog.Record{EventName: name, Body: "x\ny"}), i); err != nil {
				t.Fatal(err)
			}
		}
		got := string(e.buf)
		if octet := got[0] != '<'; octet != c.octet {
			t.Errorf("%+v: %q", c, got)
		}
		if lines := strings.Count(got, "\n"); lines != map[bool]int{true: 0, false: 2}[c.octet] {
			t.Errorf("%+v: %d line feeds in %q", c, lines, got)
		}
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"endpoint: is missing":           func(c *Config) { c.Endpoint = "" },
		`"siem:514" has no scheme`:       func(c *Config) { c.Endpoint = "siem:514" },
		"names no host and port":         func(c *Config) { c.Endpoint = "udp://127.0.0.1" },
		"holds more than":                func(c *Config) { c.Endpoint = "tcp://u@127.0.0.1:1/x" },
		"is beyond this machine":         func(c *Config) { c.Endpoint = "tcp://10.0.0.1:1" },
		"insecure: true does not":        func(c *Config) { c.Endpoint, c.Insecure = "tls://siem:1", true },
		"framing: \"lf\" does not":       func(c *Config) { c.Endpoint, c.Framing = "udp://127.0.0.1:1", FramingLF },
		"framing: \"nul\" is not":        func(c *Config) { c.Framing = "nul" },
		"body: \"otlp\" is not":          func(c *Config) { c.Body = "otlp" },
		"facility: \"x\" is not":         func(c *Config) { c.Facility = "x" },
		"hostname: \"a b\" is not":       func(c *Config) { c.Hostname = "a b" },
		"app_name: \"\" is not":          func(c *Config) { c.AppName = "" },
		"enterprise_id: 0 is out":        func(c *Config) { c.EnterpriseID = 0 },
		"max_message: 100 is out":        func(c *Config) { c.MaxMessage = 100 },
		"max_message: 64KiB is out":      func(c *Config) { c.Endpoint, c.MaxMessage = "udp://127.0.0.1:1", 64<<10 },
		"timeout: 0s is out":             func(c *Config) { c.Timeout = 0 },
		"tls.ca_file: \"x\" is set, and": func(c *Config) { c.TLS.CAFile = "x" },
	} {
		c := DefaultConfig()
		c.Endpoint = "tcp://127.0.0.1:601"
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
