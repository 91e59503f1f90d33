package deploytest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every number in the chart's schema has a description with its unit, and its bounds.
func TestValuesAreDescribed(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(projectRoot, "deploy/helm/keytrail/values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s any
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	found := 0
	numbers("", s, func(path string, one map[string]any) {
		found++
		description, _ := one["description"].(string)
		for _, bound := range []string{"minimum", "maximum"} {
			if n, ok := one[bound]; one["pattern"] == nil && (!ok || !strings.Contains(description, fmt.Sprint(n))) {
				t.Errorf("%s: its description %q lacks the %s %v", path, description, bound, n)
			}
		}
		if description == "" {
			t.Errorf("%s has no description", path)
		}
	})
	if found < 4 {
		t.Errorf("the schema has only %d numbers", found)
	}
}

// numbers calls f for each part of a schema that describes a number or a quantity.
func numbers(path string, s any, f func(string, map[string]any)) {
	o, ok := s.(map[string]any)
	if !ok {
		return
	}
	kinds, _ := o["type"].([]any)
	kinds = append(kinds, o["type"])
	pattern, _ := o["pattern"].(string)
	if slices.Contains(kinds, "integer") || slices.Contains(kinds, "number") || strings.Contains(pattern, "Mi|Gi") {
		f(path, o)
	}
	for name, part := range o {
		numbers(path+"/"+name, part, f)
	}
}
