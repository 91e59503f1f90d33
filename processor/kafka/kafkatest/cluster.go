// Package kafkatest starts brokers for tests: franz-go's kfake inside the process, or a
// real Apache Kafka in separate processes that can be killed and restarted. Nothing here
// is safe for concurrent use.
package kafkatest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"keytrail/processor/internal/module"
)

// Cluster is a real Apache Kafka on the loopback interface: scripts/kafka prepares it,
// and each broker is a process.
type Cluster struct {
	dir       string
	addresses []string
	brokers   []*broker // nil for a broker that does not run
}

// broker is the process of one broker.
type broker struct {
	*exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// patience is how long a broker may take to answer on a busy machine.
const patience = 3 * time.Minute

// StartCluster starts n brokers with their data below dir, and returns when all answer.
// The download of Kafka writes its messages to log. The caller closes the cluster. The
// path of dir may have letters, digits and "._/-" only: Kafka splits its list of
// directories at commas.
func StartCluster(dir string, n int, log io.Writer) (*Cluster, error) {
	return startCluster(dir, n, log, nil)
}

// startCluster is StartCluster with a change of the prepared configuration.
func startCluster(dir string, n int, log io.Writer, change func(dir string) error) (*Cluster, error) {
	root, err := module.Root()
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		c, err := start(root, filepath.Join(dir, strconv.Itoa(try)), n, log, change)
		// Another process may take a port between its choice and its use.
		if err == nil || try == 3 {
			return c, err
		}
		fmt.Fprintln(log, "kafkatest: starting again:", err)
	}
}

func start(root, dir string, n int, log io.Writer, change func(dir string) error) (*Cluster, error) {
	prepare := exec.Command(filepath.Join(root, "scripts", "kafka"), "--prepare", "--brokers",
		strconv.Itoa(n), "--dir", dir)
	prepare.Stderr = log
	if err := prepare.Run(); err != nil {
		return nil, fmt.Errorf("scripts/kafka --prepare: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "brokers"))
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, addresses: strings.Split(strings.TrimSpace(string(text)), ","), brokers: make([]*broker, n)}
	if len(c.addresses) != n {
		return nil, fmt.Errorf("scripts/kafka laid out %d brokers, want %d", len(c.addresses), n)
	}
	if change != nil {
		err = change(dir)
	}
	for i := 0; err == nil && i < n; i++ {
		err = c.Launch(i)
	}
	for i := 0; err == nil && i < n; i++ {
		err = c.Await(i)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Brokers returns the addresses of all brokers, running or not.
func (c *Cluster) Brokers() []string { return c.addresses }

// Running returns how many brokers run.
func (c *Cluster) Running() (n int) {
	for _, b := range c.brokers {
		if b != nil {
			n++
		}
	}
	return n
}

// Launch starts broker i, counted from 0, which must not run. It does not wait until the
// broker answers.
func (c *Cluster) Launch(i int) error {
	run := exec.Command(filepath.Join(c.dir, strconv.Itoa(i+1), "run"))
	// Its own process group: an interrupt at the terminal reaches only the test, which
	// then ends the brokers.
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := run.Start(); err != nil {
		return fmt.Errorf("cannot start broker %d: %w", i+1, err)
	}
	b := &broker{run, make(chan struct{})}
	go func() {
		run.Wait() // the log has more than its error
		close(b.ended)
	}()
	c.brokers[i] = b
	return nil
}

// Await waits until broker i accepts connections.
func (c *Cluster) Await(i int) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		select {
		case <-c.brokers[i].ended:
			return fmt.Errorf("broker %d ended at its start; its log ends with:\n%s", i+1, c.logEnd(i))
		default:
		}
		conn, err := net.DialTimeout("tcp", c.addresses[i], time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("broker %d does not answer: %w; its log ends with:\n%s", i+1, err, c.logEnd(i))
		}
	}
}

func (c *Cluster) logEnd(i int) string {
	text, err := os.ReadFile(filepath.Join(c.dir, strconv.Itoa(i+1), "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// Kill ends broker i, if it runs, with SIGKILL.
func (c *Cluster) Kill(i int) {
	if c.brokers[i] == nil {
		return
	}
	c.brokers[i].Process.Kill()
	<-c.brokers[i].ended
	c.brokers[i] = nil
}

// Close kills all brokers. It may be called again.
func (c *Cluster) Close() {
	for i := range c.brokers {
		c.Kill(i)
	}
}
