package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a Sink whose answers a test writes. It keeps a copy of each batch.
type scripted struct {
	answer  func(call int, batch []Record) error
	batches [][]int // the records' Ref, an int in these tests
}

func (s *scripted) Deliver(_ context.Context, batch []Record) error {
	refs := make([]int, len(batch))
	for i, r := range batch {
		refs[i] = r.Ref.(int)
	}
	s.batches = append(s.batches, refs)
	return s.answer(len(s.batches), batch)
}

func (s *scripted) Close() error { return nil }

// bench is a Runner with everything that it tells kept.
type bench struct {
	*Runner
	sink   *scripted
	dead   []string // "ref reason"
	counts map[string]int
	log    *bytes.Buffer
}

func newBench(t *testing.T, change func(*Options), answer func(call int, batch []Record) error) *bench {
	t.Helper()
	b := &bench{sink: &scripted{answer: answer}, counts: map[string]int{}, log: &bytes.Buffer{}}
	o := Options{
		Name: "siem", Sink: b.sink, Batch: DefaultBatch(), Retry: DefaultRetry(),
		DeadLetter: func(_ context.Context, rec Record, reason Reason, err error) error {
			if err == nil {
				t.Errorf("the dead letter of record %v has no error", rec.Ref)
			}
			b.dead = append(b.dead, fmt.Sprint(rec.Ref, " ", reason))
			return nil
		},
		Observe: func(o Outcome, reason Reason, n int) {
			b.counts[strings.TrimSpace(string(o)+" "+string(reason))] += n
		},
		Log:    slog.New(slog.NewTextHandler(b.log, nil)),
		Random: func() float64 { return 0.5 },
	}
	if change != nil {
		change(&o)
	}
	r, err := NewRunner(o)
	if err != nil {
		t.Fatal(err)
	}
	b.Runner = r
	return b
}

func (b *bench) wantCounts(t *testing.T, want map[string]int) {
	t.Helper()
	if !maps.Equal(b.counts, want) {
		t.Errorf("counts are %v, want %v", b.counts, want)
	}
}

func records(n, size int) []Record {
	list := make([]Record, n)
	for i := range list {
		list[i] = Record{Value: bytes.Repeat([]byte{byte(i)}, size), Ref: i}
	}
	return list
}

func accept(int, []Record) error { return nil }

func TestBatches(t *testing.T) {
	f := func(batch Batch, sizes []int, want [][]int) {
		t.Helper()
		b := newBench(t, func(o *Options) { o.Batch = batch }, accept)
		var list []Record
		for i, size := range sizes {
			list = append(list, Record{Value: make([]byte, size), Ref: i})
		}
		if err := b.Deliver(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(b.sink.batches) != fmt.Sprint(want) {
			t.Errorf("sizes %v in batches of %+v: got %v, want %v", sizes, batch, b.sink.batches, want)
		}
		if len(sizes) > 0 {
			b.wantCounts(t, map[string]int{"delivered": len(sizes)})
		}
	}
	// nothing to deliver: the sink is not asked
	f(Batch{10, 1024, 0}, nil, nil)
	// by number
	f(Batch{2, 1024, 0}, []int{1, 1, 1, 1, 1}, [][]int{{0, 1}, {2, 3}, {4}})
	// by bytes, up to and including the bound
	f(Batch{10, 1024, 0}, []int{512, 512, 1, 1023, 1}, [][]int{{0, 1}, {2, 3}, {4}})
	// a record over the bound is a batch by itself
	f(Batch{10, 1024, 0}, []int{1, 2000, 1, 1}, [][]int{{0}, {1}, {2, 3}})
}

func TestSinkDownHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 200
		b := newBench(t, nil, func(call int, _ []Record) error {
			if call <= failures {
				return errors.New("connection refused")
			}
			return nil
		})
		if err := b.Deliver(t.Context(), records(3, 10)); err != nil {
			t.Fatal(err)
		}
		if len(b.sink.batches) != failures+1 {
			t.Errorf("%d attempts, want %d", len(b.sink.batches), failures+1)
		}
		b.wantCounts(t, map[string]int{"retried": 3 * failures, "delivered": 3})
		// 200 pauses of up to 15 s (half of the cap) are about 49 minutes.
		lines := strings.Count(b.log.String(), "takes no records now")
		if lines < 2 || lines > 60 {
			t.Errorf("%d lines about the sink being down, want one a minute:\n%s", lines, b.log)
		}
		if !strings.Contains(b.log.String(), "takes records again") {
			t.Errorf("no line about the end of the trouble:\n%s", b.log)
		}
	})
}

func TestContextEnds(t *testing.T) {
	// while waiting for the next attempt
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		down := errors.New("connection refused")
		b := newBench(t, nil, func(int, []Record) error { return down })
		err := b.Deliver(ctx, records(1, 1))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, down) {
			t.Errorf("got %v, want the context's error and the sink's", err)
		}
		if len(b.dead) > 0 || b.counts["delivered"] > 0 {
			t.Errorf("dead letters %v and counts %v, want none", b.dead, b.counts)
		}
	})
	// during an attempt: no verdict of that moment is believed
	ctx, cancel := context.WithCancel(t.Context())
	b := newBench(t, nil, func(int, []Record) error {
		cancel()
		return &Rejected{Reason: ReasonInvalid, Err: errors.New("broken answer")}
	})
	if err := b.Deliver(ctx, records(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	// before the first attempt
	if err := b.Deliver(ctx, records(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if len(b.sink.batches) != 1 || len(b.dead) > 0 {
		t.Errorf("%d attempts and dead letters %v, want 1 attempt and none", len(b.sink.batches), b.dead)
	}
}

func TestVerdicts(t *testing.T) {
	down := errors.New("down")
	invalid := func(at ...int) error { return &Rejected{Records: at, Reason: ReasonInvalid, Err: down} }
	f := func(first error, wantSecond []int, wantDead []string, want map[string]int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil, func(call int, _ []Record) error {
				if call == 1 {
					return first
				}
				return nil
			})
			given := records(4, 1)
			if err := b.Deliver(t.Context(), given); err != nil {
				t.Fatal(err)
			}
			second := slices.Concat(b.sink.batches[1:]...)
			if !slices.Equal(second, wantSecond) || !slices.Equal(b.dead, wantDead) {
				t.Errorf("%v: second batch %v, dead letters %v; want %v, %v", first, second, b.dead, wantSecond, wantDead)
			}
			b.wantCounts(t, want)
			for i, r := range given {
				if r.Ref != i {
					t.Errorf("the caller's slice was changed: %v at %d", r.Ref, i)
				}
			}
		})
	}
	every := []int{0, 1, 2, 3}
	// some are refused, the others accepted
	f(invalid(1, 3), nil, []string{"1 invalid", "3 invalid"},
		map[string]int{"delivered": 2, "rejected invalid": 2, "dead_lettered invalid": 2})
	// all are refused, for no fault of a single record
	f(fmt.Errorf("wrapped: %w", &Rejected{Reason: ReasonPartial, Err: down}), nil,
		[]string{"0 partial_success", "1 partial_success", "2 partial_success", "3 partial_success"},
		map[string]int{"rejected partial_success": 4, "dead_lettered partial_success": 4})
	// an empty list names no record
	f(&Rejected{Records: []int{}, Reason: ReasonInvalid, Err: down}, nil, nil, map[string]int{"delivered": 4})
	// all again
	f(&Throttled{Err: down}, every, nil, map[string]int{"retried": 4, "delivered": 4})
	// some again
	f(&Throttled{Records: []int{2}, Err: down}, []int{2}, nil, map[string]int{"retried": 1, "delivered": 4})
	// three ends in one answer
	f(errors.Join(invalid(0), &Throttled{Records: []int{3, 0}, Err: down}), []int{3}, []string{"0 invalid"},
		map[string]int{"delivered": 3, "retried": 1, "rejected invalid": 1, "dead_lettered invalid": 1})
	// two refusals with a reason each
	f(errors.Join(invalid(0), &Rejected{Records: []int{1}, Reason: ReasonTooLarge, Err: down}), nil,
		[]string{"0 invalid", "1 too_large"}, map[string]int{"delivered": 2, "rejected invalid": 1,
			"rejected too_large": 1, "dead_lettered invalid": 1, "dead_lettered too_large": 1})
	// a refusal beside an unknown error: the rest again
	f(errors.Join(down, invalid(0)), []int{1, 2, 3}, []string{"0 invalid"},
		map[string]int{"delivered": 3, "retried": 3, "rejected invalid": 1, "dead_lettered invalid": 1})
	// records that are not in the batch: nothing of the answer is believed
	f(invalid(4), every, nil, map[string]int{"delivered": 4, "retried": 4})
	f(&Throttled{Records: []int{-1}, Err: down}, every, nil, map[string]int{"delivered": 4, "retried": 4})
	// lost by the far end: counted, not sent again
	f(&Partial{Lost: 3, Message: "old"}, nil, nil, map[string]int{"delivered": 4, "rejected partial_success": 3})
	f(&Partial{Lost: 9}, nil, nil, map[string]int{"delivered": 4, "rejected partial_success": 4})
}

func TestHalvesFindTheBadRecord(t *testing.T) {
	f := func(n int, bad ...int) {
		t.Helper()
		b := newBench(t, nil, func(_ int, batch []Record) error {
			for _, r := range batch {
				if slices.Contains(bad, r.Ref.(int)) {
					return &Rejected{Reason: ReasonTooLarge, Split: true, Err: errors.New("413")}
				}
			}
			return nil
		})
		if err := b.Deliver(t.Context(), records(n, 1)); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, i := range bad {
			want = append(want, fmt.Sprint(i, " too_large"))
		}
		if !slices.Equal(b.dead, want) || b.counts["delivered"] != n-len(bad) {
			t.Errorf("%d records, bad %v: dead letters %v, counts %v", n, bad, b.dead, b.counts)
		}
		if got := len(b.sink.batches); got > 2*n-1 {
			t.Errorf("%d records took %d requests, want at most %d", n, got, 2*n-1)
		}
	}
	f(1, 0)
	f(2, 1)
	f(1000, 0)
	f(1000, 999)
	f(1000, 3, 4, 500)
	f(7, 0, 1, 2, 3, 4, 5, 6)
}

func TestExhausted(t *testing.T) {
	f := func(retry Retry, wantAttempts int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, func(o *Options) { o.Retry = retry }, func(int, []Record) error {
				return errors.New("503")
			})
			if err := b.Deliver(t.Context(), records(2, 1)); err != nil {
				t.Fatal(err)
			}
			if want := []string{"0 retries_exhausted", "1 retries_exhausted"}; !slices.Equal(b.dead, want) {
				t.Errorf("dead letters %v, want %v", b.dead, want)
			}
			if len(b.sink.batches) != wantAttempts {
				t.Errorf("%+v: %d attempts, want %d", retry, len(b.sink.batches), wantAttempts)
			}
		})
	}
	f(Retry{Base: time.Second, Cap: time.Second, MaxAttempts: 1}, 1)
	f(Retry{Base: time.Second, Cap: time.Second, MaxAttempts: 5}, 5)
	// pauses of 0.5 s: attempts at 0, 0.5, ... 10 s
	f(Retry{Base: time.Second, Cap: time.Second, MaxElapsed: 10 * time.Second}, 21)
}

func TestDeadLetterFails(t *testing.T) {
	full := errors.New("topic is gone")
	b := newBench(t, func(o *Options) {
		o.DeadLetter = func(context.Context, Record, Reason, error) error { return full }
	}, func(int, []Record) error {
		return &Rejected{Records: []int{0}, Reason: ReasonInvalid, Err: errors.New("400")}
	})
	if err := b.Deliver(t.Context(), records(3, 1)); !errors.Is(err, full) {
		t.Errorf("got %v, want the error of the dead letter function", err)
	}
	if b.counts["dead_lettered invalid"] != 0 {
		t.Errorf("counts %v: a dead letter that was not taken is counted", b.counts)
	}
}

func TestPause(t *testing.T) {
	r := Retry{Base: 500 * time.Millisecond, Cap: 30 * time.Second}
	f := func(attempts int, asked time.Duration, random float64, want time.Duration) {
		t.Helper()
		if got := r.pause(attempts, asked, random); got != want {
			t.Errorf("after %d attempts, asked %v: got %v, want %v", attempts, asked, got, want)
		}
	}
	f(1, 0, 0, 0)
	f(1, 0, 0.5, 250*time.Millisecond)
	f(3, 0, 0.5, time.Second)
	// the cap, also where the doubling would overflow
	f(7, 0, 0.5, 15*time.Second)
	f(20, 0, 0.5, 15*time.Second)
	f(1<<40, 0, 0.5, 15*time.Second)
	// what the sink asks for, up to the bound
	f(1, time.Minute, 0.5, time.Minute)
	f(1, time.Millisecond, 0.5, 250*time.Millisecond)
	f(1, 24*time.Hour, 0.5, MaxPause)
}

func TestNewRunnerRefuses(t *testing.T) {
	f := func(change func(*Options), want string) {
		t.Helper()
		o := Options{Name: "siem", Sink: &scripted{}, Batch: DefaultBatch(), Retry: DefaultRetry(),
			DeadLetter: func(context.Context, Record, Reason, error) error { return nil }}
		change(&o)
		if _, err := NewRunner(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	f(func(o *Options) { o.Sink = nil }, "Options.Sink")
	f(func(o *Options) { o.DeadLetter = nil }, "Options.DeadLetter")
	f(func(o *Options) { o.Batch.Records = 0 }, "records: 0 is out of range")
	f(func(o *Options) { o.Batch.Bytes = 1 << 40 }, "bytes: 1TiB is out of range")
	f(func(o *Options) { o.Retry.Cap = time.Millisecond }, "cap: 1ms is shorter than base")
}
