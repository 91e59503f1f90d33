// Package receiver starts real receivers of log records for tests: an OpenTelemetry
// Collector, syslog-ng and rsyslog. Nothing here is safe for concurrent use.
package receiver

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keytrail/processor/internal/module"
)

// Variable is the environment variable that has tests run against real receivers when it
// is "real"; make integration sets it.
const Variable = "KEYTRAIL_RECEIVERS"

// patience is how long a receiver may take to begin or to end, on a busy machine.
const patience = time.Minute

// Find returns the path of a program that a script of the folder scripts prints, such as
// Find(t, "syslogd", "rsyslogd"). It skips the test, with a line on standard error, unless
// Variable is "real" and the script succeeds.
func Find(t testing.TB, script string, args ...string) string {
	t.Helper()
	switch v := os.Getenv(Variable); v {
	case "real":
	case "":
		skip(t, "make integration runs it")
	default:
		t.Fatalf("%s is %q, want real or nothing", Variable, v)
	}
	root, err := module.Root()
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command(filepath.Join(root, "scripts", script), args...)
	run.Stderr = os.Stderr
	path, err := run.Output()
	if err != nil {
		skip(t, fmt.Sprintf("scripts/%s: %v", script, err))
	}
	return strings.TrimSpace(string(path))
}

// skip skips a test loudly.
func skip(t testing.TB, why string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "SKIPPED %s: it needs a real receiver and is NOT run: %s\n", t.Name(), why)
	t.Skip(why)
}

// Program is a receiver on the loopback interface.
type Program struct {
	path string
	args []string
	tcp  string // where it answers
	log  string // the file of what it prints
	run  *exec.Cmd
	done chan struct{} // closed when run has ended
}

// Start starts a program for a test, at whose end it is killed, and returns when it accepts
// connections at tcp.
func Start(t testing.TB, tcp, path string, args ...string) *Program {
	t.Helper()
	p := &Program{path: path, args: args, tcp: tcp, log: filepath.Join(t.TempDir(), "log")}
	t.Cleanup(p.Kill)
	if err := p.Launch(); err != nil {
		t.Fatal(err)
	}
	return p
}

// Launch starts the program again after Stop or Kill.
func (p *Program) Launch() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.run = exec.Command(p.path, p.args...)
	p.run.Stdout, p.run.Stderr = log, log
	p.run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.run.Start(); err != nil {
		p.run = nil
		return err
	}
	run, done := p.run, make(chan struct{})
	p.done = done
	go func() {
		_ = run.Wait() // its error says no more than the log
		close(done)
	}()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", p.tcp); err == nil {
			return c.Close()
		}
		select {
		case <-done:
			end = time.Time{}
		default:
		}
	}
	p.Kill()
	said, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s does not answer at %s:\n%s", p.path, p.tcp, said)
}

// Stop ends the program in good order. It kills a program that does not end.
func (p *Program) Stop() { p.end(syscall.SIGTERM) }

// Kill ends the program with SIGKILL, if it runs.
func (p *Program) Kill() { p.end(syscall.SIGKILL) }

func (p *Program) end(signal syscall.Signal) {
	if p.run == nil {
		return
	}
	pid := p.run.Process.Pid
	_ = syscall.Kill(-pid, signal)
	force := time.AfterFunc(patience, func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
	<-p.done
	force.Stop()
	p.run = nil
}

// Address returns a free address of the loopback interface, for TCP and UDP.
func Address(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		u, err := net.ListenPacket("udp", address)
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return address
		}
	}
	t.Fatal("no port is free for TCP and UDP")
	return ""
}
