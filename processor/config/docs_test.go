package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocuments: every configuration with sinks that a document shows is complete.
func TestDocuments(t *testing.T) {
	variable := regexp.MustCompile(`\$\{([A-Z_]+)\}`)
	documented(t, func(name, config string) {
		for _, v := range variable.FindAllStringSubmatch(config, -1) {
			t.Setenv(v[1], valueOf(v[1]))
		}
		if _, err := Parse(name, []byte(config)); err != nil {
			t.Errorf("%s shows a configuration that is refused: %v\n%s", name, err, config)
		}
	})
}

// documented calls f for every configuration with sinks that a document shows.
func documented(t *testing.T, f func(name, config string)) {
	t.Helper()
	docs := filepath.Join("..", "..", "docs")
	files, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(docs, "sinks", "*.md"))
	if err != nil || len(pages) < 3 {
		t.Fatalf("the pages of sinks are %v (%v)", pages, err)
	}
	files = append(files, pages...)
	block := regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$")
	found := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			config := strings.ReplaceAll("\n"+m[2], "\n"+m[1], "\n")
			if !strings.Contains(config, "\nsinks:") {
				continue
			}
			found++
			f(name, config)
		}
	}
	if found < 4 {
		t.Errorf("found only %d configurations with sinks", found)
	}
}

// valueOf returns a value of the form that a variable's name promises.
func valueOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_URL"):
		return "https://siem.example/a-secret-of-the-test"
	case strings.HasSuffix(name, "_ROUTING_KEY"):
		return "0123456789abcdef0123456789abcdef"
	}
	return "a-secret-of-the-test"
}
