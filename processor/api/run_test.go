package api

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/internal/apitest"
	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/sink"
	"keytrail/processor/sink/otlphttp"
	"keytrail/processor/status"
	"keytrail/processor/stream"
	"keytrail/processor/telemetry"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// TestRun validates every answer of a running pipeline with a broken record and a sink whose
// receiver refuses it. With KEYTRAIL_KAFKA=real the broker is a real one.
func TestRun(t *testing.T) {
	b := kafkatest.Start(t)
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	defer refuses.Close()
	to := otlphttp.DefaultConfig()
	to.Endpoint = refuses.URL
	siem, err := otlphttp.New(&to)
	if err != nil {
		t.Fatal(err)
	}
	served := telemetry.DefaultConfig()
	served.Listen = "127.0.0.1:0"
	tel, err := telemetry.New(t.Context(), served)
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(context.Background())
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	p := &stream.Pipeline{
		Kafka: kafka.Config{Brokers: b.Brokers(), ClientID: "test", Log: log}, Topics: wire.DefaultTopics(), Events: 2,
		Partials: 2, Replication: 1, TransactionID: "test", Interval: 50 * time.Millisecond, Records: 1000, Telemetry: tel,
		Log: log, Version: "0.1.0", Status: status.NewTable(time.Now()),
		Window: stream.Window{Detect: window.DefaultConfig(), OutOfOrderness: int64(time.Minute), IdleAfter: int64(time.Minute)},
		Sinks: []stream.Destination{{Name: "siem", Sink: siem, From: sink.Earliest(), Batch: sink.DefaultBatch(),
			Retry: sink.DefaultRetry(), Events: true}},
	}
	o := options()
	o.Table, o.Now = p.Status, time.Now
	tel.Handle(Prefix, Handler(o))
	tel.Handle(Debug, Handler(o))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- p.Run(ctx, stream.Stages{Normalize: true, Count: true, Detect: true, Forward: true})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ask := func(path string) *httptest.ResponseRecorder {
		t.Helper()
		resp, err := http.Get("http://" + tel.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		w := httptest.NewRecorder()
		for name := range resp.Header {
			w.Header().Set(name, resp.Header.Get(name))
		}
		w.Code = resp.StatusCode
		io.Copy(w.Body, resp.Body)
		return w
	}
	c := apitest.Read(t, openAPI)
	var in status.Installation
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		w := ask("/api/v1/status")
		c.Check(t, "/api/v1/status", w)
		if err := json.Unmarshal(w.Body.Bytes(), &in); err != nil {
			t.Fatal(err)
		}
		if len(in.Stages) == 3 && len(in.Sinks) == 1 && in.Sinks[0].Sink == status.Paused && in.Stages[0].Flow.DeadLetters["unknown_shape"] > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the status stays %s", w.Body)
		}
		for _, topic := range []string{p.Topics.Raw, p.Topics.Events} {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("no JSON")}).FirstErr(); err != nil {
				t.Log(err) // the topic may not exist yet
			}
		}
	}
	c.Check(t, "/api/v1/processes/{id}", ask("/api/v1/processes/"+in.Processes[0].ID))
	c.Check(t, "/api/v1/version", ask("/api/v1/version"))
	c.Check(t, "/api/v1/openapi.yaml", ask("/api/v1/openapi.yaml"))
	c.Check(t, "/debug/pipeline", ask("/debug/pipeline"))
	for _, want := range []string{"/components/schemas/Partition/properties/position", "/components/schemas/Whole/properties/cause"} {
		if slices.Contains(c.Unused(), want) {
			t.Errorf("no answer has %s", want)
		}
	}
	t.Logf("%s", ask("/debug/pipeline").Body)
}
