package sink

import (
	"context"
	"time"
)

// This file makes the batches of a Chain.

// next waits for a batch: one that is full or has lingered, or after the stop any. It
// returns none when there is nothing left after the stop, or ctx is done.
func (c *Chain) next(ctx context.Context) ([]Record, []*lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ctx.Err() == nil {
		wait, any := c.due(time.Now())
		switch {
		case any && wait <= 0:
			if batch, lanes := c.take(); len(batch) > 0 {
				return batch, lanes
			}
			continue // a planned batch without records
		case !any && c.stopped:
			return nil, nil
		}
		var timer *time.Timer
		var due <-chan time.Time
		if any {
			timer = time.NewTimer(wait)
			due = timer.C
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-due:
		case <-ctx.Done():
		}
		if timer != nil {
			timer.Stop()
		}
		c.mu.Lock()
	}
	return nil, nil
}

// idle reports whether the lane has records for another batch.
func (l *lane) idle() bool { return l.flying == 0 && len(l.items) > 0 && !l.failed }

// due returns how long the next batch lingers still, and whether there is one; with the
// lock held.
func (c *Chain) due(now time.Time) (wait time.Duration, any bool) {
	if c.r.o.Plan != nil {
		return c.dueAlone(now)
	}
	b := c.r.o.Batch
	records, bytes := 0, int64(0)
	wait = b.Linger
	for _, l := range c.lanes {
		if l.idle() {
			any = true
			records += len(l.items)
			bytes += l.sum
			wait = min(wait, b.Linger-now.Sub(l.items[0].came))
		}
	}
	if c.stopped || records >= b.Records || bytes >= int64(b.Bytes) {
		return 0, any
	}
	return wait, any
}

// take makes a batch of the lanes that have no other; with the lock held.
func (c *Chain) take() (batch []Record, lanes []*lane) {
	if c.r.o.Plan != nil {
		return c.takeAlone()
	}
	b := c.r.o.Batch
	size := int64(0)
	now := time.Now()
	for i := range c.lanes {
		l := c.lanes[(c.turn+i)%len(c.lanes)]
		if !l.idle() {
			continue
		}
		for _, it := range l.items {
			size += int64(len(it.rec.Value))
			if len(batch) >= b.Records || len(batch) > 0 && size > int64(b.Bytes) {
				break
			}
			batch = append(batch, it.rec)
			l.flying++
		}
		if l.flying == 0 { // the batch is full
			c.turn = (c.turn + i) % len(c.lanes)
			break
		}
		l.since = now
		lanes = append(lanes, l)
		if l.flying < len(l.items) {
			c.turn = (c.turn + i + 1) % len(c.lanes)
			break
		}
	}
	return batch, lanes
}

// finish ends a batch of the given lanes. An error comes after the stop or causes it.
func (c *Chain) finish(lanes []*lane, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range lanes {
		n := l.flying
		l.flying = 0
		if err != nil {
			l.failed = true
			continue
		}
		l.ended = 0
		if !l.dropped {
			l.done = max(l.done, l.items[n-1].next)
		}
		for _, it := range l.items[:n] {
			l.sum -= int64(len(it.rec.Value))
		}
		clear(l.items[:n])
		if l.items = l.items[n:]; len(l.items) == 0 {
			l.items = nil
		}
	}
	c.tell()
}
