package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tap shows each topic of a running installation, within the filters and bounds of its
// flags, follows new records, and ends with 0 at a signal.
func TestRunTap(t *testing.T) {
	heavy(t)
	b := startBroker(t)
	config := b.config(t)
	tap := func(more ...string) outcome {
		return keytrail(t, nil, append([]string{"tap", "-c", config}, more...)...)
	}
	now := time.Now().Add(-time.Minute)
	p := run(t, config, "")
	p.ready(t)
	b.produce(t, [][]byte{[]byte(event("call-1", "key-a", now)), []byte(event("call-2", "key-b", now)), []byte("{\"a\x1b\u202e\":")})
	until(t, "all topics have records", func() bool {
		return strings.Count(tap("events").stdout, "\n") == 2 && strings.Contains(tap("deadletter").stdout, `"stage":"normalize"`) &&
			strings.Contains(tap("partials").stdout, `"keytrail.window.calls.total":1`)
	})
	says(t, tap("raw"), `"topic":"kms.raw"`, `"eventID":"call-1"`, `{\"a\u001b\u202e\":`)
	says(t, tap("kms.dedup"), `"key":"head"`, `"calls":`)
	says(t, tap("events", "-o", "table"), "Decrypt", "key-a", "key-b")
	for _, line := range lines(tap("events", "--key", "*key-b").wants(t, 0).stdout + tap("events", "-n", "1", "--from", "1h").wants(t, 0).stdout) {
		if !json.Valid([]byte(line)) || !strings.HasPrefix(line, `{"resourceLogs":`) {
			t.Errorf("a line that is not OTLP/JSON: %s", line)
		}
	}
	for want, args := range map[string][]string{
		"call-2":                 {"events", "--key", "*key-b"},
		"!call-1":                {"events", "--key", "!*key-a"},
		"aws.kms.api_call":       {"events", "-n", "1"},
		"!keytrail.window.scope": {"events", "--event", "keytrail.window"},
		"!call":                  {"events", "--from", "end"},
	} {
		text, not := strings.CutPrefix(want, "!")
		if out := tap(args...).wants(t, 0).stdout; strings.Contains(out, text) == not {
			t.Errorf("tap %q prints %s, against %q", args, out, want)
		}
	}
	if n := strings.Count(tap("events", "-n", "1").stdout, "\n"); n != 1 {
		t.Errorf("-n 1 prints %d records", n)
	}
	tap("anomalies", "--severity", "none").wants(t, 0, "topic kms.anomalies has no such records")

	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, line := range lines(string(doc)) {
		if args, ok := strings.CutPrefix(line, "    keytrail tap "); ok && !strings.Contains(args, "--follow") {
			args = strings.ReplaceAll(strings.ReplaceAll(args, "'", ""), "-c keytrail.yaml", "")
			tap(strings.Fields(args)...).wants(t, 0)
			ran++
		}
	}
	if ran < 2 {
		t.Errorf("only %d commands of docs/operations.md were run", ran)
	}

	follower := start(t, nil, nil, "tap", "events", "-c", config, "--follow", "--from", "start")
	until(t, "the follower has both", func() bool { return strings.Count(follower.stdout.String(), "\n") == 2 })
	b.produce(t, [][]byte{[]byte(event("call-3", "key-a", now))})
	until(t, "the follower has the third", func() bool { return strings.Contains(follower.stdout.String(), "call-3") })
	follower.stop(t, syscall.SIGINT)
	p.stop(t, syscall.SIGTERM)
}

func TestTapRefuses(t *testing.T) {
	keytrail(t, nil, "tap").wants(t, 2, "tap needs a TOPIC")
	keytrail(t, nil, "tap", "events").wants(t, 2, "tap needs -c FILE")
	config := write(t, inTemp(t, "k.yaml"), "kafka: {brokers: [\"127.0.0.1:1\"]}\n")
	keytrail(t, nil, "tap", "event", "-c", config).wants(t, 2, `does not know the topic "event"`, "events")
	keytrail(t, nil, "tap", "events", "raw", "-c", config).wants(t, 2, "tap takes one topic")
	keytrail(t, nil, "tap", "raw", "--kind", "rate", "-c", config).wants(t, 2, "topic kms.raw has no log records to filter")
	keytrail(t, nil, "tap", "events", "--from", "now", "-c", config).wants(t, 2, "want start, end, a time")
	keytrail(t, nil, "tap", "events", "-n", "-1", "-c", config).wants(t, 2, "--number is -1")
	keytrail(t, nil, "tap", "events", "--key", "!", "-c", config).wants(t, 2, "matches nothing")
	embedded := write(t, inTemp(t, "e.yaml"), "kafka: {embedded: true}\n")
	keytrail(t, nil, "tap", "events", "-c", embedded).wants(t, 2, "kafka.embedded is true")
}
