package kafka_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// A partition with an open transaction has lag, though its records cannot be read yet.
// Once all is read the lag is 0, also if the log ends with a marker.
func TestLag(t *testing.T) {
	c := start(t)
	c.topics(2, "in", "out")
	c.produce("in", 0, "1", "2")
	open := c.transaction("open", "in", 0, "3", "4")
	s := c.run("one", func(*kafka.Transact, *echo) {})
	c.waitCommitted("g", "in", 0, 2)
	s.wait("the lag is that of the open transaction", func() bool { return s.behind[0] == 2 && s.behind[1] == 0 })
	c.end(open, kgo.TryCommit)
	s.wait("there is no lag", func() bool { return s.seen >= 4 && s.behind[0] == 0 })
	c.end(c.transaction("aborted", "in", 1, "x"), kgo.TryAbort)
	time.Sleep(1500 * time.Millisecond) // so that the lag is measured with the marker at the end
	s.wait("an aborted transaction is no lag", func() bool { return s.behind[1] == 0 })
	s.stop()
	s = c.run("two", func(*kafka.Transact, *echo) {})
	s.wait("there is none after a restart, with nothing read", func() bool { return s.behind != nil && s.behind[0] == 0 && s.behind[1] == 0 })
	s.stop()
	c.echoed(map[int32][]string{0: {"1", "2", "3", "4"}})
}
