package cli_test

import (
	"bytes"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"
)

// A third client, librdkafka's kcat: its records are counted, and the concatenated values
// that it reads from a topic are one OTLP request with all log records.
func TestKcat(t *testing.T) {
	heavy(t)
	path, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("NOT TESTED: kcat is not installed (Debian: kcat)")
	}
	b, tr := startBroker(t), newTrail(t, 35, 1500)
	kcat := func(stdin []byte, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, append([]string{"-b", b.address, "-q"}, args...)...)
		var stderr strings.Builder
		cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("kcat %q: %v\n%s", args, err, stderr.String())
		}
		return out
	}
	p := run(t, b.config(t, fileSink), inTemp(t, "archive.ndjson"))
	p.ready(t)
	kcat(bytes.Join(append(tr.records, tr.closer...), []byte("\n")), "-P", "-t", "kms.raw", "-p", "0", "-z", "snappy")
	b.equals(t, tr.want)
	p.stop(t, syscall.SIGTERM)
	var request collectorpb.ExportLogsServiceRequest
	if err := proto.Unmarshal(kcat(nil, "-C", "-t", "kms.windows", "-o", "beginning", "-e", "-D", "", "-X", "isolation.level=read_committed"), &request); err != nil {
		t.Fatalf("the values of kms.windows, end to end, are no OTLP request: %v", err)
	}
	log := b.committed(t, "kms.windows") // what was written until the stop as well
	if len(request.ResourceLogs) != len(log.records) || len(log.records) < len(tr.want) {
		t.Errorf("kcat reads %d windows, kafka-go %d, and %d differ from each other", len(request.ResourceLogs), len(log.records), len(tr.want))
	}
	keys := kcat(nil, "-C", "-t", "kms.events", "-o", "beginning", "-e", "-f", "%k\n", "-X", "isolation.level=read_committed")
	calls := map[string]bool{}
	for key := range strings.Lines(string(keys)) {
		calls[key] = true
	}
	if want := len(b.committed(t, "kms.events").records); strings.Count(string(keys), "\n") != want || len(calls) < want/2 {
		t.Errorf("kcat reads %d keys of kms.events, %d different ones; kafka-go %d records", bytes.Count(keys, []byte("\n")), len(calls), want)
	}
}
