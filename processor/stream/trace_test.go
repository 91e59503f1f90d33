package stream

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/generate"
	"keytrail/processor/kafka"
	"keytrail/processor/read"
	"keytrail/processor/sink"
	"keytrail/processor/telemetry"
)

// tracing returns a Telemetry that traces a share of batches, and a function that returns the
// spans that its collector has, by name.
func tracing(t *testing.T, share float64) (*telemetry.Telemetry, func() map[string][]*tracepb.Span) {
	t.Helper()
	var mu sync.Mutex
	spans := map[string][]*tracepb.Span{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var request collectorpb.ExportTraceServiceRequest
		z, err := gzip.NewReader(r.Body)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(z)
		}
		if r.URL.Path != "/v1/traces" {
			return
		}
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, of := range request.GetResourceSpans() {
			for _, scope := range of.GetScopeSpans() {
				for _, s := range scope.GetSpans() {
					spans[s.GetName()] = append(spans[s.GetName()], s)
				}
			}
		}
	}))
	t.Cleanup(collector.Close)
	c := telemetry.DefaultConfig()
	c.OTLP.Endpoint, c.OTLP.Traces, c.OTLP.Interval = collector.URL, share, time.Hour
	tel, err := telemetry.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tel, func() map[string][]*tracepb.Span {
		mu.Lock()
		defer mu.Unlock()
		return spans
	}
}

// Spans of all stages are linked by the header of the records between them.
func TestTracedWay(t *testing.T) {
	brokers := broker(t)
	p := pipeline(t, brokers)
	var spans func() map[string][]*tracepb.Span
	p.Telemetry, spans = tracing(t, 1)
	m := &memory{records: map[string]int{}, ids: map[string]int{}}
	p.Sinks = []Destination{{Name: "memory", Sink: m, From: sink.Earliest(), Batch: sink.DefaultBatch(), Retry: sink.DefaultRetry(), Events: true}}
	stop := start(t, p, all)
	produce(t, brokers, p.Topics.Raw, trail(t, generate.Config{Seed: 5, Start: time.Now().Add(-5 * time.Hour), Duration: 4 * time.Hour, Events: 300}))
	caughtUp(t, brokers, p)
	stop()
	if err := p.Telemetry.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	for after, before := range map[string]string{"count": "normalize", "detect": "count", "forward": "normalize"} {
		known, linked := map[string]bool{}, 0
		for _, s := range append(spans()[before], spans()["detect"]...) { // detect sends itself notices
			known[string(s.GetTraceId())+string(s.GetSpanId())] = true
		}
		for _, s := range spans()[after] {
			for _, l := range s.GetLinks() {
				if !known[string(l.GetTraceId())+string(l.GetSpanId())] {
					t.Errorf("a span of stage %s links to none of stage %s", after, before)
				}
				linked++
			}
		}
		if linked == 0 {
			t.Errorf("%d spans of stage %s have no links to the %d of stage %s", len(spans()[after]), after, len(spans()[before]), before)
		}
	}
	for _, topic := range []string{p.Topics.State, p.Topics.Dedup} {
		readTopic(t, brokers, topic, p.Partitions[topic], func(r *kgo.Record) error {
			if headerOf(r, telemetry.HeaderTrace) != "" {
				t.Errorf("a record of state in %s carries a trace", topic)
			}
			return nil
		})
	}
}

// output returns the records that stage normalize makes of messages, at one time.
func (p *Pipeline) output(t *testing.T, messages [][]byte) (list []*kgo.Record) {
	t.Helper()
	n := newNormalizer(p)
	options := p.Read
	options.Encoded = true
	n.in = read.NewRecords(read.Config{Options: options, Counts: &n.counts, Record: n.publish, Dead: n.dead,
		Now: func() time.Time { return time.Unix(1_700_000_000, 0) }})
	transact := &kafka.Transact{Early: n.flush, Topic: p.Topics.Raw}
	stage := p.trace("normalize", true, transact, n)
	for _, m := range messages {
		if err := stage.Process(&kgo.Record{Topic: p.Topics.Raw, Value: m}); err != nil {
			t.Fatal(err)
		}
		transact.Early(func(r *kgo.Record) { list = append(list, r) })
	}
	if _, err := stage.Output(time.Now(), func(r *kgo.Record) { list = append(list, r) }); err != nil {
		t.Fatal(err)
	}
	return list
}

// Without traces, and in a batch that is not sampled, records have the same bytes. A sampled
// one adds the header alone.
func TestUntracedBytes(t *testing.T) {
	messages := trail(t, generate.Config{Seed: 5, Start: time.Unix(1_700_000_000, 0), Duration: time.Hour, Events: 200})
	made := map[float64][]*kgo.Record{}
	for _, share := range []float64{0, 1e-300, 1} {
		p := rawStage(0, 0).p
		if p.Telemetry, _ = tracing(t, share); (share == 0) != (p.Telemetry.Traces() == nil) {
			t.Fatalf("with a share of %v, traces are %v", share, p.Telemetry.Traces())
		}
		made[share] = p.output(t, messages)
	}
	if len(made[0]) < 100 || !reflect.DeepEqual(made[0], made[1e-300]) {
		t.Errorf("%d records without traces, %d in a batch that is not sampled: they differ", len(made[0]), len(made[1e-300]))
	}
	for i, r := range made[1] {
		if len(headerOf(r, telemetry.HeaderTrace)) != 55 {
			t.Fatalf("a record of a sampled batch has the headers %v", r.Headers)
		}
		r.Headers = r.Headers[:len(r.Headers)-1]
		if !reflect.DeepEqual(r, made[0][i]) {
			t.Fatalf("record %d differs by more than the header", i)
		}
	}
}
