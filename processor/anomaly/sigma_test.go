package anomaly_test

import (
	"strings"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/sigma"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// An anomaly of a user's rule has the rule's metadata and the call's attributes; its id
// is derived from both.
func TestFromSigma(t *testing.T) {
	record := func(call, code string) *otellog.Record {
		rec := new(otellog.Record)
		rec.String(semconv.KeytrailCallID, call)
		rec.String(semconv.KeytrailPrincipalID, "mallory")
		rec.String(semconv.RPCMethod, "kms.amazonaws.com/Decrypt")
		rec.String(semconv.ErrorType, code)
		return rec
	}
	rules := []*sigma.Rule{
		{Meta: sigma.Meta{ID: "one", Title: "The First", Level: sigma.Critical, Techniques: []string{"T1530"}}},
		{Meta: sigma.Meta{ID: "two", Title: "The Second", Level: sigma.Informational}},
	}
	e := wire.Entity{Scope: wire.ScopePair, Key: "key", Principal: "mallory"}
	list := anomaly.FromSigma(record("a", ""), rules, e, 300, 60)
	if len(list) != 2 {
		t.Fatalf("%d anomalies", len(list))
	}
	a, b := list[0], list[1]
	if a.Kind != anomaly.KindRule || a.Detector != "sigma/one" || a.Score != 10 || a.Severity() != "critical" || a.Techniques[0] != "T1530" || a.Calls[0] != "a" ||
		a.Entity != e || a.Start != 300 || a.End != 360 || a.Reason != `mallory called Decrypt (KMS key key): the rule "The First" matches.` {
		t.Errorf("%+v", a)
	}
	if b.Detector != "sigma/two" || b.Score != 2 || b.Severity() != "low" || len(b.Techniques) != 0 || a.ID == b.ID {
		t.Errorf("%+v", b)
	}
	e.Key = "-"
	again := anomaly.FromSigma(record("a", "AccessDenied"), rules[:1], e, 300, 60)[0]
	if again.ID != a.ID || again.Reason != `mallory called Decrypt, which failed with AccessDenied: the rule "The First" matches.` {
		t.Errorf("another copy of the call gives %+v", again)
	}
	if other := anomaly.FromSigma(record("b", ""), rules[:1], e, 300, 60)[0]; other.ID == a.ID {
		t.Error("two calls have one id")
	}
	if list := anomaly.FromSigma(record("a", ""), nil, e, 0, 60); list != nil {
		t.Errorf("no rules give %v", list)
	}
}

// An anomaly of a correlation has the count, the group and the time.
func TestFromFiring(t *testing.T) {
	c := &sigma.Correlation{Meta: sigma.Meta{ID: "c", Title: "Many", Level: sigma.High}, GroupBy: []string{"a", "b"}, Timespan: 600e9, Field: []string{"x", "y"}}
	for kind, what := range map[sigma.Kind]string{sigma.EventCount: "7 matches in 10m", sigma.ValueCount: "7 different values of x, y in 10m",
		sigma.Temporal: "7 of its rules match in 10m", sigma.TemporalOrdered: "7 of its rules match, one after another in 10m"} {
		c.Kind = kind
		a := anomaly.FromFiring(&sigma.Firing{Correlation: c, Group: "1\x1f2", Start: 0, End: 600e9, Count: 7}, wire.Entity{Scope: wire.ScopePrincipal, Principal: "p"}, []string{"id"})
		if a.Detector != "sigma/c" || a.Score != 8 || a.Observed != 7 || a.End-a.Start != 600e9 || !strings.Contains(a.Reason, what+" from 1970-01-01T00:00:00Z, a 1, b 2.") {
			t.Errorf("%s: %+v", kind, a)
		}
	}
	a, b := &sigma.Firing{Correlation: c, Group: "1"}, &sigma.Firing{Correlation: c, Group: "2"}
	if anomaly.FromFiring(a, wire.Entity{}, nil).ID == anomaly.FromFiring(b, wire.Entity{}, nil).ID {
		t.Error("two groups have one id")
	}
	changed := *c
	changed.Fingerprint++ // it counts from 0 again
	after := anomaly.FromFiring(&sigma.Firing{Correlation: &changed, Group: "1"}, wire.Entity{}, nil)
	if anomaly.FromFiring(a, wire.Entity{}, nil).ID == after.ID {
		t.Error("a changed correlation has the id of the one before")
	}
}
