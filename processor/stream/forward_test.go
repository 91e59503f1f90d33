package stream

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

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/sink"
	"keytrail/processor/sink/filter"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// shelf is a sink that keeps the keys of what it has taken. answer may be nil.
type shelf struct {
	mu     sync.Mutex
	keys   []string
	answer func(batch []sink.Record) error
}

func (s *shelf) Deliver(_ context.Context, batch []sink.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil {
		if err := s.answer(batch); err != nil {
			return err
		}
	}
	for _, r := range batch {
		s.keys = append(s.keys, string(r.Key))
	}
	return nil
}

func (s *shelf) Close() error { return nil }

// sorted returns the keys in order.
func (s *shelf) sorted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.keys))
}

// anomalies puts a record for each key into a partition of the topic of anomalies.
func anomalies(t *testing.T, brokers []string, partition int32, keys ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, key := range keys {
		var rec otellog.Record
		rec.EventName = semconv.EventKeytrailAnomaly
		rec.String(semconv.KeytrailAnomalyID, key)
		rec.String(semconv.KeytrailAnomalySeverity, strings.TrimRight(key, "0123456789-"))
		r := &kgo.Record{Topic: "kms.anomalies", Partition: partition, Key: []byte(key), Value: otellog.AppendRequest(nil, &rec),
			Headers: []kgo.RecordHeader{{Key: wire.HeaderEvent, Value: []byte(rec.EventName)}}}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// forwards runs stage forward alone, for one sink that takes anomalies.
func forwards(t *testing.T, brokers []string, d Destination) (stop func()) {
	t.Helper()
	p := pipeline(t, brokers)
	d.Anomalies, d.Batch, d.Retry = true, sink.Batch{Records: 10, Bytes: 1 << 20}, sink.Retry{Base: time.Millisecond, Cap: 10 * time.Millisecond}
	if d.Name == "" {
		d.Name = "siem"
	}
	p.Sinks = []Destination{d}
	end := start(t, p, Stages{Forward: true})
	return func() { end(); balanced(t, p) }
}

// committed returns the group's offset of a partition of the anomalies, -1 for none.
func committed(t *testing.T, brokers []string, group string, partition int32) int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	offsets, err := kadm.NewClient(client).FetchOffsets(t.Context(), group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := offsets.Lookup("kms.anomalies", partition); ok {
		return at.At
	}
	return -1
}

// A new sink begins where `from` says. It stores that before it delivers anything, so a
// restart before the first record changes nothing, and neither does another value of `from`.
func TestFromHoldsAcrossRestarts(t *testing.T) {
	brokers := kafkatest.Start(t).Brokers()
	forwards(t, brokers, Destination{Name: "first", Sink: &shelf{}})() // makes the topics
	anomalies(t, brokers, 0, "high-1", "high-2")
	time.Sleep(20 * time.Millisecond)
	middle := time.Now()
	time.Sleep(20 * time.Millisecond)
	anomalies(t, brokers, 1, "high-3")
	f := func(name string, from, again sink.Start, want ...string) {
		t.Helper()
		s := &shelf{}
		stop := forwards(t, brokers, Destination{Name: name, Sink: s, From: from})
		waitFor(t, "the start is stored", func() bool {
			return committed(t, brokers, "test-forward-"+name, 0) >= 0 && committed(t, brokers, "test-forward-"+name, 1) >= 0
		})
		stop()
		anomalies(t, brokers, 0, "high-9-"+name)
		stop = forwards(t, brokers, Destination{Name: "renamed", ID: name, Sink: s, From: again})
		want = slices.Sorted(slices.Values(append(want, "high-9-"+name)))
		waitFor(t, fmt.Sprint(name, " has ", want), func() bool { return slices.Equal(s.sorted(), want) })
		stop()
	}
	f("latest", sink.Latest(), sink.Earliest())
	f("time", sink.StartAt(middle), sink.Latest(), "high-3", "high-9-latest")
	f("earliest", sink.Earliest(), sink.Latest(), "high-1", "high-2", "high-3", "high-9-latest", "high-9-time")
}

// The other stages of a process begin at the same time as its new sinks, which first have to
// join their groups. Records that arrive meanwhile are delivered, although the sinks begin at
// the latest record.
func TestLatestBeginsWithTheProcess(t *testing.T) {
	brokers := kafkatest.Start(t).Brokers()
	forwards(t, brokers, Destination{Name: "first", Sink: &shelf{}})() // makes the topics
	anomalies(t, brokers, 0, "high-1")
	s := &shelf{}
	p := pipeline(t, brokers)
	p.Sinks = []Destination{{Name: "siem", Sink: s, Anomalies: true, Batch: sink.Batch{Records: 10, Bytes: 1 << 20}, Retry: sink.DefaultRetry()}}
	ctx, cancel := context.WithCancel(t.Context())
	p.Ready = func() { anomalies(t, brokers, 0, "high-2") }
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, Stages{Forward: true}) }()
	waitFor(t, "the start is stored", func() bool { return committed(t, brokers, "test-forward-siem", 0) >= 0 })
	anomalies(t, brokers, 0, "high-3")
	waitFor(t, "the last record", func() bool { return slices.Contains(s.sorted(), "high-3") })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := s.sorted(); !slices.Equal(got, []string{"high-2", "high-3"}) {
		t.Errorf("the sink has %q", got)
	}
}

// busy writes a record after one of the answers about offsets.
type busy struct {
	after atomic.Int32 // answers until then
	write func()
}

func (b *busy) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, _ kgo.BrokerE2E) {
	if key == 2 && b.after.Add(-1) == 0 { // ListOffsets
		b.write()
	}
}

// A sink that begins at a time skips no record that arrives while it asks where that is.
func TestStartSkipsNothing(t *testing.T) {
	brokers := kafkatest.Start(t).Brokers()
	writer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := kadm.NewClient(writer).CreateTopic(t.Context(), 1, 1, nil, "kms.events"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	write := func(at time.Time) {
		r := &kgo.Record{Topic: "kms.events", Timestamp: at, Value: []byte("x")}
		if err := writer.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			t.Error(err)
		}
	}
	for range 3 {
		write(began.Add(-time.Hour))
	}
	hook := &busy{write: func() { write(began.Add(time.Hour)) }}
	asking, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.WithHooks(hook))
	if err != nil {
		t.Fatal(err)
	}
	defer asking.Close()
	f := &forwarder{p: &Pipeline{}, d: Destination{Name: "siem"}}
	since := began
	for n := range int32(4) { // how many answers come before the record
		hook.after.Store(n + 1)
		at, err := f.first(t.Context(), kadm.NewClient(asking), "kms.events", []int32{0}, since, true)
		if want := int64(3 + n); err != nil || at[0] > want {
			t.Errorf("a record after %d answers: reads from %v (%v), want %d", n+1, at, err, want)
		}
		if hook.after.Load() > 0 { // it asked less often
			write(began.Add(time.Hour))
		}
		since = began.Add(2 * time.Hour) // no record is so young
	}
}

// A partition that is added later is read from its beginning, although the sink begins at the
// latest record.
func TestLaterPartitionsAreReadWhole(t *testing.T) {
	brokers := kafkatest.Start(t).Brokers()
	s := &shelf{}
	stop := forwards(t, brokers, Destination{Sink: s})
	waitFor(t, "the start is stored", func() bool { return committed(t, brokers, "test-forward-siem", 1) >= 0 })
	stop()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreatePartitions(t.Context(), 1, "kms.anomalies"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the partition is there", func() bool {
		topics, err := kadm.NewClient(client).ListTopics(t.Context(), "kms.anomalies")
		return err == nil && len(topics["kms.anomalies"].Partitions) == 3
	})
	anomalies(t, brokers, 2, "high-1", "high-2")
	stop = forwards(t, brokers, Destination{Sink: s})
	waitFor(t, "the records of the new partition", func() bool { return slices.Equal(s.sorted(), []string{"high-1", "high-2"}) })
	stop()
}

// Records that the filter leaves out are counted as such, and their offsets are committed.
func TestFilterIsApplied(t *testing.T) {
	brokers := kafkatest.Start(t).Brokers()
	s := &shelf{}
	c := filter.Default()
	c.Severities = []string{"high"}
	forwards(t, brokers, Destination{Name: "first", Sink: &shelf{}})()
	anomalies(t, brokers, 0, "high-1", "low-2", "high-3", "low-4")
	stop := forwards(t, brokers, Destination{Sink: s, Filter: c, From: sink.Earliest()})
	waitFor(t, "all offsets are committed", func() bool { return committed(t, brokers, "test-forward-siem", 0) == 4 })
	stop()
	if got := s.sorted(); !slices.Equal(got, []string{"high-1", "high-3"}) {
		t.Errorf("the sink has %q", got)
	}
}

// A topic that the broker does not know is an error, and not one with an id of zeros.
func TestTopicWithoutID(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers(kafkatest.Start(t).Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if list, err := withIDs(t.Context(), kadm.NewClient(client), "kms.none"); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("got %v (%v), want an error", list, err)
	}
}

// Two processes share a sink that fails at random, and come and go: everything arrives, and
// no offset passes a record that has not.
func TestSinkOfTwoProcesses(t *testing.T) {
	brokers := kafkatest.Start(t).Brokers()
	forwards(t, brokers, Destination{Name: "first", Sink: &shelf{}})()
	calls := 0
	s := &shelf{answer: func([]sink.Record) error {
		if calls++; calls%3 == 0 {
			return fmt.Errorf("reset by peer")
		}
		return nil
	}}
	d := Destination{Sink: s, From: sink.Earliest(), InFlight: 3}
	var want []string
	stop := forwards(t, brokers, d)
	for round := range 4 {
		second := forwards(t, brokers, d)
		for p := range int32(2) {
			var keys []string
			for i := range 50 {
				keys = append(keys, fmt.Sprintf("high-%d-%d-%d", round, p, i))
			}
			anomalies(t, brokers, p, keys...)
			want = append(want, keys...)
		}
		stop()
		stop = second
	}
	slices.Sort(want)
	waitFor(t, "everything arrived", func() bool { return slices.Equal(slices.Compact(s.sorted()), want) })
	stop()
	for p := range int32(2) {
		if at := committed(t, brokers, "test-forward-siem", p); at != 200 {
			t.Errorf("the offset of partition %d is %d at the end, want 200", p, at)
		}
	}
}
