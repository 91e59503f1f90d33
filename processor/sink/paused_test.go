package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A sink whose token expired for a day loses nothing, says so once a minute with the time
// at which the oldest record expires, and goes on by itself within two minutes.
func TestPausedSinkLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mended := time.Now().Add(24 * time.Hour)
		expires := time.Now().Add(7 * 24 * time.Hour)
		expired := &Paused{Cause: CauseCredentials, Err: errors.New("status 401: token expired")}
		var states []Status
		b := newBench(t, func(o *Options) {
			o.Retry.MaxAttempts, o.Retry.MaxElapsed = 3, time.Minute // bounds are for a sink that fails
			o.Expires = func() (time.Time, bool) { return expires, true }
			o.Watch = func(s Status) { states = append(states, s) }
		}, func(int, []Record) error {
			if time.Now().Before(mended) {
				return expired
			}
			return nil
		})
		if err := b.Deliver(t.Context(), records(3, 10)); err != nil {
			t.Fatal(err)
		}
		if late := time.Since(mended); late > 2*time.Minute {
			t.Errorf("it went on %v after it was mended", late)
		}
		if len(b.dead) > 0 || b.counts["delivered"] != 3 {
			t.Errorf("dead letters %v, counts %v; want none, and all delivered", b.dead, b.counts)
		}
		lines := strings.Split(strings.TrimSpace(b.log.String()), "\n")
		if n := len(lines); n < 24*60/2 || n > 24*60+2 {
			t.Errorf("%d lines in a day, want about one a minute", n)
		}
		for _, want := range []string{"status 401: token expired", "cause=credentials", "oldest_record_expires=" + expires.Format("2006-01-02T")} {
			if !strings.Contains(lines[0], want) {
				t.Errorf("the first line does not say %q: %s", want, lines[0])
			}
		}
		first, last := states[1], states[len(states)-1]
		if states[0].State != StateTaking || first.State != StatePaused || first.Cause != CauseCredentials || !first.Next.After(first.Since) || last.State != StateTaking {
			t.Errorf("the states begin with %+v, %+v and end with %+v", states[0], first, last)
		}
		for _, s := range states[1 : len(states)-1] {
			if s.State != StatePaused || !s.Since.Equal(first.Since) {
				t.Fatalf("state %+v, want paused since %v", s, first.Since)
			}
		}
	})
}

func TestPauseVerdicts(t *testing.T) {
	paused := &Paused{Cause: CauseAddress, Err: errors.New("404")}
	f := func(first error, wantSecond []int, wantDead []string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil, func(call int, _ []Record) error {
				if call == 1 {
					return first
				}
				return nil
			})
			if err := b.Deliver(t.Context(), records(4, 1)); err != nil {
				t.Fatal(err)
			}
			if second := slices.Concat(b.sink.batches[1:]...); !slices.Equal(second, wantSecond) || !slices.Equal(b.dead, wantDead) {
				t.Errorf("%v: second batch %v, dead letters %v; want %v, %v", first, second, b.dead, wantSecond, wantDead)
			}
		})
	}
	every := []int{0, 1, 2, 3}
	f(paused, every, nil)
	f(fmt.Errorf("wrapped: %w", paused), every, nil)
	// a refusal that names its record stands beside a pause
	f(errors.Join(paused, &Rejected{Records: []int{2}, Reason: ReasonInvalid, Err: errors.New("400")}), []int{0, 1, 3}, []string{"2 invalid"})
	// one of the whole batch does not: the pause loses nothing
	f(errors.Join(&Rejected{Reason: ReasonInvalid, Split: true, Err: errors.New("400")}, paused), every, nil)
	f(errors.Join(&Rejected{Reason: ReasonTooLarge, Err: errors.New("413")}, paused), every, nil)
	f(errors.Join(&Throttled{Records: []int{1}, Err: errors.New("429")}, paused), every, nil)
}

// The pause that the sink asks for is kept and shown, up to the bound.
func TestAskedPauseIsShown(t *testing.T) {
	f := func(answer error, want time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil, func(call int, _ []Record) error {
				if call == 1 {
					return answer
				}
				return nil
			})
			start := time.Now()
			if err := b.Deliver(t.Context(), records(1, 1)); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != want {
				t.Errorf("%v: sent again after %v, want %v", answer, got, want)
			}
			if !strings.Contains(b.log.String(), "asked_for=24h0m0s") || !strings.Contains(b.log.String(), "next_attempt_in="+want.String()) {
				t.Errorf("the log does not show both pauses:\n%s", b.log)
			}
		})
	}
	f(&Throttled{After: 24 * time.Hour, Err: errors.New("503")}, MaxPause)
	f(&Paused{After: 24 * time.Hour, Err: errors.New("403")}, MaxPause)
}

// A stop ends a pause at once.
func TestStopWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		b := newBench(t, nil, func(int, []Record) error { return &Paused{Cause: CauseTLS, Err: errors.New("x509")} })
		if err := b.Deliver(ctx, records(1, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}
