package detect_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"keytrail/processor/count"
	"keytrail/processor/detect"
	"keytrail/processor/rule"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
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

// entities are one of each scope, and those of calls without a KMS key.
var entities = []wire.Entity{
	keyOf(1), roleOf(1), pairOf(1, 1),
	{Scope: wire.ScopeKey, KeyARN: kms.NoEntity}, {Scope: wire.ScopePair, KeyARN: kms.NoEntity, Principal: role(1)},
	{Scope: wire.ScopePrincipal, Principal: kms.NoEntity}, {Scope: wire.ScopePrincipal, Principal: "account:111122223333"},
	{Scope: wire.ScopePrincipal, Principal: "lambda.amazonaws.com"}, {Scope: wire.ScopeKey, KeyARN: "a:b:c:d:"}, // an attacker's keyId
	{Scope: wire.ScopeKey, KeyARN: aliasARN}, {Scope: wire.ScopePair, KeyARN: aliasARN, Principal: role(1)},
	{Scope: wire.ScopeKey, KeyARN: multiARN("eu-central-1")}, {Scope: wire.ScopePair, KeyARN: multiARN("eu-west-1"), Principal: role(1)},
}

func TestWindowRecordFollowsItsSchema(t *testing.T) {
	s := compile(t, semconv.EventKeytrailWindow)
	var rec otellog.Record
	for _, e := range entities {
		w := detect.Window{Partial: wire.Partial{Entity: e, Start: begin}}
		detect.WindowRecord(&rec, &w, size, begin+1)
		validate(t, s, &rec)
		for id := range wire.NumCounters {
			count.Put(&w.Partial, id, int64(id)+1)
		}
		for i := range w.Sets {
			w.Sets[i] = wire.Set{Values: []wire.HashCount{{Hash: 1, N: 1}}, Capped: true}
		}
		w.Closed, w.Revision, w.Bound = true, 3, &wire.Binding{ARN: multiARN("eu-west-1")}
		detect.WindowRecord(&rec, &w, size, begin+1)
		validate(t, s, &rec)
		for id := range wire.NumCounters {
			if a := rec.Get(id.Name()); a == nil || a.Int != int64(id)+1 {
				t.Errorf("%s: counter %d stands as %+v under %q", e.StateKey(), id, a, id.Name())
			}
		}
	}
}

// What tools rely on, by name.
func TestWindowRecord(t *testing.T) {
	r := newRig(t, detect.DefaultConfig(), false)
	c := decrypt(begin+hour, 1, 1)
	c.Object, c.Context, c.Outcome, c.Cross = 7, kms.ContextS3Object, kms.OutcomeDenied, true
	r.add(c, 9)
	list := r.advance(begin + hour + size)
	var rec otellog.Record
	detect.WindowRecord(&rec, find(list, roleOf(1), begin+hour).Window, size, begin+2*hour)
	var got []string
	for _, a := range rec.Attrs {
		value := a.Str
		if a.Kind == otellog.KindInt {
			value = fmt.Sprint(a.Int)
		}
		got = append(got, a.Key+"="+value)
	}
	want := []string{
		"keytrail.principal=arn:aws:iam::111122223333:role/1", "keytrail.window.anomalies=1", "keytrail.window.anomalies.refusals=1",
		"keytrail.window.calls=9", "keytrail.window.calls.decrypt=9", "keytrail.window.calls.direct=9", "keytrail.window.context.s3_object=9",
		"keytrail.window.cross_account=9", "keytrail.window.denied=9", "keytrail.window.end=2026-03-02T01:05:00Z", "keytrail.window.failed=0",
		"keytrail.window.id=" + detect.WindowID(roleOf(1), begin+hour, size), "keytrail.window.keys=1", "keytrail.window.objects=1",
		"keytrail.window.revision=1", "keytrail.window.scope=principal", "keytrail.window.start=2026-03-02T01:00:00Z", "keytrail.window.state=final",
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
	detect.WindowRecord(&rec, find(list, keyOf(1), begin+hour).Window, size, 0)
	if n := len(rec.Resource); n != 3 || rec.Resource[2].Str != "eu-central-1" {
		t.Errorf("the key's resource is %v", rec.Resource)
	}
	if rec.Get("keytrail.window.principals") == nil || rec.Get("keytrail.window.keys") != nil || rec.Get("keytrail.principal") != nil {
		t.Error("the key's window has a principal's attributes")
	}
}

func TestAnomalyRecordFollowsItsSchema(t *testing.T) {
	s := compile(t, semconv.EventKeytrailAnomaly)
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
		detect.AnomalyRecord(&rec, &a, at)
		validate(t, s, &rec)
		if !slices.Contains(detectors, a.Detector) {
			detectors = append(detectors, a.Detector)
		}
		severity := otellog.SeverityWarn
		if a.Severity() == "high" || a.Severity() == "critical" {
			severity = otellog.SeverityError
		}
		if rec.Severity != severity || rec.Time != a.Start || rec.Observed != at || rec.Str("keytrail.window.end") == "" {
			t.Errorf("%s %s: severity %d, time %d, observed %d", a.Detector, a.Severity(), rec.Severity, rec.Time, rec.Observed)
		}
	}
	slices.Sort(detectors)
	if want := []string{"fan_out", "first_use", "key_probing", "new_peers", "object_sweep", "rate", "refusals", "secret_sweep"}; !slices.Equal(detectors, want) {
		t.Errorf("anomalies of %q, want of %q", detectors, want)
	}
	for _, e := range entities {
		a := found["principal rate"]
		for _, a.Bound = range []*wire.Binding{nil, {ARN: multiARN("us-east-1")}} {
			a.Entity = e
			detect.AnomalyRecord(&rec, &a, 0)
			validate(t, s, &rec)
		}
	}
}

func TestSeverity(t *testing.T) {
	for score, want := range map[float64]string{0: "low", 5.99: "low", 6: "medium", 7.99: "medium", 8: "high", 9.99: "high", 10: "critical", 300: "critical"} {
		if got := (&detect.Anomaly{Score: score}).Severity(); got != want {
			t.Errorf("score %g is %s, want %s", score, got, want)
		}
	}
}

// fromRules decodes, normalizes and judges an event.
func fromRules(t *testing.T, event string) []detect.Anomaly {
	t.Helper()
	var ev cloudtrail.Event
	if err := cloudtrail.NewDecoder(decoding.Limits{}).Decode([]byte(event), &ev); err != nil {
		t.Fatal(err)
	}
	var rec otellog.Record
	if ok, err := normalize.New(normalize.Options{}).Record(&ev, 1, &rec); !ok || err != nil {
		t.Fatalf("the event is not taken: %v, %v", ok, err)
	}
	var c count.Call
	count.FromRecord(&rec, &c)
	own := c.Clone()
	list := detect.FromRules(&rec, c.Rules, wire.Entity{Scope: wire.ScopePair, KeyARN: own.KeyARN, Principal: own.Principal}, begin, size)
	clear(ev.Raw) // what was found must not be views into the event
	return list
}

const policy = `{"eventVersion":"1.11","userIdentity":{"type":"Root","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"},
"eventTime":"2026-03-02T00:01:02Z","eventSource":"kms.amazonaws.com","eventName":"PutKeyPolicy","awsRegion":"eu-central-1","eventID":"00000000-0000-4000-8000-000000000001",
"requestParameters":{"bypassPolicyLockoutSafetyCheck":true},"resources":[{"ARN":"arn:aws:kms:eu-central-1:111122223333:key/1"}],"recipientAccountId":"111122223333"}`

func TestFromRules(t *testing.T) {
	list, again := fromRules(t, policy), fromRules(t, policy)
	other := fromRules(t, strings.Replace(policy, "000000000001", "000000000002", 1))
	if len(list) != 2 || len(again) != 2 || len(other) != 2 {
		t.Fatalf("anomalies %+v", list)
	}
	s := compile(t, semconv.EventKeytrailAnomaly)
	want := []string{
		"arn:aws:iam::111122223333:root set a key policy without the check that keeps its owner from being locked out (KMS key arn:aws:kms:eu-central-1:111122223333:key/1).",
		"arn:aws:iam::111122223333:root used the account's root identity for PutKeyPolicy (KMS key arn:aws:kms:eu-central-1:111122223333:key/1).",
	}
	var rec otellog.Record
	for i, a := range list {
		if a.Kind != detect.KindRule || a.Reason != want[i] || a.Start != begin || a.End != begin+size || a.Observed != 1 ||
			!slices.Equal(a.Calls, []string{"00000000-0000-4000-8000-000000000001"}) || a.Severity() != "high" {
			t.Errorf("anomaly %+v", a)
		}
		if a.ID != again[i].ID || a.ID == other[i].ID || a.ID == list[1-i].ID {
			t.Errorf("id %s; of the same event %s, of another %s", a.ID, again[i].ID, other[i].ID)
		}
		detect.AnomalyRecord(&rec, &a, 0)
		validate(t, s, &rec)
	}
	stopped := strings.NewReplacer("kms.amazonaws.com", "cloudtrail.amazonaws.com", "PutKeyPolicy", "StopLogging", `"bypass`, `"name":"main","bypass`, `"Root"`, `"IAMUser"`, ":root", ":user/eve").Replace(policy)
	list = fromRules(t, stopped)
	if len(list) != 1 || list[0].Kind != detect.KindBlindSpot || list[0].Reason != "arn:aws:iam::111122223333:user/eve stopped the logging of main." || list[0].Severity() != "critical" {
		t.Fatalf("anomalies %+v", list)
	}
	detect.AnomalyRecord(&rec, &list[0], 0)
	validate(t, s, &rec)
	if len(rec.Resource) < 2 || rec.Resource[1].Str != "111122223333" {
		t.Errorf("the account is missing: %v", rec.Resource)
	}
	if list := detect.FromRules(&rec, rule.Set(0), keyOf(1), begin, size); list != nil {
		t.Errorf("no rule gives %v", list)
	}
}
