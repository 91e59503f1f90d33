package kafka

import (
	"context"
	"slices"
	"testing"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

// TestPartsAdvance: a batch of several partitions in which one is refused does not reach the
// bound of attempts, and a pause that all of them meet is a pause.
func TestPartsAdvance(t *testing.T) {
	brokers := target(t)
	s := open(t, brokers, "g")
	batch := append(records(source, 0, 0, 4), records(source, 1, 0, 4)...)
	batch[2].Value = sinktest.Sized("id-0-2", 2<<20)
	var dead []int64
	r, err := sink.NewRunner(sink.Options{Name: "mirror", Sink: s, Batch: sink.DefaultBatch(), Log: quiet,
		Retry: sink.Retry{Base: time.Millisecond, Cap: time.Millisecond, MaxAttempts: 1},
		DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, why error) error {
			if dead = append(dead, rec.Offset); reason != sink.ReasonTooLarge {
				t.Errorf("record %d of partition %d is refused with %s: %v", rec.Offset, rec.Partition, reason, why)
			}
			return nil
		}})
	if err == nil {
		err = r.Deliver(t.Context(), batch)
	}
	if err != nil || !slices.Equal(dead, []int64{2}) {
		t.Errorf("dead letters %v (%v), want record 2", dead, err)
	}
	if got := read(t, brokers, "keytrail.anomalies"); len(got) != 7 {
		t.Errorf("the target has %d records, want 7", len(got))
	}
	c := DefaultConfig()
	c.Brokers, c.Topics.Anomalies, c.Timeout = brokers, "none", 5*time.Second
	missing, err := c.Open(sink.Identity{Group: "m", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer missing.Close()
	two := append(records(source, 0, 0, 1), records(source, 1, 0, 1)...)
	if err := missing.Deliver(t.Context(), two); sinktest.Verdict(err) != "paused target" {
		t.Errorf("a missing topic: got %q (%v), want a pause", sinktest.Verdict(err), err)
	}
}

// TestRelease: a sink has no client of a partition that is another process's, also if the
// revocation comes while it writes.
func TestRelease(t *testing.T) {
	s := open(t, target(t), "g")
	var held []*producer
	for partition := range int32(3) {
		if err := s.Deliver(t.Context(), records(source, partition, 0, 3)); err != nil {
			t.Fatal(err)
		}
		held = append(held, s.of(lane{source.Name, source.ID, partition}))
	}
	held[1].mu.Lock() // it writes
	s.Release(source, []int32{0, 1, 7})
	if len(s.lanes) != 1 || held[0].client != nil || held[1].client == nil || held[2].client == nil {
		t.Errorf("%d partitions are left; clients %v, %v, %v", len(s.lanes), held[0].client, held[1].client, held[2].client)
	}
	held[1].mu.Unlock()
	if _, err := held[1].deliver(t.Context(), records(source, 1, 3, 5), []int{0, 1}); err != nil || held[1].client != nil {
		t.Errorf("after the end of the write: %v, client %v", err, held[1].client)
	}
	if found, err := s.Positions(t.Context(), source, []int32{0, 1, 2}); err != nil || found[0] != 3 || found[1] != 5 || found[2] != 3 {
		t.Errorf("the positions are %v (%v)", found, err)
	}
}
