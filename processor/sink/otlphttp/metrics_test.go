package otlphttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/sink"
	"keytrail/processor/sink/otlphttp"
	"keytrail/schemas/otellog"
	"keytrail/schemas/otelmetric"
	"keytrail/schemas/semconv"
)

// closed is the record of a window of a KMS key at its close.
func closed(calls int64) sink.Record {
	r := &otellog.Record{EventName: semconv.EventKeytrailWindow, Time: 1}
	r.String(semconv.KeytrailWindowScope, "key")
	r.String(semconv.KeytrailWindowState, "final")
	r.Int(semconv.KeytrailWindowRevision, 1)
	r.String(semconv.KeytrailWindowStart, "2026-03-02T09:10:00Z")
	r.String(semconv.KeytrailWindowEnd, "2026-03-02T09:15:00Z")
	r.String(semconv.AWSKMSKeyARN, "k")
	r.Int(semconv.KeytrailWindowCallsTotal, calls)
	r.Int(semconv.KeytrailWindowDenied, 1)
	return sink.Record{Value: otellog.AppendRequest(nil, r), EventName: r.EventName}
}

// With metrics the sink posts the sums of a batch, rejects what it cannot read, and sends
// nothing for a batch without a window.
func TestMetrics(t *testing.T) {
	var calls []int64
	var paths []string
	status, answer := http.StatusOK, []byte(nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportMetricsServiceRequest
		if err != nil || proto.Unmarshal(body, &request) != nil {
			t.Errorf("%v: not a request for metrics: %q", err, body)
		}
		for _, rm := range request.ResourceMetrics {
			for _, p := range rm.ScopeMetrics[0].Metrics[0].GetSum().DataPoints {
				calls = append(calls, p.GetAsInt())
			}
		}
		paths = append(paths, r.URL.Path)
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.WriteHeader(status)
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	c := otlphttp.DefaultConfig()
	c.Endpoint, c.Compression = server.URL, "none"
	c.Metrics = otlphttp.Metrics{Scope: "key", By: otelmetric.ByOutcome}
	s, err := otlphttp.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	torn := sink.Record{Value: []byte("\x0a\x05a"), EventName: semconv.EventKeytrailWindow}
	event := sink.Record{Value: otellog.AppendRequest(nil, &otellog.Record{Time: 1, EventName: "aws.kms.api_call"})}

	if err := s.Deliver(t.Context(), []sink.Record{event}); err != nil || len(paths) > 0 {
		t.Errorf("a batch without a window: %v, requests %v", err, paths)
	}
	err = s.Deliver(t.Context(), []sink.Record{closed(3), event, torn, closed(5)})
	var rejected *sink.Rejected
	if !errors.As(err, &rejected) || !slices.Equal(rejected.Records, []int{2}) || rejected.Reason != sink.ReasonInvalid {
		t.Errorf("error %v, want the torn record rejected", err)
	}
	if !slices.Equal(paths, []string{"/v1/metrics"}) || !slices.Equal(calls, []int64{2, 1, 4, 1}) {
		t.Errorf("requests %v with the sums %v", paths, calls)
	}

	// Two of the four data points are lost: no record is to be sent again.
	if answer, err = proto.Marshal(&collector.ExportMetricsServiceResponse{PartialSuccess: &collector.ExportMetricsPartialSuccess{
		RejectedDataPoints: 2, ErrorMessage: "too old"}}); err != nil {
		t.Fatal(err)
	}
	var partial *sink.Partial
	if err := s.Deliver(t.Context(), []sink.Record{closed(3), closed(5)}); !errors.As(err, &partial) || partial.Lost != 2 {
		t.Errorf("error %v, want a partial success", err)
	}
	// All of its data points are lost: the records without one have not been refused.
	if answer, err = proto.Marshal(&collector.ExportMetricsServiceResponse{PartialSuccess: &collector.ExportMetricsPartialSuccess{
		RejectedDataPoints: 2}}); err != nil {
		t.Fatal(err)
	}
	err = s.Deliver(t.Context(), []sink.Record{event, closed(3), event})
	if !errors.As(err, &rejected) || !slices.Equal(rejected.Records, []int{1}) || rejected.Reason != sink.ReasonPartial {
		t.Errorf("error %v of records %v, want the window alone rejected", err, rejected.Records)
	}
	status, answer = http.StatusServiceUnavailable, nil
	if err := s.Deliver(t.Context(), []sink.Record{closed(3)}); err == nil || errors.As(err, &rejected) && len(rejected.Records) == 0 {
		t.Errorf("error %v, want one to try again", err)
	}
}

func TestMetricsSettings(t *testing.T) {
	f := func(m otlphttp.Metrics, endpoint, want string) {
		t.Helper()
		c := otlphttp.DefaultConfig()
		c.Endpoint, c.Metrics = endpoint, m
		if err := c.Validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", m, err, want)
		}
	}
	f(otlphttp.Metrics{}, "http://127.0.0.1:4318", "")
	f(otlphttp.Metrics{Scope: "pair", By: otelmetric.ByOperation}, "http://127.0.0.1:4318", "")
	f(otlphttp.Metrics{Scope: "keys"}, "http://127.0.0.1:4318", `metrics.scope: "keys"`)
	f(otlphttp.Metrics{Scope: "key", By: "principal"}, "http://127.0.0.1:4318", `metrics.by: "principal"`)
	f(otlphttp.Metrics{By: otelmetric.ByOutcome}, "http://127.0.0.1:4318", "needs metrics.scope")
	f(otlphttp.Metrics{Scope: "key"}, "http://127.0.0.1:4318/v1/metrics", "/v1/metrics")
}
