package plugintest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/tinylib/msgp/msgp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
)

const partitions = 3

// broker starts a Kafka in this process, on loopback, with the two topics.
func broker(t *testing.T) *kfake.Cluster {
	t.Helper()
	return kafkaFor(t)
}

func kafkaFor(t testing.TB) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "kms.events", "kms.deadletter"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// messages reads a topic to its present end with a client that the plugin does
// not use.
func messages(t *testing.T, c *kfake.Cluster, topic string) []kafka.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	addr := c.ListenAddrs()[0]
	var list []kafka.Message
	for p := range partitions {
		conn, err := kafka.DialLeader(ctx, "tcp", addr, topic, p)
		if err != nil {
			t.Fatal(err)
		}
		first, last, err := conn.ReadOffsets()
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: topic, Partition: p, MaxWait: 100 * time.Millisecond})
		for range last - first {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, m)
		}
		r.Close()
	}
	return list
}

// delivered reads kms.events and returns how often each call arrived, and the
// bodies by call. It decodes with OpenTelemetry's own protobuf types.
func delivered(t *testing.T, c *kfake.Cluster) (count map[string]int, bodies map[string]string) {
	t.Helper()
	count, bodies = map[string]int{}, map[string]string{}
	for _, m := range messages(t, c, "kms.events") {
		var req logspb.LogsData // on the wire the same as ExportLogsServiceRequest
		if err := proto.Unmarshal(m.Value, &req); err != nil {
			t.Fatalf("%v in %s", err, short(m.Value))
		}
		rec := req.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords()[0]
		call := ""
		for _, a := range rec.GetAttributes() {
			if a.GetKey() == "keytrail.call.id" {
				call = a.GetValue().GetStringValue()
			}
		}
		if call == "" || call != string(m.Key) {
			t.Errorf("the Kafka record key is %q, the call's id %q", m.Key, call)
		}
		count[call]++
		bodies[call] = rec.GetBody().GetStringValue()
	}
	return count, bodies
}

// wantDelivered checks that exactly these events arrived, each n times, with
// their JSON byte for byte.
func wantDelivered(t *testing.T, c *kfake.Cluster, want []string, n int) {
	t.Helper()
	count, bodies := delivered(t, c)
	if len(count) != len(want) {
		t.Errorf("%d calls arrived, want %d", len(count), len(want))
	}
	for _, event := range want {
		call := callOf(t, event)
		if count[call] != n || bodies[call] != event {
			t.Errorf("call %s arrived %d times, want %d, as %q", call, count[call], n, bodies[call])
		}
	}
}

func outProps(c *kfake.Cluster, more ...string) []string {
	return props(append([]string{"brokers=" + strings.Join(c.ListenAddrs(), ",")}, more...)...)
}

func TestInputToKafka(t *testing.T) {
	b := plugins(t)
	all := events(t)
	records := filepath.Join(t.TempDir(), "records")
	mustRun(t, b, append([]string{b.in, "--calls", patientCalls, "--records", strconv.Itoa(len(all)), "--out", records},
		fast(trail(t, shapes(t, all)))...)...)
	c := broker(t)
	r := mustRun(t, b, append([]string{b.out, "--in", records}, outProps(c, patientFlush)...)...)
	if !strings.Contains(r.out, "code 1 retries 0") {
		t.Errorf("the host says\n%s", r.out)
	}
	wantDelivered(t, c, all, 1)
	if letters := messages(t, c, "kms.deadletter"); len(letters) != 0 {
		t.Errorf("%d dead letters, want none", len(letters))
	}
}

// chunkFiles writes events as chunks of another input's records, each a file.
func chunkFiles(t *testing.T, list []string, each int) (args []string) {
	t.Helper()
	dir := t.TempDir()
	for n, part := range slices.Collect(slices.Chunk(list, each)) {
		var chunk []byte
		for i, event := range part {
			head := []byte{0x92, 0xd7, 0, 0x65, 0, 0, 0, 0, 0, 0, 0} // legacy: [event time, body]
			if i%2 == 1 {
				head = []byte{0x92, 0x92, 0xcb, 0x41, 0xd9, 0, 0, 0, 0, 0, 0, 0x80} // [[float, metadata], body]
			}
			field := []string{"log", "message", "event"}[i%3]
			body, err := msgp.AppendMapStrIntf(head, map[string]any{"stream": "stdout", field: event})
			if err != nil {
				t.Fatal(err)
			}
			chunk = append(chunk, body...)
		}
		path := filepath.Join(dir, fmt.Sprint("chunk", n))
		if err := os.WriteFile(path, chunk, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--in", path)
	}
	return args
}

func TestOutputFromManyThreads(t *testing.T) {
	b := plugins(t)
	c := broker(t)
	all := numbered(t, events(t)[0], 0, 600)
	args := append([]string{b.out, "--threads", "8", "--flushes", "3"}, chunkFiles(t, all, 25)...)
	mustRun(t, b, append(args, outProps(c, "compression=zstd", patientFlush)...)...)
	wantDelivered(t, c, all, 3)
}

func TestOutputRetriesWithoutRepeating(t *testing.T) {
	b := plugins(t)
	c := broker(t)
	var refused atomic.Int32
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if refused.Add(1) <= 3 {
			return nil, errors.New("the connection is lost"), true
		}
		return nil, nil, false
	})
	all := numbered(t, events(t)[0], 0, 50)
	args := append([]string{b.out}, chunkFiles(t, all, 50)...)
	// The client pauses after each refusal, three times longer than this in all.
	r := mustRun(t, b, append(args, outProps(c, "flush_timeout=400ms")...)...)
	if !strings.Contains(r.out, "code 1 retries") || strings.Contains(r.out, "retries 0") {
		t.Errorf("no flush was retried, or none was taken:\n%s", r.out)
	}
	wantDelivered(t, c, all, 1)
}

// What Kafka refuses comes again alone: the rest of its chunk arrives once.
func TestOutputRepeatsOnlyWhatKafkaRefuses(t *testing.T) {
	b := plugins(t)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "kms.events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	all := numbered(t, events(t)[0], 0, 50)
	chunk, err := os.ReadFile(chunkFiles(t, slices.Insert(slices.Clone(all), 20, "no JSON"), 51)[1])
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, b, outProps(c, patientFlush)...)
	for range 3 {
		if code, err := s.flush(chunk); err != nil || code != '2' {
			t.Fatalf("code %q, %v, want a retry", code, err)
		}
	}
	wantDelivered(t, c, all, 1)
	if err := c.CreateTopic("kms.deadletter", partitions, nil); err != nil {
		t.Fatal(err)
	}
	code, err := byte(0), error(nil)
	for deadline := time.Now().Add(time.Minute); code != '1' && err == nil && time.Now().Before(deadline); {
		code, err = s.flush(chunk)
	}
	if err != nil || code != '1' {
		t.Fatalf("code %q, %v, with both topics", code, err)
	}
	wantDelivered(t, c, all, 1)
	if letters := messages(t, c, "kms.deadletter"); len(letters) != 1 {
		t.Errorf("%d dead letters, want 1", len(letters))
	}
	s.end(t)
}

func TestOutputHostileChunks(t *testing.T) {
	b := plugins(t)
	c := broker(t)
	all := numbered(t, events(t)[0], 0, 2)
	args := append([]string{b.out, "--hostile"}, chunkFiles(t, all, 2)...)
	r := mustRun(t, b, append(args, outProps(c, patientFlush)...)...)
	if strings.Contains(r.stderr, "panicked") || !strings.Contains(r.out, " retried 0\n") {
		t.Errorf("a hostile chunk panicked or was not taken:\n%s\n%s", r.out, r.stderr)
	}
	count, _ := delivered(t, c)
	if len(count) != 2 {
		t.Errorf("the good chunk's calls are %v, want 2", count)
	}
	letters := messages(t, c, "kms.deadletter")
	reasons := map[string]int{}
	for _, m := range letters {
		for _, h := range m.Headers {
			if h.Key == "reason" {
				reasons[string(h.Value)]++
			}
		}
	}
	// All but the empty ones leave a dead letter; 200 cuts, 300 random chunks and
	// 20 small ones are the most of them.
	if len(letters) < 500 || reasons["bad_msgpack"] < 400 {
		t.Errorf("%d dead letters with the reasons %v", len(letters), reasons)
	}
}

func TestOutputRefusesAtStart(t *testing.T) {
	b := plugins(t)
	f := func(message string, p ...string) {
		t.Helper()
		r := run(t, b, append([]string{b.out}, props(p...)...)...)
		if r.status != 3 || !strings.Contains(r.stderr, "[error] [out_kms] "+message) {
			t.Errorf("%q: status %d, want 3 and the message %q\n%s", p, r.status, message, r.stderr)
		}
	}
	f(`property "brokers" is missing`)
	f(`cannot use property "compression" with value "rar": want none or gzip or snappy or lz4 or zstd`, "brokers=a:1", "compression=rar")
	f(`cannot use property "topic" with value "a b"`, "brokers=a:1", "topic=a b")
}

func TestOutputStartsAndEndsWithoutKafka(t *testing.T) {
	b := plugins(t)
	all := numbered(t, events(t)[0], 0, 1)
	args := append([]string{b.out, "--log-level", "1"}, chunkFiles(t, all, 1)...)
	r := mustRun(t, b, append(args, props("brokers=127.0.0.1:1", "flush_timeout=100ms")...)...)
	if !strings.Contains(r.out, "code 2 retries 100") {
		t.Errorf("the host says\n%s", r.out)
	}
	if strings.TrimSpace(r.stderr) != "" {
		t.Errorf("log_level error, and yet\n%s", r.stderr)
	}
}
