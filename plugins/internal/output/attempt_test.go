package output

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestAttemptWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAttempt(&ledger{})
		if err := a.wait(context.Background()); err != nil {
			t.Errorf("with nothing in flight: %v", err)
		}
		a.add()
		a.add()
		var got error
		ended := false
		go func() { got = a.wait(t.Context()); ended = true }()
		a.done(unit{slot: noSlot}, nil)
		synctest.Wait()
		if ended {
			t.Error("it did not wait for the second record")
		}
		a.done(unit{slot: noSlot}, nil)
		synctest.Wait()
		if !ended || got != nil {
			t.Errorf("ended %v with %v", ended, got)
		}
	})
}

// A refused unit does not end the waiting for others. It is given out in the order of the
// chunk, to be produced again, and the reason stays until Kafka has taken it.
func TestAttemptRefused(t *testing.T) {
	a := newAttempt(&ledger{})
	first, second := a.add(), a.add()
	a.end(10)
	third := a.add()
	why := errors.New("refused")
	a.done(third, why)
	a.done(first, why)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.wait(ctx); err != context.Canceled {
		t.Errorf("got %v while the second is in flight, want the context's error", err)
	}
	a.done(second, nil)
	if err := a.wait(context.Background()); err != nil {
		t.Errorf("got %v when all are answered", err)
	}
	if _, failed := a.state(); failed != why {
		t.Errorf("failed is %v", failed)
	}
	list := a.takeRefused()
	if want := []unit{{0, 1, noSlot}, {10, 1, noSlot}}; !slices.Equal(list, want) {
		t.Errorf("to be produced again are %v, want %v", list, want)
	}
	a.repeat()
	a.giveBack(list[1:])
	a.done(list[0], nil)
	if _, failed := a.state(); failed != why || len(a.takeRefused()) != 1 {
		t.Errorf("failed is %v, want the reason of what was given back", failed)
	}
	if pending, failed := a.state(); pending != 0 || failed != nil {
		t.Errorf("%d in flight, failed %v", pending, failed)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	var s attempts
	first := []byte("chunk 0")
	a := newAttempt(&ledger{})
	a.pos = 7
	s.keep(first, a, time.Now())
	s.keep(first, newAttempt(&ledger{}), time.Now()) // the same content: the first memory stays
	if got := s.take(first); got != a {
		t.Error("an attempt was not found again")
	}
	if got := s.take(first); got == a {
		t.Error("an attempt was given out twice")
	}
	for i := range maxAttempts + 10 {
		s.keep(fmt.Appendf(nil, "chunk %d", i), a, time.Now())
	}
	if len(s.byKey) != maxAttempts || len(s.order) != maxAttempts {
		t.Errorf("%d attempts and %d in order, the bound is %d", len(s.byKey), len(s.order), maxAttempts)
	}
	if got := s.take(first); got == a {
		t.Error("the oldest was not the one to go")
	}
	if got := s.take([]byte("chunk 10")); got != a {
		t.Error("a younger one went")
	}
}
