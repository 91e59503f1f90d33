package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
)

// lines returns a Logs that exports to a server, and what it writes itself.
func lines(t *testing.T, endpoint string) (*Logs, *locked, *slog.LevelVar) {
	t.Helper()
	c := DefaultConfig()
	c.OTLP.Endpoint, c.OTLP.Logs = endpoint, true
	w, level := &locked{}, new(slog.LevelVar)
	l, err := NewLogs(t.Context(), w, c, level, func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") })
	if err != nil {
		t.Fatal(err)
	}
	return l, w, level
}

// locked is a buffer for several goroutines.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestLogs: a collector gets each line from the level on, with its attributes and without
// secrets, at the latest when the log ends; standard error has the lines as well.
func TestLogs(t *testing.T) {
	var mu sync.Mutex
	var got []*logspb.LogRecord
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(z)
		var request collectorpb.ExportLogsServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/v1/logs" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range request.GetResourceLogs() {
			for _, scope := range resource.GetScopeLogs() {
				got = append(got, scope.GetLogRecords()...)
			}
		}
	}))
	defer collector.Close()
	l, w, level := lines(t, collector.URL)
	l.Debug("below the level")
	l.With("stage", "count").Warn("a token hunter2", "error", errors.New("401 for hunter2"), "n", 3)
	level.Set(slog.LevelDebug)
	l.Debug("after a reload")
	if err := l.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Fatalf("the collector has %d lines: %v", len(got), got)
	}
	attributes := map[string]string{}
	for _, a := range got[0].GetAttributes() {
		attributes[a.GetKey()] = a.GetValue().String()
	}
	if got[0].GetBody().GetStringValue() != "a token ***" || got[0].GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_WARN ||
		!strings.Contains(attributes["exception.message"], "401 for ***") || !strings.Contains(attributes["stage"], "count") ||
		!strings.Contains(attributes["n"], "3") {
		t.Errorf("the record is %v", got[0])
	}
	if got[1].GetBody().GetStringValue() != "after a reload" {
		t.Errorf("the second record is %v", got[1])
	}
	if text := w.String(); strings.Contains(text, "below") || !strings.Contains(text, "stage=count") {
		t.Errorf("standard error has\n%s", text)
	}
}

// TestLogsLost: a collector that hangs or refuses delays no line, and each line that it does
// not get is counted and on standard error.
func TestLogsLost(t *testing.T) {
	hang := make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-hang
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer collector.Close()
	l, w, _ := lines(t, collector.URL)
	const n = 3 * mostLines
	for i := range n {
		l.Info("line", "i", i)
	}
	if lost := l.lost.Load(); lost != n-mostLines {
		t.Errorf("%d of %d lines are lost while the collector hangs, want %d", lost, n, n-mostLines)
	}
	close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := l.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if lost, exported, waiting := l.lost.Load(), l.exported.Load(), l.waiting.Load(); lost != n || exported != 0 || waiting != 0 {
		t.Errorf("lost %d, exported %d, waiting %d; want %d, 0, 0", lost, exported, waiting, n)
	}
	text := w.String()
	if strings.Count(text, "msg=line") != n || strings.Count(text, "the log cannot be exported") != 1 {
		t.Errorf("standard error has %d lines and %d warnings", strings.Count(text, "msg=line"),
			strings.Count(text, "the log cannot be exported"))
	}
}
