package config

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"keytrail/processor/sink/all"
	"keytrail/processor/sink/splunkhec"
)

// TestReload: rules, expected anomalies, sinks and the level of the log may change; any other
// change is refused with its line, and without a secret.
func TestReload(t *testing.T) {
	t.Setenv("OLD", "an-old-password")
	t.Setenv("NEW", "a-new-password")
	const before = "kafka:\n  brokers: [127.0.0.1:9092]\n  sasl: {mechanism: PLAIN, username: u, password: \"${OLD}\"}\n" +
		"  tls: {enabled: true}\ndetect: {min_count: 40}\nresource: {service.name: a}\n"
	for _, c := range []struct{ old, now, want string }{
		{"detect: {min_count: 40}", "detect: {allow: [{kind: rate, why: backup}]}\nrules: {sigma: [x]}\ntelemetry: {log: {level: debug}}\n" +
			"sinks: [{name: s, type: file, path: \"-\"}]", ""},
		{"detect: {min_count: 40}", "detect: {min_count: 41}", ":5: detect.min_count: changed from 40 to 41, which needs a restart"},
		{"detect: {min_count: 40}", "window: {size: 10m}", ":5: window.size: changed from 5m to 10m, which needs"},
		{"[127.0.0.1:9092]", "[127.0.0.1:9092, 127.0.0.1:9093]", ":2: kafka.brokers: changed from a list of 1 to a list of 2"},
		{"${OLD}", "${NEW}", ":3: kafka.sasl.password: changed from ${OLD} to ${NEW}"},
		{"service.name: a", "service.name: b", ":6: resource: changed"},
		{"detect: {min_count: 40}", "telemetry: {listen: \"127.0.0.1:1\"}", `:5: telemetry.listen: changed from "" to 127.0.0.1:1`},
		{"detect: {min_count: 40}", "detect: {min_count: many}", ":5: detect.min_count:"},
	} {
		path := filepath.Join(t.TempDir(), "keytrail.yaml")
		put := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put(before)
		was, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		put(strings.Replace(before, c.old, c.now, 1))
		is, err := was.Reread()
		if err == nil {
			err = was.Reload(is)
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, c.want) || c.want == "" && text != "" || strings.Contains(text, "password\"") {
			t.Errorf("%s instead of %s: %q, want %q", c.now, c.old, text, c.want)
		}
		if err == nil && was.Secrets() != is.Secrets() {
			t.Error("what hides the secrets of the former configuration does not hide those of the new one")
		}
	}
}

// TestSameSink: a sink is another one if one of its settings has another value, wherever that
// comes from, but not because it has run the command of its secret.
func TestSameSink(t *testing.T) {
	t.Setenv("TOKEN", "an-old-token")
	path := filepath.Join(t.TempDir(), "keytrail.yaml")
	read := func(text string) *Sink {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		return &c.Sinks[0]
	}
	const text = "sinks: [{name: siem, type: splunk_hec, endpoint: \"https://siem.example\", token: \"a${command:echo old}\", " +
		"headers: {X-Key: \"${TOKEN}\"}, batch: {records: 10}, filter: {severities: [high]}}]"
	was := read(text)
	token := was.To.(*splunkhec.Config).Token
	if got, err := token.Read(t.Context()); got != "aold" || err != nil {
		t.Fatal(got, err)
	}
	var running sync.WaitGroup
	running.Go(func() { // the sink goes on
		for range 3 {
			token.Forget()
			token.Read(context.Background())
		}
	})
	for range 100 {
		if !was.Same(read(text)) {
			t.Fatal("a sink that has read its secret is another one")
		}
	}
	running.Wait()
	for old, now := range map[string]string{"echo old": "echo new", "\"a$": "\"b$", "records: 10": "records: 11", "[high]": "[low]",
		"X-Key": "X-Token", "splunk_hec": "splunk_hec, ack: off", "${command:echo old}": "old", "\"${TOKEN}\"": "other-token"} {
		if was.Same(read(strings.Replace(text, old, now, 1))) {
			t.Errorf("%s instead of %s: the same sink", now, old)
		}
	}
	for _, k := range all.Kinds {
		if a, b := (&Sink{Type: k.Type, To: k.Default()}), (&Sink{Type: k.Type, To: k.Default()}); !a.Same(b) {
			t.Errorf("%s: two sinks with the defaults differ", k.Type)
		}
	}
	t.Setenv("TOKEN", "a-new-token")
	if was.Same(read(text)) {
		t.Error("another value in the environment: the same sink")
	}
}
