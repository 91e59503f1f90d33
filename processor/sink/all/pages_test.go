package all

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"keytrail/schemas/registry"
)

// pageNames finds names of the schema in code, as they are and as Loki and Prometheus write
// them: those with three parts or more, because resources of users have shorter names.
var (
	pageCode  = regexp.MustCompile("(?s)```[a-z]+\n(.*?)```|`([^`\n]+)`")
	pageNames = regexp.MustCompile(`\b(?:keytrail|aws|cloud)[._][a-z]+(?:[._][a-z]+)+\b(?:\.md)?`)
)

// TestPages: the pages of docs/sinks name only attributes, events and metrics that exist.
// config.TestDocuments loads their configurations.
func TestPages(t *testing.T) {
	schema, err := registry.Load(registry.Files())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"keytrail_sink_state": true} // a metric
	for _, a := range schema.Attributes {
		known[a.ID] = true
		known[strings.ReplaceAll(a.ID, ".", "_")] = true
	}
	for _, e := range schema.Events {
		known[e.Name] = true
	}
	pages, err := filepath.Glob("../../../docs/sinks/*.md")
	if err != nil || len(pages) < 7 {
		t.Fatalf("pages %q (%v)", pages, err)
	}
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range pageCode.FindAllString(string(text), -1) {
			for _, name := range pageNames.FindAllString(code, -1) {
				if found++; !known[name] && !strings.HasSuffix(name, ".md") {
					t.Errorf("%s: %q is not in the schema", page, name)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("found only %d names", found)
	}
}
