package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// shelf is what outlives the processes of a simulation: the objects of a Planned sink, and
// the offsets of its group with the ends of batches on their way.
type shelf struct {
	dice    *rand.Rand
	mu      sync.Mutex // guards what follows, and dice
	objects map[string][]int64
	at      []int64
	until   []int64
	log     [][]bool // by partition and offset: the filter takes it
}

// clerk is one process of a simulation. A dead one changes nothing any more.
type clerk struct {
	*shelf
	dead  bool // guarded by mu
	calm  bool // nothing fails
	chain *Chain
}

var errDead = errors.New("the process is dead")

// chance fails, or kills the process, at random; with the lock held.
func (c *clerk) chance() error {
	switch n := c.dice.IntN(12); {
	case c.dead:
		return errDead
	case c.calm || n > 2:
		return nil
	case n == 0:
		c.dead = true
		return errDead
	}
	return errors.New("reset by peer")
}

// Deliver stores an object, perhaps without saying so.
func (c *clerk) Deliver(ctx context.Context, batch []Record) error {
	c.mu.Lock()
	pause := time.Duration(c.dice.IntN(3000)) * time.Millisecond
	c.mu.Unlock()
	if err := (&errand{stop: ctx}).sleep(nil, pause); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.chance(); err != nil {
		return err
	}
	var offsets []int64
	for _, r := range batch {
		if offsets = append(offsets, r.Offset); r.Partition != batch[0].Partition {
			return &Rejected{Reason: ReasonInvalid, Err: errors.New("a batch of two partitions")}
		}
	}
	name := fmt.Sprintf("%d/%d-%d", batch[0].Partition, offsets[0], offsets[len(offsets)-1])
	c.objects[name] = offsets
	return c.chance()
}

func (c *clerk) Close() error { return nil }

// plan stores the end of a batch, perhaps without saying so.
func (c *clerk) plan(_ context.Context, p Plan) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.chance(); err != nil {
		return err
	}
	c.at[p.Partition], c.until[p.Partition] = p.At, p.Until
	return c.chance()
}

// commit takes positions over, as the forwarder does between polls.
func (c *clerk) commit() {
	positions := c.chain.Positions()[worldTopic]
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, at := range positions {
		if !c.dead {
			c.at[p] = at
		}
	}
}

// work runs one process until all is done or it is dead.
func (s *shelf) work(t *testing.T, calm bool) {
	c := &clerk{shelf: s, calm: calm}
	chain, err := NewChain(Options{
		Name: "s3", Sink: c, Plan: c.plan, InFlight: 1 + s.dice.IntN(3), Retry: Retry{Base: time.Second, Cap: time.Second},
		Batch: Batch{Records: 1 + s.dice.IntN(9), Bytes: 1 << 20, Linger: time.Duration(s.dice.IntN(60)) * time.Second},
		Log:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		DeadLetter: func(_ context.Context, r Record, reason Reason, why error) error {
			t.Errorf("record %d went to the dead letter (%s): %v", r.Offset, reason, why)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.chain = chain
	next := slices.Clone(s.at)
	for p := range s.log {
		if s.until[p] > s.at[p] {
			chain.Resume(worldTopic, int32(p), s.until[p])
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := chain.Run(ctx, 0); err != nil {
			t.Error(err)
		}
	})
	for hours := 0; ; hours++ {
		time.Sleep(time.Second)
		c.commit()
		c.mu.Lock()
		dead, done := c.dead, true
		for p := range s.log {
			done = done && s.at[p] == int64(len(s.log[p]))
		}
		p, n := s.dice.IntN(len(s.log)), s.dice.IntN(12)
		c.mu.Unlock()
		if dead || done {
			break
		}
		if hours > 50_000 {
			t.Errorf("nothing goes on: positions %v, ends %v", s.at, s.until)
			break
		}
		if !chain.Full() {
			feed(chain, p, s.log[p], next, n)
		}
	}
	stop()
	running.Wait()
}

// feed puts up to n records of a partition into a chain.
func feed(chain *Chain, p int, log []bool, next []int64, n int) {
	end := min(next[p]+int64(n), int64(len(log)))
	if end == next[p] {
		return
	}
	var list []Record
	for at := next[p]; at < end; at++ {
		if log[at] {
			list = append(list, Record{Topic: worldTopic, Partition: int32(p), Offset: at, Value: []byte("x")})
		}
	}
	next[p] = end
	chain.Put(worldTopic, int32(p), list, end)
}

// TestPlannedBatches: processes with other bounds each die at any step, and the objects of
// all of them hold each record once.
func TestPlannedBatches(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			s := &shelf{dice: rand.New(rand.NewPCG(uint64(seed), 3)), objects: map[string][]int64{}}
			want := 0
			for range 1 + s.dice.IntN(4) {
				log := make([]bool, 1+s.dice.IntN(40))
				for i := range log {
					if log[i] = s.dice.IntN(4) > 0; log[i] {
						want++
					}
				}
				s.log, s.at, s.until = append(s.log, log), append(s.at, 0), append(s.until, 0)
			}
			for range 6 {
				s.work(t, false)
			}
			s.work(t, true)
			seen := map[string]string{}
			for name, offsets := range s.objects {
				for _, at := range offsets {
					id := fmt.Sprint(name[:1], "-", at)
					if other := seen[id]; other != "" {
						t.Errorf("seed %d: record %s is in %s and in %s", seed, id, other, name)
					}
					seen[id] = name
				}
			}
			if len(seen) != want {
				t.Errorf("seed %d: %d records are stored, want %d", seed, len(seen), want)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// TestHalfStoredBatch: a planned batch comes again as it is. When it reaches a bound, the
// records that are stored do not go to the dead letter. A failure to store its boundaries
// does not count.
func TestHalfStoredBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, plans := 0, 0
		o := Options{Retry: Retry{Base: time.Second, Cap: time.Second, MaxAttempts: 3},
			Plan: func(context.Context, Plan) error {
				if plans++; plans < 10 {
					return errors.New("no broker")
				}
				return nil
			}}
		counts := map[Outcome]int{}
		o.Observe = func(o Outcome, _ Reason, n int) { counts[o] += n }
		c, got, stop := newChain(t, o, func(batch []Record) error {
			if calls++; len(batch) != 6 {
				t.Errorf("attempt %d has %d records, want all 6", calls, len(batch))
			}
			// One more object of two records is stored by every other attempt, but never the third.
			left := []int{2, 3, 4, 5}[min(2, calls/2*2):]
			return &Throttled{Records: left, Err: errors.New("503")}
		})
		c.Put(worldTopic, 0, span(0, 0, 6), 6)
		time.Sleep(time.Hour)
		stop()
		if want := "[0/4 retries_exhausted 0/5 retries_exhausted]"; fmt.Sprint(got()) != want {
			t.Errorf("dead letters %v, want %v", got(), want)
		}
		if calls != 5 { // two that store something, and three that do not
			t.Errorf("%d attempts, want 5", calls)
		}
		if at := c.Positions()[worldTopic][0]; at != 6 || counts[OutcomeDelivered] != 4 || counts[OutcomeDeadLettered] != 2 {
			t.Errorf("position %d, outcomes %v", at, counts)
		}
	})
}
