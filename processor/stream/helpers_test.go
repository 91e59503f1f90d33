package stream

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/generate"
	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/telemetry"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// broker starts a broker for a test.
func broker(t *testing.T) []string {
	t.Helper()
	return kafkatest.Start(t).Brokers()
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// pipeline returns a pipeline over brokers whose sources never count as silent: on a busy
// machine any short time is a silence, after which events are late.
func pipeline(t *testing.T, brokers []string) *Pipeline {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return &Pipeline{
		Kafka: kafka.Config{Brokers: brokers, ClientID: "test", Log: quiet()}, Topics: wire.DefaultTopics(),
		Events: 3, Partials: 2, Replication: 1, TransactionID: "test", Interval: 50 * time.Millisecond, Records: 2000,
		Window: Window{Detect: window.DefaultConfig(), OutOfOrderness: int64(15 * time.Minute), FutureSkew: int64(5 * time.Minute),
			IdleAfter: int64(time.Hour)},
		Telemetry: tel, Log: quiet(),
	}
}

// closing returns a pipeline that soon takes its sources for silent, which closes all
// windows. Everything must be counted before.
func closing(t *testing.T, brokers []string) *Pipeline {
	t.Helper()
	p := pipeline(t, brokers)
	p.Window.IdleAfter = int64(3 * time.Second)
	return p
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

// trail returns the records of a generated trail in order of delivery.
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

// produce puts records without keys into a topic, like a third-party shipper: into one
// partition, so that they keep their order of delivery; with several partitions, all of
// them into each.
func produce(t *testing.T, brokers []string, topic string, records [][]byte, others ...int32) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var batch []*kgo.Record
	for _, p := range append(others, 0) {
		for _, r := range records {
			batch = append(batch, &kgo.Record{Topic: topic, Partition: p, Value: r})
		}
	}
	if err := cl.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting until %s", what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// length returns the number of records ever written to a topic of one partition.
func length(t *testing.T, brokers []string, topic string) int {
	t.Helper()
	n := 0
	readTopic(t, brokers, topic, 1, func(*kgo.Record) error { n++; return nil })
	return n
}

// readTopic calls f for every committed record of a topic.
func readTopic(t *testing.T, brokers []string, topic string, partitions int32, f func(*kgo.Record) error) {
	t.Helper()
	var all []int32
	for p := range partitions {
		all = append(all, p)
	}
	if err := kafka.ReadLog(t.Context(), kafka.Config{Brokers: brokers, ClientID: "reader", Log: quiet()}, topic, all, f); err != nil {
		t.Fatal(err)
	}
}

// admin returns a client that asks about groups.
func admin(t *testing.T, brokers []string) *kadm.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// waitForGroup waits until a consumer group has committed an offset.
func waitForGroup(t *testing.T, brokers []string, group string) {
	t.Helper()
	adm := admin(t, brokers)
	waitFor(t, group+" has committed something", func() bool {
		offsets, err := adm.FetchOffsets(t.Context(), group)
		total := int64(0)
		if err == nil {
			offsets.Each(func(o kadm.OffsetResponse) { total += o.At })
		}
		return total > 0
	})
}

// waitForMembers waits until n processes share a group's partitions.
func waitForMembers(t *testing.T, brokers []string, group string, n int) {
	t.Helper()
	adm := admin(t, brokers)
	waitFor(t, group+" has its members", func() bool {
		groups, err := adm.DescribeGroups(t.Context(), group)
		return err == nil && groups[group].State == "Stable" && len(groups[group].Members) == n
	})
}

// caughtUp waits until a running pipeline is idle: its stages have committed everything
// in their topics.
func caughtUp(t *testing.T, brokers []string, p *Pipeline) {
	t.Helper()
	adm := admin(t, brokers)
	committed := func(group, topic string) bool {
		offsets, err := adm.FetchOffsets(t.Context(), group)
		if err != nil {
			return false
		}
		done := true // read after the offsets, so records written meanwhile count as missing
		readTopic(t, brokers, topic, p.Partitions[topic], func(r *kgo.Record) error {
			o, ok := offsets.Lookup(topic, r.Partition)
			done = done && ok && o.At > r.Offset
			return nil
		})
		return done
	}
	waitFor(t, "everything is counted", func() bool {
		return committed("test-normalize", p.Topics.Raw) && committed("test-count", p.Topics.Events) && committed("test-detect", p.Topics.Partials)
	})
}

// output returns everything that a stage has to write, to the end of its step.
func output(t *testing.T, p kafka.Processor) (out []*kgo.Record) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = p.Output(time.Now(), func(r *kgo.Record) { out = append(out, r) }); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
