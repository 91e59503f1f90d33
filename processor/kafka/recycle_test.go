package kafka_test

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// TestTransactUsesMemoryAgain checks that memory of processed records is reused, and that
// each record stays intact while it is processed.
func TestTransactUsesMemoryAgain(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	const n, size = 30, 100_000
	value := func(i int64) string { return strings.Repeat(string(rune('a'+i%26)), size) }
	var held [][]byte // keeps the garbage collector from giving the memory to others
	again, at := 0, map[*byte]bool{}
	s := c.run("one", func(_ *kafka.Transact, e *echo) {
		e.onProcess = func(r *kgo.Record) error {
			if string(r.Value) != value(r.Offset) {
				t.Errorf("the record at %d is not what was written", r.Offset)
			}
			p := unsafe.SliceData(r.Value)
			if at[p] {
				again++
			}
			at[p], held = true, append(held, r.Value)
			r.Value = []byte("seen") // short, because nobody reads it
			return nil
		}
	})
	for i := range int64(n) { // one by one: records of one fetch cannot share memory
		c.produce("in", 0, value(i))
		s.wait("it is processed", func() bool { return s.seen > int(i) })
	}
	s.stop()
	if again < n/3 {
		t.Errorf("%d of %d records were in memory that was used before, in %d places", again, len(held), len(at))
	}
}
