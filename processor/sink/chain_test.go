package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// newChain returns a Chain over a sink, the ends of its records, and a function that ends it.
func newChain(t *testing.T, o Options, answer func(batch []Record) error) (c *Chain, got func() []string, stop func()) {
	t.Helper()
	var mu sync.Mutex
	var list []string
	note := func(rec Record, what string) {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, fmt.Sprintf("%d/%d%s", rec.Partition, rec.Offset, what))
	}
	o.Name, o.Sink = "siem", answering(func(batch []Record) error {
		err := answer(batch)
		if err == nil {
			for _, r := range batch {
				note(r, "")
			}
		}
		return err
	})
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	if o.Batch.Records == 0 {
		o.Batch = DefaultBatch()
	}
	if o.Retry.Cap == 0 {
		o.Retry = DefaultRetry()
	}
	o.DeadLetter = func(_ context.Context, rec Record, reason Reason, _ error) error {
		note(rec, " "+string(reason))
		return nil
	}
	c, err := NewChain(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, 5*time.Second) }()
	return c, func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), list...) }, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// answering is a Sink that answers by a function.
type answering func(batch []Record) error

func (a answering) Deliver(_ context.Context, batch []Record) error { return a(batch) }
func (a answering) Close() error                                    { return nil }

func span(partition int32, from, to int64) (list []Record) {
	for o := from; o < to; o++ {
		list = append(list, Record{Topic: worldTopic, Partition: partition, Offset: o, Value: []byte("x")})
	}
	return list
}

// A batch waits for Linger and no longer, and a full one does not wait.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		var when []time.Duration
		start := time.Now()
		c, _, stop := newChain(t, Options{Batch: Batch{Records: 5, Bytes: 1 << 20, Linger: time.Second}}, func(batch []Record) error {
			sizes, when = append(sizes, len(batch)), append(when, time.Since(start))
			return nil
		})
		c.Put(worldTopic, 0, span(0, 0, 2), 2)
		time.Sleep(600 * time.Millisecond)
		c.Put(worldTopic, 1, span(1, 0, 1), 1)
		time.Sleep(600 * time.Millisecond)
		c.Put(worldTopic, 0, span(0, 2, 14), 14)
		time.Sleep(10 * time.Millisecond)
		c.Put(worldTopic, 0, span(0, 14, 15), 20) // the tail lingers, and a stop sends it at once
		stop()
		if fmt.Sprint(sizes, when) != "[3 5 5 3] [1s 1.2s 1.2s 1.21s]" {
			t.Errorf("batches of %v at %v", sizes, when)
		}
		if got := c.Positions()[worldTopic]; got[0] != 20 || got[1] != 1 {
			t.Errorf("positions %v", got)
		}
	})
}

// One record that fails again and again holds its own partition, and nothing else: the
// others go on, and the stuck one is not read.
func TestStuckPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{InFlight: 2, Batch: Batch{Records: 10, Bytes: 1 << 20}}
		c, got, stop := newChain(t, o, func(batch []Record) error {
			for _, r := range batch {
				if r.Partition == 0 {
					return errors.New("503")
				}
			}
			return nil
		})
		c.Put(worldTopic, 0, span(0, 0, 50), 50)
		for i := range int64(100) {
			time.Sleep(time.Second)
			if i > 20 && c.Full() {
				t.Fatal("full")
			}
			c.Put(worldTopic, 1, span(1, i, i+1), i+1)
		}
		time.Sleep(time.Second)
		if stuck := c.Stuck()[worldTopic]; len(stuck) != 1 || stuck[0] != 0 {
			t.Errorf("stuck are %v, want partition 0", stuck)
		}
		if n := len(got()); n != 100 {
			t.Errorf("%d records of the other partition arrived, want 100", n)
		}
		if _, ok := c.Positions()[worldTopic][0]; ok {
			t.Error("the stuck partition has a position")
		}
		stop()
	})
}

// While a sink is paused one request asks it, however many are in flight.
func TestOneAsksPausedSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		calls, mended := 0, false
		c, got, stop := newChain(t, Options{InFlight: 8, Batch: Batch{Records: 1, Bytes: 1 << 20}}, func([]Record) error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; mended {
				return nil
			}
			return &Paused{Cause: CauseCredentials, Err: errors.New("401")}
		})
		for p := range int32(8) {
			c.Put(worldTopic, p, span(p, 0, 1), 1)
		}
		time.Sleep(time.Hour)
		mu.Lock()
		if calls > 8+2*60+40 { // the pauses are random: six deviations
			t.Errorf("%d requests in an hour, want about two a minute", calls)
		}
		mended = true
		mu.Unlock()
		time.Sleep(2 * time.Minute)
		if n := len(got()); n != 8 {
			t.Errorf("%d records arrived after the correction, want 8", n)
		}
		stop()
	})
}

// A refusal of the batch as a whole is not one of each record, also when the sink names
// records besides that it refuses itself: only halving finds the record at fault.
func TestSplitBesideNamedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, got, stop := newChain(t, Options{}, func(batch []Record) error {
			var named []int
			whole := error(nil)
			for i, r := range batch {
				switch r.Offset {
				case 1:
					named = append(named, i)
				case 5:
					whole = &Rejected{Reason: ReasonTooLarge, Split: true, Err: errors.New("413")}
				}
			}
			if named == nil {
				return whole
			}
			return errors.Join(whole, &Rejected{Records: named, Reason: ReasonInvalid, Err: errors.New("no window")})
		})
		c.Put(worldTopic, 0, span(0, 0, 8), 8)
		time.Sleep(time.Minute)
		stop()
		var letters []string
		for _, s := range got() {
			if len(s) > 3 {
				letters = append(letters, s)
			}
		}
		if want := []string{"0/1 invalid", "0/5 too_large"}; !slices.Equal(letters, want) {
			t.Errorf("dead letters %q, want %q", letters, want)
		}
	})
}

// A dead letter that cannot be written ends Run, and nobody sends its batch again before.
func TestChainEndsWithoutDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		refuse := answering(func([]Record) error {
			requests++
			return &Rejected{Reason: ReasonInvalid, Err: errors.New("400")}
		})
		c, err := NewChain(Options{
			Name: "siem", Sink: refuse, InFlight: 4, Batch: DefaultBatch(), Retry: DefaultRetry(), Log: slog.New(slog.DiscardHandler),
			DeadLetter: func(context.Context, Record, Reason, error) error { return errors.New("no topic") },
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Put(worldTopic, 0, span(0, 0, 1), 1)
		if err := c.Run(t.Context(), 5*time.Second); err == nil || requests != 1 {
			t.Errorf("error %v after %d requests, want one", err, requests)
		}
		if at, ok := c.Positions()[worldTopic][0]; ok {
			t.Errorf("the position is %d", at)
		}
	})
}

// A batch that waits for its next attempt, or for the one worker that asks a paused sink,
// gives up its revoked partitions at once: the revocation does not wait, the worker is free,
// and a partition that stays keeps its pause.
func TestRevokeEndsAPause(t *testing.T) {
	revoke := func(partitions ...int32) map[string][]int32 { return map[string][]int32{worldTopic: partitions} }
	for name, said := range map[string]error{
		"throttled": &Throttled{After: 4 * time.Minute, Err: errors.New("later")},
		"paused":    &Paused{Cause: CauseCredentials, After: 4 * time.Minute, Err: errors.New("no")},
	} {
		for _, inFlight := range []int{1, 2} {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var good atomic.Bool
				var kept atomic.Int64 // how long after start the partition that stays was delivered
				c, got, stop := newChain(t, Options{InFlight: inFlight, Batch: Batch{Records: 4, Bytes: 1 << 20, Linger: time.Second}},
					func(batch []Record) error {
						if !good.Load() {
							return said
						}
						if batch[0].Partition == 1 {
							kept.Store(int64(time.Since(start)))
						}
						return nil
					})
				c.Put(worldTopic, 0, span(0, 0, 2), 2)
				c.Put(worldTopic, 1, span(1, 0, 2), 2)
				c.Put(worldTopic, 2, span(2, 0, 4), 4) // another batch
				time.Sleep(2 * time.Second)
				good.Store(true)
				began := time.Now()
				positions := c.Revoke(t.Context(), revoke(0, 2))
				if took := time.Since(began); took > 0 || len(positions) > 0 {
					t.Errorf("%s, %d in flight: the revocation took %v and returned %v", name, inFlight, took, positions)
				}
				time.Sleep(10 * time.Minute)
				if want := []string{"1/0", "1/1"}; !slices.Equal(got(), want) || kept.Load() < int64(4*time.Minute) {
					t.Errorf("%s, %d in flight: delivered %q after %v, want %q after the pause", name, inFlight, got(), time.Duration(kept.Load()), want)
				}
				// Now the pause is of a batch that is revoked whole.
				good.Store(false)
				c.Put(worldTopic, 1, span(1, 2, 4), 4)
				time.Sleep(2 * time.Second)
				good.Store(true)
				c.Revoke(t.Context(), revoke(1))
				c.Put(worldTopic, 3, span(3, 0, 4), 4)
				time.Sleep(time.Second)
				if last := got(); len(last) != 6 || last[5] != "3/3" {
					t.Errorf("%s, %d in flight: another partition waits for a revoked one: %q", name, inFlight, last)
				}
				stop()
			})
		}
	}
}
