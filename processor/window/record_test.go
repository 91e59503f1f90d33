package window_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/window"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
)

// Tools rely on these names.
func TestWindowRecord(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	c := decrypt(begin+hour, 1, 1)
	c.Object, c.Context, c.Outcome, c.Cross = 7, kms.ContextS3Object, kms.OutcomeDenied, true
	r.add(c, 9)
	list := r.advance(begin + hour + size)
	var rec otellog.Record
	anomaly.WindowRecord(&rec, find(list, roleOf(1), begin+hour).Window, size, begin+2*hour)
	var got []string
	for _, a := range rec.Attrs {
		value := a.Str
		if a.Kind == otellog.KindInt {
			value = fmt.Sprint(a.Int)
		}
		got = append(got, a.Key+"="+value)
	}
	want := []string{
		"keytrail.principal.id=arn:aws:iam::111122223333:role/1", "keytrail.window.anomalies.total=1", "keytrail.window.anomalies.refusals=1",
		"keytrail.window.calls.total=9", "keytrail.window.calls.decrypt=9", "keytrail.window.calls.direct=9", "keytrail.window.context.s3_object=9",
		"keytrail.window.cross_account=9", "keytrail.window.denied=9", "keytrail.window.end=2026-03-02T01:05:00Z", "keytrail.window.failed=0",
		"keytrail.window.id=" + anomaly.WindowID(roleOf(1), begin+hour, size), "keytrail.window.keys=1", "keytrail.window.objects=1",
		"keytrail.window.revision=1", "keytrail.window.scope=principal", "keytrail.window.start=2026-03-02T01:00:00Z", "keytrail.window.state=final", "keytrail.window.unused=9",
		"log.record.uid=" + anomaly.WindowID(roleOf(1), begin+hour, size) + "-1",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("attributes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rec.Time != begin+hour || rec.Observed != begin+2*hour || rec.Severity != otellog.SeverityWarn || rec.EventName != "keytrail.window" {
		t.Errorf("time %d, observed %d, severity %d, event %s", rec.Time, rec.Observed, rec.Severity, rec.EventName)
	}
	if fmt.Sprint(rec.Resource) != fmt.Sprint([]otellog.Attr{{Key: "cloud.provider", Kind: otellog.KindString, Str: "aws"}, {Key: "cloud.account.id", Kind: otellog.KindString, Str: "111122223333"}}) {
		t.Errorf("resource %v", rec.Resource)
	}
	anomaly.WindowRecord(&rec, find(list, keyOf(1), begin+hour).Window, size, 0)
	if n := len(rec.Resource); n != 3 || rec.Resource[2].Str != "eu-central-1" {
		t.Errorf("the key's resource is %v", rec.Resource)
	}
	if rec.Get("keytrail.window.principals") == nil || rec.Get("keytrail.window.keys") != nil || rec.Get("keytrail.principal.id") != nil {
		t.Error("the key's window has a principal's attributes")
	}
}

// Many detectors at once: each has its record.
func TestAnomalyRecord(t *testing.T) {
	cfg := hasty()
	r := newRig(t, cfg, false)
	r.routine(begin, begin+6*hour, 1, 1, 1)
	r.secrets(begin+6*hour, 1, 1)
	at := begin + 7*hour
	for p := range 5 {
		r.add(decrypt(at, 1, p), 20)
	}
	r.secrets(at-size, 1, 20)
	list := append(r.refused(at, 1, 10, 5, 0), r.secrets(at+size, 1, 100)...)
	found := anomalies(list)
	var detectors []string
	var rec otellog.Record
	for _, a := range found {
		anomaly.AnomalyRecord(&rec, &a, at)
		if !slices.Contains(detectors, a.Detector) {
			detectors = append(detectors, a.Detector)
		}
		severity := map[string]string{"low": "WARN", "medium": "WARN2", "high": "ERROR", "critical": "ERROR2"}[a.Severity()]
		if rec.Severity.Text() != severity || rec.Time != a.End || rec.Observed != at || rec.Str("keytrail.window.end") == "" {
			t.Errorf("%s %s: severity %d, time %d, observed %d", a.Detector, a.Severity(), rec.Severity, rec.Time, rec.Observed)
		}
	}
	slices.Sort(detectors)
	if want := []string{"fan_out", "first_use", "key_probing", "object_sweep", "rate", "refusals", "secret_sweep"}; !slices.Equal(detectors, want) {
		t.Errorf("anomalies of %q, want of %q", detectors, want)
	}
}
