package stream

import (
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/generate"
	"keytrail/processor/kafka/kafkatest"
)

// A real Kafka compacts the log of counted calls while it grows: old heads and tombstones
// go, and the rest is the whole state. Then all calls come a second time and count once.
// The embedded broker compacts once an hour, and not soundly.
func TestCompactedStateIsWhole(t *testing.T) {
	if os.Getenv(kafkatest.Variable) != "real" {
		t.Skip("SKIPPED TestCompactedStateIsWhole: compaction is NOT tested: it needs a real Kafka, make integration")
	}
	b := broker(t)
	p := pipeline(t, b)
	if err := p.MakeTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	var often []kadm.AlterConfig
	for name, value := range map[string]string{"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0", "min.compaction.lag.ms": "0"} {
		often = append(often, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
	}
	adm := admin(t, b)
	for _, topic := range []string{p.Topics.Dedup, p.Topics.State} {
		if done, err := adm.AlterTopicConfigs(t.Context(), often, topic); err != nil || done[0].Err != nil {
			t.Fatal(err, done[0].Err)
		}
	}
	records := trail(t, generate.Config{Seed: 23, Start: time.Now().Add(-50 * time.Hour), Duration: 48 * time.Hour, Events: 3000})
	stop := start(t, p, counting)
	compacted := func() bool {
		n := int64(0)
		readTopic(t, b, p.Topics.Dedup, p.Partitions[p.Topics.Dedup], func(*kgo.Record) error { n++; return nil })
		ends, err := adm.ListCommittedOffsets(t.Context(), p.Topics.Dedup)
		if err != nil {
			return false
		}
		all := int64(0)
		ends.Each(func(o kadm.ListedOffset) { all += o.Offset })
		return all > 60 && n < all/3 // half of the offsets are transaction markers
	}
	for i := 0; i < len(records); {
		next := min(i+300, len(records))
		produce(t, b, p.Topics.Raw, records[i:next])
		i = next
		time.Sleep(time.Second) // a segment for each
	}
	caughtUp(t, b, p)
	again := 0
	waitFor(t, "the log is compacted", func() bool {
		produce(t, b, p.Topics.Raw, records[again%100:again%100+1]) // a head, so that segments are closed
		again++
		time.Sleep(time.Second)
		return compacted()
	})
	stop()
	deleteGroups(t, b, "test-normalize") // everything comes once more
	p = pipeline(t, b)
	stop = start(t, p, counting)
	caughtUp(t, b, p)
	stop()
	start(t, closing(t, b), counting)
	eventually(t, b, expected(t, records, p.Window.Detect.Size))
}
