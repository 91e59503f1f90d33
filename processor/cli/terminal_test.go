package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"keytrail/processor/screen"
)

// terminal returns the two ends of a new terminal: ours, and the process's.
func terminal(t *testing.T, rows, columns uint16) (ours, its *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("NOT TESTED: this machine has no pseudo-terminals: %v", err)
	}
	ours = os.NewFile(uintptr(fd), "/dev/ptmx") // nonblocking, so that Close ends a Read
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	}
	if err == nil {
		its, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ours, its
}

// leader starts keytrail as the leader of a terminal, and collects its output in stdout.
func leader(t *testing.T, args ...string) (p *process, ours *os.File) {
	t.Helper()
	ours, its := terminal(t, 40, 100)
	p = newProcess(t, program, []string{"TERM=xterm-256color", "COLUMNS="}, args...)
	p.cmd.Stdin, p.cmd.Stdout = its, its
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p.begin(t)
	its.Close()
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := ours.Read(b)
			p.stdout.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { ours.Close() })
	return p, ours
}

// On a terminal the demo is one live screen, and then the verdict, until Ctrl-C. A closed
// terminal ends it as Ctrl-C does: nothing is left behind.
func TestDemoOnTerminal(t *testing.T) {
	heavy(t)
	t.Run("Ctrl-C", func(t *testing.T) {
		t.Parallel()
		p, ours := leader(t, "demo", "--events", "4000", "--pace", "1s")
		p.saying(t, "Newest anomalies")
		p.saying(t, "planted incidents found")
		p.saying(t, "until Ctrl-C")
		demoPage(t, pageURL.FindString(p.stdout.String()))
		ours.Write([]byte{3})
		if code := p.code(t); code != 0 {
			t.Errorf("Ctrl-C ends it with %d", code)
		}
		p.leavesNothing(t)
	})
	for _, when := range []string{"Embedded Kafka broker", "until Ctrl-C"} {
		t.Run("closed at "+when, func(t *testing.T) {
			t.Parallel()
			p, ours := leader(t, "demo", "--events", "4000", "--pace", "1s")
			p.saying(t, when)
			ours.Close()
			p.code(t)
			p.leavesNothing(t)
		})
	}
	t.Run("q", func(t *testing.T) {
		t.Parallel()
		p, ours := leader(t, "demo", "--events", "4000", "--pace", "20s")
		p.saying(t, "Newest anomalies")
		ours.Write([]byte("q"))
		if code := p.code(t); code != 1 || !strings.Contains(p.stderr.String(), "interrupted") {
			t.Errorf("q ends it with %d: %s", code, p.stderr.String())
		}
		p.leavesNothing(t)
	})
}

// SIGHUP ends a scan that serves its page, with its clean-up.
func TestScanHangup(t *testing.T) {
	p := start(t, nil, nil, "scan", "--web", "--listen", "127.0.0.1:0", "../../deploy/trail")
	p.saying(t, "until Ctrl-C")
	p.signal(t, syscall.SIGHUP)
	p.code(t)
	p.leavesNothing(t)
}

var tableCommand = regexp.MustCompile("(?m)^## keytrail (.*)$|--output .*table")

// Every table of the command line fits 80 columns.
func TestTablesFit(t *testing.T) {
	dir := t.TempDir()
	trail := "../../deploy/trail"
	records := keytrail(t, nil, "scan", "-o", "json", trail).wants(t, 0).stdout
	file := write(t, filepath.Join(dir, "records.ndjson"), records)
	key := "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	of := map[string][]string{
		"scan": {trail}, "usage": {"--key", key, trail}, "explain": {"--list", "--from", file}, "rules check": {"../../docs/rules", "--sample", trail},
		"sinks list": nil,
		"lookup":     {trail},
		"reconcile":  {"--expected", "../../deploy/expected.ndjson", "--since", "2026-11-20T09:00:00Z", "--until", "2026-11-20T10:00:00Z", trail},
		"tap":        nil, "doctor": nil, "config check": nil, // they need a Kafka; their tables pass the same Output
		"schema fields": nil, "schema correspondence": nil, // Markdown, for documents
	}
	for name, args := range of {
		if args == nil && name != "sinks list" {
			continue
		}
		command := append(strings.Fields(name), args...)
		if name != "sinks list" {
			command = append(command, "-o", "table")
		}
		p := startWith(t, []string{"COLUMNS=80"}, nil, nil, command...)
		o := outcome{p.code(t), p.stdout.String(), p.stderr.String()}
		o.wants(t, 0)
		for _, line := range strings.Split(o.stdout, "\n") {
			if screen.Fit(line, 80) != line {
				t.Errorf("%s: %q", name, line)
			}
		}
		if len(lines(o.stdout)) < 2 {
			t.Errorf("%s prints %q", name, o.stdout)
		}
	}
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	for _, m := range tableCommand.FindAllStringSubmatch(string(text), -1) {
		if m[1] != "" {
			name = m[1]
		} else if _, known := of[name]; !known {
			t.Errorf("the width of the table of %q is not tested", name)
		}
	}
}
