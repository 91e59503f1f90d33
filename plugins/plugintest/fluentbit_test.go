package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
)

// The variables of make fluent-bit-test: the program, and "1" to have its speed measured,
// or a part of the names of the ways to measure, such as "in_kms".
const (
	fluentBitVariable = "FLUENT_BIT"
	speedVariable     = "FLUENT_BIT_SPEED"
)

// fluentBit returns the program, or skips the test, loudly.
func fluentBit(t *testing.T) string {
	t.Helper()
	why := "make fluent-bit-test runs them there"
	name := os.Getenv(fluentBitVariable)
	if name != "" {
		program, err := exec.LookPath(name)
		if err == nil {
			return program
		}
		why = err.Error() + "; set " + fluentBitVariable + " to the program"
	}
	fmt.Fprintf(os.Stderr, "\nSKIPPED %s: the plugins are NOT tested in a real Fluent Bit: %s\n\n", t.Name(), why)
	t.Skip(why)
	return ""
}

// site is where one Fluent Bit runs: its files, a real Kafka, and what the examples'
// names stand for.
type site struct {
	t       *testing.T
	program string
	plugins built
	dir     string
	kafka   *kafkatest.Cluster
	port    string // of Fluent Bit's HTTP server
	process *exec.Cmd
	log     string
	arrived map[string]int
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, program: fluentBit(t), plugins: plugins(t), dir: t.TempDir()}
	c, err := kafkatest.StartCluster(filepath.Join(s.dir, "kafka"), 1, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s.kafka = c
	topics := []kafka.Topic{{Name: "kms.events", Partitions: partitions}, {Name: "kms.deadletter", Partitions: 1}}
	if _, err := kafka.EnsureTopics(t.Context(), s.config(), 1, topics); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"trail", "state"} {
		if err := os.Mkdir(filepath.Join(s.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	t.Cleanup(s.kill)
	return s
}

func (s *site) config() kafka.Config { return kafka.Config{Brokers: s.kafka.Brokers()} }

// example writes an example into the site's directory, with the site's paths, and
// returns its path. More are replacements, old and new.
func (s *site) example(name string, more ...string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", name))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.write(name, strings.NewReplacer(more...).Replace(string(text)))
}

// write writes a configuration with the site's paths for those of the examples.
func (s *site) write(name, text string) string {
	s.t.Helper()
	text = strings.NewReplacer(
		"/usr/lib/keytrail", filepath.Dir(s.plugins.out), "/var/lib/keytrail", filepath.Join(s.dir, "state"),
		"/var/trail", filepath.Join(s.dir, "trail"), "127.0.0.1:9092", strings.Join(s.kafka.Brokers(), ","), "2020", s.port,
	).Replace(text)
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// start starts Fluent Bit with a configuration.
func (s *site) start(config string, args ...string) {
	s.t.Helper()
	s.log = filepath.Join(s.dir, "fluent-bit.log")
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	s.process = exec.Command(s.program, append([]string{"-c", config}, args...)...)
	s.process.Dir, s.process.Stdout, s.process.Stderr = s.dir, out, out
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends Fluent Bit as an operator does, which must succeed.
func (s *site) stop() {
	s.t.Helper()
	p := s.process
	s.process = nil
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	dead := time.AfterFunc(2*time.Minute, func() { p.Process.Kill() })
	defer dead.Stop()
	if err := p.Wait(); err != nil {
		s.t.Errorf("Fluent Bit ended with %v\n%s", err, s.said())
	}
}

// kill ends Fluent Bit, if it runs, with SIGKILL.
func (s *site) kill() {
	if s.process != nil {
		s.process.Process.Kill()
		s.process.Wait()
		s.process = nil
	}
}

// said returns the end of Fluent Bit's log.
func (s *site) said() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-6000):])
}

// put writes events as one file of the trail, which appears as a whole.
func (s *site) put(name string, list []string) {
	s.t.Helper()
	path := filepath.Join(s.dir, "trail", name)
	if err := os.WriteFile(path+".part", []byte(strings.Join(list, "\n")+"\n"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		s.t.Fatal(err)
	}
}

// count reads the topic to its end and returns how many calls are there.
func (s *site) count() int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	s.arrived = map[string]int{}
	err := kafka.ReadLog(ctx, s.config(), "kms.events", []int32{0, 1, 2}, func(r *kgo.Record) error {
		s.arrived[string(r.Key)]++
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(s.arrived)
}

// await waits until n calls have arrived.
func (s *site) await(n int) {
	s.t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); s.count() < n; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d calls arrived, want %d; Fluent Bit says\n%s", len(s.arrived), n, s.said())
		}
	}
}

// awaitAll waits until every event has arrived, and checks that nothing else did.
func (s *site) awaitAll(list []string) {
	s.t.Helper()
	s.await(len(list))
	for _, event := range list {
		if s.arrived[callOf(s.t, event)] == 0 {
			s.t.Errorf("event %s did not arrive", idOf(s.t, event))
		}
	}
	if len(s.arrived) != len(list) {
		s.t.Errorf("%d calls arrived, want %d", len(s.arrived), len(list))
	}
}

// metrics returns what Fluent Bit's own endpoint says.
func (s *site) metrics() (string, error) {
	r, err := http.Get("http://127.0.0.1:" + s.port + "/api/v2/metrics/prometheus")
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	return string(text), errors.Join(err, r.Body.Close())
}

// sum returns a counter of Fluent Bit's, added up over its labels.
func (s *site) sum(name string) (sum float64) {
	text, err := s.metrics()
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, name+"{"); ok {
			var n float64
			if _, tail, ok := strings.Cut(rest, "} "); ok {
				if _, err := fmt.Sscan(tail, &n); err == nil {
					sum += n
				}
			}
		}
	}
	return sum
}
