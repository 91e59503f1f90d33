package sink

import (
	"context"
	"errors"
	"time"
)

// This file makes the batches of a Planned sink. Each is of one partition, and its
// boundaries are stored before the sink gets it. If a process dies before the batch is done,
// the next one makes the same batch again, and the sink writes the same object under the
// same name. Proof in short: no batch is delivered before its boundaries are stored; only
// the owner of a partition can store them; and the next owner begins with what is stored.

// Plan is one batch whose boundaries are to be stored.
type Plan struct {
	Topic     string
	Partition int32
	// At is the position before the batch: everything before it is done.
	At int64
	// Until is the offset behind the last record of the batch.
	Until int64
	// Live reports whether the partition is still the process's own. The Plan of Options
	// asks while no revocation can end, and does not store a plan that is not.
	Live func() bool
}

// errRevoked is the answer to a plan for a partition that another process has by now.
var errRevoked = errors.New("the partition was revoked before the boundaries of its batch were stored")

// Resume has the first batch of a partition end before the offset until: a former owner has
// stored that. It is called before the first Put of the partition.
func (c *Chain) Resume(topic string, partition int32, until int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lane(place{topic, partition}).until = until
}

// waits reports whether the batch that a former owner has begun is not read yet.
func (l *lane) waits() bool { return l.until > l.read && l.flying == 0 }

// dueAlone is due for a Planned sink; with the lock held.
func (c *Chain) dueAlone(now time.Time) (wait time.Duration, any bool) {
	wait = c.r.o.Batch.Linger
	full := c.full()
	for _, l := range c.lanes {
		if !l.idle() || l.waits() {
			continue
		}
		any = true
		if wait = min(wait, c.lingers(l, now)); full {
			wait = 0
		}
	}
	return wait, any
}

// lingers returns how long the next batch of a lane waits for more records.
func (c *Chain) lingers(l *lane, now time.Time) time.Duration {
	b := c.r.o.Batch
	if c.stopped || l.until > 0 || len(l.items) >= b.Records || l.sum >= int64(b.Bytes) {
		return 0
	}
	return b.Linger - now.Sub(l.items[0].came)
}

// takeAlone makes a batch of one lane: the next one that is due, or of a full Chain the
// largest; with the lock held. It returns none if a planned batch turns out to be empty.
func (c *Chain) takeAlone() (batch []Record, lanes []*lane) {
	now := time.Now()
	var chosen *lane
	for i := range c.lanes {
		at := (c.turn + i) % len(c.lanes)
		l := c.lanes[at]
		switch {
		case !l.idle() || l.waits():
		case c.lingers(l, now) <= 0:
			c.turn = (at + 1) % len(c.lanes)
			return c.fill(l, now)
		case chosen == nil || l.sum > chosen.sum:
			chosen = l
		}
	}
	if chosen == nil {
		return nil, nil
	}
	return c.fill(chosen, now)
}

// fill makes the batch of a lane, which ends where a stored plan says, or at the bounds.
func (c *Chain) fill(l *lane, now time.Time) (batch []Record, lanes []*lane) {
	b := c.r.o.Batch
	size := int64(0)
	for _, it := range l.items {
		size += int64(len(it.rec.Value))
		if l.until > 0 && it.rec.Offset >= l.until ||
			l.until == 0 && (len(batch) >= b.Records || len(batch) > 0 && size > int64(b.Bytes)) {
			break
		}
		batch = append(batch, it.rec)
	}
	l.until = 0
	if len(batch) == 0 { // Kafka has deleted what the plan was about, or the filter is another
		return nil, nil
	}
	l.flying, l.since = len(batch), now
	return batch, []*lane{l}
}

// plan returns a function that stores the boundaries of a batch of one lane, once.
func (c *Chain) plan(l *lane) func(context.Context) error {
	if c.r.o.Plan == nil {
		return nil
	}
	c.mu.Lock()
	p := Plan{Topic: l.at.topic, Partition: l.at.partition, At: l.done, Until: l.items[l.flying-1].rec.Offset + 1}
	if p.At < 0 {
		p.At = l.items[0].rec.Offset
	}
	c.mu.Unlock()
	p.Live = func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !l.gone
	}
	stored := false
	return func(ctx context.Context) error {
		if stored {
			return nil
		}
		if !p.Live() {
			return errRevoked
		}
		err := c.r.o.Plan(ctx, p)
		stored = err == nil
		return err
	}
}
