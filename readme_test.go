package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shown is one command line of a document.
type shown struct {
	file string
	line int
	text string
	run  bool // not in a block marked notest
}

// commands returns the lines that begin with "$ " in the console blocks of a
// Markdown file.
func commands(t *testing.T, file string) []shown {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []shown
	inside, run := false, false
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			kind := strings.Fields(strings.TrimPrefix(line, "```"))
			inside = !inside && len(kind) > 0 && kind[0] == "console"
			run = inside && len(kind) == 1
		case inside && strings.HasPrefix(line, "$ "):
			list = append(list, shown{file, i + 1, strings.TrimPrefix(line, "$ "), run})
		}
	}
	return list
}

// Every command that a document shows runs, from the root of the repository,
// and exits with 0. "go run ." and "keytrail" both mean the binary built here.
func TestDocumentedCommandsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("SHORT: the commands of README.md and docs/ are not run")
	}
	bin := filepath.Join(t.TempDir(), "keytrail")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	// The README generates a trail here; a directory that holds one is refused.
	if err := os.RemoveAll("build/trail"); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, file := range append([]string{"README.md", "DESIGN.md"}, docs...) {
		for _, c := range commands(t, file) {
			if !c.run {
				t.Logf("%s:%d: marked notest: %s", c.file, c.line, c.text)
				continue
			}
			ran++
			execute(t, bin, c)
		}
	}
	if ran < 5 {
		t.Errorf("only %d commands found in the documents", ran)
	}
}

func execute(t *testing.T, bin string, c shown) {
	t.Helper()
	args, ok := strings.CutPrefix(c.text, "go run . ")
	if !ok {
		if args, ok = strings.CutPrefix(c.text, "keytrail "); !ok {
			t.Errorf("%s:%d: %q is no command of Keytrail's: mark its block notest", c.file, c.line, c.text)
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, strings.Fields(args)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Errorf("%s:%d: %q exits with %d:\n%s", c.file, c.line, c.text, exit.ExitCode(), stderr.String())
	case err != nil:
		t.Errorf("%s:%d: %q: %v", c.file, c.line, c.text, err)
	case stdout.Len() == 0 && stderr.Len() == 0:
		t.Errorf("%s:%d: %q says nothing", c.file, c.line, c.text)
	}
}
