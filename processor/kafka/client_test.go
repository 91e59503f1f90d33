package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

func TestEnsureTopicsCreatesAndKeeps(t *testing.T) {
	c := start(t)
	bytes, hour := "2000000", "3600000"
	if _, err := c.adm.CreateTopic(t.Context(), 3, 1, map[string]*string{"max.message.bytes": &bytes}, "a"); err != nil {
		t.Fatal(err)
	}
	c.produce("a", 2, "kept")
	// Other wanted settings do not change existing topics; only missing topics are created.
	want := map[string]*string{"retention.ms": &hour}
	got, err := kafka.EnsureTopics(t.Context(), c.cfg, 1, []kafka.Topic{{Name: "a", Partitions: 7, Configs: want}, {Name: "b", Partitions: 2, Configs: want}})
	if err != nil || got["a"] != 3 || got["b"] != 2 || len(got) != 2 {
		t.Fatalf("topics %v, %v", got, err)
	}
	c.holds("a", 2, "kept")
	configs, err := c.adm.DescribeTopicConfigs(t.Context(), "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, r := range configs {
		for _, cfg := range r.Configs {
			if cfg.Value != nil {
				settings[r.Name+" "+cfg.Key] = *cfg.Value
			}
		}
	}
	if settings["a max.message.bytes"] != bytes || settings["a retention.ms"] == hour || settings["b retention.ms"] != hour {
		t.Errorf("settings %v", settings)
	}
}

// Several processes may start at once.
func TestEnsureTopicsAtOnce(t *testing.T) {
	c := start(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := kafka.EnsureTopics(t.Context(), c.cfg, 1, []kafka.Topic{{Name: "a", Partitions: 2}, {Name: "b", Partitions: 5}, {Name: "c", Partitions: 1}})
			if err != nil || got["a"] != 2 || got["b"] != 5 || got["c"] != 1 {
				t.Errorf("topics %v, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func TestEnsureTopicsSaysWhatIsWrong(t *testing.T) {
	c := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := kafka.EnsureTopics(ctx, c.cfg, 3, []kafka.Topic{{Name: "a", Partitions: 1}})
	if err == nil || !strings.Contains(err.Error(), `"a"`) || !strings.Contains(err.Error(), "replication 3") {
		t.Errorf("more replicas than brokers give %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = kafka.EnsureTopics(ctx, kafka.Config{Brokers: []string{nobody}, ClientID: "test", Log: quiet()}, 1, []kafka.Topic{{Name: "a", Partitions: 1}})
	if err == nil || !strings.Contains(err.Error(), nobody) {
		t.Errorf("a broker that is not there gives %v", err)
	}
}

// Two brokers cannot share a directory.
func TestEmbeddedClaimsItsDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/broker"
	b, err := kafka.StartEmbedded(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if two, err := kafka.StartEmbedded(dir, quiet()); err == nil {
		two.Close()
		t.Error("a second broker starts in the same directory")
	}
	c := connect(t, b)
	c.topics(1, "a")
	c.produce("a", 0, "one", "two")
	before, err := c.adm.ListTopics(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	c.cl.Close()
	b.Close()
	if b, err = kafka.StartEmbedded(dir, quiet()); err != nil {
		t.Fatalf("the directory of a closed broker can not be used again: %v", err)
	}
	defer b.Close()
	c.cfg.Brokers = b.Brokers()
	c.holds("a", 0, "one", "two")
	if after, err := connect(t, b).adm.ListTopics(t.Context(), "a"); err != nil || after["a"].ID != before["a"].ID {
		t.Errorf("the topic's id was %v, and is %v, %v", before["a"].ID, after["a"].ID, err)
	}
}

// A key's partition is the one of the client's default partitioner, which all producers
// use.
func TestKeyPartition(t *testing.T) {
	c := start(t)
	c.topics(16, "a")
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.cfg.Brokers...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	hit := map[int32]bool{}
	for i := range 200 {
		r := &kgo.Record{Topic: "a", Key: fmt.Appendf(nil, "key-%d", i)}
		if i == 0 {
			r.Key = []byte{} // no call id, but still a partition
		}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if p := kafka.KeyPartition(r.Key, 16); p != r.Partition {
			t.Errorf("key %q goes to partition %d, want %d", r.Key, p, r.Partition)
		}
		hit[r.Partition] = true
	}
	if len(hit) != 16 {
		t.Errorf("200 keys use %d of 16 partitions", len(hit))
	}
}

func TestReadLogOfNothing(t *testing.T) {
	c := start(t)
	c.topics(2, "a")
	got, err := c.log(t.Context(), "a", 0, 1)
	if err != nil || len(got) != 0 {
		t.Errorf("an empty topic gives %v, %v", got, err)
	}
	if got, err = c.log(t.Context(), "a"); err != nil || len(got) != 0 {
		t.Errorf("no partition gives %v, %v", got, err)
	}
	for _, bad := range []struct {
		topic     string
		partition int32
	}{{"a", 2}, {"nowhere", 0}} {
		if _, err := c.log(t.Context(), bad.topic, bad.partition); err == nil || !strings.Contains(err.Error(), `"`+bad.topic+`"`) {
			t.Errorf("topic %s partition %d gives %v", bad.topic, bad.partition, err)
		}
	}
}

// ReadLog reads every requested partition from its first record to its last, in order.
func TestReadLogReadsAll(t *testing.T) {
	c := start(t)
	c.topics(3, "a")
	want := map[int32][]string{}
	for i := range 300 {
		p := int32(i % 3)
		want[p] = append(want[p], fmt.Sprint(i))
	}
	for p, values := range want {
		c.produce("a", p, values...)
	}
	got, err := c.log(t.Context(), "a", 0, 2)
	if err != nil || !slices.Equal(got[0], want[0]) || !slices.Equal(got[2], want[2]) || len(got) != 2 {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestReadLogStopsAtTheFirstError(t *testing.T) {
	c := start(t)
	c.topics(1, "a")
	c.produce("a", 0, "one", "two", "three")
	own, n := errors.New("not understood"), 0
	err := kafka.ReadLog(t.Context(), c.cfg, "a", []int32{0}, func(*kgo.Record) error {
		if n++; n == 2 {
			return own
		}
		return nil
	})
	if !errors.Is(err, own) || n != 2 {
		t.Errorf("%v after %d records", err, n)
	}
}

// ReadLog returns only committed records, wherever aborted ones stand.
func TestReadLogSkipsTheAborted(t *testing.T) {
	c := start(t)
	c.topics(1, "a", "b", "c")
	c.end(c.transaction("one", "a", 0, "x", "y"), kgo.TryAbort)
	c.holds("a", 0) // nothing else
	c.produce("a", 0, "1")
	c.end(c.transaction("two", "a", 0, "2", "3"), kgo.TryCommit)
	c.end(c.transaction("three", "a", 0, "x"), kgo.TryAbort)
	c.produce("a", 0, "4")
	c.holds("a", 0, "1", "2", "3", "4")
	c.end(c.transaction("four", "a", 0, "x", "y"), kgo.TryAbort)
	c.holds("a", 0, "1", "2", "3", "4") // at the end of the log
	c.end(c.transaction("five", "b", 0, "1"), kgo.TryCommit)
	c.holds("b", 0, "1") // the log ends with a marker
}

// A hanging transaction, whose producer is gone, does not block a restore forever.
func TestReadLogGivesUpOnATransactionThatStaysOpen(t *testing.T) {
	c := start(t)
	c.topics(2, "a")
	c.produce("a", 1, "1")
	open := c.transaction("one", "a", 0, "x")
	c.cfg.Stall = 2 * time.Second
	if _, err := c.log(t.Context(), "a", 0, 1); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "transactions of partitions [0] stay open") {
		t.Errorf("an open transaction gives %v", err)
	}
	c.end(open, kgo.TryCommit)
	c.cfg.Stall = 0
	c.holds("a", 0, "x")
}

// The previous owner may yet commit an open transaction: a restore that does not wait for
// it would restore too little.
func TestReadLogWaitsForOpenTransactions(t *testing.T) {
	c := start(t)
	c.topics(1, "commit", "abort")
	for topic, try := range map[string]kgo.TransactionEndTry{"commit": kgo.TryCommit, "abort": kgo.TryAbort} {
		c.produce(topic, 0, "1")
		open := c.transaction(topic, topic, 0, "2", "3")
		c.produce(topic, 0, "4") // after the open one

		soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		got, err := c.log(soon, topic, 0)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || len(got[0]) > 1 {
			t.Fatalf("with an open transaction ReadLog gives %q, %v", got[0], err)
		}
		type answer struct {
			got map[int32][]string
			err error
		}
		waiting := make(chan answer, 1)
		go func() {
			got, err := c.log(t.Context(), topic, 0)
			waiting <- answer{got, err}
		}()
		c.end(open, try)
		want := []string{"1", "2", "3", "4"}
		if try == kgo.TryAbort {
			want = []string{"1", "4"}
		}
		if a := <-waiting; a.err != nil || !slices.Equal(a.got[0], want) {
			t.Errorf("after the end (commit %v) ReadLog gives %q, %v; want %q", try, a.got[0], a.err, want)
		}
	}
}

// ReadLog does not wait for records that retention has deleted.
func TestReadLogAfterDeletion(t *testing.T) {
	c := start(t)
	c.topics(1, "a")
	c.produce("a", 0, "1", "2", "3", "4")
	drop := func(to int64) {
		t.Helper()
		offsets, err := c.adm.ListEndOffsets(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		list := offsets.Offsets()
		list["a"][0] = kadm.Offset{Topic: "a", At: to, LeaderEpoch: list["a"][0].LeaderEpoch}
		if _, err := c.adm.DeleteRecords(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	drop(2)
	c.holds("a", 0, "3", "4")
	drop(4)
	c.holds("a", 0)
}
