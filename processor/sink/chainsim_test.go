package sink

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// world is what a simulation of a Chain knows: a log of a few partitions, where each was
// committed, and the end of each record.
type world struct {
	t      *testing.T
	dice   sync.Mutex // guards random
	random *rand.Rand
	mu     sync.Mutex // guards what follows
	log    [][]bool   // by partition and offset: the sink's filter takes it
	ended  []map[int64]int
	at     []int64 // committed positions
	flying map[int]int
	most   int
	calls  int
	calm   bool // the sink accepts everything
	// Partitions that were taken away while a batch held them, and those of which records
	// may come again.
	zombie, again map[int]bool
	fresh         map[spot]bool // the records that ended since their partition was assigned
	tries         map[spot]int  // how often each was sent since its batch last advanced
	bound         int           // Retry.MaxAttempts
}

// spot is the place of one record.
type spot struct {
	partition int32
	offset    int64
}

func spotOf(r Record) spot { return spot{r.Partition, r.Offset} }

const worldTopic = "t"

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 7)), flying: map[int]int{},
		zombie: map[int]bool{}, again: map[int]bool{}, fresh: map[spot]bool{}, tries: map[spot]int{}}
	for range 1 + w.intN(5) {
		list := make([]bool, w.intN(60))
		for i := range list {
			list[i] = w.intN(4) > 0
		}
		w.log = append(w.log, list)
		w.ended = append(w.ended, map[int64]int{})
		w.at = append(w.at, 0)
	}
	return w
}

// intN returns a random number below n. Several goroutines ask for one.
func (w *world) intN(n int) int {
	w.dice.Lock()
	defer w.dice.Unlock()
	return w.random.IntN(n)
}

// Deliver answers at random, after a random time.
func (w *world) Deliver(ctx context.Context, batch []Record) error {
	w.mu.Lock()
	w.calls++
	calm := w.calm || w.calls > 3000
	mine := map[int]bool{}
	for _, r := range batch {
		mine[int(r.Partition)] = true
	}
	for p := range mine {
		if w.flying[p]++; w.flying[p] > 1 && !w.zombie[p] {
			w.t.Errorf("partition %d is in two batches at a time", p)
		}
	}
	sum := 0
	for _, n := range w.flying {
		sum += n
	}
	w.most = max(w.most, sum)
	kind, wait := w.intN(14), time.Duration(w.intN(2000))*time.Millisecond
	w.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var err error
	select {
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range mine {
		w.flying[p]--
	}
	if err != nil {
		return err
	}
	return w.answer(batch, kind, calm)
}

// end ends a record.
func (w *world) end(r Record) {
	w.ended[r.Partition][r.Offset]++
	w.fresh[spotOf(r)] = true
}

// count counts an attempt that ended nothing, or that the next one is the first again; with the lock held.
func (w *world) count(batch []Record, sent int, advanced bool) {
	for i, r := range batch {
		switch {
		case advanced:
			w.tries[spotOf(r)] = 0
		case i < sent:
			w.tries[spotOf(r)]++
		}
	}
}

// answer ends records, and returns what the sink says about the others; with the lock held.
func (w *world) answer(batch []Record, kind int, calm bool) error {
	switch {
	case calm || kind < 4:
		for _, r := range batch {
			w.end(r)
		}
		return nil
	case kind == 4:
		w.count(batch, len(batch), false)
		return errors.New("reset by peer")
	case kind == 5:
		w.count(batch, 0, true)
		return &Paused{Cause: CauseCredentials, Err: errors.New("401")}
	case kind == 6:
		w.count(batch, len(batch), len(batch) > 1)
		return &Rejected{Reason: ReasonTooLarge, Split: true, Err: errors.New("413")}
	case kind == 7:
		w.count(batch, len(batch), false)
		return &Throttled{After: time.Duration(w.intN(90)) * time.Second, Err: errors.New("429")}
	case kind > 11:
		return w.oneByOne(batch)
	}
	return w.mixed(batch)
}

// oneByOne takes records in order until a request fails, or the sink has had its turn.
func (w *world) oneByOne(batch []Record) error {
	all := all(len(batch))
	taken := w.intN(len(batch))
	for _, r := range batch[:taken] {
		w.end(r)
	}
	if w.intN(2) == 0 && taken > 0 {
		w.count(batch, 0, true)
		return Stopped(len(batch), nil, nil, all[taken:])
	}
	sent := taken + 1 + w.intN(len(batch)-taken)
	w.count(batch, sent, taken > 0)
	return Stopped(len(batch), errors.New("503"), all[taken:sent], all[sent:])
}

// mixed says something else about each record.
func (w *world) mixed(batch []Record) error {
	var no, later []int
	for i, r := range batch {
		switch w.intN(6) {
		case 0:
			no = append(no, i)
		case 1, 2:
			later = append(later, i)
		default:
			w.end(r)
		}
	}
	w.count(batch, len(batch), len(later) < len(batch))
	var errs []error
	if no != nil {
		errs = append(errs, &Rejected{Records: no, Reason: ReasonInvalid, Err: errors.New("400")})
	}
	if later != nil {
		errs = append(errs, &Throttled{Records: later, Err: errors.New("429")})
	}
	return errors.Join(errs...)
}

func (w *world) Close() error { return nil }

// commit takes positions over, and checks that they pass no record without an end.
func (w *world) commit(positions map[string]map[int32]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, at := range positions[worldTopic] {
		if at < w.at[p] {
			w.t.Errorf("the position of partition %d goes back from %d to %d", p, w.at[p], at)
		}
		for o := w.at[p]; o < at; o++ {
			if w.log[p][o] && w.ended[p][o] == 0 {
				w.t.Errorf("the position of partition %d is %d, and record %d has no end", p, at, o)
			}
		}
		w.at[p] = max(w.at[p], at)
	}
}

// live runs one process until it has read everything or is ended at random.
func (w *world) live(inFlight int, mortal bool) {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	chain, err := NewChain(Options{
		Name: "siem", Sink: w, InFlight: inFlight, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Batch: Batch{Records: 1 + w.intN(20), Bytes: 1 << 10, Linger: time.Duration(w.intN(3)) * time.Second},
		Retry: Retry{Base: 500 * time.Millisecond, Cap: 30 * time.Second, MaxAttempts: w.bound},
		DeadLetter: func(_ context.Context, rec Record, reason Reason, why error) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if why == nil {
				w.t.Error("a dead letter without a reason")
			}
			if n := w.tries[spotOf(rec)]; reason == ReasonExhausted && n < w.bound {
				w.t.Errorf("record %v is given up after %d attempts in which its batch did not advance", spotOf(rec), n)
			}
			w.end(rec)
			return nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- chain.Run(ctx, 5*time.Second) }()
	read := append([]int64(nil), w.at...)
	for step := 0; ; step++ {
		w.feed(chain, read)
		time.Sleep(time.Duration(w.intN(3000)) * time.Millisecond)
		w.commit(chain.Positions())
		if mortal && w.intN(15) == 0 {
			break
		}
		if w.intN(10) == 0 { // a rebalance takes a partition away and gives it back
			p := w.intN(len(w.log))
			revoked, end := context.WithTimeout(ctx, time.Duration(w.intN(5))*time.Second)
			w.commit(chain.Revoke(revoked, map[string][]int32{worldTopic: {int32(p)}}))
			cut := revoked.Err() != nil
			end()
			w.shows(p)
			w.mu.Lock()
			for s := range w.fresh {
				if int(s.partition) == p {
					delete(w.fresh, s)
				}
			}
			read[p], w.again[p], w.zombie[p] = w.at[p], true, w.zombie[p] || cut
			w.mu.Unlock()
		}
		if w.drained() {
			break
		}
		if step > 5000 {
			w.t.Fatal("it never ends")
		}
	}
	for p := range w.log {
		w.again[p] = w.again[p] || mortal
	}
	cancel()
	if err := <-done; err != nil {
		w.t.Error(err)
	}
	w.commit(chain.Positions())
	for p := range w.log {
		w.shows(p)
	}
	clear(w.fresh)
}

// shows checks that a position shows everything that has ended: the first record behind it has
// not.
func (w *world) shows(p int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for o := w.at[p]; o < int64(len(w.log[p])) && !w.zombie[p]; o++ {
		if !w.log[p][o] {
			continue
		}
		if w.fresh[spot{int32(p), o}] {
			w.t.Errorf("the position of partition %d is %d, and record %d has ended", p, w.at[p], o)
		}
		return
	}
}

// feed reads some of the partitions on, as far as the chain takes it.
func (w *world) feed(chain *Chain, read []int64) {
	for p, list := range w.log {
		if chain.Full() || w.intN(2) == 0 || read[p] == int64(len(list)) {
			continue
		}
		end := min(int64(len(list)), read[p]+int64(1+w.intN(20)))
		var batch []Record
		for o := read[p]; o < end; o++ {
			if list[o] {
				batch = append(batch, Record{Topic: worldTopic, Partition: int32(p), Offset: o, Value: make([]byte, w.intN(200))})
			}
		}
		chain.Put(worldTopic, int32(p), batch, end)
		read[p] = end
	}
}

func (w *world) drained() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, list := range w.log {
		if w.at[p] < int64(len(list)) {
			return false
		}
	}
	return true
}

// simulate plays lives of processes until every record has an end. In one life without a
// rebalance every record ends exactly once; over all of them at least once.
func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		inFlight, lives := 1+w.intN(4), w.intN(4)
		w.bound = w.intN(5)
		for range lives {
			w.live(inFlight, true)
		}
		w.mu.Lock()
		w.calm = w.intN(2) == 0
		w.mu.Unlock()
		w.live(inFlight, false)
		if !w.drained() {
			t.Errorf("positions %v at the end", w.at)
		}
		for p, list := range w.log {
			for o, takes := range list {
				if n := w.ended[p][int64(o)]; takes && n == 0 || !takes && n > 0 || n > 1 && !w.again[p] {
					t.Errorf("seed %d: record %d of partition %d ended %d times", seed, o, p, n)
				}
			}
		}
	})
}

func TestChainSimulation(t *testing.T) {
	for seed := range uint64(300) {
		simulate(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzChain(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(simulate)
}
