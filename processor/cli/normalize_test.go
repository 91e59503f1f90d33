package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/generate"
)

// The two outputs have the same records, and both contain every event that concerns KMS,
// byte for byte and in order.
func TestNormalize(t *testing.T) {
	_, dir := madeTrail(t, generate.Config{Seed: 21, Duration: 40 * time.Hour, Events: 1500, DuplicateShare: 0.1})
	// Events unlike the generator's: spaces, escapes, long numbers, unknown fields, and
	// an event of another service.
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	odd := []string{
		strings.Replace(event("odd-1", "u", at), `"eventVersion"`, ` "unknown" : [ 1.10, 12345678901234567890123, 1e-7, "\u00e9\/\ud83d\ude00é😀" ] , "eventVersion"`, 1),
		strings.Replace(event("odd-2", "u", at), "kms.amazonaws.com", "s3.amazonaws.com", 1),
		strings.Replace(event("odd-3", "u", at), `"Decrypt"`, `"BrandNewOperation"`, 1),
	}
	write(t, filepath.Join(dir, "zzz-odd.json"), "{\n \"Records\": [\n"+strings.Join(odd, " ,\n\t")+"]\n}\n")
	_, total := oracleRows(t, []string{dir}, 5*time.Minute)
	summary := fmt.Sprintf("%d records: %d log records, %d filtered, 0 dead letters", total.Received, total.Counted+total.Duplicates, total.Filtered)
	if total.Filtered < 5 || total.Duplicates < 50 {
		t.Fatalf("the trail is no test: %s", summary)
	}
	text := keytrail(t, nil, "normalize", dir).wants(t, 0, summary)
	binary := keytrail(t, nil, "normalize", "-o", "otlp", dir).wants(t, 0, summary)
	bare := keytrail(t, nil, "normalize", "--body", "none", dir).wants(t, 0, summary)

	var request collectorpb.ExportLogsServiceRequest
	if err := proto.Unmarshal([]byte(binary.stdout), &request); err != nil {
		t.Fatal(err)
	}
	jsonLines, bareLines := lines(text.stdout), lines(bare.stdout)
	if n := total.Counted + total.Duplicates; len(jsonLines) != n || len(request.ResourceLogs) != n || len(bareLines) != n {
		t.Fatalf("%d records as JSON, %d as protobuf, %d without bodies; want %d", len(jsonLines), len(request.ResourceLogs), len(bareLines), n)
	}
	input := recordsIn(t, filepath.Join(dir, "111122223333"))
	input = append(input, recordsIn(t, filepath.Join(dir, "444455556666"))...)
	for _, r := range odd {
		input = append(input, json.RawMessage(r))
	}
	for i, line := range jsonLines {
		data, rec := validated(t, line)
		other := request.ResourceLogs[i]
		rec.ObservedTimeUnixNano = 0
		other.ScopeLogs[0].LogRecords[0].ObservedTimeUnixNano = 0
		if !proto.Equal(data.ResourceLogs[0], other) {
			t.Fatalf("record %d differs:\n%v\n%v", i, data.ResourceLogs[0], other)
		}
		input = behind(t, input, rec.Body.GetStringValue())
		data, rec = parse(t, bareLines[i])
		rec.ObservedTimeUnixNano = 0
		other.ScopeLogs[0].LogRecords[0].Body = nil
		if !proto.Equal(data.ResourceLogs[0], other) {
			t.Fatalf("record %d: --body none changes more than the body: %s", i, bareLines[i])
		}
	}
	if len(input) != 0 {
		t.Errorf("%d events are missing from the output", len(input))
	}
}

// behind returns the events after the first unfiltered one, which body must be.
func behind(t *testing.T, events []json.RawMessage, body string) []json.RawMessage {
	t.Helper()
	for i, e := range events {
		if string(e) == body {
			return events[i+1:]
		}
		if !filterable(t, e) {
			t.Fatalf("the body is not the event:\n got %s\nwant %s", body, e)
		}
	}
	t.Fatalf("no event is left for body %s", body)
	return nil
}

// filterable reports whether an event concerns neither KMS nor a trail.
func filterable(t *testing.T, raw []byte) bool {
	t.Helper()
	var e struct{ EventSource, EventName string }
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	switch e.EventSource {
	case "kms.amazonaws.com":
		return false
	case "cloudtrail.amazonaws.com":
		return strings.HasPrefix(e.EventName, "Lookup") || strings.HasPrefix(e.EventName, "Describe") ||
			strings.HasPrefix(e.EventName, "Get") || strings.HasPrefix(e.EventName, "List")
	}
	return true
}

// A closed output ends the command silently.
func TestNormalizeBrokenPipe(t *testing.T) {
	var all bytes.Buffer
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for i := range 3000 { // about 4 MB of output: more than a pipe holds
		fmt.Fprintln(&all, event(fmt.Sprint("e", i), "u", at))
	}
	file := write(t, filepath.Join(t.TempDir(), "trail.ndjson"), all.String())
	for _, format := range []string{"json", "otlp"} {
		stdout, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, nil, out, "normalize", "-o", format, file)
		out.Close()
		if _, err := bufio.NewReader(stdout).ReadByte(); err != nil {
			t.Error(err)
		}
		stdout.Close()
		o := outcome{code: p.code(t), stderr: p.stderr.String()}
		o.wants(t, 0)
		if o.stderr != "" {
			t.Errorf("it said %q", o.stderr)
		}
	}
}
