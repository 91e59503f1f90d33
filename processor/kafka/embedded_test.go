package kafka_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// TestEmbeddedAborted checks that no reader sees an aborted record as committed, however
// few records fit into a response.
func TestEmbeddedAborted(t *testing.T) {
	e, err := kafka.StartEmbedded("", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const partitions, rounds = 4, 30
	c := kafka.Config{Brokers: e.Brokers()}
	if _, err := kafka.EnsureTopics(ctx, c, 1, []kafka.Topic{{Name: "t", Partitions: partitions}}); err != nil {
		t.Fatal(err)
	}
	producer, err := kgo.NewClient(append(c.Options(), kgo.TransactionalID("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for round := range rounds {
		word, end := "committed", kgo.TryCommit
		if round%2 == 0 {
			word, end = "aborted", kgo.TryAbort
		}
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for p := range int32(partitions) {
			r := &kgo.Record{Topic: "t", Partition: p, Value: []byte(word + strings.Repeat(".", 1000))}
			if err := producer.ProduceSync(ctx, r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := producer.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	for most := int32(1000); most < 12_000; most += 700 {
		committed := aborted(t, ctx, c, most, partitions*rounds/2)
		if committed != partitions*rounds/2 {
			t.Errorf("%d bytes a fetch: %d records, want %d", most, committed, partitions*rounds/2)
		}
	}
}

// aborted reads want committed records in small fetches, and fails the test on every
// aborted record.
func aborted(t *testing.T, ctx context.Context, c kafka.Config, most int32, want int) (committed int) {
	cl, err := kgo.NewClient(append(c.Options(), kgo.ConsumeTopics("t"), kgo.FetchMaxBytes(most), kgo.FetchMaxPartitionBytes(most))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for committed < want {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if text := string(r.Value[:9]); text != "committed" {
				t.Fatalf("%d bytes a fetch: offset %d of partition %d was %s", most, r.Offset, r.Partition, text)
			}
			committed++
		}
	}
	return committed
}
