package stream

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/count"
	"keytrail/processor/detect"
	"keytrail/processor/generate"
	"keytrail/processor/kafka"
	"keytrail/processor/sink"
	"keytrail/processor/telemetry"
	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/normalize"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// broker starts an embedded broker for a test.
func broker(t *testing.T) []string {
	t.Helper()
	b, err := kafka.StartEmbedded(t.TempDir()+"/broker", quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Brokers()
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// pipeline returns a pipeline over brokers with short times.
func pipeline(t *testing.T, brokers []string) *Pipeline {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return &Pipeline{
		Kafka: kafka.Config{Brokers: brokers, ClientID: "test", Log: quiet()}, Topics: wire.DefaultTopics(),
		Events: 3, Partials: 2, Replication: 1, TransactionID: "test", Interval: 50 * time.Millisecond, Records: 2000,
		Window: Window{Detect: detect.DefaultConfig(), OutOfOrderness: int64(15 * time.Minute), FutureSkew: int64(5 * time.Minute),
			// Longer than a rebalance takes: what comes after it would be late.
			IdleAfter: int64(time.Second), CloseAfter: int64(12 * time.Second)},
		Telemetry: tel, Log: quiet(),
	}
}

// start runs the stages in the background; stop ends them gracefully.
func start(t *testing.T, p *Pipeline, s Stages) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	p.Ready = func() { close(ready) }
	go func() { ended <- p.Run(ctx, s) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("the pipeline ended at its start: %v", err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("the pipeline ended with %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// trail returns the records of a made-up trail in the order of delivery.
func trail(t *testing.T, c generate.Config) [][]byte {
	t.Helper()
	g, err := generate.New(c)
	if err != nil {
		t.Fatal(err)
	}
	var events []generate.Event
	for e := range g.Events() {
		e.JSON = slices.Clone(e.JSON)
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b generate.Event) int { return a.Delivered.Compare(b.Delivered) })
	var records [][]byte
	for _, e := range events {
		records = append(records, e.JSON)
	}
	return records
}

// produce puts records into a topic, without keys, as a foreign shipper would;
// into one partition, so that their order is that of their delivery.
func produce(t *testing.T, brokers []string, topic string, records [][]byte) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var batch []*kgo.Record
	for _, r := range records {
		batch = append(batch, &kgo.Record{Topic: topic, Value: r})
	}
	if err := cl.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// expected is what scanning the records gives: the same counting code without
// Kafka, which package scan's tests hold equal to the oracle.
func expected(t *testing.T, records [][]byte, size int64) map[string]string {
	t.Helper()
	norm, table := normalize.New(normalize.Options{}), count.NewTable(size)
	seen, best := map[string]count.Call{}, []string{}
	var rec otellog.Record
	var call count.Call
	dec := cloudtrail.NewDecoder(cloudtrail.Limits{})
	for _, r := range records {
		var ev cloudtrail.Event
		if dec.Decode(r, &ev) != nil {
			continue
		}
		if ok, err := norm.Record(&ev, 0, &rec); err != nil || !ok {
			continue
		}
		count.FromRecord(&rec, &call)
		old, known := seen[call.IDText]
		if !known || call.Copy > old.Copy {
			own := call.Clone()
			if !known {
				best = append(best, own.IDText)
			}
			seen[own.IDText] = own
		}
	}
	for _, id := range best {
		c := seen[id]
		table.Add(&c, 1)
	}
	want := map[string]string{}
	for p := range table.All() {
		w := detect.Window{Partial: *p, Closed: true}
		detect.WindowRecord(&rec, &w, size, 0)
		name, text := describe(&rec)
		want[name] = text
	}
	return want
}

// describe writes the counts of a window record, without those that depend on
// the baselines.
func describe(rec *otellog.Record) (name, text string) {
	var parts []string
	for _, a := range rec.Attrs {
		if a.Kind == otellog.KindInt && a.Key != semconv.KeytrailWindowRevision && !strings.HasPrefix(a.Key, semconv.KeytrailWindowAnomalies) {
			parts = append(parts, fmt.Sprintf("%s=%d", a.Key, a.Int))
		}
	}
	slices.Sort(parts)
	return windowName(rec), strings.Join(parts, " ")
}

// windowName names a window by what it counts for: an alias, where its calls
// named only that.
func windowName(rec *otellog.Record) string {
	key := cmp.Or(rec.Str(semconv.AWSKMSAliasARN), rec.Str(semconv.AWSKMSKeyARN))
	return fmt.Sprintf("%s %q %q %s", rec.Str(semconv.KeytrailWindowScope), key, rec.Str(semconv.KeytrailPrincipal), rec.Str(semconv.KeytrailWindowStart))
}

// finals reads the final windows of the windows topic: of each the highest
// revision, as describe has it.
func finals(t *testing.T, brokers []string, describe func(*otellog.Record) (name, text string)) map[string]string {
	t.Helper()
	found, revisions := map[string]string{}, map[string]int64{}
	var rec otellog.Record
	err := kafka.ReadLog(t.Context(), kafka.Config{Brokers: brokers, ClientID: "reader", Log: quiet()}, "kms.windows", []int32{0, 1}, func(r *kgo.Record) error {
		if err := rec.Decode(r.Value); err != nil {
			return err
		}
		if rec.Str(semconv.KeytrailWindowState) != "final" {
			return nil
		}
		name, text := describe(&rec)
		name = strings.Clone(name)
		revision := rec.Get(semconv.KeytrailWindowRevision).Int
		if revision <= revisions[name] {
			t.Errorf("window %s: revision %d after %d", name, revision, revisions[name])
		}
		revisions[name], found[name] = revision, text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// eventually waits until the final windows have the expected counts.
func eventually(t *testing.T, brokers []string, want map[string]string) {
	t.Helper()
	eventuallyAs(t, brokers, describe, want)
}

// eventuallyAs waits until the final windows, as describe has them, are the
// expected ones.
func eventuallyAs(t *testing.T, brokers []string, describe func(*otellog.Record) (name, text string), want map[string]string) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		got := finals(t, brokers, describe)
		wrong := diff(got, want)
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("final windows differ: got %d, want %d; %s", len(got), len(want), wrong)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

func diff(got, want map[string]string) string {
	for name, text := range want {
		if got[name] != text {
			return fmt.Sprintf("%s:\n got %q\nwant %q", name, got[name], text)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return "a window that should not be: " + name + " " + got[name]
		}
	}
	return ""
}

// memory is a sink that keeps what it is given.
type memory struct {
	mu      sync.Mutex
	records map[string]int // event names
	ids     map[string]int // anomaly ids
}

func (m *memory) Deliver(_ context.Context, batch []sink.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rec otellog.Record
	for _, r := range batch {
		m.records[r.EventName]++
		if err := rec.Decode(r.Value); err != nil {
			return err
		}
		if id := rec.Str(semconv.KeytrailAnomalyID); id != "" {
			m.ids[strings.Clone(id)]++
		}
	}
	return nil
}

func (m *memory) Close() error { return nil }

var all = Stages{Normalize: true, Count: true, Detect: true, Forward: true}

// The whole way: raw CloudTrail records, copies and broken ones among them, to
// final windows, anomalies at a sink and dead letters; and the counters add up.
func TestWholeWay(t *testing.T) {
	brokers := broker(t)
	records := trail(t, generate.Config{Seed: 5, Start: time.Now().Add(-50 * time.Hour), Duration: 48 * time.Hour, Events: 6000, DuplicateShare: 0.1})
	p := pipeline(t, brokers)
	m := &memory{records: map[string]int{}, ids: map[string]int{}}
	p.Sinks = []Destination{{Name: "memory", Sink: m, Batch: sink.DefaultBatch(), Retry: sink.DefaultRetry(), Events: true, Anomalies: true, Windows: WindowsAll}}
	stop := start(t, p, all)
	broken := [][]byte{[]byte(`{"eventVersion":`), []byte(`nonsense`), []byte(`{"eventName":"Decrypt","eventSource":"kms.amazonaws.com","eventTime":"yesterday"}`)}
	produce(t, brokers, p.Topics.Raw, append(broken, records...))
	eventually(t, brokers, expected(t, records, p.Window.Detect.Size))
	waitFor(t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.ids) > 5 && m.records[semconv.EventKeytrailWindow] > 1000 && m.records[semconv.EventAWSKMSAPICall] > 5000
	})
	stop()
	if n := length(t, brokers, p.Topics.DeadLetter); n < len(broken) {
		t.Errorf("%d records in the dead letter topic, want the %d broken ones", n, len(broken))
	}
	balances, err := p.Telemetry.Balances(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range balances {
		if err := b.Check(0); err != nil {
			t.Error(err)
		}
		t.Logf("%+v", b)
	}
	for id, n := range m.ids {
		if n > 3 {
			t.Errorf("anomaly %s came %d times", id, n)
		}
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("the sink does not get what it should")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// length is the number of records ever written to a topic of one partition.
func length(t *testing.T, brokers []string, topic string) int {
	t.Helper()
	n := 0
	err := kafka.ReadLog(t.Context(), kafka.Config{Brokers: brokers, ClientID: "reader", Log: quiet()}, topic, []int32{0}, func(*kgo.Record) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Restarts, a second instance that comes and goes, and duplicates across all
// of it: the final windows stay exact, because state comes back from its log
// before the first record does.
func TestRestartsKeepCountsExact(t *testing.T) {
	brokers := broker(t)
	records := trail(t, generate.Config{Seed: 9, Start: time.Now().Add(-50 * time.Hour), Duration: 48 * time.Hour, Events: 5000, DuplicateShare: 0.2})
	one := pipeline(t, brokers)
	one.Window.CloseAfter = int64(time.Hour) // however long the wait takes, the rest is not late
	stop := start(t, one, all)
	third := len(records) / 3
	produce(t, brokers, one.Topics.Raw, records[:third])
	waitForGroup(t, brokers, "test-detect")
	stop()

	two, three := pipeline(t, brokers), pipeline(t, brokers)
	start(t, two, all)
	produce(t, brokers, one.Topics.Raw, append(slices.Clone(records[third-200:third]), records[third:2*third]...)) // some twice
	stopThree := start(t, three, all)
	waitForGroup(t, brokers, "test-count")
	produce(t, brokers, one.Topics.Raw, records[2*third:])
	stopThree()
	eventually(t, brokers, expected(t, records, one.Window.Detect.Size))
}

// waitForGroup waits until a consumer group has committed something.
func waitForGroup(t *testing.T, brokers []string, group string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	waitFor(t, func() bool {
		offsets, err := adm.FetchOffsets(t.Context(), group)
		total := int64(0)
		if err == nil {
			offsets.Each(func(o kadm.OffsetResponse) { total += o.At })
		}
		return total > 0
	})
}
