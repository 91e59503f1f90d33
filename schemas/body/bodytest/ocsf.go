package bodytest

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keytrail/schemas/otellog"
)

// ocsfText holds the names, types and requirements of OCSF 1.5.0: the attributes of the
// classes and objects that the body writes.
//
//go:embed ocsf.txt
var ocsfText string

// ocsfAttr is an attribute of a class or an object of OCSF.
type ocsfAttr struct {
	kind              string
	list, required    bool
	profile           string
	enum              map[int64]string
	deprecatedInOwner bool
}

// ocsfSchema is what ocsf.txt says of OCSF 1.5.0: the attributes of the classes
// and objects that the body writes, and of which some object must have one at least.
type ocsfSchema struct {
	attrs map[string]map[string]ocsfAttr
	oneOf map[string][]string
}

// ocsf is the schema in ocsf.txt.
var ocsf = func() ocsfSchema {
	s := ocsfSchema{map[string]map[string]ocsfAttr{}, map[string][]string{}}
	for line := range strings.Lines(ocsfText) {
		line, enum, _ := strings.Cut(strings.TrimSpace(line), " enum ")
		words := strings.Fields(line)
		owner, name, isAttr := strings.Cut(words[0], ".")
		if !isAttr {
			s.oneOf[owner] = words[2:]
			continue
		}
		a := ocsfAttr{required: words[2] == "required", enum: map[int64]string{}}
		a.kind, a.list = strings.CutSuffix(words[1], "[]")
		for _, word := range words[3:] {
			if p, ok := strings.CutPrefix(word, "profile="); ok {
				a.profile = p
			}
			a.deprecatedInOwner = a.deprecatedInOwner || word == "deprecated"
		}
		for part := range strings.SplitSeq(enum, "; ") {
			if number, caption, ok := strings.Cut(part, "="); ok {
				n, err := strconv.ParseInt(number, 10, 64)
				if err != nil {
					panic(err)
				}
				a.enum[n] = caption
			}
		}
		if s.attrs[owner] == nil {
			s.attrs[owner] = map[string]ocsfAttr{}
		}
		s.attrs[owner][name] = a
	}
	return s
}()

// check holds that value is an object of OCSF.
func (s ocsfSchema) check(t testing.TB, path, owner string, value map[string]any, profiles []any) {
	t.Helper()
	attrs := s.attrs[owner]
	if attrs == nil {
		t.Errorf("%s: ocsf.txt does not have %s", path, owner)
		return
	}
	for name, a := range attrs {
		if _, there := value[name]; a.required && !there && (a.profile == "" || slices.Contains(profiles, any(a.profile))) {
			t.Errorf("%s: %s has no %s, which is required", path, owner, name)
		}
	}
	has := func(name string) bool { return value[name] != nil }
	if one := s.oneOf[owner]; len(one) > 0 && !slices.ContainsFunc(one, has) {
		t.Errorf("%s: %s has none of %v", path, owner, one)
	}
	for name, v := range value {
		at := path + "." + name
		a, known := attrs[name]
		switch {
		case !known:
			t.Errorf("%s: %s has no attribute %s", path, owner, name)
			continue
		case a.profile != "" && !slices.Contains(profiles, any(a.profile)):
			t.Errorf("%s belongs to the profile %s, which metadata.profiles does not name", at, a.profile)
		case a.deprecatedInOwner:
			t.Errorf("%s is deprecated", at)
		}
		if !a.list {
			s.value(t, at, a, v, profiles)
			continue
		}
		items, isList := v.([]any)
		if !isList || len(items) == 0 {
			t.Errorf("%s is %v, want a list", at, v)
		}
		for _, item := range items {
			s.value(t, at, a, item, profiles)
		}
	}
}

func (s ocsfSchema) value(t testing.TB, path string, a ocsfAttr, v any, profiles []any) {
	t.Helper()
	switch a.kind {
	case "integer_t", "long_t", "timestamp_t", "port_t":
		number, _ := v.(json.Number)
		n, err := number.Int64()
		if err != nil {
			t.Errorf("%s is %v, want an integer", path, v)
		}
		if len(a.enum) > 0 && a.enum[n] == "" {
			t.Errorf("%s is %d, which OCSF does not define", path, n)
		}
	case "boolean_t":
		if _, ok := v.(bool); !ok {
			t.Errorf("%s is %v, want a boolean", path, v)
		}
	case "string_t", "username_t", "ip_t", "hostname_t", "resource_uid_t", "url_t":
		if text, ok := v.(string); !ok || text == "" {
			t.Errorf("%s is %v, want a text", path, v)
		}
	case "object":
		if _, ok := v.(map[string]any); !ok {
			t.Errorf("%s is %v, want an object", path, v)
		}
	default:
		object, ok := v.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, want an object %s", path, v, a.kind)
			return
		}
		s.check(t, path, a.kind, object, profiles)
	}
}

// checkOCSF holds that a body is a complete record of its class.
func checkOCSF(t testing.TB, r *otellog.Record, doc map[string]any) {
	t.Helper()
	s := ocsf
	class, owner, category := int64(6003), "api_activity", int64(6)
	if r.EventName == "keytrail.anomaly" || r.EventName == "keytrail.incident" {
		class, owner, category = 2004, "detection_finding", 2
	}
	number := func(name string) int64 {
		n, _ := doc[name].(json.Number)
		i, err := n.Int64()
		if err != nil {
			t.Errorf("%s is %v, want an integer", name, doc[name])
		}
		return i
	}
	if number("class_uid") != class || number("category_uid") != category ||
		number("type_uid") != class*100+number("activity_id") {
		t.Errorf("class %v, category %v, type %v, activity %v; want class %d",
			doc["class_uid"], doc["category_uid"], doc["type_uid"], doc["activity_id"], class)
	}
	caption := s.attrs[owner]["activity_id"].enum[number("activity_id")]
	if doc["activity_name"] != caption && caption != "Other" ||
		doc["type_name"] != doc["class_name"].(string)+": "+doc["activity_name"].(string) {
		t.Errorf("activity %v is called %v, type %v", doc["activity_id"], doc["activity_name"], doc["type_name"])
	}
	for _, pair := range [][2]string{{"severity_id", "severity"}, {"status_id", "status"}} {
		if want := s.attrs[owner][pair[0]].enum; doc[pair[0]] != nil && doc[pair[1]] != want[number(pair[0])] {
			t.Errorf("%s %v is called %v, want %s", pair[0], doc[pair[0]], doc[pair[1]], want[number(pair[0])])
		}
	}
	if number("time") != r.Time/1e6 {
		t.Errorf("time %v, want %d", doc["time"], r.Time/1e6)
	}
	profiles, _ := doc["metadata"].(map[string]any)["profiles"].([]any)
	s.check(t, "", owner, doc, profiles)
}
