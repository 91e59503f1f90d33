package kafka_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// values are n different values.
func values(from, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("v", from+i))
	}
	return list
}

// echoed checks that topic "out" has the values of topic "in", each once and in order, by
// partition.
func (c *cluster) echoed(want map[int32][]string) {
	c.t.Helper()
	for p, list := range want {
		numbered := make([]string, len(list))
		for i, v := range list {
			numbered[i] = fmt.Sprint(i, " ", v)
		}
		c.holds("out", p, numbered...)
	}
}

// Input offsets and output commit together; after a restart the stage continues where it
// was.
func TestTransactCommits(t *testing.T) {
	c := start(t)
	c.topics(2, "in", "out")
	want := map[int32][]string{0: values(0, 40), 1: values(100, 30)}
	c.produce("in", 0, want[0][:20]...)
	c.produce("in", 1, want[1]...)
	s := c.run("one", func(t *kafka.Transact, _ *echo) { t.Records = 7 }) // several transactions
	// Not by the number of processed records: a rebalance may come at any time and
	// repeats uncommitted ones.
	c.waitCommitted("g", "in", 0, 20)
	c.waitCommitted("g", "in", 1, 30)
	s.stop()
	c.echoed(map[int32][]string{0: want[0][:20], 1: want[1]})
	c.produce("in", 0, want[0][20:]...)
	s = c.run("two", func(*kafka.Transact, *echo) {})
	c.waitCommitted("g", "in", 0, 40)
	s.stop()
	c.echoed(want)
	if !slices.Contains(s.calls, "assign [0 1]") || s.calls[len(s.calls)-1] != "revoke [0 1]" {
		t.Errorf("calls %q", s.calls)
	}
}

// A graceful stop ends the current transaction, however much of its interval is left.
func TestGracefulStopCommits(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	c.produce("in", 0, values(0, 10)...)
	for done := false; !done; {
		s := c.run("one", func(t *kafka.Transact, _ *echo) { t.Interval = time.Hour })
		s.wait("all is processed", func() bool { return s.seen >= 10 })
		if got := c.committed("g", "in", 0); got > 0 {
			t.Fatalf("offset %d before the end of the transaction", got)
		}
		s.stop()
		// The group may change at the same time, which aborts the transaction.
		done = !s.has("aborted")
	}
	c.echoed(map[int32][]string{0: values(0, 10)})
	if got := c.committed("g", "in", 0); got != 10 {
		t.Errorf("offset %d, want 10", got)
	}
}

// An error of the processor ends the stage, and its transaction is never visible.
func TestProcessorErrorEndsTheStage(t *testing.T) {
	own := errors.New("a frame is missing")
	for _, f := range []struct {
		name string
		edit func(*echo)
	}{
		{"Process", func(e *echo) {
			e.onProcess = func(r *kgo.Record) error {
				if string(r.Value) == "v5" {
					return own
				}
				return nil
			}
		}},
		{"Output", func(e *echo) {
			e.onOutput = func() error {
				if e.seen >= 10 {
					return own
				}
				return nil
			}
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			c := start(t)
			c.topics(1, "in", "out")
			c.produce("in", 0, values(0, 10)...)
			s := c.run("one", func(t *kafka.Transact, e *echo) { t.Interval, t.Records = patience, 10; f.edit(e) })
			if err := s.end(); !errors.Is(err, own) || !strings.Contains(err.Error(), "stage g") {
				t.Errorf("the stage ends with %v", err)
			}
			c.holds("out", 0)
			if got := c.committed("g", "in", 0); got > 0 {
				t.Errorf("offset %d is committed", got)
			}
			if n := len(s.calls); n < 2 || s.calls[n-2] != "aborted" || s.calls[n-1] != "revoke [0]" {
				t.Errorf("calls %q", s.calls)
			}
		})
	}
}

// Unreadable state is retried, as Kafka may be at fault. Meanwhile the records wait, and
// each time the processor learns that it owns nothing.
func TestAssignIsTriedAgain(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	c.produce("in", 0, values(0, 5)...)
	failures := 2
	s := c.run("one", func(_ *kafka.Transact, e *echo) {
		e.onAssign = func() error {
			if failures--; failures >= 0 {
				return errors.New("not readable")
			}
			return nil
		}
	})
	c.waitCommitted("g", "in", 0, 5)
	s.stop()
	c.echoed(map[int32][]string{0: values(0, 5)})
	for i, call := range s.calls {
		if call == "assign failed" && s.calls[i+1] != "revoke [0]" {
			t.Errorf("partition 0 could not be restored, and is not revoked: %q", s.calls)
		}
	}
	if !s.has("assign failed") {
		t.Errorf("no restore failed: %q", s.calls)
	}
}

func TestGiveUpWhenStateCanNotBeRestored(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	own := errors.New("not readable")
	// The group's first assignment may take longer than GiveUp, which also counts as no
	// progress: then retry with more patience.
	for giveUp := time.Second; ; giveUp *= 2 {
		s := c.run("one", func(t *kafka.Transact, e *echo) {
			t.GiveUp = giveUp
			e.onAssign = func() error { return own }
		})
		err := s.end()
		if errors.Is(err, own) && strings.Contains(err.Error(), "stage g: no progress") {
			return
		}
		if giveUp > patience/4 {
			t.Fatalf("the stage ends with %v", err)
		}
	}
}

// A long restore may exceed GiveUp; it counts as progress, and a failure after it is
// retried.
func TestLongRestoreIsProgress(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	c.produce("in", 0, "v0")
	restored, failed := false, false
	s := c.run("one", func(t *kafka.Transact, e *echo) {
		t.GiveUp = 4 * time.Second
		e.onAssign = func() error {
			if !restored {
				time.Sleep(t.GiveUp + time.Second)
			}
			restored = true
			return nil
		}
		e.onProcess = func(r *kgo.Record) error {
			if !failed {
				r.Value = []byte(strings.Repeat("x", 2<<20))
			}
			failed = true
			return nil
		}
	})
	c.waitCommitted("g", "in", 0, 1)
	s.stop()
	c.holds("out", 0, "0 v0")
}

// A record that Kafka never accepts ends the stage, even if the group is healthy.
func TestGiveUpWhenNothingCanBeWritten(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	c.produce("in", 0, "v0")
	s := c.run("one", func(t *kafka.Transact, e *echo) {
		t.GiveUp = 3 * time.Second
		e.onProcess = func(r *kgo.Record) error {
			r.Value = []byte(strings.Repeat("x", 2<<20))
			return nil
		}
	})
	err := s.end()
	if err == nil || !strings.Contains(err.Error(), "cannot write") || !strings.Contains(err.Error(), "stage g: no ") {
		t.Errorf("the stage ends with %v", err)
	}
	c.echoed(nil)
	if got := c.committed("g", "in", 0); got > 0 {
		t.Errorf("offset %d is committed", got)
	}
}

// A second member takes over partitions. The current transaction is aborted, the state
// goes back to the last commit, and no record is echoed twice or lost.
func TestRebalanceAbortsAndAssignsAgain(t *testing.T) {
	c := start(t)
	c.topics(4, "in", "out")
	want := map[int32][]string{}
	feed := func(n int) {
		for p := range int32(4) {
			more := values(len(want[p]), n)
			c.produce("in", p, more...)
			want[p] = append(want[p], more...)
		}
	}
	feed(10)
	one := c.run("one", func(*kafka.Transact, *echo) {})
	one.wait("the first has processed all", func() bool { return one.seen >= 40 })
	two := c.run("two", func(*kafka.Transact, *echo) {})
	// The first is working when the group revokes its partitions.
	for end := time.Now().Add(patience); !one.has("aborted"); feed(1) {
		if time.Now().After(end) {
			t.Fatal("nothing is aborted")
		}
	}
	two.wait("the second has partitions", func() bool { return len(two.count) == 2 })
	one.wait("the first has the other ones", func() bool { return len(one.count) == 2 })
	// Repeatedly: the group may still be rebalancing, and then the first processes the
	// records.
	before := two.saw()
	for end := time.Now().Add(patience); two.saw() < before+20; feed(1) {
		if time.Now().After(end) {
			t.Fatalf("the second does not work; its calls were %q", two.calls)
		}
	}
	one.mu.Lock()
	at := slices.Index(one.calls, "aborted")
	rest := slices.Clone(one.calls[at:])
	one.mu.Unlock()
	if !slices.ContainsFunc(rest, func(s string) bool { return strings.HasPrefix(s, "assign") }) {
		t.Errorf("after the abort nothing was assigned again: %q", rest)
	}
	one.stop()
	two.wait("the second has all", func() bool { return len(two.count) == 4 })
	feed(5)
	// Not by the number of processed records: the second also gets the first's uncommitted ones.
	for p, list := range want {
		c.waitCommitted("g", "in", p, int64(len(list)))
	}
	two.stop()
	for p, list := range want {
		if got := c.committed("g", "in", p); got != int64(len(list)) {
			t.Errorf("partition %d: offset %d, want %d", p, got, len(list))
		}
	}
	c.echoed(want)
}

// Without a broker the stage ends, so that the process can be restarted. A stage in the
// middle of a commit would end half a minute later.
func TestGiveUpWithoutABroker(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	c.produce("in", 0, values(0, 5)...)
	s := c.run("one", func(t *kafka.Transact, _ *echo) { t.GiveUp = patience / 3 })
	c.waitCommitted("g", "in", 0, 5)
	s.wait("nothing is left to commit", func() bool { return s.commits > 2 })
	c.broker.Close()
	if err := s.end(); err == nil || !strings.Contains(err.Error(), "stage g: no progress") {
		t.Errorf("the stage ends with %v", err)
	}
}

// The state of an entity may exceed Kafka's default record limit.
func TestTransactWritesLargeRecords(t *testing.T) {
	c := start(t)
	c.topics(1, "in")
	bound := fmt.Sprint(kafka.MaxBatchBytes)
	if _, err := c.adm.CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &bound}, "out"); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", kafka.MaxBatchBytes-1000)
	c.produce("in", 0, "v0")
	s := c.run("one", func(t *kafka.Transact, e *echo) {
		t.LargeTopic = "out"
		e.onProcess = func(r *kgo.Record) error { r.Value = []byte(large); return nil }
	})
	c.waitCommitted("g", "in", 0, 1)
	s.stop()
	c.holds("out", 0, "0 "+large)
}
