package stream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"

	"keytrail/processor/generate"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/sink"
	"keytrail/processor/sink/otlphttp"
	"keytrail/processor/telemetry"
)

// logBuffer is a log that a test reads during writes. Safe for concurrent use.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// lines returns the lines that contain a text.
func (l *logBuffer) lines(with string) (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, with) {
			list = append(list, line)
		}
	}
	return list
}

// served gives a pipeline a telemetry server, and returns a function that requests a path of it.
func served(t *testing.T, p *Pipeline) func(path string) (int, string) {
	t.Helper()
	c := telemetry.DefaultConfig()
	c.Listen = "127.0.0.1:0"
	tel, err := telemetry.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tel.Shutdown(context.Background()) })
	p.Telemetry = tel
	return func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + tel.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
}

// otlp returns a sink to a receiver whose status a test sets; 0 accepts the records.
func otlp(t *testing.T, status *atomic.Int32) sink.Sink {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if code := status.Load(); code != 0 {
			http.Error(w, "the token has expired", int(code))
		}
	}))
	t.Cleanup(server.Close)
	c := otlphttp.DefaultConfig()
	c.Endpoint = server.URL
	s, err := otlphttp.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func destinationOf(s sink.Sink) Destination {
	return Destination{Name: "siem", Sink: s, From: sink.Earliest(), Batch: sink.DefaultBatch(), Retry: sink.Retry{Base: 10 * time.Millisecond, Cap: time.Second}, Events: true, Anomalies: true, Windows: WindowsAll}
}

// While a sink's token is expired, everything stays in Kafka, and metrics, probes and log
// say so, with the time of the first loss. With a new token it resumes by itself,
// everything arrives, and nothing waits or was dead-lettered.
func TestPausedSinkKeepsEverything(t *testing.T) {
	b := kafkatest.Start(t)
	var log logBuffer
	p := pipeline(t, b.Brokers())
	p.Log = slog.New(slog.NewTextHandler(&log, nil))
	ask := served(t, p)
	var status atomic.Int32
	status.Store(http.StatusUnauthorized)
	p.Sinks = []Destination{destinationOf(otlp(t, &status))}
	stop := start(t, p, Stages{Normalize: true, Count: true, Detect: true, Forward: true})
	records := trail(t, generate.Config{Seed: 71, Start: time.Now().Add(-50 * time.Hour), Duration: 24 * time.Hour, Events: 400})
	produce(t, b.Brokers(), p.Topics.Raw, records)

	waitFor(t, "the probe says that the sink is paused", func() bool {
		code, text := ask("/readyz")
		return code == http.StatusOK && strings.Contains(text, "sink siem: degraded: paused since ") &&
			strings.Contains(text, "status 401: the token has expired") && strings.Contains(text, "expires at 20")
	})
	if code, text := ask("/readyz?format=json"); code != http.StatusOK || !strings.Contains(text, `{"part":"sink siem","ready":true,"degraded":true,"troubles":[{"condition":"paused"`) {
		t.Errorf("as JSON the probe says %d %s", code, text)
	}
	if code, _ := ask("/livez"); code != http.StatusOK {
		t.Errorf("a paused sink makes the process not alive: %d", code)
	}
	waitFor(t, "the metrics say it", func() bool {
		_, text := ask("/metrics")
		for _, want := range []string{`keytrail_sink_state{sink="siem",state="paused"} 1`, `keytrail_sink_paused{cause="credentials",sink="siem"} 1`,
			`keytrail_sink_paused{cause="tls",sink="siem"} 0`, `keytrail_sink_oldest_record_expires_timestamp_seconds{sink="siem"} `,
			`keytrail_stage_dead_lettered_total{reason="invalid",sink="siem",stage="forward"} 0`} {
			if !strings.Contains(text, want) {
				return false
			}
		}
		return !strings.Contains(text, `keytrail_stage_lag{sink="siem",stage="forward"} 0`)
	})
	caughtUp(t, b.Brokers(), p)
	if lines := log.lines("paused until somebody mends"); len(lines) == 0 || !strings.Contains(lines[0], "oldest_record_expires=") || !strings.Contains(lines[0], "status 401") {
		t.Errorf("the log says %q", lines)
	}

	status.Store(0)
	waitFor(t, "everything is ready, and nothing waits", func() bool {
		code, _ := ask("/readyz")
		_, text := ask("/metrics")
		return code == http.StatusOK && strings.Contains(text, `keytrail_stage_lag{sink="siem",stage="forward"} 0`) &&
			strings.Contains(text, `keytrail_sink_state{sink="siem",state="taking"} 1`)
	})
	stop()
	if n := length(t, b.Brokers(), p.Topics.DeadLetter); n > 0 {
		t.Errorf("%d dead letters", n)
	}
	balanced(t, p)
}

// An idle pipeline has no lag in any stage or sink, whatever transaction markers exist,
// and all series that alerts need exist.
func TestNothingWaitsAtRest(t *testing.T) {
	b := kafkatest.Start(t)
	p := pipeline(t, b.Brokers())
	ask := served(t, p)
	var status atomic.Int32
	p.Sinks = []Destination{destinationOf(otlp(t, &status))}
	stop := start(t, p, Stages{Normalize: true, Count: true, Detect: true, Forward: true})
	produce(t, b.Brokers(), p.Topics.Raw, trail(t, generate.Config{Seed: 72, Start: time.Now().Add(-50 * time.Hour), Duration: 24 * time.Hour, Events: 300}))
	produce(t, b.Brokers(), p.Topics.Raw, [][]byte{[]byte("no JSON")})
	caughtUp(t, b.Brokers(), p)
	var text string
	want := []string{
		`keytrail_stage_lag{stage="normalize"} 0`, `keytrail_stage_lag{stage="count"} 0`, `keytrail_stage_lag{stage="detect"} 0`, `keytrail_stage_lag{sink="siem",stage="forward"} 0`,
		`keytrail_stage_lag_timestamp_seconds{stage="count"} `,
		`keytrail_stage_transactions_total{outcome="aborted",stage="count"} 0`, `keytrail_stage_restarts_total{stage="detect"} 0`,
		`keytrail_stage_dead_lettered_total{reason="unknown_shape",stage="normalize"} 1`, `keytrail_stage_dead_lettered_total{reason="too_deep",stage="normalize"} 0`,
		`keytrail_stage_dead_lettered_total{reason="late",stage="count"} 0`, `keytrail_stage_dead_lettered_total{reason="bad_frame",stage="detect"} 0`,
		`keytrail_stage_expired_total{sink="siem",stage="forward"} 0`, `keytrail_sink_rejected_total{reason="too_large",sink="siem"} 0`,
	}
	missing := func() (list []string) {
		_, text = ask("/metrics")
		for _, w := range want {
			if !strings.Contains(text, w) {
				list = append(list, w)
			}
		}
		return list
	}
	deadline := time.Now().Add(2 * time.Minute)
	for len(missing()) > 0 && time.Now().Before(deadline) {
		time.Sleep(200 * time.Millisecond)
	}
	for _, w := range missing() {
		t.Errorf("the metrics do not have %s", w)
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "keytrail_stage_lag") {
				t.Log(line)
			}
		}
	}
	stop()
}

// An outage is one log line a minute for all clients of the process, and one when it is
// over. The lag keeps its value and time, and no line names an empty topic.
func TestOutageIsOneLine(t *testing.T) {
	dir := t.TempDir()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	addresses := c.ListenAddrs()
	var port int
	fmt.Sscanf(addresses[0][strings.LastIndexByte(addresses[0], ':')+1:], "%d", &port)
	var log logBuffer
	p := pipeline(t, addresses)
	p.Log = slog.New(slog.NewTextHandler(&log, nil))
	p.Kafka.Log = p.Log
	ask := served(t, p)
	var status atomic.Int32
	p.Sinks = []Destination{destinationOf(otlp(t, &status))}
	stop := start(t, p, Stages{Normalize: true, Count: true, Detect: true, Forward: true})
	produce(t, addresses, p.Topics.Raw, trail(t, generate.Config{Seed: 73, Start: time.Now().Add(-50 * time.Hour), Duration: 24 * time.Hour, Events: 50}))
	waitFor(t, "it is ready", func() bool { code, _ := ask("/readyz"); return code == http.StatusOK })
	waitFor(t, "nothing waits", func() bool {
		_, text := ask("/metrics")
		return strings.Contains(text, `keytrail_stage_lag{stage="normalize"} 0`)
	})
	if lines := log.lines("level=WARN"); len(lines) > 0 {
		t.Errorf("before the outage it warns: %q", lines)
	}
	c.Close()
	waitFor(t, "the probe says that Kafka is away", func() bool {
		_, text := ask("/readyz")
		return strings.Contains(text, "kafka: not ready: kafka_away since") && strings.Contains(text, "stage count: ") && strings.Contains(text, "lag_unknown")
	})
	// By then each client has failed several times.
	waitFor(t, "the clients have tried", func() bool {
		states, _ := p.Telemetry.Health().States()
		for _, s := range states {
			if s.Part == "kafka" && len(s.Troubles) > 0 {
				return time.Since(s.Troubles[0].Since) > 15*time.Second
			}
		}
		return false
	})
	if _, text := ask("/metrics"); !strings.Contains(text, `keytrail_stage_lag{stage="normalize"} 0`) {
		t.Error("the lag is not kept during the outage")
	}
	if code, _ := ask("/livez"); code != http.StatusOK {
		t.Errorf("an outage makes the process not alive: %d", code)
	}
	if lines := log.lines("level=WARN"); len(lines) != 1 || !strings.Contains(lines[0], "Kafka does not answer") {
		t.Errorf("an outage of less than a minute has %d lines:\n%s", len(lines), strings.Join(lines, ""))
	}
	if lines := slices.Concat(log.lines("level=ERROR"), log.lines(`topic=""`), log.lines(`topic \"\"`)); len(lines) > 0 {
		t.Errorf("lines that nobody understands: %q", lines)
	}
	if c, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir), kfake.Ports(port)); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	waitFor(t, "it is ready again", func() bool { code, _ := ask("/readyz"); return code == http.StatusOK })
	waitFor(t, "it says so", func() bool { return len(log.lines("Kafka answers again")) == 1 })
	stop()
}

// Deleting a topic ends the running stages, with an error that names it.
func TestDeletedTopicEndsTheRun(t *testing.T) {
	for _, topic := range []string{"kms.state", "kms.partials", "kms.events", "kms.windows"} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			b := kafkatest.Start(t)
			p := pipeline(t, b.Brokers())
			var status atomic.Int32
			p.Sinks = []Destination{destinationOf(otlp(t, &status))}
			ready, ended := make(chan struct{}), make(chan error, 1)
			p.Ready = func() { close(ready) }
			go func() { ended <- p.Run(t.Context(), Stages{Normalize: true, Count: true, Detect: true, Forward: true}) }()
			select {
			case <-ready:
			case err := <-ended:
				t.Fatal(err)
			}
			produce(t, b.Brokers(), p.Topics.Raw, trail(t, generate.Config{Seed: 74, Start: time.Now().Add(-50 * time.Hour), Duration: 24 * time.Hour, Events: 50}))
			caughtUp(t, b.Brokers(), p)
			if _, err := admin(t, b.Brokers()).DeleteTopic(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err == nil || !strings.Contains(err.Error(), `topic "`+topic+`" was deleted`) {
					t.Errorf("the run ended with %v", err)
				}
			case <-time.After(3 * time.Minute):
				t.Error("the run goes on")
			}
		})
	}
}

// Records that Kafka deletes before a sink has taken them are counted, logged, and keep
// the sink from being ready; gaps of markers and aborted transactions do not count.
func TestExpiredRecordsAreSaid(t *testing.T) {
	b := kafkatest.Start(t)
	run := func() (*Pipeline, *logBuffer, func(string) (int, string), func()) {
		p, log := pipeline(t, b.Brokers()), new(logBuffer)
		p.Log = slog.New(slog.NewTextHandler(log, nil))
		ask := served(t, p)
		var status atomic.Int32
		p.Sinks = []Destination{destinationOf(otlp(t, &status))}
		return p, log, ask, start(t, p, Stages{Forward: true})
	}
	caught := func(ask func(string) (int, string)) {
		t.Helper()
		waitFor(t, "nothing waits", func() bool {
			_, text := ask("/metrics")
			return strings.Contains(text, `keytrail_stage_lag{sink="siem",stage="forward"} 0`)
		})
	}
	records := func(n int) (list [][]byte) {
		for range n {
			list = append(list, []byte("a value that the receiver does not look at"))
		}
		return list
	}
	p, log, ask, stop := run()
	produce(t, b.Brokers(), p.Topics.Events, records(10))
	waitFor(t, "something is delivered", func() bool {
		_, text := ask("/metrics")
		return strings.Contains(text, `keytrail_sink_delivered_total{sink="siem"} 10`)
	})
	caught(ask)
	if code, text := ask("/readyz"); code != http.StatusOK {
		t.Errorf("with nothing lost: %d %s", code, text)
	}
	stop()
	if lines := log.lines("level=ERROR"); len(lines) > 0 {
		t.Errorf("with nothing lost: %q", lines)
	}

	produce(t, b.Brokers(), p.Topics.Events, records(20))
	adm := admin(t, b.Brokers())
	var cut kadm.Offsets
	cut.AddOffset(p.Topics.Events, 0, 25, -1)
	if _, err := adm.DeleteRecords(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	_, log, ask, stop = run()
	waitFor(t, "the probe says it", func() bool {
		code, text := ask("/readyz")
		return code == http.StatusOK && strings.Contains(text, `sink siem: degraded: expired since `) && strings.Contains(text, `deleted 15 records of topic "kms.events" partition 0`)
	})
	caught(ask)
	_, text := ask("/metrics")
	for _, want := range []string{`keytrail_stage_expired_total{sink="siem",stage="forward"} 15`, `keytrail_sink_delivered_total{sink="siem"} 5`} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics do not have %s", want)
		}
	}
	if lines := log.lines("records=15"); len(lines) != 1 {
		t.Errorf("the log says %q", lines)
	}
	stop()
}
