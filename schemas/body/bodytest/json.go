package bodytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"keytrail/schemas/otellog"
)

// Object decodes JSON of one object with exact numbers, and holds that no member stands
// twice in it.
func Object(t testing.TB, text []byte) map[string]any {
	t.Helper()
	m := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%v: %.2000s", err, text)
	}
	if d.More() || bytes.ContainsAny(text, "\n\r") {
		t.Fatalf("not one object on one line: %.2000s", text)
	}
	again, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if count(again) != count(text) {
		t.Fatalf("a member stands twice: %.2000s", text)
	}
	return m
}

// count counts the members of all objects in a JSON text, twice those that stand twice.
func count(text []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return n
		}
		if _, isDelim := token.(json.Delim); !isDelim {
			n++
		}
	}
}

// flat is what the body json must hold, by name.
func flat(r *otellog.Record) map[string]any {
	stamp := func(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
	want := map[string]any{
		"@timestamp": stamp(r.Time), "observed_timestamp": stamp(r.Observed), "event_name": r.EventName,
		"severity_number": json.Number(strconv.Itoa(int(r.Severity))), "body": valid(r.Body),
	}
	if r.Severity.Text() != "" {
		want["severity_text"] = r.Severity.Text()
	}
	for _, a := range slices.Concat(r.Resource, r.Attrs) {
		switch a.Kind {
		case otellog.KindString:
			want[a.Key] = valid(a.Str)
		case otellog.KindBool:
			want[a.Key] = a.Int != 0
		case otellog.KindInt:
			want[a.Key] = json.Number(strconv.FormatInt(a.Int, 10))
		case otellog.KindDouble:
			text := strconv.FormatFloat(a.Num, 'g', -1, 64)
			if !strings.ContainsAny(text, ".e") {
				text += ".0" // Elasticsearch maps 7 as an integer
			}
			want[a.Key] = json.Number(text)
		case otellog.KindStrings:
			var items []any
			for _, s := range a.Strs {
				items = append(items, valid(s))
			}
			want[a.Key] = items
		}
	}
	for name, v := range want {
		if v == "" {
			delete(want, name)
		}
	}
	return want
}

// valid is s with bytes that are not UTF-8 replaced one by one.
func valid(s string) string { return string([]rune(s)) }

// checkFlat holds that a document has each field and attribute of the record, and extra
// other members.
func checkFlat(t testing.TB, r *otellog.Record, got map[string]any, extra int) {
	t.Helper()
	want := flat(r)
	for name, v := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(v) {
			t.Errorf("%s: %v, want %v", name, got[name], v)
		}
	}
	if len(got) != len(want)+extra {
		t.Errorf("%d members, want %d: %v", len(got), len(want)+extra, got)
	}
}

// checkCIM holds that a document has the fields of its data model beside the body json, and
// that no name is below another. An attribute below a field has underscores.
func checkCIM(t testing.TB, r *otellog.Record, doc map[string]any) {
	t.Helper()
	for name := range doc {
		for at, c := range name {
			if _, is := doc[name[:at]]; c == '.' && is {
				t.Errorf("%s is below %s", name, name[:at])
			}
		}
	}
	known := flat(r)
	for name := range known {
		under := strings.ReplaceAll(name, ".", "_")
		if v, is := doc[under]; is && under != name {
			delete(doc, under)
			doc[name] = v
		}
	}
	extra := 0
	for name, v := range doc {
		if _, is := known[name]; is {
			continue
		}
		extra++
		if strings.ContainsAny(name, ".@") || v == "" {
			t.Errorf("%s is %v, and not a field of a data model", name, v)
		}
	}
	checkFlat(t, r, doc, extra)
	want := []string{"vendor_product", "app"}
	switch r.EventName {
	case "keytrail.anomaly", "keytrail.incident":
		want = append(want, "id", "severity", "signature", "signature_id", "type", "dest", "description")
	case "aws.kms.api_call":
		want = append(want, "action", "change_type", "command", "status", "user")
	}
	for _, name := range want {
		if doc[name] == nil {
			t.Errorf("%s has no %s", r.EventName, name)
		}
	}
}
