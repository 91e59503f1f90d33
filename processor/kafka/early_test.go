package kafka_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// early makes a stage write each record as soon as it is processed, and end its
// transactions after three.
func early(t *kafka.Transact, e *echo) {
	n, committed := 0, 0
	t.Early = func(emit func(*kgo.Record)) {
		e.mu.Lock()
		defer e.mu.Unlock()
		n++
		for _, r := range e.out {
			emit(r)
		}
		e.out = nil
	}
	t.Room = func() int {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.commits+len(e.calls) != committed { // a transaction has ended, by commit or abort
			n, committed = 0, e.commits+len(e.calls)
		}
		return 3 - n
	}
}

// Early output is part of the transaction, and a stage without room ends it.
func TestEarlyIsPartOfTheTransaction(t *testing.T) {
	c := start(t)
	c.topics(1, "in", "out")
	c.produce("in", 0, values(0, 30)...)
	s := c.run("one", func(t *kafka.Transact, e *echo) { t.Interval = patience; early(t, e) })
	c.waitCommitted("g", "in", 0, 30)
	s.stop()
	c.echoed(map[int32][]string{0: values(0, 30)})
	if s.commits < 8 { // the first transaction may have had room twice, before and after the assignment
		t.Errorf("%d commits of 30 records, where there is room for 3", s.commits)
	}
}

// Early output of a failed transaction is never visible.
func TestEarlyIsAborted(t *testing.T) {
	own := errors.New("a frame is missing")
	c := start(t)
	c.topics(1, "in", "out")
	c.produce("in", 0, values(0, 10)...)
	s := c.run("one", func(t *kafka.Transact, e *echo) {
		t.Interval = patience
		early(t, e)
		t.Room = nil
		e.onProcess = func(r *kgo.Record) error {
			if string(r.Value) == "v5" {
				return own
			}
			return nil
		}
	})
	if err := s.end(); !errors.Is(err, own) {
		t.Errorf("the stage ends with %v", err)
	}
	c.holds("out", 0)
}
