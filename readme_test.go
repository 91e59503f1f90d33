package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// asCommand makes the test binary behave as the command itself. So the documents'
// commands run the code that go test has built, and a cached result of this test
// is never older than the code.
const asCommand = "KEYTRAIL_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// safe are the commands that end by themselves and write only below
// build/. Others belong in blocks marked notest.
var safe = []string{"demo", "scan", "explain", "sinks", "usage", "reconcile", "normalize", "generate", "config", "rules", "schema", "version", "help"}

// shorter are flags for commands that take long as they are shown.
var shorter = map[string][]string{"demo": {"--pace", "0", "--events", "6000", "--for", "2m"}}

// shown is one command line of a document.
type shown struct {
	place  string   // file:line
	text   string   // without the "$ " and the comment
	code   int      // exit code
	output []string // the lines that follow it
	skip   bool     // in a block marked notest
}

// commands returns the lines that begin with "$ " in the console blocks of a
// Markdown file:
//
//	```console            run, from the root of the repository
//	$ go run . scan FILE  # exit 3
//	a line of its output
//	...
//	```
//
// "# exit 3" tells an exit code other than 0. Lines after a command, if any, are
// its output, in order; "..." stands for any number of lines. The mark notest,
// after console, keeps a block from being run.
func commands(file string, text []byte) (list []shown, err error) {
	kind := "" // of the block: the words after the fence; "" outside
	for i, line := range strings.Split(string(text), "\n") {
		place := fmt.Sprintf("%s:%d", file, i+1)
		if fence, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
			if kind != "" {
				kind = ""
			} else if kind = strings.TrimSpace(fence); kind == "" {
				kind = "text"
			}
			continue
		}
		command, isCommand := strings.CutPrefix(line, "$ ")
		console := kind == "console" || kind == "console notest"
		switch {
		case kind == "":
		case isCommand && !console:
			return nil, fmt.Errorf("%s: a command in a block marked %q; mark it console, or console notest", place, kind)
		case isCommand:
			s := shown{place: place, skip: kind != "console"}
			s.text, s.code, err = cutExit(command)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", place, err)
			}
			list = append(list, s)
		case console && len(list) > 0:
			last := &list[len(list)-1]
			last.output = append(last.output, line)
		}
	}
	if kind != "" {
		return nil, fmt.Errorf("%s: a block marked %q is not closed", file, kind)
	}
	return list, nil
}

// cutExit cuts the comment off a command and returns the exit code that it tells.
func cutExit(command string) (text string, code int, err error) {
	text, comment, found := strings.Cut(command, " # ")
	if number, ok := strings.CutPrefix(comment, "exit "); found && ok {
		if code, err = strconv.Atoi(number); err != nil {
			return "", 0, fmt.Errorf("%q is no exit code", number)
		}
	}
	return strings.TrimSpace(text), code, nil
}

// arguments returns the arguments of a command line that shows Keytrail.
func arguments(text string) ([]string, error) {
	words := strings.Fields(text)
	switch {
	case len(words) > 3 && slices.Equal(words[:3], []string{"go", "run", "."}):
		words = words[3:]
	case len(words) > 1 && words[0] == "keytrail":
		words = words[1:]
	default:
		return nil, fmt.Errorf("it is no command of Keytrail's: mark its block notest")
	}
	if !slices.Contains(safe, words[0]) {
		return nil, fmt.Errorf("it is none of %q: mark its block notest", safe)
	}
	if strings.ContainsAny(text, "|<>&;$`'\"\\*?~#") {
		return nil, fmt.Errorf("it needs a shell: mark its block notest")
	}
	return words, nil
}

// TestDocumentedCommands runs every command that the documents show and compares
// the exit code, and the output where it is shown.
func TestDocumentedCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("SHORT: the commands that the documents show are not run")
	}
	ran := map[string]int{} // by file
	skipped := 0
	build := t.TempDir() // takes the place of build/
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, err := commands(file, text)
		if err != nil {
			t.Error(err)
		}
		for _, s := range list {
			if s.skip {
				skipped++
				t.Logf("NOT RUN, marked notest: %s: %s", s.place, s.text)
				continue
			}
			ran[file]++
			if err := s.run(t, build); err != nil {
				t.Errorf("%s: %q: %v", s.place, s.text, err)
			}
		}
	}
	t.Logf("commands run: %v; not run: %d", ran, skipped)
	if ran["README.md"] < 5 {
		t.Errorf("README.md shows %d commands that run, want at least 5", ran["README.md"])
	}
}

// documents returns the Markdown files: those of the root, which must be
// there, and those of the other folders.
func documents(t *testing.T) []string {
	t.Helper()
	list := []string{"README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	for _, dir := range []string{"docs", "schemas", "processor", "plugins", "deploy", "bench"} {
		err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
			if filepath.Ext(name) == ".md" {
				list = append(list, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// run runs the command in the root of the repository, with build instead of
// build/.
func (s shown) run(t *testing.T, build string) error {
	args, err := arguments(s.text)
	if err != nil {
		return err
	}
	args = append(args, shorter[args[0]]...)
	for i, arg := range args {
		if below, ok := strings.CutPrefix(arg, "build/"); ok {
			args[i] = filepath.Join(build, below)
		} else {
			depend(arg)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // many times what the slowest takes
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch code := cmd.ProcessState.ExitCode(); {
	case err != nil && !errors.As(err, &exit):
		return err
	case code != s.code:
		return fmt.Errorf("exits with %d, want %d:\n%s%s", code, s.code, last(stdout.String()), last(stderr.String()))
	case stdout.Len()+stderr.Len() == 0:
		return errors.New("says nothing")
	}
	return contains(stdout.String()+stderr.String(), s.output)
}

// depend reads what is at name, if anything: go test notices when a file changes
// that the test has opened, and not those of a subprocess.
func depend(name string) {
	filepath.WalkDir(name, func(name string, _ fs.DirEntry, err error) error {
		if err == nil {
			os.ReadFile(name) // whether it can be read is the command's matter
		}
		return nil
	})
}

// contains returns the first line of want that does not occur in output, in order.
func contains(output string, want []string) error {
	lines := strings.Split(output, "\n")
	for _, line := range want {
		if line == "" || line == "..." {
			continue
		}
		i := slices.Index(lines, line)
		if i < 0 {
			return fmt.Errorf("does not print, or not in this order, %q but:\n%s", line, last(output))
		}
		lines = lines[i+1:]
	}
	return nil
}

// last returns the end of a long text, for messages.
func last(text string) string {
	const limit = 4000
	if len(text) > limit {
		text = "..." + text[len(text)-limit:]
	}
	return text
}

// TestCommandsAreFound holds the search for commands to its rules, for a mistake
// there would leave documents unchecked.
func TestCommandsAreFound(t *testing.T) {
	f := func(text string, want ...shown) {
		t.Helper()
		got, err := commands("x.md", []byte(text))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q gives %v and %v, want %v", text, got, err, want)
		}
	}
	f("$ outside\n```\ntext\n```\n")
	f("```console\n$ keytrail version\n```\n", shown{place: "x.md:2", text: "keytrail version"})
	f("```console\n$ keytrail scan x # exit 3\n1 record\n...\n```\n", shown{place: "x.md:2", text: "keytrail scan x", code: 3, output: []string{"1 record", "..."}})
	f("```console notest\n$ make test\n```\n```console\n$ b # why\n```", shown{place: "x.md:2", text: "make test", skip: true}, shown{place: "x.md:5", text: "b"})
	bad := func(text, want string) {
		t.Helper()
		if _, err := commands("x.md", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives error %v, want one with %q", text, err, want)
		}
	}
	bad("```sh\n$ keytrail version\n```\n", `x.md:2: a command in a block marked "sh"`)
	bad("```console\n$ keytrail version\n", "is not closed")
	bad("```console\n$ keytrail version # exit three\n```\n", "no exit code")
	refused := func(text, want string) {
		t.Helper()
		if err := (shown{text: text}).run(t, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives error %v, want one with %q", text, err, want)
		}
	}
	refused("rm -r build", "no command of Keytrail's")
	refused("go test ./...", "no command of Keytrail's")
	refused("keytrail run -c deploy/keytrail.yaml", "none of")
	refused("keytrail version | tail", "needs a shell")
	refused("keytrail scan --surprise", "exits with 2, want 0")
	if err := (shown{text: "go run . help", output: []string{"  keytrail COMMAND [FLAGS] [ARGUMENTS]"}}).run(t, ""); err != nil {
		t.Error(err)
	}
	if err := (shown{text: "go run . help", output: []string{"Usage: nothing"}}).run(t, ""); err == nil {
		t.Error("output that does not come is not noticed")
	}
}
