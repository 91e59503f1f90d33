package stream

import (
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/processor/eventtime"
	"keytrail/processor/keyledger"
	"keytrail/processor/telemetry"
	"keytrail/schemas/cloud"
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
		d.alarms(t, n, mark, now)
	})
}

// showAlarms shows the open alarms of all partitions to the metrics, after a commit and an
// assignment.
func (d *detector) showAlarms() {
	var list []telemetry.LedgerAlarm
	for _, t := range d.tasks {
		t.keys.OpenAlarms(&d.p.Ledger, func(key string, a keyledger.Alarm) {
			_, account, region := cloud.Place(key)
			list = append(list, telemetry.LedgerAlarm{Kind: a.Kind, Account: account, Region: region, At: a.At})
		})
	}
	d.p.alarms.Set(list)
}

// scores are those of the alarms, on the scale of rules: low below 6, medium, from 8 high.
var scores = map[string]float64{"material_expired": 9, "material_expires": 7, "rotation_overdue": 6, "rotation_off": 4,
	"deletion_near": 9, "unusable_called": 6, "unused": 3, "alias_moved": 6, "policy_public": 9,
	"replica_without_primary": 7, "grant_old": 3, "grant_without_source": 4}

// alarm returns the anomaly of an alarm. Its id stays while the alarm is open; a later event
// may end it, and open it again with a higher revision.
func (d *detector) alarm(key string, a *keyledger.Alarm, mark int64) anomaly.Anomaly {
	e, at, size := wire.Entity{Scope: wire.ScopeKey, Key: key}, a.Since*int64(time.Second), d.p.Window.Detect.Size
	start, name := eventtime.Start(at, size), anomaly.LedgerDetector+a.Kind
	return anomaly.Anomaly{ID: anomaly.ID(e, at, name), Kind: anomaly.KindRule, Detector: name, Score: scores[a.Kind],
		Reason: key + ": " + a.Text, Entity: e, Start: start, End: start + size, At: at, Began: at, Until: math.MaxInt64,
		Revision: 2 * (mark / int64(time.Second))}
}

// alarms publishes the alarms that begin and ends others.
func (d *detector) alarms(t *detectTask, n *keyledger.News, mark, now int64) {
	for i := range n.Ended {
		t.open.End(d.alarm(n.Key.Name, &n.Ended[i], mark).ID, mark)
	}
	for i := range n.Opened {
		a := d.alarm(n.Key.Name, &n.Opened[i], mark)
		if !d.judging.Allow.Allows(&a, a.Start) {
			d.found(t, &a, now)
		}
	}
}
