package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/kafka"
)

// stated is an echo with its position in its state.
type stated struct {
	*echo
	at kafka.Position
	ok bool
}

func (s *stated) Position(int32) (kafka.Position, bool)      { return s.at, s.ok }
func (s *stated) Starts(int32, int64)                        {}
func (s *stated) Expired(int32, int64, int64)                {}
func (s *stated) Read(next map[int32]kafka.Position, _ bool) { s.at, s.ok = next[0], true }

// Wherever state, group and log stand, reading continues where the state says, never
// before it and never silently after it. A contradiction is an error.
func TestBegin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	tr := kafka.Transact{Topic: "in", Group: "g", State: "log"}
	for range 20_000 {
		s := stated{at: kafka.Position{Offset: rng.Int64N(20), Epoch: 3}, ok: rng.IntN(3) > 0}
		group := kafka.Position{Offset: rng.Int64N(21) - 1, Epoch: 2}
		start := rng.Int64N(20)
		end := start + rng.Int64N(20)
		what := fmt.Sprintf("state %v %v, group %v, log [%d, %d)", s.at, s.ok, group, start, end)
		at, expired, err := tr.Begin(&s, 0, group, start, end)
		missing := !s.ok && group.Offset >= 0 || s.ok && group.Offset > s.at.Offset
		switch {
		case missing:
			if !errors.Is(err, kafka.ErrStateMissing) {
				t.Fatalf("%s: %v", what, err)
			}
		case s.ok && s.at.Offset > end:
			if !errors.Is(err, kafka.ErrCut) {
				t.Fatalf("%s: %v", what, err)
			}
		case s.ok:
			if err != nil || at != s.at || expired != (at.Offset < start) {
				t.Fatalf("%s: %v, %v, %v", what, at, expired, err)
			}
		default: // the first time
			if err != nil || at.Offset != start || expired {
				t.Fatalf("%s: %v, %v, %v", what, at, expired, err)
			}
		}
		at, expired, err = tr.Begin(s.echo, 0, group, start, end) // the group decides without state
		switch {
		case group.Offset > end:
			if !errors.Is(err, kafka.ErrCut) {
				t.Fatalf("without state, %s: %v", what, err)
			}
		case err != nil || group.Offset >= 0 && at != group || group.Offset < 0 && at.Offset != start || expired != (group.Offset >= 0 && group.Offset < start):
			t.Fatalf("without state, %s: %v, %v, %v", what, at, expired, err)
		}
	}
}

// starting is an echo that tells the starts of its logs.
type starting struct {
	stated
	starts chan int64
}

func (s *starting) Position(int32) (at kafka.Position, ok bool) { return at, false }
func (s *starting) Starts(_ int32, offset int64)                { s.starts <- offset }
func (s *starting) Read(map[int32]kafka.Position, bool)         {}

// A log whose first transactions were aborted has lost nothing. One whose records were
// deleted has.
func TestStartsOfLogs(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	c.end(c.transaction("aborted", "in", 0, "x", "y"), kgo.TryAbort)
	c.produce("in", 0, values(0, 3)...)
	first := func(group string) int64 {
		ctx, cancel := context.WithCancel(t.Context())
		s := &starting{stated{echo: newEcho(c)}, make(chan int64, 100)}
		tr := &kafka.Transact{Kafka: c.cfg, Group: group, Topic: "in", TransactionID: group, Interval: 30 * time.Millisecond,
			Records: 1000, GiveUp: patience}
		ended := make(chan error, 1)
		go func() { ended <- tr.Run(ctx, s) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		select {
		case offset := <-s.starts:
			return offset
		case <-time.After(patience):
			t.Fatal("no partition is assigned")
			return 0
		}
	}
	if got := first("g"); got != 0 {
		t.Errorf("after an aborted transaction the log starts at %d", got)
	}
	var to kadm.Offsets
	to.AddOffset("in", 0, 4, -1)
	if done, err := c.adm.DeleteRecords(t.Context(), to); err != nil || done.Error() != nil {
		t.Fatal(err, done.Error())
	}
	if got := first("h"); got != 4 {
		t.Errorf("after records were deleted the log starts at %d", got)
	}
}

// A member that the group has evicted, unknown to itself, writes an output without input.
// The group does not know its generation, so no reader sees the output.
func TestOutputWithoutRecordsIsFenced(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	c.produce("in", 0, "v0")
	var s *stage
	lost := false
	s = c.run("one", func(_ *kafka.Transact, e *echo) {
		e.onOutput = func() error {
			if len(e.out) > 0 || e.seen == 0 || e.commits == 0 || lost {
				return nil
			}
			lost = true
			// The check of the generation still succeeds; from here on the process stands still.
			groups, err := c.adm.DescribeGroups(t.Context(), "g")
			if err != nil {
				return err
			}
			for _, m := range groups["g"].Members {
				req := kmsg.NewPtrLeaveGroupRequest()
				member := kmsg.NewLeaveGroupRequestMember()
				member.MemberID = m.MemberID
				req.Group, req.MemberID, req.Members = "g", m.MemberID, append(req.Members, member)
				if _, err := req.RequestWith(t.Context(), c.cl); err != nil {
					return err
				}
			}
			e.out = append(e.out, &kgo.Record{Topic: "out", Partition: 0, Value: []byte("of a zombie")})
			return nil
		}
	})
	c.waitCommitted("g", "in", 0, 1)
	s.wait("the output is refused", func() bool {
		for _, call := range s.calls {
			if call == "aborted" {
				return true
			}
		}
		return false
	})
	s.wait("it owns the partition again", func() bool { return len(s.count) == 1 })
	c.produce("in", 0, "v1")
	c.waitCommitted("g", "in", 0, 2)
	s.stop()
	c.holds("out", 0, "0 v0", "1 v1")
}

// Expired records are reported once, and a log that ends before the position ends the
// stage.
func TestLogsThatLoseRecords(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	c.produce("in", 0, values(0, 10)...)
	s := c.run("one", func(*kafka.Transact, *echo) {})
	c.waitCommitted("g", "in", 0, 10)
	s.stop()
	c.produce("in", 0, values(10, 10)...)
	var to kadm.Offsets
	to.AddOffset("in", 0, 15, -1)
	if done, err := c.adm.DeleteRecords(t.Context(), to); err != nil || done.Error() != nil {
		t.Fatal(err, done.Error())
	}
	var told []string
	run := func() *stage {
		return c.run("two", func(t *kafka.Transact, _ *echo) {
			t.Expired = func(p int32, from, to int64) { told = append(told, fmt.Sprint(p, from, to)) }
		})
	}
	s = run()
	c.waitCommitted("g", "in", 0, 20)
	s.stop()
	s = run()
	s.wait("it is there again", func() bool { return len(s.count) == 1 })
	s.stop()
	if fmt.Sprint(told) != "[0 10 15]" {
		t.Errorf("told are %q", told)
	}
	// An offset after the end, as after an unclean election.
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var o kadm.Offsets
		o.AddOffset("in", 0, 27, -1)
		if done, err := c.adm.CommitOffsets(t.Context(), "g", o); err == nil && done.Error() == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	s = c.run("three", func(*kafka.Transact, *echo) {})
	if err := s.end(); !errors.Is(err, kafka.ErrCut) || !strings.Contains(err.Error(), `"in" partition 0 ends at offset 20`) {
		t.Errorf("the stage ends with %v", err)
	}
}
