package bodytest

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/schemas/otellog"
)

// ecsText holds the names and types of ECS 9 in the field sets that the body writes.
//
//go:embed ecs.txt
var ecsText string

// ecsTypes is the type of each field of ECS in ecs.txt.
var ecsTypes = func() map[string]string {
	types := map[string]string{}
	for line := range strings.Lines(ecsText) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		types[name] = kind
	}
	return types
}()

// leaves calls f for every value in a document, with its path.
func leaves(path string, v any, f func(path string, v any)) {
	object, isObject := v.(map[string]any)
	if !isObject {
		f(path, v)
		return
	}
	for name, v := range object {
		leaves(strings.TrimPrefix(path+"."+name, "."), v, f)
	}
}

// checkECS holds that every value is a field of ECS with its type, or an attribute of the
// record, and that no attribute is lost.
func checkECS(t testing.TB, r *otellog.Record, doc map[string]any) {
	t.Helper()
	leaves("", doc, func(path string, v any) {
		kind, known := ecsTypes[path]
		switch a := find(r, path); {
		case !known && a == nil:
			t.Errorf("%s is neither a field of ECS nor an attribute of the record", path)
		case known:
			checkECSValue(t, path, kind, v)
		}
	})
	for _, want := range []string{
		"@timestamp", "ecs.version", "event.kind", "event.category", "event.type", "event.module", "event.dataset",
	} {
		if At(doc, want) == nil {
			t.Errorf("%s has no %s", r.EventName, want)
		}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range slices.Concat(r.Resource, r.Attrs) {
		lost := !strings.Contains(string(text), strings.Trim(quote(t, a.Str), `"`))
		if a.Kind == otellog.KindString && len(a.Str) > 5 && lost {
			t.Errorf("the value of %s, %q, is lost", a.Key, a.Str)
		}
	}
}

func quote(t testing.TB, s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func find(r *otellog.Record, name string) *otellog.Attr {
	for _, list := range [][]otellog.Attr{r.Resource, r.Attrs} {
		for i := range list {
			if list[i].Key == name {
				return &list[i]
			}
		}
	}
	return nil
}

// At returns the value at a path, or nil.
func At(doc map[string]any, path string) any {
	var v any = doc
	for part := range strings.SplitSeq(path, ".") {
		object, _ := v.(map[string]any)
		v = object[part]
	}
	return v
}

func checkECSValue(t testing.TB, path, kind string, v any) {
	t.Helper()
	if list, isList := v.([]any); isList {
		for _, item := range list {
			checkECSValue(t, path, kind, item)
		}
		return
	}
	text, isText := v.(string)
	number, isNumber := v.(json.Number)
	ok := isText
	switch kind {
	case "date":
		_, err := time.Parse(time.RFC3339Nano, text)
		ok = err == nil
	case "long":
		_, err := number.Int64()
		ok = isNumber && err == nil
	case "float":
		ok = isNumber
	case "boolean":
		_, ok = v.(bool)
	}
	if !ok {
		t.Errorf("%s is %v, want a %s", path, v, kind)
	}
}
