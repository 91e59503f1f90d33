package ids

import (
	"fmt"
	"testing"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

func TestAppend(t *testing.T) {
	for _, c := range []struct{ event, want string }{
		{"aws.kms.api_call", "[{event_id e}]"},
		{"aws.kms.service_event", "[{event_id e}]"},
		{semconv.EventKeytrailWindow, "[{window_id w} {revision 3}]"},
		{semconv.EventKeytrailAnomaly, "[{anomaly_id a} {revision 5}]"},
		{semconv.EventKeytrailIncident, "[{incident_id i} {revision 2}]"},
	} {
		// Every kind of record has every id, as anomalies have those of their window.
		r := &otellog.Record{EventName: c.event}
		r.String(semconv.LogRecordUID, "e")
		r.String(semconv.KeytrailWindowID, "w")
		r.String(semconv.KeytrailAnomalyID, "a")
		r.Int(semconv.KeytrailWindowRevision, 3)
		r.Int(semconv.KeytrailAnomalyRevision, 5)
		r.String(semconv.KeytrailIncidentID, "i")
		r.Int(semconv.KeytrailIncidentRevision, 2)
		if got := fmt.Sprint(Append(nil, r)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.event, got, c.want)
		}
		if got := Append(nil, &otellog.Record{EventName: c.event}); len(got) > 0 {
			t.Errorf("%s: got %v of a record without ids", c.event, got)
		}
	}
}
