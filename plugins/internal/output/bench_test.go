package output

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/plugins/internal/chunk"
	"keytrail/plugins/internal/logging"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// id returns the n-th event id, in the form of a UUID.
func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func event(n int) string {
	return fmt.Sprintf(`{"eventVersion":"1.11","eventTime":"2026-03-01T12:00:00Z","eventSource":"kms.amazonaws.com",`+
		`"eventName":"Decrypt","awsRegion":"eu-west-1","recipientAccountId":"111122223333","eventID":%q}`, id(n))
}

// flat returns in_kms's record of an event.
func flat(json string) []byte {
	return chunk.Append(nil, &chunk.Record{Event: []byte(json), Object: "a/b.json.gz", Index: 3, Offset: 99})
}

// foreign returns another input's record with the given body.
func foreign(t testing.TB, body map[string]any) []byte {
	t.Helper()
	b, err := msgp.AppendMapStrIntf([]byte{0x92, 1}, body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bench is a broker and an Output that delivers to it.
type bench struct {
	t      testing.TB
	kafka  *kfake.Cluster
	cfg    Config
	o      *Output
	logMu  sync.Mutex
	lines  []string
	broken atomic.Bool // produce requests end their connection
}

func newBench(t testing.TB, change func(*Config), opts ...kfake.Opt) *bench {
	t.Helper()
	b := &bench{t: t, cfg: DefaultConfig()}
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b.kafka = c
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if b.broken.Load() {
			return nil, errors.New("away"), true
		}
		return nil, nil, false
	})
	b.cfg.Brokers = c.ListenAddrs()
	b.cfg.FlushTimeout = 20 * time.Second // a machine under load must not fail the tests that want OK
	if change != nil {
		change(&b.cfg)
	}
	b.o, err = New(b.cfg, "out_kms.0", logging.New("", nil, func(_ logging.Level, s string) {
		b.logMu.Lock()
		defer b.logMu.Unlock()
		b.lines = append(b.lines, s)
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

// close ends the Output, once, and checks its counts.
func (b *bench) close() {
	if b.o == nil {
		return
	}
	b.o.Close()
	b.o.log.Emit()
	if s := b.o.Stats(); s.Received != s.Delivered+s.DeadLettered+s.Filtered+s.Failed+s.InFlight {
		b.t.Errorf("the counts do not add up: %+v", s)
	}
	b.o = nil
}

func seeded() kfake.Opt { return kfake.SeedTopics(3, "kms.events", "kms.deadletter") }

func (b *bench) flush(want Code, chunks ...[]byte) {
	b.t.Helper()
	if got := b.o.Flush(slices.Concat(chunks...), "trail.tag"); got != want {
		b.o.log.Emit()
		b.t.Fatalf("the flush returned %d, want %d; log: %q", got, want, b.lines)
	}
}

// read returns everything that the topic holds.
func (b *bench) read(topic string) []*kgo.Record {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		b.t.Fatal(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	var got []*kgo.Record
	for int64(len(got)) < left {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			b.t.Fatal(err)
		}
		got = append(got, fs.Records()...)
	}
	return got
}

// events returns, for each call id in the topic, the bodies of its records, and
// checks that each record's key is its call's id.
func (b *bench) events() map[string][]string {
	b.t.Helper()
	got := map[string][]string{}
	var rec otellog.Record
	for _, r := range b.read(b.cfg.Topic) {
		if err := rec.Decode(r.Value); err != nil {
			b.t.Fatal(err)
		}
		call := rec.Str(semconv.KeytrailCallID)
		if call == "" || call != string(r.Key) {
			b.t.Errorf("the Kafka record key is %q, the call's id %q", r.Key, call)
		}
		got[call] = append(got[call], strings.Clone(rec.Body))
	}
	return got
}

// wantOnce checks that the topic holds the events from 0 to n, each once.
func (b *bench) wantOnce(n int) {
	b.t.Helper()
	got := b.events()
	if len(got) != n {
		b.t.Errorf("%d calls arrived, want %d", len(got), n)
	}
	for i := range n {
		if bodies := got[id(i)]; !slices.Equal(bodies, []string{event(i)}) {
			b.t.Errorf("call %d arrived as %q, want once %s", i, bodies, event(i))
		}
	}
}

// deliver hands the chunk over until it is taken, as Fluent Bit does.
func deliver(b *bench, c []byte) {
	b.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); {
		if b.o.Flush(c, "trail.tag") == OK {
			return
		}
	}
	b.o.log.Emit()
	b.t.Fatalf("the chunk was never taken; log: %q", b.lines)
}

// BenchmarkFlush measures one chunk of 1,000 events from msgpack to Kafka's
// acknowledgement, with the broker in the same process.
func BenchmarkFlush(b *testing.B) {
	rig := newBench(b, nil, seeded())
	var c []byte
	for i := range 1000 {
		c = append(c, flat(event(i))...)
	}
	b.SetBytes(int64(len(c)))
	b.ReportAllocs()
	for b.Loop() {
		rig.flush(OK, c)
	}
}

// logged returns the lines of the log so far.
func (b *bench) logged() string {
	b.o.log.Emit()
	b.logMu.Lock()
	defer b.logMu.Unlock()
	return strings.Join(b.lines, "\n")
}
