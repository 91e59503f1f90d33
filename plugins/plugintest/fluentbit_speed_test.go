package plugintest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// speedEvents is how many events each way of TestFluentBitSpeed carries: 220 MB.
const speedEvents = 240_000

// TestFluentBitSpeed measures what the plugins cost in a real Fluent Bit, beside its own
// tail, null and kafka. It asserts no time: make fluent-bit-bench prints a table.
func TestFluentBitSpeed(t *testing.T) {
	only := os.Getenv(speedVariable)
	if only == "" {
		t.Skip("measures, and tests nothing: make fluent-bit-bench")
	}
	s := newSite(t)
	size := s.speedFiles()
	time.Sleep(6 * time.Second) // in_kms takes files that rest for a poll_interval
	const tail = "{name: tail, tag: t, path: /var/trail/*.ndjson, read_from_head: on, buffer_chunk_size: 1M, buffer_max_size: 4M, storage.type: filesystem}"
	const ack = ", ack_path: /var/lib/keytrail/in_kms.ack"
	in := func(more string) string {
		return "{name: in_kms, tag: t, path: /var/trail-gz, storage.type: filesystem" + more + "}"
	}
	out := func(more string) string {
		return "{name: out_kms, match: t, brokers: '127.0.0.1:9092', topic: TOPIC, retry_limit: no_limits" + more + "}"
	}
	const null = "{name: 'null', match: t}"
	t.Logf("%d events of %d bytes", speedEvents, size/speedEvents)
	t.Log("| input | output | events/s | CPU seconds for a million events | peak MiB |")
	for i, way := range []struct{ input, output, in, out string }{
		{"in_kms, .json.gz", "out_kms, ack_path", in(ack), out(ack)},
		{"in_kms, .json.gz", "out_kms, ack_path, workers 2", in(ack), out(ack + ", workers: 2")},
		{"in_kms, .json.gz", "out_kms, settle", in(""), out("")},
		{"in_kms, .json.gz", "null", in(""), null},
		{"tail", "null", tail, null},
		{"tail", "out_kms", tail, out("")},
		{"tail", "out_kms, workers 2", tail, out(", workers: 2")},
		{"tail", "kafka, raw, acks all, idempotent, snappy", tail, "{name: kafka, match: t, brokers: '127.0.0.1:9092', topics: TOPIC, format: raw, raw_log_key: log, rdkafka.enable.idempotence: 'true', rdkafka.acks: all, rdkafka.compression.codec: snappy, retry_limit: no_limits}"},
	} {
		if only != "1" && !strings.Contains(way.input+" to "+way.output, only) {
			continue
		}
		topic := fmt.Sprint("speed", i)
		if _, err := kafka.EnsureTopics(t.Context(), s.config(), 1, []kafka.Topic{{Name: topic, Partitions: partitions}}); err != nil {
			t.Fatal(err)
		}
		rate, cpu, peak := s.speed(topic, way.in, strings.ReplaceAll(way.out, "TOPIC", topic))
		t.Logf("| %s | %s | %s | %.1f | %d |", way.input, way.output, rate, cpu*1e6/speedEvents, peak>>20)
	}
}

// speedFiles writes the events as lines for tail and as CloudTrail does for in_kms, and
// returns how many bytes they are.
func (s *site) speedFiles() (size int) {
	s.t.Helper()
	compressed := filepath.Join(s.dir, "trail-gz")
	if err := os.Mkdir(compressed, 0o755); err != nil {
		s.t.Fatal(err)
	}
	for n := range 240 {
		list := numbered(s.t, events(s.t)[0], n*speedEvents/240, speedEvents/240)
		for _, e := range list {
			size += len(e)
		}
		s.put(fmt.Sprintf("%03d.ndjson", n), list)
		content := zip(`{"Records":[` + strings.Join(list, ",") + `]}`)
		if err := os.WriteFile(filepath.Join(compressed, fmt.Sprintf("%03d.json.gz", n)), []byte(content), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	return size
}

// speed runs one way until all events have come out of it.
func (s *site) speed(topic, in, out string) (rate string, cpu float64, peak int64) {
	s.t.Helper()
	storage := s.t.TempDir()
	config := s.write(topic+".yaml", "service: {flush: 0.2, grace: 20, http_server: on, http_listen: 127.0.0.1, http_port: 2020, storage.path: "+storage+"}\n"+
		"plugins: [/usr/lib/keytrail/in_kms.so, /usr/lib/keytrail/out_kms.so]\npipeline:\n  inputs: ["+in+"]\n  outputs: ["+out+"]\n")
	begin := time.Now()
	s.start(config)
	null := strings.Contains(out, "null")
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if null && s.sum("fluentbit_output_proc_records_total") >= speedEvents || !null && s.ends(topic) >= speedEvents {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("it takes too long: %v records\n%s", s.ends(topic), s.said())
		}
	}
	rate = "-" // Fluent Bit tells its counters every few seconds: too seldom for a rate
	if !null {
		rate = fmt.Sprintf("%.0f", speedEvents/time.Since(begin).Seconds())
	}
	cpu, peak = s.cpu(), s.peak()
	s.stop()
	return rate, cpu, peak
}

// ends returns how many records a topic has.
func (s *site) ends(topic string) (n int64) {
	c := s.config()
	cl, err := kgo.NewClient(c.Options()...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	list, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		s.t.Fatal(err)
	}
	list.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

// peak returns the most memory that Fluent Bit has used, in bytes: VmHWM of proc(5).
func (s *site) peak() int64 { return s.memory("VmHWM") }

// memory returns a line of /proc/PID/status, in bytes.
func (s *site) memory(name string) (n int64) {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), name+":")
	if _, err := fmt.Sscan(after, &n); err != nil {
		s.t.Fatal(err)
	}
	return n << 10
}

// cpu returns the seconds that Fluent Bit has computed, in user and kernel mode, from
// /proc (proc(5)), whose unit is a hundredth of a second.
func (s *site) cpu() float64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(after)
	user, err1 := strconv.Atoi(f[11])
	kernel, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		s.t.Fatal(err1, err2)
	}
	return float64(user+kernel) / 100
}
