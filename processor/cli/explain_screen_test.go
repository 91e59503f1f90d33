package cli_test

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// waitsForInput reports whether a pipe is empty.
func waitsForInput(t *testing.T, pipe *os.File) bool {
	t.Helper()
	n, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n == 0
}

// onTerminal runs keytrail with a terminal of a given width and returns its output.
func onTerminal(t *testing.T, columns uint16, env []string, args ...string) string {
	t.Helper()
	master, slave := terminal(t, 24, columns)
	defer master.Close()
	p := startWith(t, env, nil, slave, args...)
	slave.Close()
	var shown strings.Builder
	io.Copy(&shown, master) // ends with EIO when the process has closed its end
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	return strings.ReplaceAll(shown.String(), "\r\n", "\n")
}

// widest returns the length of the longest line that is not one long word behind its
// label.
func widest(text string) (n int) {
	for _, line := range lines(text) {
		if len(strings.Fields(line)) > 3 || strings.ContainsAny(line, "┤┼│+|") {
			n = max(n, utf8.RuneCountInString(line))
		}
	}
	return n
}

var escape = regexp.MustCompile("\x1b\\[[0-9;]*m")

// The picture fits the terminal in width and characters, and has color only there.
func TestExplainScreen(t *testing.T) {
	s := attackTrail(t)
	id := s.anomalies[0].str("keytrail.anomaly.id")
	args := []string{"explain", id, "--from", s.file}
	utf8s := []string{"LC_ALL=en_US.utf8", "COLUMNS=", "NO_COLOR=", "TERM=xterm"}
	f := func(shown string, width int, color, ascii bool) {
		t.Helper()
		plain := escape.ReplaceAllString(shown, "")
		if got := widest(plain); got > width || got < width-12 {
			t.Errorf("%d wide, want %d:\n%s", got, width, plain)
		}
		if (plain != shown) != color {
			t.Errorf("color is %v, want %v: %q", plain != shown, color, shown)
		}
		if strings.ContainsFunc(plain, func(r rune) bool { return r >= utf8.RuneSelf }) == ascii {
			t.Errorf("ASCII is %v, want %v:\n%s", !ascii, ascii, plain)
		}
	}
	f(onTerminal(t, 100, utf8s, args...), 100, true, false)
	f(onTerminal(t, 0, utf8s, args...), 80, true, false)
	f(onTerminal(t, 100, append(utf8s, "COLUMNS=60"), args...), 60, true, false)
	f(onTerminal(t, 100, append(utf8s, "NO_COLOR=1"), args...), 100, false, false)
	f(onTerminal(t, 100, append(utf8s, "TERM=dumb"), args...), 100, false, false)
	f(onTerminal(t, 100, append(utf8s, "LC_ALL=C"), args...), 100, true, true)
	f(onTerminal(t, 100, utf8s, append(args, "--ascii")...), 100, true, true)
	f(onTerminal(t, 1000, utf8s, args...), 250, true, false)
	f(onTerminal(t, 5, utf8s, args...), 40, true, false)
	p := startWith(t, append(utf8s, "COLUMNS=70"), nil, nil, args...)
	p.code(t)
	f(p.stdout.String(), 70, false, false)
	wide := onTerminal(t, 100, utf8s, append(args, "--before", "24h", "--after", "2h")...)
	if !strings.Contains(joined(wide), "; a column is the highest of 4 windows") {
		t.Errorf("a day does not share columns:\n%s", wide)
	}
}

// The command's page shows its real output: a shell runs its commands from the root of
// the repository, and the test compares the output.
func TestExplainDocument(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "explain.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(page), "```console notest\n")
	block, _, closed := strings.Cut(block, "\n```")
	commands := strings.Split(block, "$ go run . ")
	if !ok || !closed || len(commands) != 3 {
		t.Fatalf("the page has no block with two commands: %q", commands)
	}
	file := inTemp(t, "scan.json")
	first := strings.Fields(commands[1])
	if n := len(first); n < 3 || first[n-2] != ">" {
		t.Fatalf("the first command does not write a file: %q", first)
	} else {
		write(t, file, keytrail(t, nil, absolute(root, first[:n-2])...).wants(t, 0).stdout)
	}
	second, want, _ := strings.Cut(commands[2], "\n")
	args := strings.Fields(strings.Replace(second, first[len(first)-1], file, 1))
	p := startWith(t, []string{"LC_ALL=C.UTF-8", "COLUMNS=80"}, nil, nil, args...)
	if code := p.code(t); code != 0 || strings.TrimSpace(p.stdout.String()) != strings.TrimSpace(want) {
		t.Errorf("exit code %d; it prints\n%s\nand the page shows\n%s", code, p.stdout.String(), want)
	}
}

// absolute makes arguments that are paths below root findable from here.
func absolute(root string, args []string) (list []string) {
	for _, arg := range args {
		if _, err := os.Stat(filepath.Join(root, arg)); err == nil {
			arg = filepath.Join(root, arg)
		}
		list = append(list, arg)
	}
	return list
}
