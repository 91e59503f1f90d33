package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/registry"
)

// TestMapping holds every row of the field mapping to the code. For each case it
// normalizes the section's event without and with the field, and the attributes
// that differ must be those that the row names, with their values. So a field
// that stands in the body only changes none.
func TestMapping(t *testing.T) {
	reg, err := registry.Load(registry.Files())
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, s := range reg.Sections {
		for _, f := range s.Fields {
			if rows++; f.Body != "" {
				f.Gives = nil
			}
			for _, c := range append([]registry.Case{f.Case}, f.Also...) {
				t.Run(strings.ReplaceAll(strings.TrimSpace(s.Title+"/"+f.Path+"/"+c.When), " ", "_"), func(t *testing.T) {
					checkCase(t, s.Event, f.Path, c)
				})
			}
		}
	}
	if rows < 100 {
		t.Errorf("the mapping has only %d fields", rows)
	}
}

func checkCase(t *testing.T, base map[string]any, path string, c registry.Case) {
	value := c.Value
	if value == nil {
		value = "the value of " + path
	}
	path = strings.ReplaceAll(path, "*", "anythingElse")
	event := copyOf(t, base)
	for _, p := range slices.Sorted(maps.Keys(c.With)) {
		mustSet(t, event, p, c.With[p])
	}
	before := normalized(t, event)
	mustSet(t, event, path, value)
	after := normalized(t, event)

	want := map[string]any{}
	for _, g := range c.Gives {
		if want[g.Name] = g.Value; g.Same {
			want[g.Name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(union(before, after, want))) {
		changed := !reflect.DeepEqual(before[name], after[name])
		expected, named := want[name]
		switch {
		case changed && !named:
			t.Errorf("%s changes to %v, and the mapping does not say so", name, after[name])
		case named && !changed:
			t.Errorf("%s does not change, it is %v", name, after[name])
		case named && !reflect.DeepEqual(after[name], plain(t, expected)):
			t.Errorf("%s becomes %v, the mapping says %v", name, after[name], expected)
		}
	}
}

// union returns the names that stand in any of the maps.
func union(all ...map[string]any) map[string]any {
	names := map[string]any{}
	for _, m := range all {
		maps.Copy(names, m)
	}
	return names
}

// set puts a value at a path of an event; null takes away what is there. A name
// with [] is an array, of which the first item is meant. It is an error when the
// event has a text or a number where the path needs an object.
func set(event map[string]any, path string, value any) error {
	names := strings.Split(path, ".")
	last, isItem := strings.CutSuffix(names[len(names)-1], "[]")
	for _, name := range names[:len(names)-1] {
		name, inArray := strings.CutSuffix(name, "[]")
		next := event[name]
		if list, ok := next.([]any); ok && inArray && len(list) > 0 {
			next = list[0]
		} else if next == nil || ok && inArray {
			next = map[string]any{}
			if event[name] = next; inArray {
				event[name] = []any{next}
			}
		}
		var ok bool
		if event, ok = next.(map[string]any); !ok {
			return fmt.Errorf("%s: %s is no object in the event", path, name)
		}
	}
	switch {
	case value == nil:
		delete(event, last)
	case isItem:
		event[last] = []any{value}
	default:
		event[last] = value
	}
	return nil
}

func mustSet(t *testing.T, event map[string]any, path string, value any) {
	t.Helper()
	if err := set(event, path, value); err != nil {
		t.Fatal(err)
	}
}

// normalized returns the attributes of an event's record and the fields of
// RecordFields, by name and in JSON's types.
func normalized(t *testing.T, event map[string]any) map[string]any {
	t.Helper()
	fields, err := tryNormalize(t, event)
	if err != nil {
		t.Fatalf("%v: %v", err, event)
	}
	return fields
}

// tryNormalize is normalized for an event that may give no record.
func tryNormalize(t *testing.T, event map[string]any) (map[string]any, error) {
	t.Helper()
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	var ev cloudtrail.Event
	if err := cloudtrail.NewDecoder(decoding.Limits{}).Decode(text, &ev); err != nil {
		return nil, err
	}
	var rec otellog.Record
	if ok, err := normalize.New(normalize.Options{}).Record(&ev, 1, &rec); err != nil {
		return nil, err
	} else if !ok {
		return nil, errors.New("the event is filtered")
	}
	if rec.Body != string(text) {
		t.Fatalf("the body is not the event: %s", rec.Body)
	}
	fields := map[string]any{
		"Timestamp": time.Unix(0, rec.Time).UTC().Format(time.RFC3339), "Severity": rec.Severity.Text(), "EventName": rec.EventName,
	}
	for _, a := range slices.Concat(rec.Resource, rec.Attrs) {
		if _, twice := fields[a.Key]; twice {
			t.Fatalf("%s stands twice: %s", a.Key, text)
		}
		fields[a.Key] = valueOf(t, a)
	}
	return fields, nil
}

// valueOf returns the value of an attribute in the types of encoding/json.
func valueOf(t *testing.T, a otellog.Attr) any {
	t.Helper()
	switch a.Kind {
	case otellog.KindString:
		return a.Str
	case otellog.KindBool:
		return a.Int != 0
	case otellog.KindInt:
		return float64(a.Int)
	case otellog.KindStrings:
		list := []any{}
		for _, s := range a.Strs {
			list = append(list, s)
		}
		return list
	}
	t.Fatalf("%s is of kind %d", a.Key, a.Kind)
	return nil
}

// plain returns v in the types that encoding/json decodes to.
func plain(t *testing.T, v any) (out any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("%v is no JSON: %w", v, err))
	}
	return out
}

func copyOf(t *testing.T, event map[string]any) map[string]any {
	return plain(t, event).(map[string]any)
}
