package plugintest

import (
	"encoding/binary"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// metric returns the sum of a counter over all instances and lives of a run.
func metric(t *testing.T, r result, name string) (sum int) {
	t.Helper()
	found := false
	for _, line := range strings.Split(r.out, "\n") {
		var n int
		if _, err := fmt.Sscanf(line, "metric "+name+" %d", &n); err == nil {
			sum, found = sum+n, true
		}
	}
	if !found {
		t.Errorf("there is no counter %s in\n%s", name, r.out)
	}
	return sum
}

// Hot reloads: the plugin is registered again before the old instances end, and no
// event is lost or doubled in a life.
func TestOutputReloads(t *testing.T) {
	b := plugins(t)
	c := broker(t)
	all := numbered(t, events(t)[0], 0, 30)
	args := append([]string{b.out, "--reloads", "2"}, chunkFiles(t, all, 10)...)
	// The host fails when the counters' label is not the alias, in any life.
	r := mustRun(t, b, append(args, outProps(c, patientFlush, "alias=to-kafka")...)...)
	if n := strings.Count(r.out, "registered out_kms type 2"); n != 3 {
		t.Errorf("registered %d times, want 3:\n%s", n, r.out)
	}
	wantDelivered(t, c, all, 3)
	if n := metric(t, r, "fluentbit_out_kms_delivered_total"); n != 90 {
		t.Errorf("the counters say %d delivered, want 90", n)
	}
	if n := metric(t, r, "fluentbit_out_kms_received_total"); n != 90 {
		t.Errorf("the counters say %d received, want 90", n)
	}
}

// Several outputs of one process deliver at the same time, each its own.
func TestOutputInstances(t *testing.T) {
	b := plugins(t)
	first, second := broker(t), broker(t)
	all := numbered(t, events(t)[0], 0, 80)
	args := append([]string{b.out, "--threads", "4"}, chunkFiles(t, all, 20)...)
	args = append(args, outProps(first, patientFlush)...)
	args = append(append(args, "--instance"), outProps(second, patientFlush)...)
	r := mustRun(t, b, args...)
	n, _ := delivered(t, first)
	m, _ := delivered(t, second)
	if len(n) != 40 || len(m) != 40 {
		t.Errorf("%d and %d calls arrived, want 40 each", len(n), len(m))
	}
	for call := range n {
		if m[call] != 0 {
			t.Errorf("call %s went to both", call)
		}
	}
	if n := metric(t, r, "fluentbit_out_kms_delivered_total"); n != 80 {
		t.Errorf("the counters say %d delivered, want 80", n)
	}
}

// Two libraries in Go, each with its own runtime, in one process.
func TestBothInOneProcess(t *testing.T) {
	b := plugins(t)
	c := broker(t)
	all := numbered(t, events(t)[0], 0, 200)
	args := append([]string{b.out, "--also", b.in, "--threads", "4"}, chunkFiles(t, all, 25)...)
	if r := mustRun(t, b, append(args, outProps(c, patientFlush)...)...); !strings.Contains(r.out, "registered in_kms type 1") {
		t.Errorf("the host says\n%s", r.out)
	}
	wantDelivered(t, c, all, 1)
	out := filepath.Join(t.TempDir(), "records")
	mustRun(t, b, append([]string{b.in, "--also", b.out, "--calls", patientCalls, "--records", "12", "--out", out}, fast(trail(t, shapes(t, events(t))))...)...)
}

// A core before 5.1.1 hands over a shorter definition: nothing may be written behind it,
// which the allocator, told to check, would notice.
func TestOlderCores(t *testing.T) {
	b := plugins(t)
	t.Setenv("MALLOC_CHECK_", "3")
	t.Setenv("MALLOC_PERTURB_", "165")
	all := numbered(t, events(t)[0], 0, 1)
	c := broker(t)
	args := append([]string{b.out, "--old-def"}, chunkFiles(t, all, 1)...)
	mustRun(t, b, append(args, outProps(c, patientFlush, "bogus=1")...)...)
	wantDelivered(t, c, all, 1)
}

// A core of 5.1.1 or later refuses what the plugin does not know.
func TestUnknownProperties(t *testing.T) {
	b := plugins(t)
	for so, known := range map[string]string{b.out: "brokers=127.0.0.1:1", b.in: "path=" + t.TempDir()} {
		for prop, status := range map[string]int{"bogus=1": 3, "LOG_LEVEL_=1": 3} {
			if r := run(t, b, append([]string{so}, props(known, prop)...)...); r.status != status || !strings.Contains(r.out, "unknown property "+prop) {
				t.Errorf("%s with %s: status %d, want %d\n%s\n%s", filepath.Base(so), prop, r.status, status, r.out, r.stderr)
			}
		}
	}
}

// In the background no plugin in Go works: the start must not succeed silently.
func TestDaemonIsRefused(t *testing.T) {
	b := plugins(t)
	for so, p := range map[string]string{b.in: "path=" + t.TempDir(), b.out: "brokers=127.0.0.1:1"} {
		if r := run(t, b, append([]string{so, "--daemon"}, props(p)...)...); r.status != 3 || !strings.Contains(r.stderr, "leave out daemon") {
			t.Errorf("%s: status %d, want 3\n%s\n%s", filepath.Base(so), r.status, r.out, r.stderr)
		}
	}
}

// A secret is in no line of the log, whatever happens to it.
func TestSecretsAreNotLogged(t *testing.T) {
	b := plugins(t)
	all := numbered(t, events(t)[0], 0, 1)
	args := append([]string{b.out}, chunkFiles(t, all, 1)...)
	r := mustRun(t, b, append(args, props("brokers=127.0.0.1:1", "flush_timeout=100ms", "kafka_tls=on",
		"sasl_mechanism=PLAIN", "sasl_username=me", "sasl_password=hunter2")...)...)
	if !strings.Contains(r.stderr, "sasl_password=[redacted]") || strings.Contains(r.stderr+r.out, "hunter2") {
		t.Errorf("the secret is logged, or not mentioned at all:\n%s", r.stderr)
	}
	r = run(t, b, append([]string{b.out}, props("brokers=127.0.0.1:1", "sasl_password=hunter2")...)...)
	if r.status != 3 || !strings.Contains(r.stderr, `property "sasl_password" is set, but mechanism none does not use it`) || strings.Contains(r.stderr, "hunter2") {
		t.Errorf("status %d\n%s", r.status, r.stderr)
	}
}

// server is a host that flushes what it is sent.
type server struct {
	in     io.WriteCloser
	out    io.Reader
	cmd    *exec.Cmd
	stderr strings.Builder
}

func startServer(t testing.TB, b built, args ...string) *server {
	t.Helper()
	s := &server{cmd: exec.Command(b.host, append([]string{b.out, "--serve", "--log-level", "1"}, args...)...)}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if s.out, err = s.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = &s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The line of the registration comes before the first answer.
	for one := make([]byte, 1); one[0] != '\n'; {
		if _, err := s.out.Read(one); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// flush returns the code of one flush, and the error that the host is gone.
func (s *server) flush(chunk []byte) (code byte, err error) {
	if _, err = s.in.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(chunk)))); err == nil {
		_, err = s.in.Write(chunk)
	}
	one := make([]byte, 1)
	if err == nil {
		_, err = io.ReadFull(s.out, one)
	}
	return one[0], err
}

// end lets the host end by itself and returns what it said.
func (s *server) end(t testing.TB) string {
	t.Helper()
	s.in.Close()
	rest, err := io.ReadAll(s.out)
	if err == nil {
		err = s.cmd.Wait()
	}
	if err != nil || strings.Contains(s.stderr.String(), "panicked") {
		t.Errorf("the host ended with %v\n%s\n%s", err, rest, s.stderr.String())
	}
	return string(rest)
}

// FuzzFlush sends chunks through the built plugin's own FLBPluginFlushCtx, from C:
// whatever they hold, none ends the process, panics or is kept.
func FuzzFlush(f *testing.F) {
	b, err := buildOnce()
	if err != nil {
		f.Skip(err)
	}
	event := `{"eventVersion":"1.11","eventTime":"2026-03-01T12:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"x"}`
	record := func(field, text string) []byte {
		body := append([]byte{0x92, 1, 0x81, 0xa0 | byte(len(field))}, field...)
		return append(append(body, 0xda, byte(len(text)>>8), byte(len(text))), text...)
	}
	for _, seed := range [][]byte{
		record("log", event), record("message", `{"Records":[`+event+`,{}]}`), record("payload", event[:40]), {0x92, 1, 0x80},
		slices.Concat(record("event", event), []byte{0x92, 0x92, 0xd7, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x80, 0x80}, record("log", "{")),
	} {
		f.Add(seed)
	}
	c := kafkaFor(f)
	s := startServer(f, b, outProps(c, patientFlush)...)
	f.Cleanup(func() { s.end(f) })
	f.Fuzz(func(t *testing.T, chunk []byte) {
		if code, err := s.flush(chunk); err != nil || code != '1' {
			t.Fatalf("code %q, %v\n%s", code, err, s.stderr.String())
		}
	})
}
