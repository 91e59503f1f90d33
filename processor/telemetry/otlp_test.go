package telemetry

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/setting"
)

// TestExport: a collector gets the metrics that Prometheus sees, with the headers, at the
// latest when telemetry ends.
func TestExport(t *testing.T) {
	got := make(chan *collectorpb.ExportMetricsServiceRequest, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(z)
		var request collectorpb.ExportMetricsServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/base/v1/metrics" || r.Header.Get("X-Key") != "secret" {
			t.Errorf("%s with the key %q: %v", r.URL.Path, r.Header.Get("X-Key"), err)
		}
		got <- &request
	}))
	defer collector.Close()
	c := DefaultConfig()
	c.OTLP = OTLP{Endpoint: collector.URL + "/base", Interval: time.Hour,
		Headers: map[string]setting.Secret{"X-Key": setting.NewSecret("secret")}}
	tel := start(t, c)
	use(t, tel)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, r := range (<-got).GetResourceMetrics() {
		for _, s := range r.GetScopeMetrics() {
			for _, m := range s.GetMetrics() {
				found[m.GetName()] = true
			}
		}
	}
	for _, name := range []string{nameReceived, nameSinkRetried, nameRulesInfo, nameWatermarkLag} {
		if !found[name] {
			t.Errorf("the collector has no %s; it has %v", name, found)
		}
	}
}

// TestOTLPSettings: an endpoint holds no credentials and leads beyond the machine by TLS only.
func TestOTLPSettings(t *testing.T) {
	for endpoint, valid := range map[string]bool{
		"": true, "http://127.0.0.1:4318": true, "http://[::1]:4318": true, "https://c.example/x": true,
		"http://c.example": false, "c.example:4318": false, "https://u:p@c.example": false, "https://c.example?k=v": false,
	} {
		c := DefaultConfig()
		c.OTLP.Endpoint = endpoint
		if err := c.Validate(); (err == nil) != valid {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}
