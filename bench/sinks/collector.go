package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/sink"
)

// collectors returns a row for each of the collector's exporters, and makes them the bases of
// ours. The collector gets the same records from its own memory, in OTLP requests of as many
// records as a batch of ours has, under one resource: as from a client that sends batches.
func collectors(to *receivers, records []sink.Record, dir string, ours []*row) ([]*row, error) {
	root, err := checkout()
	if err != nil {
		return nil, err
	}
	build := exec.Command(filepath.Join(root, "scripts", "collector"))
	build.Stderr = os.Stderr
	path, err := build.Output()
	if err != nil {
		return nil, fmt.Errorf("scripts/collector: %w", err)
	}
	feed := filepath.Join(dir, "requests")
	if err := writeRequests(feed, records); err != nil {
		return nil, err
	}
	var rows []*row
	for _, c := range []struct{ name, exporter, base string }{
		{"collector otlphttp, gzip", "otlphttp: {endpoint: http://" + to.http, "keytrail otlp, HTTP, gzip"},
		{"collector otlphttp, uncompressed", "otlphttp: {compression: none, endpoint: http://" + to.http,
			"keytrail otlp, HTTP, uncompressed"},
		{"collector otlp, gRPC, gzip", "otlp: {tls: {insecure: true}, endpoint: " + to.http, "keytrail otlp, gRPC, gzip"},
		{"collector splunk_hec, gzip, without acknowledgements", "splunk_hec: {token: t, endpoint: http://" + to.http +
			"/services/collector", "keytrail splunk_hec, gzip, without acknowledgements"},
	} {
		name, _, _ := strings.Cut(c.exporter, ":")
		settings := filepath.Join(dir, fmt.Sprintf("collector-%d.yaml", len(rows)))
		text := fmt.Sprintf(collectorSettings, feed, inFlight, c.exporter, name)
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			return nil, err
		}
		rows = append(rows, &row{name: c.name, run: func(ctx context.Context) (cost, error) {
			return runCollector(ctx, strings.TrimSpace(string(path)), settings)
		}})
		for _, r := range ours {
			if r.name == c.base {
				r.base = rows[len(rows)-1]
			}
		}
	}
	return rows, nil
}

// collectorSettings have no queue, so that the feed waits for each answer and ends when
// everything is delivered. That spares the collector the work of its queue.
const collectorSettings = `receivers:
  feed: {path: %s, workers: %d}
exporters:
  %s, sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}
service:
  telemetry: {metrics: {level: none}, logs: {level: error}}
  pipelines:
    logs: {receivers: [feed], exporters: [%s]}
`

// checkout returns the folder of keytrail's go.mod, above this module's.
func checkout() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "scripts", "collector")); err == nil {
			return dir, nil
		}
	}
	return "", errors.Join(err, errors.New("no parent directory has scripts/collector; run this inside the repository"))
}

// writeRequests writes the records as OTLP requests, each behind its length.
func writeRequests(path string, records []sink.Record) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	for from := 0; from < len(records); from += block {
		whole := &logs.LogsData{}
		for _, r := range records[from:min(from+block, len(records))] {
			one := &logs.LogsData{}
			if err := proto.Unmarshal(r.Value, one); err != nil {
				return err
			}
			if whole.ResourceLogs == nil {
				whole = one
				continue
			}
			scope := whole.ResourceLogs[0].ScopeLogs[0]
			scope.LogRecords = append(scope.LogRecords, one.ResourceLogs[0].ScopeLogs[0].LogRecords...)
		}
		text, err := proto.Marshal(whole)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// runCollector runs a collector until its feed has delivered everything.
func runCollector(ctx context.Context, path, settings string) (c cost, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // it tries again without an end
	defer cancel()
	run := exec.CommandContext(ctx, path, "--config", settings)
	run.Stderr = os.Stderr
	run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := run.StdoutPipe()
	if err == nil {
		err = run.Start()
	}
	if err != nil {
		return c, err
	}
	defer func() {
		_ = run.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = run.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return c, err
	}
	var cpu, wall int64
	var failed string
	if _, err := fmt.Sscan(line, &cpu, &wall, &failed); err != nil || failed != "<nil>" {
		return c, fmt.Errorf("the collector says %q", line)
	}
	return cost{cpu: time.Duration(cpu), wall: time.Duration(wall)}, nil
}
