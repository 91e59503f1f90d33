package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/help"
	"keytrail/processor/screen"
)

// commandLine is a command line that prints nowhere.
func commandLine(t *testing.T) *cobra.Command {
	t.Helper()
	var out bytes.Buffer
	a := &app{ctx: t.Context(), stdin: &out, stdout: screen.NewOutput(&out, func() {}), stderr: screen.NewDiagnostics(&out)}
	return a.root()
}

// docs/cli.md equals the current help of the commands.
func TestDocumentIsCurrent(t *testing.T) {
	var b bytes.Buffer
	help.Markdown(&b, commandLine(t))
	if text, err := os.ReadFile("../../docs/cli.md"); err != nil || string(text) != b.String() {
		t.Errorf("docs/cli.md is not current (%v): run make generate", err)
	}
}

// example matches a call of keytrail in a line of the shell.
var example = regexp.MustCompile(`\bkeytrail [^|>#)\n]+`)

// Every command has examples, and the command line accepts each of them.
func TestExamplesAreTaken(t *testing.T) {
	n := 0
	for _, cmd := range help.Commands(commandLine(t)) {
		lines := example.FindAllString(cmd.Example, -1)
		if len(lines) == 0 || cmd.Short == "" || cmd.Long == "" {
			t.Errorf("%s lacks a text or an example", cmd.CommandPath())
		}
		for _, line := range lines {
			if n++; take(t, strings.Fields(line)[1:]) != nil {
				t.Errorf("%s: %q: %v", cmd.CommandPath(), line, take(t, strings.Fields(line)[1:]))
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d examples", n)
	}
	if take(t, []string{"scan", "--nonsense", "x"}) == nil || take(t, []string{"scan"}) == nil || take(t, []string{"scann"}) == nil {
		t.Error("a wrong command line is taken")
	}
}

// take parses a command line and checks its arguments.
func take(t *testing.T, args []string) error {
	cmd, rest, err := commandLine(t).Find(args)
	if err == nil {
		err = flags.SingleDash(cmd, rest)
	}
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil && cmd.HasSubCommands() && cmd.HasParent() && cmd.Name() != "schema" {
		err = errors.New("it names no command")
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	return err
}

// groff formats every man page without a warning.
func TestManPages(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skipf("NOT TESTED: the man pages by groff: %v", err)
	}
	dir := t.TempDir()
	if code := Main([]string{"docs", "man", dir}, nil, &bytes.Buffer{}, &bytes.Buffer{}); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	said, err := exec.Command(groff, append([]string{"-man", "-ww", "-z", "-Tutf8", "-K", "utf8"}, pages...)...).CombinedOutput()
	if err != nil || len(said) > 0 {
		t.Errorf("groff: %v\n%s", err, said)
	}
}
