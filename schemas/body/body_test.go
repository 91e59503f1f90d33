package body_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"keytrail/schemas/body"
	"keytrail/schemas/body/bodytest"
	"keytrail/schemas/internal/schematest"
	"keytrail/schemas/otellog"
)

func encoder(t testing.TB, name string) body.Encoder {
	t.Helper()
	e, err := body.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// encode returns the body of a record, written behind other bytes.
func encode(t testing.TB, e body.Encoder, r *otellog.Record) []byte {
	t.Helper()
	dst, err := e.Append([]byte("before{"), r)
	if err != nil {
		t.Fatalf("%s: %v", r.EventName, err)
	}
	if !bytes.HasPrefix(dst, []byte("before{")) {
		t.Fatalf("what stood before is gone: %.100s", dst)
	}
	return dst[len("before{"):]
}

func TestNames(t *testing.T) {
	names := body.Names()
	for i, name := range names {
		encoder(t, name)
		if slices.Index(names, name) != i {
			t.Errorf("%s stands twice", name)
		}
		if body.ContentType(name) == "" {
			t.Errorf("%s has no content type", name)
		}
	}
	if _, err := body.New("ecss"); err == nil || !strings.Contains(err.Error(), `"ecss"`) || !strings.Contains(err.Error(), "json") {
		t.Errorf("error %v, want one that lists the names", err)
	}
	if body.ContentType("ecss") != "" {
		t.Error("there is a content type without a body")
	}
}

// The body otlp is what Kafka holds.
func TestOTLP(t *testing.T) {
	e := encoder(t, "otlp")
	corpusRecords(t, 2, func(r *otellog.Record, stored []byte) {
		if got := encode(t, e, r); !bytes.Equal(got, stored) {
			t.Fatalf("got\n%x\nwant\n%x", got, stored)
		}
	})
}

// Every body of every record of the corpus, and of records with all attributes of the
// registry, keeps the rules of its format.
func TestEveryRecord(t *testing.T) {
	for _, name := range body.Names() {
		t.Run(name, func(t *testing.T) {
			e := encoder(t, name)
			check := func(r *otellog.Record, _ []byte) { bodytest.Check(t, name, r, encode(t, e, r)) }
			corpusRecords(t, 1, check)
			for pick := range 3 {
				for _, r := range examples(t, pick) {
					if r.EventName != "keytrail.key_state" { // no sink takes one
						check(r, nil)
					}
				}
			}
		})
	}
}

// Every event that others published, in every body.
func TestCollectedEvents(t *testing.T) {
	for _, name := range []string{
		"invictus-ir/kms_events.ndjson", "awsdocs-kms-developer-guide/kms_events.ndjson", "seeds/kms_events.ndjson",
		"shapes-2025/kms_events_2025_shape_exemplars.ndjson", "streamalert/kms_events.ndjson", "panther-analysis/panther-analysis_rule_tests.ndjson",
		"stratus/aws.defense-evasion.cloudtrail-stop.json",
	} {
		text := schematest.File(t, name)
		for _, form := range body.Names() {
			e := encoder(t, form)
			n := fileRecords(t, name, text, func(r *otellog.Record, _ []byte) { bodytest.Check(t, form, r, encode(t, e, r)) })
			if n == 0 {
				t.Errorf("%s has no record", name)
			}
		}
	}
}

// No text that a caller controls is part of a name.
func TestHostileJSON(t *testing.T) {
	e := encoder(t, "json")
	for _, s := range hostile {
		r := &otellog.Record{Time: 1, Observed: 2, Severity: 255, EventName: "e", Body: s}
		r.String("text", s)
		r.Strings("list", []string{s, "", s})
		bodytest.Check(t, "json", r, encode(t, e, r))
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, s, int64(-1), 0.1)
	}
	e := encoder(f, "json")
	f.Fuzz(func(t *testing.T, key, s string, n int64, x float64) {
		r := &otellog.Record{Time: n, Observed: 1, Severity: 9, EventName: "e", Body: s}
		r.String("text", s)
		r.Int("int", n)
		r.Double("double", x)
		r.String("other", key)
		got := encode(t, e, r)
		if x-x != 0 { // JSON has neither infinities nor NaN
			r.Attrs = slices.DeleteFunc(r.Attrs, func(a otellog.Attr) bool { return a.Kind == otellog.KindDouble })
		}
		if n == 0 {
			return // a time of 0 is unknown
		}
		bodytest.Check(t, "json", r, got)
	})
}

// An attribute that a field takes as it is stands nowhere else, unless tools rely on its
// name.
func TestAttributesStandOnce(t *testing.T) {
	f := func(name, path, taken, kept string) {
		t.Helper()
		r := examples(t, 0)["aws.kms.api_call"]
		doc := bodytest.Object(t, encode(t, encoder(t, name), r))
		inner := doc
		if path != "" {
			inner = doc[path].(map[string]any)
		}
		for _, at := range [...]struct {
			name string
			want bool
		}{{taken, false}, {kept, true}} {
			_, flat := inner[at.name]
			if there := flat || bodytest.At(inner, at.name) != nil; there != at.want {
				t.Errorf("%s: %s is there: %v, want %v", name, at.name, there, at.want)
			}
		}
	}
	f("ecs", "", "error.type", "keytrail.principal.id")
	f("ecs", "", "client.address", "aws.kms.key.arn")
	f("ocsf", "unmapped", "log.record.uid", "keytrail.context.class")
	f("ocsf", "unmapped", "aws.kms.key.arn", "tls.cipher")
}

// Attributes that the registry does not have, such as those that the configuration adds to
// the resource, keep their names.
func TestUnknownAttributes(t *testing.T) {
	r := &otellog.Record{Time: 1, EventName: "aws.kms.api_call"}
	r.Where("service.name", "keytrail")
	r.String("keytrail.to.come", `a"b`)
	for name, path := range map[string]string{"json": "", "cim": "", "ecs": "", "ocsf": "unmapped"} {
		doc := bodytest.Object(t, encode(t, encoder(t, name), r))
		if path != "" {
			doc = doc[path].(map[string]any)
		}
		if doc["service.name"] != "keytrail" || doc["keytrail.to.come"] != `a"b` {
			t.Errorf("%s: %v", name, doc)
		}
	}
}

// An encoder neither changes a record nor remembers the one before.
func TestEncodersKeepNothing(t *testing.T) {
	for _, name := range body.Names() {
		used := encoder(t, name)
		for event, r := range examples(t, 0) {
			before := fmt.Sprintf("%+v", *r)
			got, want := encode(t, used, r), encode(t, encoder(t, name), r)
			if after := fmt.Sprintf("%+v", *r); after != before || !bytes.Equal(got, want) {
				t.Errorf("%s of %s: %.300s, want %.300s; the record was\n%s\nand is\n%s", name, event, got, want, before, after)
			}
		}
	}
}

func TestAppendMember(t *testing.T) {
	for object, want := range map[string]string{`{}`: `{"@id":"a\"b"}`, `{"x":1}`: `{"x":1,"@id":"a\"b"}`} {
		if got := string(body.AppendMember([]byte("x"+object), "@id", `a"b`)); got != "x"+want {
			t.Errorf("%s became %s, want %s", object, got, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	for _, name := range body.Names() {
		e := encoder(t, name)
		for event, r := range examples(t, 0) {
			dst := make([]byte, 0, 64<<10)
			if n := testing.AllocsPerRun(100, func() {
				if _, err := e.Append(dst, r); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s of %s: %v allocations, want 0", name, event, n)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, name := range body.Names() {
		b.Run(name, func(b *testing.B) {
			e := encoder(b, name)
			var dst []byte
			var r otellog.Record
			var all [][]byte
			corpusRecords(b, 1, func(_ *otellog.Record, stored []byte) { all = append(all, bytes.Clone(stored)) })
			b.ReportAllocs()
			size := 0
			for i := 0; b.Loop(); i++ {
				if err := r.Decode(all[i%len(all)]); err != nil {
					b.Fatal(err)
				}
				var err error
				if dst, err = e.Append(dst[:0], &r); err != nil {
					b.Fatal(err)
				}
				size += len(dst)
			}
			b.ReportMetric(float64(size)/float64(b.N), "B/record")
		})
	}
}

// A detector's anomaly opens a finding, later windows update it, and its end closes it. A
// rule's revision follows from the call's copy, and updates no finding.
func TestFindingIsUpdated(t *testing.T) {
	e := encoder(t, "ocsf")
	f := func(kind string, revision int64, activity, status string) {
		t.Helper()
		r := examples(t, 0)["keytrail.anomaly"]
		r.Get("keytrail.anomaly.kind").Str, r.Get("keytrail.anomaly.revision").Int = kind, revision
		r.Get("keytrail.anomaly.state").Str = [...]string{"open", "ended"}[revision%2]
		text := encode(t, e, r)
		bodytest.Check(t, "ocsf", r, text)
		if doc := bodytest.Object(t, text); doc["activity_name"] != activity || doc["status"] != status {
			t.Errorf("%s, revision %d: %v %v, want %s %s", kind, revision, doc["activity_name"], doc["status"], activity, status)
		}
	}
	f("rate", 0, "Create", "New")
	f("rate", 1, "Close", "Resolved")
	f("rate", 2, "Create", "New")
	f("rate", 4, "Update", "In Progress")
	f("rate", 5, "Close", "Resolved")
	f("rule", 4, "Create", "New")
	f("rule", 5, "Close", "Resolved")
}

// A detector finds techniques and sub-techniques; ECS has fields for both.
func TestECSTechniques(t *testing.T) {
	r := &otellog.Record{Time: 1, EventName: "keytrail.anomaly"}
	r.Strings("keytrail.anomaly.techniques", []string{"T1485", "T1562.008", "T1562.001"})
	doc := bodytest.Object(t, encode(t, encoder(t, "ecs"), r))
	for path, want := range map[string]string{
		"threat.framework": "MITRE ATT&CK", "threat.technique.id": "[T1485 T1562]", "threat.technique.subtechnique.id": "[T1562.008 T1562.001]",
	} {
		if got := fmt.Sprint(bodytest.At(doc, path)); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

// TestActivities: only what is gone is deleted, and what is new is created, in every body.
func TestActivities(t *testing.T) {
	f := func(method, class, ocsf, ecs, cim string) {
		t.Helper()
		r := &otellog.Record{Time: 1, EventName: "aws.kms.api_call"}
		r.String("rpc.method", method)
		r.String("keytrail.operation.class", class)
		doc := func(name string) map[string]any { return bodytest.Object(t, encode(t, encoder(t, name), r)) }
		event := doc("ecs")["event"].(map[string]any)
		got := []any{doc("ocsf")["activity_name"], event["type"].([]any)[0], doc("cim")["action"]}
		if want := []any{ocsf, ecs, cim}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", method, got, want)
		}
	}
	const kms, trail = "kms.amazonaws.com/", "cloudtrail.amazonaws.com/"
	f(kms+"Decrypt", "decrypt", "Read", "access", "read")
	f(kms+"CreateKey", "manage", "Create", "creation", "created")
	f(kms+"ReplicateKey", "replicate", "Create", "creation", "created")
	f(kms+"UpdatePrimaryRegion", "replicate", "Update", "change", "modified")
	f(kms+"ScheduleKeyDeletion", "destroy", "Delete", "deletion", "deleted")
	f(kms+"KMS CMK Deletion", "destroy", "Delete", "deletion", "deleted")
	f(kms+"DisableKey", "destroy", "Update", "change", "modified")
	f(kms+"DisconnectCustomKeyStore", "destroy", "Update", "change", "modified")
	f(kms+"CancelKeyDeletion", "manage", "Update", "change", "modified")
	f(kms+"CreateGrant", "grant", "Create", "admin", "created")
	f(kms+"RevokeGrant", "grant", "Update", "admin", "acl_modified")
	f(trail+"StopLogging", "trail", "Update", "change", "modified")
	f(trail+"DeleteTrail", "trail", "Delete", "deletion", "deleted")
}
