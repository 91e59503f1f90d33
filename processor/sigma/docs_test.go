package sigma

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentedRules checks that the rules in docs/sigma.md load without a problem, and
// that the one from a file equals that file.
func TestDocumentedRules(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "sigma.md"))
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join("..", "..", "docs", "sigma", "refused_then_destroyed.yml"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if strings.HasPrefix(text, "rules:\n") {
			continue // a configuration
		}
		if strings.HasPrefix(text, "title: Use Of") && !strings.HasPrefix(string(example), text) {
			t.Errorf("the file does not begin with\n%s", text)
		}
		if rules := loadText(t, text); len(rules.List) == 0 || len(rules.Notes) > 0 {
			t.Errorf("%s\ngives %d rules, %v", text, len(rules.List), rules.Notes)
		}
	}
	if len(blocks) < 2 {
		t.Errorf("the page shows %d pieces of YAML", len(blocks))
	}
	for name := range notSupported {
		if name != "hour" && name != "day" && name != "week" && name != "month" && !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("the page does not say that %s is not supported", name)
		}
	}
}
