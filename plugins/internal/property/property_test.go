package property

import (
	"keytrail/processor/setting"
	"slices"
	"strings"
	"testing"
	"time"
)

func reader(values map[string]string) *Reader {
	return NewReader(func(name string) string { return values[name] })
}

func TestDefaultsAndSummary(t *testing.T) {
	r := reader(map[string]string{"path": "  /var/trail  ", "limit": "32MiB"})
	if got := r.Text("path", "x"); got != "/var/trail" {
		t.Errorf("path = %q", got)
	}
	if got := r.Bytes("limit", 1, 0, 1<<30); got != 32<<20 {
		t.Errorf("limit = %d", got)
	}
	if got := r.Duration("settle", 10*time.Second, 0, time.Hour); got != 10*time.Second {
		t.Errorf("settle = %v", got)
	}
	if got := r.Bytes("batch", 8<<20, 0, 1<<30); got != 8<<20 {
		t.Errorf("batch = %d", got)
	}
	if !r.Bool("begin", true) || r.Int("n", 7, 1, 9) != 7 || r.Choice("filter", "kms", "kms", "all") != "kms" {
		t.Error("a default was not taken")
	}
	if r.Err() != nil {
		t.Errorf("errors %v", r.Err())
	}
	want := "path=/var/trail limit=32MiB settle=10s batch=8M begin=on n=7 filter=kms"
	if got := r.Summary(); got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
	if got := r.Names(); !slices.Equal(got, []string{"path", "limit", "settle", "batch", "begin", "n", "filter"}) {
		t.Errorf("names %q", got)
	}
}

func TestValues(t *testing.T) {
	duration := func(v string, want time.Duration) {
		t.Helper()
		r := reader(map[string]string{"d": v})
		got := r.Duration("d", time.Second, time.Millisecond, time.Hour)
		if want == 0 {
			if r.Err() == nil {
				t.Errorf("%q was taken as %v", v, got)
			}
			return
		}
		if got != want || r.Err() != nil {
			t.Errorf("%q is %v, %v; want %v", v, got, r.Err(), want)
		}
	}
	duration("250ms", 250*time.Millisecond)
	duration("10", 10*time.Second)
	duration("1m30s", 90*time.Second)
	duration("0", 0)
	duration("2h", 0)
	duration("-1s", 0)
	duration("soon", 0)

	bytes := func(v string, want int) {
		t.Helper()
		r := reader(map[string]string{"b": v})
		got := r.Bytes("b", 99, 10, 2<<30)
		if want < 0 {
			if r.Err() == nil {
				t.Errorf("%q was taken as %d", v, got)
			}
			return
		}
		if got != want || r.Err() != nil {
			t.Errorf("%q is %d, %v; want %d", v, got, r.Err(), want)
		}
	}
	bytes("1024", 1024)
	bytes("4k", 4096)
	bytes("4 KiB", 4096)
	bytes("1MB", 1<<20)
	bytes("2G", 2<<30)
	for _, v := range []string{"9", "3G", "99999999999G", "1T", "M", "1MM", "-5M", "1.5M", "iB", "12iB", "18446744073709551615"} {
		bytes(v, -1)
	}
	for v, want := range map[string]bool{"on": true, "True": true, "YES": true, "1": true, "off": false, "false": false, "no": false, "0": false} {
		if r := reader(map[string]string{"b": v}); r.Bool("b", !want) != want || r.Err() != nil {
			t.Errorf("%q is not %v", v, want)
		}
	}
}

func TestRefusalsNameEverything(t *testing.T) {
	r := reader(map[string]string{"source": "kinesis", "b": "maybe", "n": "12", "d": "1y"})
	r.Choice("source", "file", "file", "pipe")
	r.Bool("b", true)
	r.Int("n", 1, 0, 9)
	r.Duration("d", time.Second, 0, time.Minute)
	r.Required("path", "a directory")
	err := r.Err()
	if err == nil {
		t.Fatal("nothing was refused")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{
		`cannot use property "source" with value "kinesis": want file or pipe`,
		`cannot use property "b" with value "maybe": want on or off`,
		`cannot use property "n" with value "12": want a whole number from 0 to 9`,
		`cannot use property "d" with value "1y": want a time such as 10s, from 0s to 1m0s`,
		`property "path" is missing: set it to a directory`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

func TestReserved(t *testing.T) {
	for _, name := range []string{"host", "Port", "tls", "tls.ca_file", "net.keepalive", "workers", "storage.type", "retry_limit"} {
		if !Reserved(name) {
			t.Errorf("%q is free, but Fluent Bit consumes it", name)
		}
	}
	for _, name := range []string{"path", "brokers", "topic"} {
		if Reserved(name) {
			t.Errorf("%q is reserved", name)
		}
	}
}

func TestSecretsAreHidden(t *testing.T) {
	r := NewReader(func(name string) string {
		return map[string]string{"password": "hunter22", "url": "https://me:open-sesame@host/a",
			"second_url": "https://me:p@ss-word@host/a,http://me:other-word@host/b@c", "second_password": "ms"}[name]
	})
	r.Secret("password")
	r.Text("url", "")
	r.Text("second_url", "")
	r.Secret("second_password")
	var s setting.Scrubber
	r.Hide(&s)
	if got := s.Clean("hunter22 open-sesame " + r.Summary()); strings.Contains(got, "hunter22") || strings.Contains(got, "sesame") {
		t.Errorf("shown is %q", got)
	}
	if got := s.Clean("topic kms.events, p@ss-word and other-word at host/b@c"); got != "topic kms.events, [redacted] and [redacted] at host/b@c" {
		t.Errorf("shown is %q", got)
	}
}
