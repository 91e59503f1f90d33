package plugintest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// speedEvents is how many events each way of TestFluentBitSpeed carries: 180 MB.
const speedEvents = 120_000

// TestFluentBitSpeed measures what the plugins cost in a real Fluent Bit, beside its own
// tail, null and kafka. It asserts no time: make fluent-bit-bench prints a table.
func TestFluentBitSpeed(t *testing.T) {
	if os.Getenv(speedVariable) != "1" {
		t.Skip("measures, and tests nothing: make fluent-bit-bench")
	}
	s := newSite(t)
	size := 0
	for n := range 120 {
		list := numbered(t, events(t)[0], n*speedEvents/120, speedEvents/120)
		for _, e := range list {
			size += len(e)
		}
		s.put(fmt.Sprintf("%03d.ndjson", n), list)
	}
	tail := "{name: tail, tag: t, path: /var/trail/*.ndjson, read_from_head: on, buffer_chunk_size: 1M, buffer_max_size: 4M, storage.type: filesystem}"
	in := func(batch string) string {
		return "{name: in_kms, tag: t, path: /var/trail, poll_interval: 100ms, queue_bytes: 256M, queue_records: 200000, batch_bytes: " + batch + ", storage.type: filesystem}"
	}
	out := func(workers int) string {
		return fmt.Sprintf("{name: out_kms, match: t, brokers: '127.0.0.1:9092', topic: TOPIC, flush_timeout: 30s, workers: %d, retry_limit: no_limits}", workers)
	}
	t.Logf("%d events of %d bytes", speedEvents, size/speedEvents)
	t.Log("| input | output | events/s | CPU seconds for a million events |")
	for i, way := range []struct{ input, output, in, out string }{
		{"in_kms, batch_bytes 8M", "null", in("8M"), "{name: 'null', match: t}"},
		{"in_kms, batch_bytes 64M", "null", in("64M"), "{name: 'null', match: t}"},
		{"tail", "null", tail, "{name: 'null', match: t}"},
		{"in_kms, batch_bytes 64M", "out_kms, workers 2", in("64M"), out(2)},
		{"tail", "out_kms, workers 2", tail, out(2)},
		{"tail", "out_kms, no workers", tail, out(0)},
		{"tail", "kafka, raw, acks all, idempotent, snappy", tail, "{name: kafka, match: t, brokers: '127.0.0.1:9092', topics: TOPIC, format: raw, raw_log_key: log, rdkafka.enable.idempotence: 'true', rdkafka.acks: all, rdkafka.compression.codec: snappy, retry_limit: no_limits}"},
	} {
		topic := fmt.Sprint("speed", i)
		if _, err := kafka.EnsureTopics(t.Context(), s.config(), 1, []kafka.Topic{{Name: topic, Partitions: partitions}}); err != nil {
			t.Fatal(err)
		}
		rate, cpu := s.speed(topic, way.in, strings.ReplaceAll(way.out, "TOPIC", topic))
		t.Logf("| %s | %s | %s | %.1f |", way.input, way.output, rate, cpu*1e6/speedEvents)
	}
}

// speed runs one way until all events have come out of it.
func (s *site) speed(topic, in, out string) (rate string, cpu float64) {
	s.t.Helper()
	storage := s.t.TempDir()
	config := s.write(topic+".yaml", "service: {flush: 1, grace: 40, http_server: on, http_listen: 127.0.0.1, http_port: 2020, storage.path: "+storage+"}\n"+
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
	cpu = s.cpu()
	s.stop()
	return rate, cpu
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
