package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// numbers calls f for each numeric setting in a schema, with its path and schema.
func numbers(path string, s map[string]any, f func(string, map[string]any)) {
	kinds, _ := s["anyOf"].([]any)
	for _, kind := range kinds {
		text := fmt.Sprint(kind)
		if strings.Contains(text, "type:integer") || strings.Contains(text, "type:number") || strings.Contains(text, "ns|us") {
			f(path, s)
			break
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for name, one := range properties {
		numbers(join(path, name), one.(map[string]any), f)
	}
	if items, ok := s["items"].(map[string]any); ok {
		cases, _ := items["allOf"].([]any)
		for _, one := range cases {
			of := one.(map[string]any)
			kind := of["if"].(map[string]any)["properties"].(map[string]any)["type"].(map[string]any)["const"]
			numbers(fmt.Sprintf("%s.%v", path, kind), of["then"].(map[string]any), f)
		}
	}
}

// Every number in the schema of the configuration has its unit and its bounds, as Validate
// tells them.
func TestNumbersAreDescribed(t *testing.T) {
	var out bytes.Buffer
	if err := Schema(&out); err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	var without []string
	n := 0
	numbers("", s, func(path string, one map[string]any) {
		n++
		text, _ := one["description"].(string)
		if unit, allowed, ok := strings.Cut(text, ": "); !ok || !strings.HasPrefix(unit, "A ") || !strings.Contains(allowed, " to ") {
			without = append(without, path)
		}
	})
	slices.Sort(without)
	if n < 150 || len(without) > 0 {
		t.Errorf("of %d numbers, these have no unit or no bounds: %q", n, without)
	}
}
