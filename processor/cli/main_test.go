package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is the keytrail binary of this source tree: these tests run it as a process, so
// that exit codes, signals and pipes are real.
var program string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "keytrail-cli-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Opened, so that the test cache knows that the binary depends on it.
	if _, err := os.ReadFile(filepath.Join("..", "..", "main.go")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program = filepath.Join(dir, "keytrail")
	build := exec.Command("go", "build", "-o", program, "keytrail")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot build keytrail:", err)
		return 1
	}
	return m.Run()
}

// heavy marks a test that runs processes for seconds.
func heavy(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("NOT TESTED with -short: this drives the real processes for seconds")
	}
	t.Parallel()
}

// buffer is the output of a process. Safe for concurrent use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// process is a keytrail that runs.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr buffer
	done           chan struct{} // closed when it has ended
	tmp            string        // its TMPDIR
}

// start starts keytrail with its own TMPDIR. A nil stdin is
// empty; with a nil stdout, the output is kept. The end of the test kills a
// process that still runs, by its id.
func start(t *testing.T, stdin io.Reader, stdout io.Writer, args ...string) *process {
	t.Helper()
	return startWith(t, nil, stdin, stdout, args...)
}

// startWith is start with more variables in the environment.
func startWith(t *testing.T, env []string, stdin io.Reader, stdout io.Writer, args ...string) *process {
	t.Helper()
	p := newProcess(t, program, env, args...)
	p.cmd.Stdin = stdin
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	p.begin(t)
	return p
}

// startProgram starts another keytrail.
func startProgram(t *testing.T, path string, env []string, args ...string) *process {
	t.Helper()
	p := newProcess(t, path, env, args...)
	p.begin(t)
	return p
}

func newProcess(t *testing.T, path string, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{}), tmp: t.TempDir()}
	p.cmd.Env = append(append(os.Environ(), "TMPDIR="+p.tmp), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	return p
}

func (p *process) begin(t *testing.T) {
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // the exit code says it all
		close(p.done)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			p.cmd.Process.Kill()
			<-p.done
		}
		if t.Failed() && p.stderr.String() != "" {
			t.Logf("keytrail %s said:\n%s", strings.Join(p.cmd.Args[1:], " "), tail(p.stderr.String(), 60))
		}
	})
}

// tail returns the last n lines.
func tail(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// signal sends a signal to the process.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// patience is how long to wait for an event that must come: longer than any timeout of
// the parts under test, and than a busy machine needs.
const patience = 3 * time.Minute

// code waits until the process has ended and returns its exit code, -1 when a
// signal ended it.
func (p *process) code(t *testing.T) int {
	t.Helper()
	return p.codeWithin(t, patience)
}

func (p *process) codeWithin(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("keytrail %v has not ended %v later", p.cmd.Args[1:], limit)
		return 0
	}
}

// stop ends the process with a signal and expects exit code 0 within ten seconds: the
// usual limit of supervisors, and a hundred times the usual duration.
func (p *process) stop(t *testing.T, s syscall.Signal) {
	t.Helper()
	p.signal(t, s)
	if code := p.codeWithin(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d after %v, want 0", code, s)
	}
	p.leavesNothing(t)
}

// leavesNothing checks the process's TMPDIR.
func (p *process) leavesNothing(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(p.tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s is left behind in TMPDIR", e.Name())
	}
}

// outcome is the result of a command.
type outcome struct {
	code           int
	stdout, stderr string
}

// keytrail runs a command to its end.
func keytrail(t *testing.T, stdin io.Reader, args ...string) outcome {
	t.Helper()
	p := start(t, stdin, nil, args...)
	code := p.code(t)
	p.leavesNothing(t)
	return outcome{code, p.stdout.String(), p.stderr.String()}
}

// wants checks the exit code and that standard error has all the texts.
func (o outcome) wants(t *testing.T, code int, texts ...string) outcome {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d; stderr:\n%s", o.code, code, tail(o.stderr, 20))
	}
	for _, text := range texts {
		if !strings.Contains(o.stderr, text) {
			t.Errorf("stderr lacks %q:\n%s", text, tail(o.stderr, 20))
		}
	}
	if strings.Contains(o.stderr, "panic") || strings.Contains(o.stderr, "goroutine ") {
		t.Errorf("a panic:\n%s", tail(o.stderr, 40))
	}
	return o
}

// until polls done, which may fail the test.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still waiting until %s", what)
		}
	}
}

// write writes a file and returns its path.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// lines splits text into its lines, without empty ones.
func lines(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(s string) bool { return s == "" })
}
