package scan_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/schemas/otellog"
	"keytrail/schemas/otelmetric"
	"keytrail/schemas/semconv"
)

// sums adds the points of each metric in a request, and holds what every point must be.
func sums(t *testing.T, request []byte, scope string, by otelmetric.By) (total map[string]int64, points int) {
	t.Helper()
	var got collector.ExportMetricsServiceRequest
	if err := proto.Unmarshal(request, &got); err != nil {
		t.Fatal(err)
	}
	total = map[string]int64{}
	series := map[string]bool{}
	for _, rm := range got.ResourceMetrics {
		for _, m := range rm.ScopeMetrics[0].Metrics {
			sum := m.GetSum()
			delta := sum.AggregationTemporality == metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
			if !delta || !sum.IsMonotonic || m.Unit == "" {
				t.Fatalf("%v is not a delta sum with a unit", m)
			}
			for _, p := range sum.DataPoints {
				points++
				total[m.Name] += p.GetAsInt()
				name := fmt.Sprint(m.Name, p.StartTimeUnixNano)
				known := map[string]bool{}
				for _, a := range p.Attributes {
					known[a.Key] = true
					name += fmt.Sprintf(" %s=%s", a.Key, a.Value.GetStringValue())
				}
				if series[name] {
					t.Errorf("two points of %s", name)
				}
				series[name] = true
				if p.TimeUnixNano-p.StartTimeUnixNano != uint64(5*time.Minute) || p.GetAsInt() <= 0 ||
					known[semconv.AWSKMSKeyARN] != (scope != "principal") ||
					known[semconv.KeytrailPrincipalID] != (scope != "key") {
					t.Errorf("point %v of scope %s", p, scope)
				}
				if m.Name == otelmetric.MetricCalls && (known[semconv.KeytrailOutcome] != (by == otelmetric.ByOutcome) ||
					known[semconv.KeytrailOperationClass] != (by == otelmetric.ByOperation)) {
					t.Errorf("point %v by %s", p, by)
				}
			}
		}
	}
	return total, points
}

// The sums of the metrics are those of the windows, whichever attribute splits them.
func TestSumsAreTheWindows(t *testing.T) {
	type split struct {
		scope string
		by    otelmetric.By
	}
	want := map[string]map[string]int64{"key": {}, "principal": {}, "pair": {}}
	requests, points := map[split][]byte{}, map[split]int{}
	publishedByScan(t, func(r *otellog.Record) {
		scope := r.Str(semconv.KeytrailWindowScope)
		if r.EventName == semconv.EventKeytrailWindow && r.Get(semconv.KeytrailWindowRollup) == nil {
			want[scope][otelmetric.MetricCalls] += r.Get(semconv.KeytrailWindowCallsTotal).Int
			want[scope][otelmetric.MetricAnomalies] += r.Get(semconv.KeytrailWindowAnomaliesTotal).Int
		}
		for scope := range want {
			for _, by := range []otelmetric.By{otelmetric.ByNothing, otelmetric.ByOutcome, otelmetric.ByOperation} {
				e, at := otelmetric.Encoder{Scope: scope, By: by}, split{scope, by}
				request, n, err := e.Append(requests[at], r)
				if err != nil {
					t.Fatal(err)
				}
				requests[at], points[at] = request, points[at]+n
			}
		}
	})
	for at, request := range requests {
		got, n := sums(t, request, at.scope, at.by)
		if !maps.Equal(got, want[at.scope]) || n != points[at] || got[otelmetric.MetricAnomalies] == 0 {
			t.Errorf("%v: sums %v of %d points, want %v of %d", at, got, n, want[at.scope], points[at])
		}
	}
}
