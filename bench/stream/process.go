package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is the resources used by a process so far.
type usage struct {
	cpu       time.Duration // user and system time of all threads, including ended ones
	rss, peak int64         // current and largest resident size in bytes
}

// clockTick is the unit of times in /proc/PID/stat: sysconf(_SC_CLK_TCK), which is
// 100 a second on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// readUsage reads /proc. The peak does not come from the rusage of an ended process: that
// includes its parent's, because exec passes it on.
func readUsage(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, err
	}
	var u usage
	if u.cpu, err = parseStat(string(stat)); err != nil {
		return u, err
	}
	if u.rss, err = parseStatus(string(status), "VmRSS"); err != nil {
		return u, err
	}
	u.peak, err = parseStatus(string(status), "VmHWM")
	return u, err
}

// statFields returns the fields of a /proc/PID/stat from the third on. The second, the
// name in parentheses, may contain anything, including blanks and parentheses.
func statFields(text string) []string {
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}

// parseStat returns utime and stime of a /proc/PID/stat.
func parseStat(text string) (time.Duration, error) {
	fields := statFields(text)
	const utime, stime = 14 - 3, 15 - 3 // as proc(5) counts, minus the fields before
	if len(fields) <= stime || !strings.Contains(text, ")") {
		return 0, fmt.Errorf("no line of /proc/PID/stat: %q", text)
	}
	ticks := int64(0)
	for _, f := range fields[utime : stime+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("no line of /proc/PID/stat: %q", text)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// parseStatus returns a line of a /proc/PID/status in kilobytes.
func parseStatus(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/PID/status has no %s: the process has ended", name)
}

// descendant returns the child of a process whose command line contains a word.
func descendant(parent int, word string) (int, error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, d := range all {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue // not a process
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if f := statFields(string(stat)); err != nil || len(f) < 2 || f[1] != strconv.Itoa(parent) {
			continue
		}
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && bytes.Contains(line, []byte(word)) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("process %d has no child %q", parent, word)
}

// process is a measured child. Its output goes into a file, except the standard output if
// the caller has set that.
type process struct {
	cmd     *exec.Cmd
	log     string
	started time.Time
	ended   chan struct{} // closed after the end
	err     error         // of the end; valid after it
}

// start starts cmd; the file log must not exist yet.
func start(cmd *exec.Cmd, log string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stderr = f
	if cmd.Stdout == nil {
		cmd.Stdout = f
	}
	// Its own process group: an interrupt at the terminal reaches only the benchmark,
	// which then ends the process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, log: log, started: time.Now(), ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// usage returns the process's usage, or an error if it has ended by itself.
func (p *process) usage() (usage, error) {
	select {
	case <-p.ended:
		return usage{}, p.failure(errors.Join(errors.New("the process ended by itself"), p.err))
	default:
		return readUsage(p.cmd.Process.Pid)
	}
}

// failure returns an error with the end of the process's output.
func (p *process) failure(err error) error {
	text, _ := os.ReadFile(p.log)
	return fmt.Errorf("%w; %s ends with:\n%s", err, p.log, text[max(0, len(text)-2000):])
}

// logged returns the lines of the log that hold the text.
func (p *process) logged(text string) (lines []string) {
	all, _ := os.ReadFile(p.log)
	for line := range bytes.Lines(all) {
		if bytes.Contains(line, []byte(text)) {
			lines = append(lines, string(line))
		}
	}
	return lines
}

// end sends a signal and waits.
func (p *process) end(s syscall.Signal) error {
	p.cmd.Process.Signal(s) // an error means that it has ended already
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.cmd.Process.Kill()
		<-p.ended
		return p.failure(fmt.Errorf("the process does not end after %v", s))
	}
	if s == syscall.SIGTERM && p.err != nil {
		return p.failure(fmt.Errorf("a graceful stop gives %w", p.err))
	}
	return nil
}
