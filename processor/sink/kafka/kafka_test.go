package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// target starts a cluster with the topics of a sink.
func target(t *testing.T) []string {
	t.Helper()
	brokers := kafkatest.Start(t).Brokers()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	made, err := kadm.NewClient(client).CreateTopics(t.Context(), 1, 1, nil, "keytrail.events", "keytrail.windows",
		"keytrail.anomalies")
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	return brokers
}

// open opens a sink of a group for a target.
func open(t *testing.T, brokers []string, group string) *Sink {
	t.Helper()
	c := DefaultConfig()
	c.Brokers = brokers
	s, err := c.Open(sink.Identity{Name: "mirror", Group: group, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*Sink)
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Subject {
		brokers := target(t)
		return sinktest.Subject{Sink: open(t, brokers, "g"), Arrived: func(t *testing.T) (list []*logs.LogsData) {
			for _, m := range read(t, brokers, "keytrail.events") {
				data := &logs.LogsData{}
				if err := proto.Unmarshal(m.value, data); err != nil {
					t.Fatal(err)
				}
				list = append(list, data)
			}
			return list
		}}
	})
}

func TestConform(t *testing.T) {
	const named = "a client connects to the addresses that brokers name, and not to a proxy; see TestExactlyOnce"
	except := map[sinktest.Case]string{sinktest.Partial: "a topic refuses no record but a huge one",
		sinktest.Advance:     "see TestPartsAdvance",
		sinktest.Credentials: "package kafka tests them against secured brokers"}
	for _, c := range []sinktest.Case{sinktest.Status, sinktest.Lost, sinktest.HalfOpen, sinktest.Slow, sinktest.Endless,
		sinktest.Restart, sinktest.BadTLS, sinktest.Client} {
		except[c] = named
	}
	var brokers []string // the suite opens one sink for a receiver
	sinktest.Conform(t, "kafka", sinktest.Door{
		Receive: func(t *testing.T) sinktest.Receiver {
			brokers = target(t)
			return sinktest.Receiver{Stored: func(t *testing.T) (list []string) {
				for _, m := range read(t, brokers, "keytrail.events") {
					data := &logs.LogsData{}
					if err := proto.Unmarshal(m.value, data); err != nil {
						t.Fatal(err)
					}
					list = append(list, sinktest.IDs(data)...)
				}
				return list
			}}
		},
		Open:   func(t *testing.T, _ sinktest.Target) sink.Sink { return open(t, brokers, "g") },
		Except: except,
	})
}

var source = sink.Topic{Name: "kms.anomalies", ID: [16]byte{1, 2, 3}}

// records returns records of the source with offsets from one to another.
func records(topic sink.Topic, partition int32, from, to int64) (batch []sink.Record) {
	for at := from; at < to; at++ {
		r := sinktest.Batch(fmt.Sprint("id-", partition, "-", at))[0]
		r.Topic, r.TopicID, r.Partition, r.Offset, r.Key = topic.Name, topic.ID, partition, at, []byte(fmt.Sprint("k", at))
		r.EventName = "keytrail.anomaly"
		batch = append(batch, r)
	}
	return batch
}

// keys returns the keys of messages.
func keys(list []message) (keys []string) {
	for _, m := range list {
		keys = append(keys, m.key)
	}
	return keys
}

// TestPositions: positions are those of the topic, the partition and the group alone, and a
// record below them is not written again.
func TestPositions(t *testing.T) {
	brokers := target(t)
	s := open(t, brokers, "g")
	if err := s.Deliver(t.Context(), append(records(source, 0, 5, 8), records(source, 3, 0, 2)...)); err != nil {
		t.Fatal(err)
	}
	again := open(t, brokers, "g")
	found, err := again.Positions(t.Context(), source, []int32{0, 1, 3})
	if err != nil || len(found) != 2 || found[0] != 8 || found[3] != 2 {
		t.Errorf("the positions are %v (%v)", found, err)
	}
	var known *sink.Duplicate
	if err := again.Deliver(t.Context(), records(source, 0, 6, 10)); !errors.As(err, &known) || known.Records != 2 {
		t.Errorf("got %v, want two known records", err)
	}
	for _, other := range []struct {
		group string
		topic sink.Topic
	}{{"h", source}, {"g", sink.Topic{Name: source.Name, ID: [16]byte{9}}}} {
		found, err := open(t, brokers, other.group).Positions(t.Context(), other.topic, []int32{0})
		if err != nil || len(found) != 0 {
			t.Errorf("another group or cluster has %v (%v)", found, err)
		}
	}
	got := read(t, brokers, "keytrail.anomalies")
	if list := keys(got); len(list) != 7 || got[0].event != "keytrail.anomaly" {
		t.Errorf("the target has %q with event %q", list, got[0].event)
	}
}

// TestFenced: an owner that another process has replaced writes nothing below that one's
// position, however late it is.
func TestFenced(t *testing.T) {
	brokers := target(t)
	old, young := open(t, brokers, "g"), open(t, brokers, "g")
	if err := old.Deliver(t.Context(), records(source, 0, 0, 3)); err != nil {
		t.Fatal(err)
	}
	if found, err := young.Positions(t.Context(), source, []int32{0}); err != nil || found[0] != 3 {
		t.Fatal(found, err)
	}
	if err := young.Deliver(t.Context(), records(source, 0, 3, 6)); err != nil {
		t.Fatal(err)
	}
	for range 3 { // the first attempt is fenced, and a later one finds the new position
		_ = old.Deliver(t.Context(), records(source, 0, 3, 6))
	}
	if got := keys(read(t, brokers, "keytrail.anomalies")); !slices.Equal(got, []string{"k0", "k1", "k2", "k3", "k4", "k5"}) {
		t.Errorf("the target has %q", got)
	}
}

// TestExactlyOnce: processes come and go without ending what they do: at any moment their
// clients are closed, and two of them may own the partitions. Each record arrives once.
func TestExactlyOnce(t *testing.T) {
	brokers := target(t)
	const partitions, each = 3, 300
	var done atomic.Bool
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for !done.Load() {
				one(t, brokers, partitions, each, rand.N(300*time.Millisecond), &done)
			}
		})
	}
	all.Wait()
	counts := map[string]int{}
	for _, m := range read(t, brokers, "keytrail.anomalies") {
		data := &logs.LogsData{}
		if err := proto.Unmarshal(m.value, data); err != nil {
			t.Fatal(err)
		}
		counts[sinktest.IDs(data)[0]]++
	}
	doubled := 0
	for _, n := range counts {
		doubled += n - 1
	}
	if len(counts) != partitions*each || doubled > 0 {
		t.Errorf("the target has %d records, want %d; %d twice", len(counts), partitions*each, doubled)
	}
}

// one is one process: it reads on from its positions, until it dies after some time.
func one(t *testing.T, brokers []string, partitions int32, each int64, life time.Duration, done *atomic.Bool) {
	s := open(t, brokers, "g")
	ctx, cancel := context.WithTimeout(t.Context(), life+200*time.Millisecond)
	defer cancel()
	var list []int32
	for p := range partitions {
		list = append(list, p)
	}
	at, err := s.Positions(ctx, source, list)
	for err == nil && ctx.Err() == nil {
		var batch []sink.Record
		for p := range partitions {
			to := min(each, at[p]+1+rand.N(int64(20)))
			batch = append(batch, records(source, p, at[p], to)...)
		}
		if len(batch) == 0 {
			done.Store(true)
			return
		}
		err = s.Deliver(ctx, batch)
		var known *sink.Duplicate
		if err != nil && !errors.As(err, &known) {
			break
		}
		err = nil
		for _, r := range batch {
			at[r.Partition] = max(at[r.Partition], r.Offset+1)
		}
	}
	// Dead: no abort, no answer.
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.lanes {
		if p.client != nil {
			go p.client.Close()
		}
	}
}

// TestRefusals: the operator's mistakes pause the sink, and a large record goes to the dead
// letter alone.
func TestRefusals(t *testing.T) {
	brokers := target(t)
	s := open(t, brokers, "g")
	batch := records(source, 0, 0, 3)
	batch[1].Value = sinktest.Sized("id-0-1", 2<<20)
	r, err := sink.NewRunner(sink.Options{Name: "mirror", Sink: s, Batch: sink.DefaultBatch(), Retry: sink.DefaultRetry(),
		Log: quiet, DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, why error) error {
			if rec.Offset != 1 || reason != sink.ReasonTooLarge || !strings.Contains(why.Error(), "max_record") {
				t.Errorf("record %d is refused with %s: %v, want record 1 for its size", rec.Offset, reason, why)
			}
			// A process that dies now reads the record again.
			if at, err := open(t, brokers, "g").Positions(t.Context(), source, []int32{0}); err != nil || at[0] != 1 {
				t.Errorf("before the dead letter the position is %v (%v), want 1", at, err)
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Deliver(t.Context(), batch); err != nil {
		t.Error(err)
	}
	if got := keys(read(t, brokers, "keytrail.anomalies")); !slices.Equal(got, []string{"k0", "k2"}) {
		t.Errorf("the target has %q", got)
	}
	c := DefaultConfig()
	c.Brokers, c.Topics.Anomalies, c.Timeout = brokers, "none", 5*time.Second
	missing, err := c.Open(sink.Identity{Group: "m", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer missing.Close()
	if err := missing.Deliver(t.Context(), records(source, 0, 0, 1)); sinktest.Verdict(err) != "paused target" {
		t.Errorf("a missing topic: got %q (%v), want a pause", sinktest.Verdict(err), err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(t.Context(), "keytrail.anomalies")
	if err != nil {
		t.Fatal(err)
	}
	own := sink.Topic{Name: "keytrail.anomalies", ID: topics["keytrail.anomalies"].ID}
	if err := s.Deliver(t.Context(), records(own, 0, 0, 1)); sinktest.Verdict(err) != "paused target" {
		t.Errorf("its own source: got %q (%v), want a pause", sinktest.Verdict(err), err)
	}
	c.Brokers, c.Timeout = []string{"127.0.0.1:1"}, time.Second
	away, err := c.Open(sink.Identity{Group: "m", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if err := away.Deliver(t.Context(), records(source, 0, 0, 1)); sinktest.Verdict(err) != "again" {
		t.Errorf("without brokers: got %q (%v), want a repetition", sinktest.Verdict(err), err)
	}
}
