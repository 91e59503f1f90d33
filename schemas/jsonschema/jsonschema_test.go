package jsonschema_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"keytrail/schemas/jsonschema"
	"keytrail/schemas/otellog"
	"keytrail/schemas/registry"
)

// compile compiles the event's schema with an independent validator.
func compile(t *testing.T, event string) *validator.Schema {
	t.Helper()
	text, err := jsonschema.Schema(event)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", event, err)
	}
	c := validator.NewCompiler()
	// Only a schema that names no draft would get this one; all of ours name
	// draft 2020-12, which TestDraft holds.
	c.DefaultDraft(validator.Draft4)
	if err := c.AddResource("urn:test", doc); err != nil {
		t.Fatalf("%s: %v", event, err)
	}
	s, err := c.Compile("urn:test")
	if err != nil {
		t.Fatalf("%s does not compile: %v", event, err)
	}
	return s
}

func validate(t *testing.T, s *validator.Schema, line string) error {
	t.Helper()
	doc, err := validator.UnmarshalJSON(strings.NewReader(line))
	if err != nil {
		t.Fatalf("the test's record is no JSON: %v\n%s", err, line)
	}
	return s.Validate(doc)
}

// decrypt is a record as a reader of Keytrail's output sees it, written by hand.
const decrypt = `{"resourceLogs":[{"resource":{"attributes":[
 {"key":"cloud.provider","value":{"stringValue":"aws"}},
 {"key":"cloud.account.id","value":{"stringValue":"111122223333"}},
 {"key":"cloud.region","value":{"stringValue":"us-east-1"}}]},
"scopeLogs":[{"scope":{"name":"keytrail","version":"0.2.0"},"logRecords":[{
"timeUnixNano":"1772442764000000000","observedTimeUnixNano":"1772443000123456789",
"severityNumber":9,"severityText":"INFO","eventName":"aws.kms.api_call",
"body":{"stringValue":"{\"eventName\":\"Decrypt\"}"},"attributes":[
 {"key":"log.record.uid","value":{"stringValue":"91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b7e"}},
 {"key":"rpc.method","value":{"stringValue":"kms.amazonaws.com/Decrypt"}},
 {"key":"client.address","value":{"stringValue":"192.0.2.7"}},
 {"key":"aws.event.read_only","value":{"boolValue":true}},
 {"key":"aws.kms.key.arn","value":{"stringValue":"arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}},
 {"key":"keytrail.operation.class","value":{"stringValue":"decrypt"}},
 {"key":"aws.kms.encryption_context","value":{"stringValue":"{\"aws:s3:arn\":\"arn:aws:s3:::payments-archive\",\"tenant\":\"\"}"}},
 {"key":"keytrail.context.class","value":{"stringValue":"s3_object"}},
 {"key":"aws.kms.grant.operations","value":{"arrayValue":{"values":[{"stringValue":"Decrypt"}]}}},
 {"key":"aws.kms.pending_window_days","value":{"intValue":"7"}},
 {"key":"keytrail.principal.id","value":{"stringValue":"arn:aws:iam::111122223333:role/backup-role"}},
 {"key":"keytrail.call.id","value":{"stringValue":"91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b7e"}},
 {"key":"keytrail.via","value":{"stringValue":"direct"}}]}]}],
"schemaUrl":"https://opentelemetry.io/schemas/1.44.0"}]}`

func TestAcceptsRecord(t *testing.T) {
	s := compile(t, "aws.kms.api_call")
	if err := validate(t, s, decrypt); err != nil {
		t.Fatalf("a good record is refused: %v", err)
	}
	for name, cut := range map[string]string{
		"without body":          `"body":{"stringValue":"{\"eventName\":\"Decrypt\"}"},`,
		"without observed time": `"observedTimeUnixNano":"1772443000123456789",`,
		"without account":       ` {"key":"cloud.account.id","value":{"stringValue":"111122223333"}},` + "\n",
		"without key": ` {"key":"aws.kms.key.arn","value":{"stringValue":` +
			`"arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}},` + "\n",
	} {
		line := strings.Replace(decrypt, cut, "", 1)
		if line == decrypt {
			t.Fatalf("%s: nothing was cut", name)
		}
		if err := validate(t, s, line); err != nil {
			t.Errorf("%s: a good record is refused: %v", name, err)
		}
	}
}

// TestRefuses changes the good record in one place.
func TestRefuses(t *testing.T) {
	s := compile(t, "aws.kms.api_call")
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown attribute", `"client.address"`, `"source.address"`, "/attributes/2/key"},
		{"another event's attribute", `"client.address"`, `"keytrail.window.id"`, "/attributes/2/key"},
		{"resource attribute in the record", `"client.address"`, `"cloud.region"`, "/attributes/2/key"},
		{"record attribute in the resource", `"cloud.region"`, `"user.id"`, "/resource/attributes/2/key"},
		{"required attribute twice", `"client.address"`, `"keytrail.via"`, "max 1 items required to match contains"},
		{"string as boolean", `{"boolValue":true}`, `{"stringValue":"true"}`, "/attributes/3/value"},
		{"boolean as text", `{"boolValue":true}`, `{"boolValue":"true"}`, "/attributes/3/value/boolValue"},
		{"int as number", `{"intValue":"7"}`, `{"intValue":7}`, "/attributes/9/value/intValue"},
		{"int with a fraction", `{"intValue":"7"}`, `{"intValue":"7.0"}`, "/attributes/9/value/intValue"},
		{"int with a leading zero", `{"intValue":"7"}`, `{"intValue":"07"}`, "/attributes/9/value/intValue"},
		{"int as double", `{"intValue":"7"}`, `{"doubleValue":7}`, "/attributes/9/value"},
		{"two values", `{"intValue":"7"}`, `{"intValue":"7","stringValue":"7"}`, "/attributes/9/value"},
		{"empty string", `{"stringValue":"direct"}`, `{"stringValue":""}`, "/attributes/12/value/stringValue"},
		{"no value", `,"value":{"stringValue":"direct"}`, ``, "missing property 'value'"},
		{"outside the set", `{"stringValue":"decrypt"}`, `{"stringValue":"decipher"}`, "/attributes/5/value/stringValue"},
		{"list as string", `{"arrayValue":{"values":[{"stringValue":"Decrypt"}]}}`, `{"stringValue":"Decrypt"}`, "/attributes/8/value"},
		{"empty list", `[{"stringValue":"Decrypt"}]`, `[]`, "/attributes/8/value/arrayValue/values"},
		{"list of ints", `[{"stringValue":"Decrypt"}]`, `[{"intValue":"1"}]`, "/attributes/8/value/arrayValue/values/0"},
		{"map", `{"stringValue":"decrypt"}`, `{"kvlistValue":{"values":[]}}`, "/attributes/5/value"},
		{"missing required", `"keytrail.principal.id"`, `"keytrail.principal.session"`, "value must be 'keytrail.principal.id'"},
		{"wrong event", `"eventName":"aws.kms.api_call"`, `"eventName":"keytrail.window"`, "/eventName"},
		{"no event name", `"eventName":"aws.kms.api_call",`, ``, "missing property 'eventName'"},
		{"no time", `"timeUnixNano":"1772442764000000000",`, ``, "missing property 'timeUnixNano'"},
		{"time as number", `"timeUnixNano":"1772442764000000000"`, `"timeUnixNano":1772442764000000000`, "/timeUnixNano"},
		{"time of 20 digits", `"timeUnixNano":"1772442764000000000"`, `"timeUnixNano":"17724427640000000000"`, "/timeUnixNano"},
		{"severity as text", `"severityNumber":9`, `"severityNumber":"SEVERITY_NUMBER_INFO"`, "/severityNumber"},
		{"severity with another text", `"severityNumber":9`, `"severityNumber":13`, "'oneOf' failed"},
		{"body as map", `"body":{"stringValue":"{\"eventName\":\"Decrypt\"}"}`, `"body":{"kvlistValue":{"values":[]}}`, "/body"},
		{"unknown field", `"severityText":"INFO"`, `"severityText":"INFO","flags":1`, "additional properties 'flags'"},
		{"another scope", `"name":"keytrail"`, `"name":"other"`, "/scope/name"},
		{"another schema", `schemas/1.44.0"`, `schemas/1.43.0"`, "/schemaUrl"},
		{"another version", `"version":"0.2.0"`, `"version":"0.0.9"`, "/scope/version"},
		{"no resource", `"resource":{`, `"source":{`, "missing property 'resource'"},
		{"two records", `"logRecords":[{`, `"logRecords":[{},{`, "/logRecords"},
		{"no record", `{"resourceLogs":[{`, `{"resourceLogs":[],"x":[{`, "/resourceLogs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			line := strings.Replace(decrypt, c.old, c.new, 1)
			if line == decrypt {
				t.Fatalf("the record has no %s", c.old)
			}
			err := validate(t, s, line)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestEveryEvent builds a record of each event from the registry's examples,
// encodes it as Keytrail does, and then leaves out each attribute and gives
// each a value of every other type.
func TestEveryEvent(t *testing.T) {
	reg, err := registry.Load(registry.Files())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range reg.Events {
		t.Run(e.Name, func(t *testing.T) {
			s := compile(t, e.Name)
			rec := otellog.Record{Time: 1, Severity: otellog.SeverityWarn, EventName: e.Name}
			for _, u := range reg.Resource.Uses() {
				rec.Resource = append(rec.Resource, attr(t, u))
			}
			var all, required []otellog.Attr
			for _, u := range e.Uses() {
				a := attr(t, u)
				if all = append(all, a); u.Level.Kind == registry.Required {
					required = append(required, a)
				}
			}
			check := func(attrs []otellog.Attr) error {
				rec.Attrs = attrs
				return validate(t, s, string(otellog.AppendJSON(nil, &rec)))
			}
			if err := check(all); err != nil {
				t.Fatalf("the registry's examples are refused: %v", err)
			}
			if err := check(required); err != nil {
				t.Fatalf("the required attributes are not enough: %v", err)
			}
			for _, rec.Severity = range otellog.Severities() {
				known := len(e.Severities) == 0 || slices.Contains(e.Severities, rec.Severity.Text())
				if err := check(all); (err == nil) != known {
					t.Errorf("severity %s, of %v: %v", rec.Severity.Text(), e.Severities, err)
				}
			}
			rec.Severity = otellog.SeverityWarn
			for i, u := range e.Uses() {
				if err := check(slices.Delete(slices.Clone(all), i, i+1)); (err != nil) != (u.Level.Kind == registry.Required) {
					t.Errorf("without %s (%s): %v", u.ID, u.Level.Kind, err)
				}
				others := slices.DeleteFunc(slices.Clone(required), func(a otellog.Attr) bool { return a.Key == u.ID })
				for _, wrong := range otherKinds(all[i]) {
					if check(append(others, wrong)) == nil {
						t.Errorf("%s is accepted with a value of kind %d, its own is %d", u.ID, wrong.Kind, all[i].Kind)
					}
				}
				if err := check(append(others, all[i])); err != nil {
					t.Errorf("%s is refused with its own example: %v", u.ID, err)
				}
			}
		})
	}
}

// otherKinds returns a with a value of each kind that is not its own.
func otherKinds(a otellog.Attr) []otellog.Attr {
	var attrs []otellog.Attr
	for kind := otellog.KindString; kind <= otellog.KindStrings; kind++ {
		if kind != a.Kind {
			attrs = append(attrs, otellog.Attr{
				Key: a.Key, Kind: kind, Str: "x", Strs: []string{"x"},
			})
		}
	}
	return attrs
}

// attr returns the attribute with its first example as value.
func attr(t *testing.T, u registry.Use) otellog.Attr {
	t.Helper()
	a := otellog.Attr{Key: u.ID}
	switch v := u.Examples[0].(type) {
	case string:
		a.Kind, a.Str = otellog.KindString, v
	case bool:
		a.Kind = otellog.KindBool
	case int:
		a.Kind, a.Int = otellog.KindInt, int64(v)
	case float64:
		a.Kind, a.Num = otellog.KindDouble, v
	case []any:
		a.Kind = otellog.KindStrings
		for _, s := range v {
			a.Strs = append(a.Strs, s.(string))
		}
	default:
		t.Fatalf("%s: example of type %T", u.ID, v)
	}
	return a
}

func TestDraft(t *testing.T) {
	for _, event := range jsonschema.EventNames() {
		if got := compile(t, event).DraftVersion; got != 2020 {
			t.Errorf("%s is of draft %d, want 2020", event, got)
		}
	}
}

func TestEventNames(t *testing.T) {
	want := []string{
		"aws.cloudtrail.trail_change", "aws.kms.api_call", "aws.kms.service_event",
		"keytrail.anomaly", "keytrail.incident", "keytrail.key_state", "keytrail.window",
	}
	if got := jsonschema.EventNames(); !slices.Equal(got, want) {
		t.Errorf("event names %q, want %q", got, want)
	}
	for _, name := range []string{"", "aws.kms", "../aws.kms.api_call", "aws.kms.api_call.json"} {
		if _, err := jsonschema.Schema(name); err == nil || !strings.Contains(err.Error(), "keytrail.key_state") {
			t.Errorf("Schema(%q): error %v, want one that lists the known names", name, err)
		}
	}
}
