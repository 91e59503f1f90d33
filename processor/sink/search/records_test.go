package search

import (
	"fmt"
	"time"

	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// began is when the records of the tests happened.
var began = time.Date(2026, 11, 30, 23, 58, 0, 123456789, time.UTC)

// record encodes a log record.
func record(event string, at time.Time, fill func(r *otellog.Record)) sink.Record {
	var r otellog.Record
	r.EventName, r.Time, r.Observed, r.Severity = event, at.UnixNano(), at.Add(time.Minute).UnixNano(), otellog.SeverityInfo
	r.Where(semconv.CloudAccountID, "111122223333")
	if fill != nil {
		fill(&r)
	}
	return sink.Record{Value: otellog.AppendRequest(nil, &r), EventName: event, Topic: "kms.events", Partition: 2, Offset: 7}
}

func event(id string, at time.Time) sink.Record {
	return record(semconv.EventAWSKMSAPICall, at, func(r *otellog.Record) {
		r.String(semconv.LogRecordUID, id)
		r.String(semconv.AWSKMSKeyARN, "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f")
		r.Body = `{"eventName":"Decrypt"}`
	})
}

// windowOf returns a revision of a window with as many calls as the revision has.
func windowOf(id string, start time.Time, revision int) sink.Record {
	return record(semconv.EventKeytrailWindow, start, func(r *otellog.Record) {
		r.String(semconv.KeytrailWindowID, id)
		r.String(semconv.KeytrailWindowStart, start.Format(time.RFC3339Nano))
		r.Int(semconv.KeytrailWindowRevision, int64(revision))
		r.Int(semconv.KeytrailWindowCallsTotal, int64(revision))
	})
}

// incidentOf returns a revision of an incident that was found at at.
func incidentOf(id string, first, at time.Time, revision int) sink.Record {
	return record(semconv.EventKeytrailIncident, at, func(r *otellog.Record) {
		r.String(semconv.KeytrailIncidentID, id)
		r.String(semconv.KeytrailIncidentBegan, first.Format(time.RFC3339Nano))
		r.Int(semconv.KeytrailIncidentRevision, int64(revision))
	})
}

// anomalyOf returns a revision of an anomaly that was found in the window at start.
func anomalyOf(id string, first, start time.Time, revision int) sink.Record {
	return record(semconv.EventKeytrailAnomaly, start, func(r *otellog.Record) {
		r.String(semconv.KeytrailAnomalyID, id)
		r.String(semconv.KeytrailWindowID, fmt.Sprint(id, "'s window"))
		r.String(semconv.KeytrailWindowStart, start.Format(time.RFC3339Nano))
		r.String(semconv.KeytrailAnomalyBegan, first.Format(time.RFC3339Nano))
		r.Int(semconv.KeytrailAnomalyRevision, int64(revision))
		r.Int(semconv.KeytrailWindowCallsTotal, int64(revision))
	})
}
