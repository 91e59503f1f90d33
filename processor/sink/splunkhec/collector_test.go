package splunkhec

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"keytrail/processor/internal/receiver"
	"keytrail/processor/setting"
	"keytrail/processor/sink/httpsink"
)

// TestRealCollector sends to the HEC receiver of a real OpenTelemetry Collector: with its
// acknowledgements and without, and with a kill between two batches.
func TestRealCollector(t *testing.T) {
	binary := receiver.Find(t, "collector")
	for _, ack := range []Ack{AckRequire, AckOff} {
		for _, compression := range []httpsink.Compression{httpsink.CompressionGzip, httpsink.CompressionNone} {
			t.Run(fmt.Sprint(ack, " ", compression), func(t *testing.T) {
				address := receiver.Address(t)
				folder := t.TempDir()
				settings, out := filepath.Join(folder, "otelcol.yaml"), filepath.Join(folder, "out.jsonl")
				text := fmt.Sprintf(`extensions: {ack: {}}
receivers: {splunk_hec: {endpoint: %q, health_path: /services/collector/health%s}}
exporters: {file: {path: %q}}
service:
  extensions: [ack]
  telemetry: {metrics: {level: none}}
  pipelines: {logs: {receivers: [splunk_hec], exporters: [file]}}
`, address, map[Ack]string{AckRequire: ", ack: {extension: ack}"}[ack], out)
				if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				collector := receiver.Start(t, address, binary, "--config", settings)
				c := DefaultConfig()
				c.Endpoint, c.Token, c.Ack, c.Compression = "http://"+address, setting.NewSecret(testToken), ack, compression
				s, err := New(&c)
				if err != nil {
					t.Fatal(err)
				}
				s.c.AckTimeout, s.first = 5*time.Second, time.Millisecond
				var want []string
				for round := range 2 {
					var list []string
					for i := range 1000 {
						list = append(list, fmt.Sprintf("record-%d-%d", round, i))
					}
					if dead := deliver(t, s, list); len(dead) > 0 {
						t.Errorf("dead letters %q", dead)
					}
					want = append(want, list...)
					collector.Kill()
					if err := collector.Launch(); err != nil {
						t.Fatal(err)
					}
				}
				collector.Stop()
				if got := eventIDs(t, out); !slices.Equal(got, want) {
					t.Errorf("%d records arrived, want %d in order", len(got), len(want))
				}
			})
		}
	}
}

// eventIDs returns the field event_id of the log records in a file of the collector. The
// receiver turns fields into attributes.
func eventIDs(t *testing.T, path string) (ids []string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(content) {
		data := &logs.LogsData{}
		if err := protojson.Unmarshal(line, data); err != nil {
			t.Fatal(err)
		}
		for _, r := range data.ResourceLogs {
			for _, scope := range r.ScopeLogs {
				for _, l := range scope.LogRecords {
					for _, a := range l.Attributes {
						if a.Key == "event_id" {
							ids = append(ids, a.Value.GetStringValue())
						}
					}
				}
			}
		}
	}
	return ids
}
