package stream

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/keyledger"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// This file contains the stages' part in the ledgers of KMS keys. Stage count joins what the
// records of a commit state of each key, and its frames carry these deltas to the partition
// that owns the key's account: aliases, key stores and replicas are in the account of their
// key. Joining is idempotent, so copies of calls and late calls change the ledger as well.

// entry adds the record in c.rec to the ledger. It reports whether the record could be read.
func (c *counter) entry(t *countTask, r *kgo.Record) bool {
	rec := &c.rec
	keyledger.FromRecord(rec, &c.call, &c.event)
	if c.event.Change != kms.ChangeNone { // rare: it needs attributes that counting does not
		if err := c.change.Decode(r.Value); err != nil {
			c.dead(r, "bad_record", err.Error())
			return false
		}
		keyledger.FromRecord(&c.change, &c.call, &c.event)
	}
	t.ledger.Apply(&c.event)
	return true
}

// learn joins the deltas of a frame.
func (t *detectTask) learn(f *wire.Frame) error {
	for _, delta := range f.Ledger {
		if err := t.keys.Merge(delta); err != nil {
			return fmt.Errorf("source %d: frame %d: %w", f.Source, f.Sequence, err)
		}
	}
	return nil
}

// movesEvery is how often a partition looks for moved aliases, at most: that visits all keys.
const movesEvery = time.Minute

// ledger publishes the news of the ledgers. It reports whether it stopped before the last.
func (d *detector) ledger(t *detectTask, now int64, left *int) (more bool) {
	mark := t.engine.Mark().Quiet
	if mark < 0 { // unknown
		return false
	}
	at := time.Unix(0, now)
	moves := at.Sub(t.looked) >= movesEvery
	if moves {
		t.looked = at
	}
	return t.keys.Advance(mark/int64(time.Second), &d.p.Ledger, moves, left, func(n *keyledger.News) {
		n.Key.Record(&d.rec, n.State, now)
		d.emit(d.p.keyed(d.p.Topics.Keys, n.Key.Name, otellog.AppendRequest(nil, &d.rec), semconv.EventKeytrailKeyState))
	})
}
