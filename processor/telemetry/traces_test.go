package telemetry

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/setting"
)

// spansOf starts a collector, and returns its address and a function that returns the spans
// that it got.
func spansOf(t *testing.T) (endpoint string, spans func() []*tracepb.Span) {
	got := make(chan []*tracepb.Span, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/base/v1/traces" {
			return // the metrics
		}
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(z)
		var request collectorpb.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.Header.Get("X-Key") != "secret" {
			t.Errorf("%s with the key %q: %v", r.URL.Path, r.Header.Get("X-Key"), err)
		}
		for _, of := range request.GetResourceSpans() {
			for _, scope := range of.GetScopeSpans() {
				got <- scope.GetSpans()
			}
		}
	}))
	t.Cleanup(collector.Close)
	return collector.URL + "/base", func() (list []*tracepb.Span) {
		for {
			select {
			case some := <-got:
				list = append(list, some...)
			default:
				return list
			}
		}
	}
}

// A collector gets a span per sampled batch, at the latest when telemetry ends. Spans of
// later stages link to those whose header a record carries.
func TestTraces(t *testing.T) {
	endpoint, spans := spansOf(t)
	c := DefaultConfig()
	c.OTLP = OTLP{Endpoint: endpoint, Interval: time.Hour, Traces: 0.5,
		Headers: map[string]setting.Secret{"X-Key": setting.NewSecret("secret")}}
	tel := start(t, c)
	next := 0.4
	tel.Traces().random = func() float64 { return next }
	sampled := tel.Traces().Begin("count", "kms.events", "", true)
	header := string(sampled.Header())
	if !strings.HasPrefix(header, "00-") || !strings.HasSuffix(header, "-01") || len(header) != 55 {
		t.Errorf("the header is %q", header)
	}
	sampled.End(3, nil)
	next = 0.6
	for name, b := range map[string]*Batch{"unsampled": tel.Traces().Begin("count", "kms.events", "", true),
		"following": tel.Traces().Begin("detect", "kms.partials", "", false), "no": nil, "off": (*Traces)(nil).Begin("count", "", "", true)} {
		b.Took([]byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")) // unsampled
		b.Took([]byte("x"))
		if b.Header() != nil {
			t.Errorf("a batch (%s) without a trace has the header %q", name, b.Header())
		}
		b.Abort(1)
	}
	detect := tel.Traces().Begin("detect", "kms.partials", "siem", false)
	for range mostLinks + 10 {
		detect.Took([]byte(header))
	}
	if detect.Header() == nil || string(detect.Header()) == header {
		t.Errorf("a batch that follows has the header %q", detect.Header())
	}
	detect.Abort(7)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := spans()
	if len(list) != 2 {
		t.Fatalf("the collector has %d spans, want 2: %v", len(list), list)
	}
	if list[0].GetName() != "count" || list[1].GetName() != "detect" || list[1].GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR ||
		len(list[1].GetLinks()) != mostLinks || string(list[1].GetLinks()[0].GetSpanId()) != string(list[0].GetSpanId()) {
		t.Errorf("the spans are %v", list)
	}
}

// Spans that a collector does not take are bounded, and delay nobody.
func TestTracesAreBounded(t *testing.T) {
	over, asked := make(chan struct{}), make(chan struct{}, 1000)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			asked <- struct{}{}
			<-over
		}
	}))
	defer collector.Close()
	defer close(over)
	c := DefaultConfig()
	c.OTLP = OTLP{Endpoint: collector.URL, Interval: time.Hour, Traces: 1}
	tel := start(t, c)
	for i := range 3 * mostSpans {
		tel.Traces().Begin("count", "kms.events", "", true).End(1, nil)
		if i == mostSpans/2 {
			<-asked // from now on nothing is taken
		}
	}
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := tel.Shutdown(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the end of telemetry beside a collector that hangs: %v", err)
	}
}

// The share of traced batches is from 0 to 1, and needs a collector.
func TestTracesSettings(t *testing.T) {
	for share, valid := range map[float64]bool{-0.1: false, 0: true, 0.01: true, 1: true, 1.1: false} {
		c := DefaultConfig()
		c.OTLP.Endpoint, c.OTLP.Traces = "http://127.0.0.1:4318", share
		if err := c.Validate(); (err == nil) != valid {
			t.Errorf("%v: %v", share, err)
		}
		c.OTLP.Endpoint = ""
		if err := c.Validate(); (err == nil) != (share == 0) {
			t.Errorf("%v without an endpoint: %v", share, err)
		}
	}
}
