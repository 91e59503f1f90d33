package sink

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Chain delivers the records of many partitions to one sink: in order within a partition,
// and up to Options.InFlight batches at the same time. A partition is part of one batch at
// a time, so its position is simply the end of the last batch that is done.
//
// One goroutine feeds it (Put, Full, Stuck, Positions), another one or the same revokes
// partitions (Revoke), and Run delivers. All methods are safe for concurrent use.
//
// Bounds: Full asks the feeder to stop at twice the batches in flight. On top of that come
// what one Put adds, and for each stuck partition as much as one batch holds.
type Chain struct {
	r *Runner

	mu      sync.Mutex
	lanes   []*lane // those that are owned
	turn    int     // the lane to begin the next batch with
	changed chan struct{}
	stopped bool // a stop is asked for: nothing lingers
}

// place names one partition.
type place struct {
	topic     string
	partition int32
}

// lane is the queue of one partition. The mutex of its Chain guards it.
type lane struct {
	at      place
	items   []item
	flying  int       // items[:flying] are in a batch
	ended   int       // items[:ended] of these have ended
	since   time.Time // when that batch was made
	sum     int64     // the bytes of items
	done    int64     // the position: everything before it is done
	read    int64     // the position behind everything that was read
	until   int64     // of a Planned sink: the end of the batch that a former owner has begun; 0: none
	failed  bool      // a batch failed: it is left to the next start
	gone    bool      // it is revoked, or about to be
	dropped bool      // its batch has noticed that, and is on its way without it
}

// item is one waiting record.
type item struct {
	rec  Record
	next int64 // the position once it is done: behind it, and behind records that are left out
	came time.Time
	over bool // it has ended
}

// stuckAfter is how long a batch is on its way until its partitions count as stuck.
const stuckAfter = 10 * time.Second

// NewChain returns a Chain, or an error that names what is missing in o.
func NewChain(o Options) (*Chain, error) {
	r, err := NewRunner(o)
	if err != nil {
		return nil, err
	}
	return &Chain{r: r, changed: make(chan struct{})}, nil
}

// Put adds what was read of a partition: the records that the sink takes, in order, and the
// position behind everything that was read. The Chain keeps records until they are done.
func (c *Chain) Put(topic string, partition int32, records []Record, next int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lane(place{topic, partition})
	now := time.Now()
	for _, rec := range records {
		rec.Topic, rec.Partition = topic, partition
		l.items = append(l.items, item{rec: rec, next: rec.Offset + 1, came: now})
		l.sum += int64(len(rec.Value))
	}
	l.read = next
	if n := len(l.items); n > 0 {
		l.items[n-1].next = next
	} else {
		l.done = next
	}
	c.tell()
}

// lane returns the lane of a partition; with the lock held.
func (c *Chain) lane(at place) *lane {
	for _, l := range c.lanes {
		if l.at == at {
			return l
		}
	}
	l := &lane{at: at, done: -1}
	c.lanes = append(c.lanes, l)
	return l
}

// tell wakes everybody who waits for a change; with the lock held.
func (c *Chain) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Changed returns a channel that is closed at the next change: a Put or the end of a batch.
func (c *Chain) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Full reports whether the Chain holds enough: the caller then reads nothing until a batch
// is done. Stuck partitions do not count, so that the others go on.
func (c *Chain) Full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.full()
}

// full is Full with the lock held.
func (c *Chain) full() bool {
	b := c.r.o.Batch
	records, bytes := 0, int64(0)
	for _, l := range c.lanes {
		if !c.stuck(l) && !l.waits() {
			records += len(l.items)
			bytes += l.sum
		}
	}
	most := 2 * c.r.o.InFlight
	return records >= most*b.Records || bytes >= int64(most)*int64(b.Bytes)
}

// Stuck returns the partitions that should not be read at the moment, because a batch of
// theirs is sent again and again and enough records wait behind it.
func (c *Chain) Stuck() map[string][]int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := map[string][]int32{}
	for _, l := range c.lanes {
		if c.stuck(l) {
			list[l.at.topic] = append(list[l.at.topic], l.at.partition)
		}
	}
	return list
}

// stuck is Stuck for one lane; with the lock held.
func (c *Chain) stuck(l *lane) bool {
	b := c.r.o.Batch
	return l.flying > 0 && time.Since(l.since) > stuckAfter &&
		(len(l.items)-l.flying >= b.Records || l.sum >= 2*int64(b.Bytes))
}

// Positions returns the position of each partition that it knows one of: the offset of the
// first record that is not done.
func (c *Chain) Positions() map[string]map[int32]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := map[string]map[int32]int64{}
	for _, l := range c.lanes {
		if l.done < 0 {
			continue
		}
		if list[l.at.topic] == nil {
			list[l.at.topic] = map[int32]int64{}
		}
		list[l.at.topic][l.at.partition] = l.done
	}
	return list
}

// Revoke gives partitions up. It drops their waiting records, waits until no attempt with
// any of them is on its way or ctx is done, and returns their positions. A batch drops the
// records of these partitions before its next attempt, at once if it waits for that. Attempts
// that are on their way when ctx is done change no position.
func (c *Chain) Revoke(ctx context.Context, partitions map[string][]int32) map[string]map[int32]int64 {
	mine := func(l *lane) bool {
		for _, p := range partitions[l.at.topic] {
			if p == l.at.partition {
				return true
			}
		}
		return false
	}
	c.mu.Lock()
	for _, l := range c.lanes {
		if mine(l) {
			l.gone = true
			l.cut()
		}
	}
	c.tell()
	for ctx.Err() == nil && c.flying(mine) {
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
	}
	positions := map[string]map[int32]int64{}
	kept := c.lanes[:0:0]
	for _, l := range c.lanes {
		if !mine(l) {
			kept = append(kept, l)
			continue
		}
		if l.done >= 0 {
			if positions[l.at.topic] == nil {
				positions[l.at.topic] = map[int32]int64{}
			}
			positions[l.at.topic][l.at.partition] = l.done
		}
	}
	c.lanes = kept
	c.tell()
	c.mu.Unlock()
	return positions
}

// cut drops the records that wait.
func (l *lane) cut() {
	for _, it := range l.items[l.flying:] {
		l.sum -= int64(len(it.rec.Value))
	}
	clear(l.items[l.flying:])
	l.items = l.items[:l.flying]
	if l.flying > 0 { // what was left out behind the batch may have come after dropped records
		last := &l.items[l.flying-1]
		last.next = last.rec.Offset + 1
	}
}

// flying reports whether records of such a lane are on their way; with the lock held.
func (c *Chain) flying(of func(*lane) bool) bool {
	for _, l := range c.lanes {
		if of(l) && l.flying > 0 && !l.dropped {
			return true
		}
	}
	return false
}

// Waiting returns the first record of each partition that is not done.
func (c *Chain) Waiting() (list []Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lanes {
		if len(l.items) > l.ended {
			list = append(list, l.items[l.ended].rec)
		}
	}
	return list
}

// Run delivers until ctx is done, and then for at most grace: what waits is sent at once,
// and nothing is sent again. It returns an error if a dead letter could not be written,
// else nil. The caller commits the positions afterwards.
func (c *Chain) Run(ctx context.Context, grace time.Duration) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	soft, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(soft, func() {
		c.mu.Lock()
		c.stopped = true
		c.tell()
		c.mu.Unlock()
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-hard.Done():
		}
	})()
	var workers sync.WaitGroup
	failed := make([]error, c.r.o.InFlight)
	for i := range failed {
		workers.Go(func() {
			if failed[i] = c.work(hard, soft, i); failed[i] != nil {
				stop()
			}
		})
	}
	workers.Wait()
	return errors.Join(failed...)
}

// work delivers one batch after another. An error of a dead letter ends it.
func (c *Chain) work(hard, soft context.Context, worker int) error {
	for {
		batch, lanes := c.next(hard)
		if len(batch) == 0 {
			return nil
		}
		e := errand{ctx: hard, stop: soft, worker: worker, plan: c.plan(lanes[0]), changed: c.Changed,
			keep:  func(batch []Record) []Record { return c.keep(lanes, batch) },
			ended: func(records []Record) { c.note(lanes, records) }}
		err := c.r.deliver(e, batch)
		c.finish(lanes, err)
		if err != nil && soft.Err() == nil {
			return c.r.named(err)
		}
	}
}

// keep returns the records of a batch of the given lanes without those of revoked lanes,
// which the batch drops.
func (c *Chain) keep(lanes []*lane, batch []Record) []Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := slices.DeleteFunc(slices.Clone(lanes), func(l *lane) bool { return !l.gone })
	if len(gone) == 0 {
		return batch
	}
	for _, l := range gone {
		if !l.dropped {
			l.dropped = true
			c.tell()
		}
	}
	return slices.DeleteFunc(slices.Clone(batch), func(r Record) bool { return laneOf(gone, r) != nil })
}

// laneOf returns the lane of a record, or nil.
func laneOf(lanes []*lane, r Record) *lane {
	for _, l := range lanes {
		if l.at == (place{r.Topic, r.Partition}) {
			return l
		}
	}
	return nil
}

// note notes that records of a batch of the given lanes have ended. A position advances to
// the first one that has not. The batch of a Planned sink ends as a whole.
func (c *Chain) note(lanes []*lane, records []Record) {
	if c.r.o.Plan != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var l *lane
	for _, r := range records {
		if l == nil || l.at != (place{r.Topic, r.Partition}) {
			l = laneOf(lanes, r)
		}
		at, _ := slices.BinarySearchFunc(l.items[:l.flying], r.Offset, func(it item, o int64) int {
			return cmp.Compare(it.rec.Offset, o)
		})
		l.items[at].over = true
	}
	for _, l := range lanes {
		for l.ended < l.flying && l.items[l.ended].over {
			l.done = l.items[l.ended].next
			l.ended++
		}
	}
}
