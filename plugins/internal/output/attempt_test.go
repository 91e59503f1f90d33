package output

import (
	"context"
	"errors"
	"fmt"
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
		a.done(noSlot, nil)
		synctest.Wait()
		if ended {
			t.Error("it did not wait for the second record")
		}
		a.done(noSlot, nil)
		synctest.Wait()
		if !ended || got != nil {
			t.Errorf("ended %v with %v", ended, got)
		}
	})
}

func TestAttemptFails(t *testing.T) {
	a := newAttempt(&ledger{})
	a.add()
	a.add()
	want := errors.New("first")
	a.done(noSlot, want)
	a.done(noSlot, errors.New("second"))
	if err := a.wait(context.Background()); err != want {
		t.Errorf("got %v, want the first failure", err)
	}
	a = newAttempt(&ledger{})
	a.add()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.wait(ctx); err != context.Canceled {
		t.Errorf("got %v, want the context's error", err)
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
