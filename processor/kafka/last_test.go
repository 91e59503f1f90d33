package kafka_test

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// A draining stop also commits positions that have moved on without records, such as over
// the marker of an aborted transaction. Otherwise offsets that expire behind a position
// before the next start would count as lost.
func TestDrainCommitsBehindMarkers(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	c.produce("in", 0, "v0")
	s := c.run("one", func(t *kafka.Transact, _ *echo) { t.Drain = patience })
	c.waitCommitted("g", "in", 0, 1)
	open := c.transaction("other", "in", 0, "aborted") // offset 1
	s.wait("it is told that it is behind", func() bool { return s.behind[0] > 0 })
	s.cancel() // it drains until the transaction has ended
	c.end(open, kgo.TryAbort)
	if err := s.end(); err != nil {
		t.Error(err)
	}
	ends, err := c.adm.ListEndOffsets(context.Background(), "in")
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup("in", 0)
	if got := c.committed("g", "in", 0); got != end.Offset || end.Offset != 3 {
		t.Errorf("the position that is committed is %d, and the partition ends at %d, want 3", got, end.Offset)
	}
	c.echoed(map[int32][]string{0: {"v0"}})
}
