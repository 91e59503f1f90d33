// Package opensearch starts a real OpenSearch node for tests, which can be stopped and
// started again on the same data. Nothing here is safe for concurrent use.
package opensearch

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keytrail/processor/internal/module"
)

// Variable is the environment variable that has tests run against OpenSearch when it is
// "real"; make integration sets it.
const Variable = "KEYTRAIL_OPENSEARCH"

// patience is how long the node may take to end after SIGTERM, on a busy machine.
const patience = time.Minute

// Node is a single OpenSearch node on the loopback interface.
type Node struct {
	// URL is the node's address, such as http://127.0.0.1:12345. It stays the same when the
	// node is started again.
	URL string

	dir      string
	settings []string
	run      *exec.Cmd // nil while the node is stopped
}

// Start starts a node with an empty store for a test, at whose end it stops. settings are
// settings of the node, such as "http.max_content_length=1mb". Start skips the test, with
// a line on standard error, unless Variable is "real" and Java and Maven are installed.
func Start(t testing.TB, settings ...string) *Node {
	t.Helper()
	switch v := os.Getenv(Variable); v {
	case "real":
	case "":
		skip(t, "make integration runs it")
	default:
		t.Fatalf("%s is %q, want real or nothing", Variable, v)
	}
	for _, tool := range []string{"java", "javac", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, tool+" is not installed")
		}
	}
	n := New(t.TempDir(), settings...)
	t.Cleanup(func() { n.Stop() })
	if err := n.Launch(); err != nil {
		t.Fatal(err)
	}
	return n
}

// New returns a node, not yet started, with its data below dir and settings as Start.
func New(dir string, settings ...string) *Node { return &Node{dir: dir, settings: settings} }

// skip skips a test loudly.
func skip(t testing.TB, why string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "SKIPPED %s: it needs a real OpenSearch and is NOT run: %s\n", t.Name(), why)
	t.Skip(why)
}

// Launch starts the node, which must be stopped, and returns when it answers. It continues
// with the data of an earlier run, at the same URL.
func (n *Node) Launch() error {
	if n.run != nil {
		return errors.New("opensearch: the node is running")
	}
	root, err := module.Root()
	if err != nil {
		return err
	}
	args := append([]string{"--dir", n.dir}, n.settings...)
	if n.URL != "" {
		u, err := url.Parse(n.URL)
		if err != nil {
			return err
		}
		args = append(args, "--port", u.Port())
	}
	run := exec.Command(filepath.Join(root, "scripts", "opensearch"), args...)
	run.Stderr = os.Stderr
	// Its own process group: an interrupt at the terminal is for the test, which then
	// ends the node.
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := run.StdoutPipe()
	if err == nil {
		err = run.Start()
	}
	if err != nil {
		return fmt.Errorf("opensearch: cannot start scripts/opensearch: %w", err)
	}
	n.run = run
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		n.Kill()
		return fmt.Errorf("opensearch: scripts/opensearch did not print a URL: %w", err)
	}
	n.URL = strings.TrimSpace(line)
	return nil
}

// Suspend stops the node, if it runs, with SIGSTOP until Resume.
func (n *Node) Suspend() { n.signal(syscall.SIGSTOP) }

// Resume continues a suspended node.
func (n *Node) Resume() { n.signal(syscall.SIGCONT) }

// signal sends a signal to the script and the node.
func (n *Node) signal(s syscall.Signal) {
	if n.run != nil {
		_ = syscall.Kill(-n.run.Process.Pid, s)
	}
}

// Stop ends the node, if it runs, in good order. It kills a node that does not end.
func (n *Node) Stop() {
	if n.run == nil {
		return
	}
	n.run.Process.Signal(syscall.SIGTERM)
	force := time.AfterFunc(patience, func() { syscall.Kill(-n.run.Process.Pid, syscall.SIGKILL) })
	n.run.Wait() // its error says no more than the log
	force.Stop()
	n.run = nil
}

// Kill ends the node, if it runs, with SIGKILL.
func (n *Node) Kill() {
	if n.run == nil {
		return
	}
	syscall.Kill(-n.run.Process.Pid, syscall.SIGKILL)
	n.run.Wait()
	n.run = nil
	// The script has ended, and the node may end a little later.
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", strings.TrimPrefix(n.URL, "http://"))
		if err != nil {
			return
		}
		c.Close()
	}
}
