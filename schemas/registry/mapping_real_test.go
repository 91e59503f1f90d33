package registry_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"keytrail/schemas/internal/schematest"
	"keytrail/schemas/registry"
)

// TestMappingOfRealEvents holds the field mapping to events that others
// published. Each field of the mapping and each value of an event is set to other
// values there, or taken away. The attributes that change must be among those that
// the field's rows name, or have one of those in their source. So no field decides
// an attribute in a way that the mapping does not know.
func TestMappingOfRealEvents(t *testing.T) {
	reg, err := registry.Load(registry.Files())
	if err != nil {
		t.Fatal(err)
	}
	rows := rowsOf(reg)
	events, changes := 0, 0
	shapes := map[string]bool{}
	for _, name := range []string{"awsdocs-kms-developer-guide/kms_events.ndjson", "seeds/kms_events.ndjson", "invictus-ir/kms_events.ndjson",
		"shapes-2025/kms_events_2025_shape_exemplars.ndjson", "streamalert/kms_events.ndjson"} {
		for i, line := range schematest.Lines(t, name) {
			var event map[string]any
			if err := json.Unmarshal(line, &event); err != nil {
				t.Fatalf("%s:%d: %v", name, i+1, err)
			}
			// Events with the same fields tell the same, and some files have hundreds.
			shape := fmt.Sprint(event["eventName"], leaves(event, ""))
			if _, err := tryNormalize(t, event); err != nil || shapes[shape] {
				continue
			}
			shapes[shape] = true
			events++
			n, problems := otherValues(t, reg, rows, event)
			changes += n
			for _, problem := range problems {
				t.Errorf("%s:%d: %s", name, i+1, problem)
			}
		}
	}
	if events < 60 || changes < 10_000 {
		t.Errorf("only %d events and %d changes", events, changes)
	}
}

// row is what all sections about KMS together say of a field.
type row struct {
	gives  map[string]bool
	values []any // to set it to
}

// explains reports whether the row names an attribute, or one of which it is made.
func (r *row) explains(reg *registry.Registry, name string) bool {
	a := reg.Attribute(name)
	for given := range r.gives {
		if given == name || a != nil && reg.Attribute(given) != nil && strings.Contains(a.Source, given) {
			return true
		}
	}
	return false
}

func rowsOf(reg *registry.Registry) map[string]*row {
	rows := map[string]*row{}
	for _, s := range reg.Sections {
		if s.Event["eventSource"] != "kms.amazonaws.com" {
			continue
		}
		for _, f := range s.Fields {
			r := rows[f.Path]
			if r == nil {
				r = &row{map[string]bool{}, []any{nil}}
				rows[f.Path] = r
			}
			for _, c := range append([]registry.Case{f.Case}, f.Also...) {
				if r.values = append(r.values, c.Value); c.Value == nil {
					r.values[len(r.values)-1] = "another text"
				}
				for _, g := range c.Gives {
					r.gives[g.Name] = true
				}
			}
		}
	}
	return rows
}

// otherValues gives the event's fields other values, one at a time. It returns
// how many attributes changed, and those that should not have.
func otherValues(t *testing.T, reg *registry.Registry, rows map[string]*row, event map[string]any) (changes int, problems []string) {
	t.Helper()
	before := normalized(t, event)
	paths := leaves(event, "")
	for path := range rows {
		inside := func(p string) bool { return p == path || strings.HasPrefix(p, path+".") }
		if !strings.Contains(path, "*") && !slices.ContainsFunc(paths, inside) { // what has members is not set as a whole
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	for _, path := range paths {
		name := rowOf(rows, path)
		if name == "" {
			problems = append(problems, "no row for "+path)
			continue
		}
		for _, value := range rows[name].values {
			changed := copyOf(t, event)
			if err := set(changed, path, value); err != nil {
				continue // the event has a text where the field's object could stand
			}
			after, err := tryNormalize(t, changed)
			if err != nil {
				continue // without its time or its service it is not an event for us
			}
			for _, attribute := range slices.Sorted(maps.Keys(union(before, after))) {
				if reflect.DeepEqual(before[attribute], after[attribute]) {
					continue
				}
				if changes++; !rows[name].explains(reg, attribute) {
					problems = append(problems, fmt.Sprintf("%s = %v changes %s from %v to %v, and the row %s does not name it",
						path, value, attribute, before[attribute], after[attribute], name))
				}
			}
		}
	}
	return changes, problems
}

// leaves returns the paths of an event's values that are not objects, and of the
// first items of its lists, sorted.
func leaves(v any, path string) (paths []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			paths = append(paths, leaves(value, strings.TrimPrefix(path+"."+name, "."))...)
		}
		slices.Sort(paths)
		return paths
	case []any:
		if len(v) > 0 {
			if _, ok := v[0].(map[string]any); ok {
				return leaves(v[0], path+"[]")
			}
		}
	}
	return []string{path}
}

// rowOf returns the row that a path belongs to: its own, that of a field above
// it, or that of all other fields; the most special one.
func rowOf(rows map[string]*row, path string) string {
	for p := path; ; {
		if rows[p] != nil {
			return p
		}
		if bare := strings.TrimSuffix(p, "[]"); rows[bare] != nil {
			return bare
		}
		i := strings.LastIndexByte(p, '.')
		if i < 0 {
			break
		}
		if p = p[:i]; rows[p+".*"] != nil {
			return p + ".*"
		}
	}
	if rows["*"] != nil {
		return "*"
	}
	return ""
}
