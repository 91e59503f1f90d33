package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var reference = regexp.MustCompile("`([a-z_/]+\\.go):([A-Za-z]+)`")

// Every "file.go:function" in DESIGN.md exists: a walk through the code that
// names what is gone leads nowhere.
func TestDesignNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && len(path) > 1 && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir // such as .git, where files come and go
		}
		if !d.IsDir() && strings.HasSuffix(path, ".go") {
			files = append(files, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	references := reference.FindAllStringSubmatch(string(text), -1)
	if len(references) < 15 {
		t.Errorf("only %d references to functions", len(references))
	}
	for _, r := range references {
		function := regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + r[2] + `\b`)
		found := false
		for _, f := range files {
			if f == r[1] || strings.HasSuffix(f, "/"+r[1]) {
				code, err := os.ReadFile(f)
				found = found || err == nil && function.Match(code)
			}
		}
		if !found {
			t.Errorf("DESIGN.md names %s:%s, which does not exist", r[1], r[2])
		}
	}
}
