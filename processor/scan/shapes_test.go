package scan

import (
	"path/filepath"
	"strings"
	"testing"
)

// Every shape in which events reach a collector counts as in the oracle. The oracle does
// not read tables and lists with a trailing comma.
func TestShapesAreCounted(t *testing.T) {
	files, err := filepath.Glob("../../schemas/aws/cloudtrail/testdata/shapes/*")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		if base := filepath.Base(name); strings.HasSuffix(base, ".csv") || strings.HasSuffix(base, ".tsv") || base == "trailing-commas.json" || base == "rows-of-strings.json" {
			continue
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			equalsOracle(t, scanAll(t, []string{name}, 1, maxFacts), []string{name})
		})
	}
}
