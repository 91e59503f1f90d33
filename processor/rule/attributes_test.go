package rule

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestAttributes: the list holds every attribute that the package's code names, so
// that a record decoded with it matches as the whole record does.
func TestAttributes(t *testing.T) {
	names := func(files ...string) (list []string) {
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, regexp.MustCompile(`semconv\.[A-Z]\w*`).FindAllString(string(text), -1)...)
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	var code []string
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && name != "attributes.go" {
			code = append(code, name)
		}
	}
	if got, want := names("attributes.go"), names(code...); !slices.Equal(got, want) || len(want) < 10 {
		t.Errorf("Attributes has %q, the code names %q", got, want)
	}
}
