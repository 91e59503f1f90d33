package otlphttp

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	real "keytrail/processor/internal/receiver"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/processor/sink/sinktest"
)

// TestRealCollector sends to a real collector. The first attempts meet nobody, since
// the collector is still starting.
func TestRealCollector(t *testing.T) {
	binary := real.Find(t, "collector")
	for _, how := range []struct {
		protocol    Protocol
		compression httpsink.Compression
	}{
		{ProtocolHTTP, httpsink.CompressionGzip}, {ProtocolHTTP, httpsink.CompressionNone},
		{ProtocolGRPC, httpsink.CompressionGzip}, {ProtocolGRPC, httpsink.CompressionNone},
	} {
		t.Run(fmt.Sprint(how.protocol, " ", how.compression), func(t *testing.T) {
			endpoint, stop := startCollector(t, binary, how.protocol)
			runner, err := sink.NewRunner(sink.Options{
				Name: "siem",
				Sink: open(t, "http://"+endpoint, func(c *Config) {
					c.Protocol, c.Compression = how.protocol, how.compression
				}),
				Batch: sink.Batch{Records: 300, Bytes: 1 << 20},
				Retry: sink.Retry{Base: 100 * time.Millisecond, Cap: time.Second, MaxElapsed: time.Minute},
				DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, err error) error {
					return fmt.Errorf("record %v: %s: %w", rec.Ref, reason, err)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range 1000 {
				want = append(want, fmt.Sprint("record-", i))
			}
			if err := runner.Deliver(t.Context(), sinktest.Batch(want...)); err != nil {
				t.Fatal(err)
			}
			if got := stop(); !slices.Equal(got, want) {
				t.Errorf("%d records arrived, want %d in order", len(got), len(want))
			}
		})
	}
}

// TestRealCollectorRefusals holds what a real collector answers to what is wrong: the one
// record that it cannot read goes to the dead letter with its words, and what is wrong
// about the endpoint pauses the sink.
func TestRealCollectorRefusals(t *testing.T) {
	binary := real.Find(t, "collector")
	for protocol, words := range map[Protocol]string{ProtocolHTTP: "status 400: ", ProtocolGRPC: "gRPC status "} {
		t.Run(string(protocol), func(t *testing.T) { refusals(t, binary, protocol, words) })
	}
}

func refusals(t *testing.T, binary string, protocol Protocol, words string) {
	endpoint, stop := startCollector(t, binary, protocol)
	speak := func(c *Config) { c.Protocol = protocol }
	var dead []string
	runner, err := sink.NewRunner(sink.Options{
		Name: "siem", Sink: open(t, "http://"+endpoint, speak), Batch: sink.DefaultBatch(), Log: quiet(),
		Retry: sink.Retry{Base: 100 * time.Millisecond, Cap: time.Second, MaxElapsed: time.Minute},
		DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, err error) error {
			dead = append(dead, fmt.Sprintf("%v %s: %v", rec.Ref, reason, err))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	batch := sinktest.Batch("a", "b", "c", "d", "e", "f", "g")
	batch[3].Value = []byte("\x0a\xff\xff\xff\x7fthis is not protobuf")
	if err := runner.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if len(dead) != 1 || !strings.HasPrefix(dead[0], "d invalid: "+words) || strings.HasSuffix(dead[0], "no reason given") {
		t.Errorf("dead letters %q, want d with the collector's words", dead)
	}
	wrong := map[string]string{"https://" + endpoint: "pause tls"}
	if protocol == ProtocolHTTP {
		wrong["http://"+endpoint+"/nowhere"] = "pause address"
	}
	for url, want := range wrong {
		if err := open(t, url, speak).Deliver(t.Context(), sinktest.Batch("x")); kind(err) != want {
			t.Errorf("%s: got %v, want %s", url, err, want)
		}
	}
	if got := stop(); !slices.Equal(got, []string{"a", "b", "c", "e", "f", "g"}) {
		t.Errorf("%q arrived", got)
	}
}

// startCollector starts a collector that writes to a file. stop ends it and
// returns the ids of the records in the file.
func startCollector(t *testing.T, binary string, protocol Protocol) (endpoint string, stop func() []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	settings, out := filepath.Join(folder, "otelcol.yaml"), filepath.Join(folder, "out.jsonl")
	text := fmt.Sprintf(`receivers: {otlp: {protocols: {%s: {endpoint: %q}}}}
exporters: {file: {path: %q}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {logs: {receivers: [otlp], exporters: [file]}}
`, protocol, endpoint, out)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	process := exec.CommandContext(t.Context(), binary, "--config", settings)
	process.Stdout, process.Stderr = &said, &said
	process.Cancel = func() error { return process.Process.Signal(os.Interrupt) }
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	return endpoint, func() []string {
		t.Helper()
		if err := process.Cancel(); err != nil {
			t.Fatal(err)
		}
		if err := process.Wait(); err != nil {
			t.Fatalf("the collector failed: %v\n%s", err, &said)
		}
		content, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for line := range bytes.Lines(content) {
			data := &logs.LogsData{}
			if err := protojson.Unmarshal(line, data); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, sinktest.IDs(data)...)
		}
		return ids
	}
}
