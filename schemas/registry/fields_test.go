package registry

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// awsRegistry is the small registry with an event that AWS wrote, and mapping a
// field mapping that covers it.
var awsRegistry = strings.NewReplacer("event.a.b", "event.aws.b", "name: a.b", "name: aws.b").Replace(minimal)

const mapping = `
title: T
event: {x: y}
fields:
  - field: one
    nested: true
    gives: [a.one]
    collector: c.one
    ocsf: [o.one, o.uno]
  - {field: "one.deep[].er", body: because.}
  - {field: "one.own", body: because., collector: c.own}
  - field: two
    gives: [{a.two: 2}]
    also: [{when: it is so, gives: [a.two, Severity]}]
  - field: list[].three
    value: x
    gives: [cloud.region]
    note: Other.
    collector: a.one
  - {field: "*", body: because.}
`

func loadMapped(groups, fields string) (*Registry, error) {
	groups = strings.Replace(groups, "source: three", "source: 'list[].three'", 1)
	return Load(fstest.MapFS{"model/a.yaml": {Data: []byte(groups)}, "fields/1.yaml": {Data: []byte(fields)}})
}

func TestRows(t *testing.T) {
	r, err := loadMapped(awsRegistry, mapping)
	if err != nil {
		t.Fatal(err)
	}
	rows := r.Rows()
	if len(rows) != 6 {
		t.Fatalf("%d rows, want 6", len(rows))
	}
	f := func(i int, gives []RowGiven, body string, collector, ocsf []string) {
		t.Helper()
		row := rows[i]
		if row.Section != "T" || !slices.Equal(row.Gives, gives) || row.BodyOnly != body || !slices.Equal(row.Collector, collector) || !slices.Equal(row.OCSF, ocsf) {
			t.Errorf("row %d is %+v", i, row)
		}
	}
	f(0, []RowGiven{{"a.one", ""}}, "", []string{"c.one"}, []string{"o.one", "o.uno"})
	f(1, nil, "because.", []string{"c.one[deep[].er]"}, []string{"o.one[deep[].er]", "o.uno[deep[].er]"})
	f(2, nil, "because.", []string{"c.own"}, []string{"o.one[own]", "o.uno[own]"})
	f(3, []RowGiven{{"a.two", ""}, {"Severity", "it is so"}}, "", nil, nil)
	f(4, []RowGiven{{"cloud.region", ""}}, "", []string{"a.one"}, nil)
	f(5, nil, "because.", nil, nil)
	want := "\n### T\n\n| CloudTrail field | Keytrail | collector | OCSF |\n|---|---|---|---|\n" +
		"| `one` | `a.one` | `c.one` | `o.one`, `o.uno` |\n" +
		"| `one.deep[].er` | body only: because. | `c.one[deep[].er]` | `o.one[deep[].er]`, `o.uno[deep[].er]` |\n" +
		"| `one.own` | body only: because. | `c.own` | `o.one[own]`, `o.uno[own]` |\n" +
		"| `two` | `a.two`; `Severity` when it is so | - | - |\n" +
		"| `list[].three` | `cloud.region`. Other. | `a.one` | - |\n" +
		"| `*` | body only: because. | - | - |\n\n"
	if got := string(r.FieldTables()); got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
}

// TestMappingRefused breaks the small mapping, or the sources beside it, in one
// place and wants to be told.
func TestMappingRefused(t *testing.T) {
	f := func(old, new, want string) {
		t.Helper()
		if strings.Contains(awsRegistry, old) == strings.Contains(mapping, old) {
			t.Fatalf("%q must stand in the registry or in the mapping", old)
		}
		_, err := loadMapped(strings.ReplaceAll(awsRegistry, old, new), strings.Replace(mapping, old, new, 1))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q for %q: error %v, want one with %q", new, old, err, want)
		}
	}
	// the form
	f("nested: true", "nest: true", "field nest not found")
	f("title: T", "title: ''", "title, event and fields must be there")
	f("event: {x: y}", "event: {}", "title, event and fields must be there")
	f("gives: [a.one]", "gives: [{a.one: 1, a.two: 2}]", "want one name and its value, not 2")
	f("gives: [a.one]", "gives: [[a.one]]", "cannot decode")
	f("field: two", "field: one", `field "one" stands twice in section "T"`)
	f("list[].three", "list[].three.", `"list[].three.": its path must be of the form a.b[].c`)
	f("list[].three", "list[]three", "must be of the form a.b[].c")
	f("field: two", `field: "*.two"`, "must be of the form a.b[].c")
	// what a field gives
	f("gives: [a.one]", "note: x", "must give attributes or have a reason")
	f("nested: true", "body: x", "must give attributes or have a reason")
	f("when: it is so, ", "", "needs a condition")
	f(", gives: [a.two, Severity]", "", "gives attributes")
	f("gives: [a.one]", "gives: [a.one, a.three]", `field "one" gives "a.three", which is not an attribute`)
	f("a.two, Severity", "a.two, SeverityText", `gives "SeverityText", which is not an attribute`)
	f("note: Other.", "value: y", "already defined")
	f("    note: Other.\n", "", `the collector calls it "a.one", which is another field's attribute here`)
	// the sources
	f("gives: [{a.two: 2}]\n    also: [{when: it is so, gives: [a.two, Severity]}]", "body: because.", `attribute "a.two": no field gives it`)
	f("source: one", "source: 'one and list[].three'", `attribute "a.one": its source names list[].three, which does not give it`)
	f("source: one", "source: some words", `attribute "a.one": one gives it, and its source does not say so`)
	f("source: one", "source: a.two", `attribute "a.one": one gives it, and its source does not say so`)
	f("a.two, Severity", "a.two, a.one", `attribute "a.one": two gives it, and its source does not say so`)
}

// TestSources holds the ways in which a source may name where a value is from.
func TestSources(t *testing.T) {
	unmapped := strings.Replace(mapping, "gives: [a.one]", "body: because.", 1)
	f := func(source, fields string) {
		t.Helper()
		if _, err := loadMapped(strings.Replace(awsRegistry, "source: one", "source: '"+source+"'", 1), fields); err != nil {
			t.Errorf("source %q: %v", source, err)
		}
	}
	f("the part of one before two, and not three", strings.Replace(mapping, "a.two, Severity", "a.two, a.one", 1))
	f("a.two, else one.own", strings.NewReplacer("gives: [a.one]", "body: because.", "a.two, Severity", "a.two, a.one",
		"body: because., collector: c.own", "gives: [a.one]").Replace(mapping))
	f("one.own", strings.Replace(mapping, "body: because., collector: c.own", "gives: [a.one]", 1)) // it stands inside one
	f("rule: some words", mapping)
	f(`constant "x"`, unmapped)
	f("reader: some words", unmapped)
	f("configuration: some words", unmapped)
}

// TestMappingCoversCloudTrail holds that the top-level fields of CloudTrail's
// record contents (eventVersion 1.11) have rows, by themselves or by members.
func TestMappingCoversCloudTrail(t *testing.T) {
	r := load(t)
	var paths []string
	for _, row := range r.Rows() {
		paths = append(paths, row.Field)
	}
	for _, name := range []string{
		"eventTime", "eventVersion", "userIdentity", "eventSource", "eventName", "awsRegion", "sourceIPAddress", "userAgent",
		"errorCode", "errorMessage", "requestParameters", "responseElements", "additionalEventData", "requestID", "eventID", "eventType",
		"apiVersion", "managementEvent", "readOnly", "resources", "recipientAccountId", "serviceEventDetails", "sharedEventID",
		"vpcEndpointId", "vpcEndpointAccountId", "eventCategory", "addendum", "sessionCredentialFromConsole", "eventContext",
		"edgeDeviceDetails", "tlsDetails", "insightDetails",
	} {
		if !slices.ContainsFunc(paths, func(p string) bool {
			return p == name || strings.HasPrefix(p, name+".") || strings.HasPrefix(p, name+"[]")
		}) {
			t.Errorf("no row for %s", name)
		}
	}
}
