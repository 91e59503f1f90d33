package otelmetric_test

import (
	"strings"
	"testing"

	"keytrail/schemas/otellog"
	"keytrail/schemas/otelmetric"
	"keytrail/schemas/semconv"
)

// Only the first final record of a window counts.
func TestOtherRecordsCountNothing(t *testing.T) {
	window := func(change func(r *otellog.Record)) *otellog.Record {
		r := &otellog.Record{EventName: semconv.EventKeytrailWindow, Time: 1}
		r.String(semconv.KeytrailWindowScope, "key")
		r.String(semconv.KeytrailWindowState, "final")
		r.Int(semconv.KeytrailWindowRevision, 1)
		r.String(semconv.KeytrailWindowStart, "2026-03-02T09:10:00Z")
		r.String(semconv.KeytrailWindowEnd, "2026-03-02T09:15:00Z")
		r.String(semconv.AWSKMSKeyARN, "k")
		r.Int(semconv.KeytrailWindowCallsTotal, 3)
		change(r)
		return r
	}
	f := func(counts bool, change func(r *otellog.Record)) {
		t.Helper()
		e := otelmetric.Encoder{Scope: "key"}
		got, points, err := e.Append(nil, window(change))
		if err != nil || (len(got) > 0) != counts || (points > 0) != counts {
			t.Errorf("%d bytes, %d points (%v), want some: %v", len(got), points, err, counts)
		}
	}
	f(true, func(*otellog.Record) {})
	f(false, func(r *otellog.Record) { r.EventName = semconv.EventKeytrailAnomaly })
	f(false, func(r *otellog.Record) { r.Get(semconv.KeytrailWindowScope).Str = "pair" })
	f(false, func(r *otellog.Record) { r.Get(semconv.KeytrailWindowState).Str = "open" })
	f(false, func(r *otellog.Record) { r.Get(semconv.KeytrailWindowRevision).Int = 2 })
	f(false, func(r *otellog.Record) { r.Bool(semconv.KeytrailWindowRollup, true) })
	f(false, func(r *otellog.Record) { r.Get(semconv.KeytrailWindowCallsTotal).Int = 0 })
	e := otelmetric.Encoder{Scope: "key"}
	if _, _, err := e.Append(nil, window(func(r *otellog.Record) { r.Get(semconv.KeytrailWindowEnd).Str = "soon" })); err == nil {
		t.Error("a window without an end counts")
	}
}

// The window of an alias is another point than that of its KMS key, whose ARN both have.
func TestAliasIsAnotherPoint(t *testing.T) {
	const alias = "arn:aws:kms:eu-central-1:111122223333:alias/payments"
	r := &otellog.Record{EventName: semconv.EventKeytrailWindow, Time: 1}
	r.String(semconv.KeytrailWindowScope, "key")
	r.String(semconv.KeytrailWindowState, "final")
	r.Int(semconv.KeytrailWindowRevision, 1)
	r.String(semconv.KeytrailWindowStart, "2026-03-02T09:10:00Z")
	r.String(semconv.KeytrailWindowEnd, "2026-03-02T09:15:00Z")
	r.String(semconv.AWSKMSKeyARN, "k")
	r.String(semconv.AWSKMSAliasARN, alias)
	r.Int(semconv.KeytrailWindowCallsTotal, 3)
	e := otelmetric.Encoder{Scope: "key"}
	if got, _, err := e.Append(nil, r); err != nil || !strings.Contains(string(got), alias) {
		t.Errorf("%q (%v), want the alias in it", got, err)
	}
}
