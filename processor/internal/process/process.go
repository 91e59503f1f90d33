// Package process runs programs that tests end, suspend and start again.
package process

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// patience is how long a program may take to begin or to end, on a busy machine.
const patience = 2 * time.Minute

// Process is a program that runs, or that has run and can be started again. It dies with the
// test. It is not safe for concurrent use.
type Process struct {
	path string
	args []string
	tcp  string // where it answers, or ""
	log  string // the file of what it prints
	run  *exec.Cmd
	done chan struct{} // closed when run has ended
	err  error         // of run, once done is closed
}

// New returns a program that does not run yet. Its output is appended to the file log.
// If tcp is not empty, the program is ready when it accepts connections there.
func New(log, tcp, path string, args ...string) *Process {
	return &Process{path: path, args: args, tcp: tcp, log: log}
}

// Launch starts the program, which must not run, and returns when it is ready.
func (p *Process) Launch() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.run = exec.Command(p.path, p.args...)
	p.run.Stdout, p.run.Stderr = log, log
	// Its own process group: an interrupt at the terminal is for the test, which then ends
	// the program.
	p.run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.run.Start(); err != nil {
		p.run = nil
		return err
	}
	run, done := p.run, make(chan struct{})
	p.done = done
	go func() {
		p.err = run.Wait()
		close(done)
	}()
	if p.tcp == "" {
		return nil
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", p.tcp); err == nil {
			return c.Close()
		}
		if p.hasEnded() {
			break
		}
	}
	p.Kill()
	said, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s does not answer at %s:\n%s", p.path, p.tcp, said[max(0, len(said)-4000):])
}

func (p *Process) hasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Running reports whether the program has been started and not been ended. A program that
// ended by itself counts as running until Ended is asked.
func (p *Process) Running() bool { return p.run != nil }

// Ended reports whether the program has ended by itself, and with which error. It then no
// longer counts as running.
func (p *Process) Ended() (bool, error) {
	if p.run == nil || !p.hasEnded() {
		return false, nil
	}
	p.run = nil
	return true, p.err
}

// Stop ends the program with SIGTERM, if it runs. It returns an error if the program fails
// then, and kills one that does not end.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

// Kill ends the program with SIGKILL, if it runs.
func (p *Process) Kill() { _ = p.end(syscall.SIGKILL) }

// Pid returns the process id of the program, which must run.
func (p *Process) Pid() int { return p.run.Process.Pid }

// Suspend stops the program with SIGSTOP until Resume.
func (p *Process) Suspend() { p.signal(syscall.SIGSTOP) }

// Resume continues a suspended program.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	if p.run != nil {
		_ = syscall.Kill(-p.run.Process.Pid, s)
	}
}

func (p *Process) end(s syscall.Signal) error {
	if p.run == nil {
		return nil
	}
	p.signal(s)
	var late bool
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		late = true
		p.signal(syscall.SIGKILL)
		<-p.done
	}
	p.run = nil
	switch {
	case late:
		return fmt.Errorf("%s does not end; see %s", p.path, p.log)
	case s == syscall.SIGTERM && p.err != nil:
		return fmt.Errorf("%s, stopped with SIGTERM: %w; see %s", p.path, p.err, p.log)
	}
	return nil
}
