package anomaly_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/jsonschema"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// compile compiles an event's schema.
func compile(t *testing.T, event string) *validator.Schema {
	t.Helper()
	text, err := jsonschema.Schema(event)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("urn:test", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("urn:test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *validator.Schema, rec *otellog.Record) {
	t.Helper()
	line := otellog.AppendJSON(nil, rec)
	doc, err := validator.UnmarshalJSON(bytes.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(doc); err != nil {
		t.Errorf("%v\n%s", err, line)
	}
}

var (
	aliasOf   = wire.Entity{Scope: wire.ScopeKey, Key: aliasARN}
	aliasPair = wire.Entity{Scope: wire.ScopePair, Key: aliasARN, Principal: role(1)}
)

// entities are one of each scope, and those of calls without a KMS key.
var entities = []wire.Entity{
	keyOf(1), roleOf(1), pairOf(1, 1),
	{Scope: wire.ScopeKey, Key: kms.NoEntity}, {Scope: wire.ScopePair, Key: kms.NoEntity, Principal: role(1)},
	{Scope: wire.ScopePrincipal, Principal: kms.NoEntity}, {Scope: wire.ScopePrincipal, Principal: "account:111122223333"},
	{Scope: wire.ScopePrincipal, Principal: "lambda.amazonaws.com"}, {Scope: wire.ScopeKey, Key: "a:b:c:d:"}, // an attacker's keyId
	{Scope: wire.ScopeKey, Key: aliasARN}, {Scope: wire.ScopePair, Key: aliasARN, Principal: role(1)},
	{Scope: wire.ScopeKey, Key: multiARN("eu-central-1")}, {Scope: wire.ScopePair, Key: multiARN("eu-west-1"), Principal: role(1)},
}

func TestWindowRecordFollowsItsSchema(t *testing.T) {
	s := compile(t, semconv.EventKeytrailWindow)
	var rec otellog.Record
	for _, e := range entities {
		w := entity.Window{Partial: wire.Partial{Entity: e, Start: begin}}
		anomaly.WindowRecord(&rec, &w, size, begin+1)
		validate(t, s, &rec)
		for id := range wire.NumCounters {
			count.Put(&w.Partial, id, int64(id)+1)
		}
		for i := range w.Sets {
			w.Sets[i] = wire.Set{Values: []wire.HashCount{{Hash: 1, N: 1}}, Capped: true}
		}
		w.Closed, w.Revision, w.Bound = true, 3, &wire.Binding{Key: multiARN("eu-west-1")}
		anomaly.WindowRecord(&rec, &w, size, begin+1)
		validate(t, s, &rec)
		for id := range wire.NumCounters {
			if a := rec.Get(id.Name()); a == nil || a.Int != int64(id)+1 {
				t.Errorf("%s: counter %d stands as %+v under %q", e.StateKey(), id, a, id.Name())
			}
		}
	}
}

// The key is in the key's place, and the alias beside it.
func TestRecordsOfAliases(t *testing.T) {
	f := func(e wire.Entity, arn string, want ...string) {
		t.Helper()
		var bound *wire.Binding
		if arn != "" {
			bound = &wire.Binding{Key: arn}
		}
		var rec otellog.Record
		w := entity.Window{Partial: wire.Partial{Entity: e, Start: begin}, Bound: bound}
		a := anomaly.Anomaly{Entity: e, Start: begin, End: begin + size, Bound: bound}
		for _, fill := range []func(){func() { anomaly.WindowRecord(&rec, &w, size, 0) }, func() { anomaly.AnomalyRecord(&rec, &a, 0) }} {
			fill()
			var got []string
			for _, a := range rec.Attrs {
				if strings.HasPrefix(a.Key, "aws.") {
					got = append(got, fmt.Sprintf("%s=%s%d", a.Key, a.Str, a.Int))
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s of %s: %q, want %q", rec.EventName, e.StateKey(), got, want)
			}
		}
		if id := anomaly.WindowID(e, begin, size); rec.EventName == "keytrail.window" && rec.Str("keytrail.window.id") != id {
			t.Errorf("the window's id is %s, want %s", rec.Str("keytrail.window.id"), id)
		}
	}
	f(aliasOf, "", "aws.kms.alias.arn="+aliasARN+"0", "aws.kms.key.arn="+aliasARN+"0")
	f(aliasPair, keyARN(1), "aws.kms.alias.arn="+aliasARN+"0", "aws.kms.key.arn="+keyARN(1)+"0")
	home, away := multiARN("eu-central-1"), multiARN("eu-west-1")
	f(aliasOf, home, "aws.kms.alias.arn="+aliasARN+"0", "aws.kms.key.arn="+home+"0", "aws.kms.key.multi_region=1")
	f(wire.Entity{Scope: wire.ScopeKey, Key: home}, "", "aws.kms.key.arn="+home+"0", "aws.kms.key.multi_region=1")
	f(wire.Entity{Scope: wire.ScopePair, Key: home, Principal: role(1)}, away, "aws.kms.key.arn="+home+"0", "aws.kms.key.multi_region=1", "aws.kms.key.primary.arn="+away+"0")
	f(keyOf(1), "", "aws.kms.key.arn="+keyARN(1)+"0")
	f(roleOf(1), "")
}

// Any record of any entity follows the schema.
func TestAnomalyRecordFollowsItsSchema(t *testing.T) {
	s := compile(t, semconv.EventKeytrailAnomaly)
	var rec otellog.Record
	for _, e := range entities {
		for _, kind := range anomaly.Kinds {
			for _, bound := range []*wire.Binding{nil, {Key: multiARN("us-east-1")}} {
				a := anomaly.Anomaly{ID: anomaly.ID(e, begin, "rate"), Kind: kind, Detector: "rate", Score: 7, Reason: "Too many.", Entity: e, Bound: bound, Start: begin, End: begin + size, At: begin + size, Began: begin, Revision: 1}
				anomaly.AnomalyRecord(&rec, &a, begin)
				validate(t, s, &rec)
				a.Since, a.Began, a.Score, a.Observed, a.Expected = begin-day, begin-hour, 9, 3, 0.5
				a.Calls, a.Techniques, a.Contributors = []string{"one"}, []string{"T1530"}, []string{"3 decrypt (100 %)"}
				anomaly.AnomalyRecord(&rec, &a, begin)
				validate(t, s, &rec)
				if rec.Severity != otellog.SeverityError || rec.Time != begin+size || rec.Observed != begin || rec.Body != a.Reason ||
					rec.Str(semconv.LogRecordUID) != a.ID+"-1" || rec.Str(semconv.KeytrailAnomalyBegan) != "2026-03-01T23:00:00Z" {
					t.Errorf("severity %d, time %d, observed %d", rec.Severity, rec.Time, rec.Observed)
				}
			}
		}
	}
}

func TestSeverity(t *testing.T) {
	for score, want := range map[float64]string{0: "low", 5.99: "low", 6: "medium", 7.99: "medium", 8: "high", 9.99: "high", 10: "critical", 300: "critical"} {
		if got := (&anomaly.Anomaly{Score: score}).Severity(); got != want {
			t.Errorf("score %g is %s, want %s", score, got, want)
		}
	}
}
