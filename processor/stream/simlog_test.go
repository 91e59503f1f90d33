package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/eventtime"
	"keytrail/processor/state"
	"keytrail/schemas/wire"
)

// This file is Kafka as the stages see it, in memory and without its own time: logs with
// transactions, and the offsets of consumer groups.

// sabotage is one deliberate fault of the simulation, to test the judge.
type sabotage int

const (
	sound             sabotage = iota
	restoreUnfinished          // restoring reads records of transactions that are open or were aborted
	restoreStable              // restoring ends at the last stable offset instead of waiting
	restoreNoDedup             // the dedup log is not restored
	restoreNoState             // the newest state of an entity is missing
	keepOffsets                // the offsets of an aborted transaction stay
	keepRecords                // the records of an aborted transaction stay
	readUnfinished             // consumers read records of open and aborted transactions
	repeatFrame                // a frame comes again as if it were the source's next one
	loseRecord                 // a committed record is never read
	noFence                    // a member that has lost its partitions may commit
	lieAboutLag                // a stage with lag receives a lag of 0
	expireInSilence            // records expire unread and unreported
	expireFrames               // frames expire before stage detect reads them
	cutDedup                   // the dedup log lacks its first records
	cutDedupEnd                // the dedup log lacks its last records
	cutEvents                  // the events end before the position
	noOffsets                  // an output without records commits no offsets
	keepUnrestored             // stage count keeps partitions whose restore failed
	mixSettings                // some instances of stage count have other windows
	forgetHold                 // a restart forgets an ongoing hold
	sabotages
)

func (s sabotage) String() string {
	return [...]string{"sound", "restoreUnfinished", "restoreStable", "restoreNoDedup", "restoreNoState", "keepOffsets", "keepRecords",
		"readUnfinished", "repeatFrame", "loseRecord", "noFence", "lieAboutLag", "expireInSilence", "expireFrames", "cutDedup", "cutDedupEnd", "cutEvents", "noOffsets", "keepUnrestored", "mixSettings", "forgetHold"}[s]
}

// simBroker holds the logs of all topics.
type simBroker struct {
	rng     *rand.Rand
	topics  wire.Topics
	wrong   sabotage
	logs    map[string][]*simLog // by topic and partition
	took    []simLook            // of the records taken by stage count
	pending []*simTxn            // undecided, or without some of their markers
}

// simLog is one partition. The index of an entry is its offset.
type simLog struct {
	entries []simEntry
	start   int       // offsets below it have expired
	open    []simOpen // transactions with records here but no marker yet
}

// simEntry is a record or, without rec, the marker of a transaction's end.
type simEntry struct {
	rec  *kgo.Record
	txn  *simTxn // nil for a record without a transaction
	gone bool    // compacted
}

type simOpen struct {
	txn   *simTxn
	first int
}

// txnState is the progress of a transaction. From accepted on only its own producer, or a
// timeout, decides.
type txnState int

const (
	txnOpen     txnState = iota
	txnAccepted          // the group has taken its offsets
	txnCommitted
	txnAborted
)

// simTxn is a transaction of one member, or of a producer of events.
type simTxn struct {
	state   txnState
	logs    []*simLog // that lack its marker
	group   *simGroup // whose offsets it commits
	offsets map[int32]int64
	notes   map[int32]string // beside the offsets
	looks   []simLook        // stage count's knowledge of the records it took
	orphan  bool             // its producer was killed
}

func newBroker(rng *rand.Rand, topics wire.Topics, partitions map[string]int32, wrong sabotage) *simBroker {
	b := &simBroker{rng: rng, topics: topics, wrong: wrong, logs: map[string][]*simLog{}}
	for topic, n := range partitions {
		for range n {
			b.logs[topic] = append(b.logs[topic], &simLog{})
		}
	}
	return b
}

// chance returns true once in n times.
func (b *simBroker) chance(n int) bool { return b.rng.IntN(n) == 0 }

// write appends a record. It is visible after its transaction commits, or at once without
// one.
func (b *simBroker) write(r *kgo.Record, txn *simTxn) {
	l := b.logs[r.Topic][r.Partition]
	r.Offset = int64(len(l.entries))
	l.entries = append(l.entries, simEntry{rec: r, txn: txn})
	if txn != nil && !slices.Contains(txn.logs, l) {
		txn.logs = append(txn.logs, l)
		l.open = append(l.open, simOpen{txn, int(r.Offset)})
	}
}

// begin starts a transaction.
func (b *simBroker) begin() *simTxn {
	t := &simTxn{}
	b.pending = append(b.pending, t)
	return t
}

// decide ends a transaction. Its markers follow: see mark. The group's offsets are
// visible at once, because whoever requests them waits for the marker.
func (b *simBroker) decide(t *simTxn, commit bool) {
	t.state = txnAborted
	if commit {
		t.state = txnCommitted
		b.took = append(b.took, t.looks...)
	}
	if commit || b.wrong == keepOffsets {
		for p, offset := range t.offsets {
			t.group.offsets[p], t.group.notes[p] = offset, t.notes[p]
		}
	}
}

// timeout ends a transaction whose producer is gone or slow: its last request may have
// succeeded.
func (b *simBroker) timeout(t *simTxn) {
	if t.state == txnOpen || t.state == txnAccepted {
		b.decide(t, t.state == txnAccepted && b.chance(2))
	}
}

// mark writes the marker of a decided transaction into one of its logs.
func (b *simBroker) mark(t *simTxn, l *simLog) {
	l.entries = append(l.entries, simEntry{txn: t})
	l.open = slices.DeleteFunc(l.open, func(o simOpen) bool { return o.txn == t })
	t.logs = slices.DeleteFunc(t.logs, func(m *simLog) bool { return m == l })
}

// markAll writes all missing markers of a decided transaction.
func (b *simBroker) markAll(t *simTxn) {
	for len(t.logs) > 0 {
		b.mark(t, t.logs[0])
	}
}

// markSome writes one missing marker, in any order.
func (b *simBroker) markSome() {
	b.pending = slices.DeleteFunc(b.pending, func(t *simTxn) bool { return t.state >= txnCommitted && len(t.logs) == 0 })
	if len(b.pending) == 0 {
		return
	}
	t := b.pending[b.rng.IntN(len(b.pending))]
	if t.orphan {
		b.timeout(t)
	}
	if t.state >= txnCommitted && len(t.logs) > 0 {
		b.mark(t, t.logs[b.rng.IntN(len(t.logs))])
	}
}

// settle ends all pending transactions.
func (b *simBroker) settle() {
	for _, t := range b.pending {
		b.timeout(t)
		b.markAll(t)
	}
	b.pending = b.pending[:0]
}

// stable is the offset below which all transactions of l have ended.
func (l *simLog) stable() int {
	end := len(l.entries)
	for _, o := range l.open {
		end = min(end, o.first)
	}
	return end
}

// fetch returns the visible record at an offset, or nil.
func (b *simBroker) fetch(l *simLog, offset int) *kgo.Record {
	e := l.entries[offset]
	switch {
	case e.rec == nil || e.gone:
		return nil
	case e.txn == nil || e.txn.state == txnCommitted || b.wrong == readUnfinished || b.wrong == keepRecords && e.txn.state == txnAborted:
		return e.rec
	}
	return nil
}

// limit is the offset up to which a consumer can read.
func (b *simBroker) limit(l *simLog) int {
	if b.wrong == readUnfinished {
		return len(l.entries)
	}
	return l.stable()
}

var errRestore = errors.New("the connection broke")

// readLog is kafka.ReadLog: every committed record up to the current end, once all
// earlier transactions have ended. Sometimes the connection breaks.
func (b *simBroker) readLog(_ context.Context, topic string, partitions []int32, f func(*kgo.Record) error) error {
	breaks := -1
	if b.chance(40) {
		breaks = b.rng.IntN(20)
	}
	switch {
	case topic == b.topics.Dedup && b.wrong == restoreNoDedup:
		return nil
	case topic == b.topics.Dedup && b.wrong == keepUnrestored && b.chance(4): // sound ones are too rare
		return errRestore
	}
	for _, i := range b.rng.Perm(len(partitions)) {
		for _, r := range b.restored(topic, partitions[i]) {
			if breaks--; breaks == -1 {
				return errRestore
			}
			if err := f(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// restored returns the records that restoring a partition reads.
func (b *simBroker) restored(topic string, partition int32) (list []*kgo.Record) {
	l := b.logs[topic][partition]
	end := len(l.entries)
	if b.wrong == restoreStable {
		end = l.stable()
	} else if b.wrong != restoreUnfinished {
		for len(l.open) > 0 {
			t := l.open[0].txn
			b.timeout(t)
			b.mark(t, l)
		}
	}
	for offset := range end {
		r := b.fetch(l, offset)
		if b.wrong == restoreUnfinished {
			r = l.entries[offset].rec
		}
		if r != nil {
			list = append(list, b.forget(r))
		}
	}
	if topic == b.topics.Dedup && len(list) > 1 && b.chance(4) {
		switch k := 1 + b.rng.IntN(len(list)-1); b.wrong {
		case cutDedup:
			list = list[k:]
		case cutDedupEnd:
			list = list[:k]
		}
	}
	if topic == b.topics.State && b.wrong == restoreNoState && len(list) > 1 && b.chance(4) {
		list = list[:len(list)-2] // the newest has the task's progress
	}
	return list
}

// forget returns a record changed by the sabotage of heads.
func (b *simBroker) forget(r *kgo.Record) *kgo.Record {
	if b.wrong != forgetHold || r.Topic != b.topics.Dedup || string(r.Key) != state.HeadKey {
		return r
	}
	h, err := state.DecodeHead(r.Value)
	if err != nil {
		return r
	}
	h.Progress.Hold = eventtime.None
	var enc wire.Encoder
	other := *r
	other.Value = h.Append(nil, &enc)
	return &other
}

// compact removes overwritten records from a partition of kms.state or kms.dedup, and
// finally tombstones as well.
func (b *simBroker) compact(l *simLog) {
	newest := map[string]bool{}
	for offset := l.stable() - 1; offset >= 0; offset-- {
		e := &l.entries[offset]
		if e.rec == nil || e.gone {
			continue
		}
		key := string(e.rec.Key)
		if e.txn.state == txnAborted || newest[key] {
			e.gone = true
			continue
		}
		newest[key] = true
		e.gone = e.rec.Value == nil && b.chance(2)
	}
}

// expire deletes the beginning of a partition up to a random place before most.
func (b *simBroker) expire(l *simLog, most int) {
	if most = min(most, l.stable()); most > l.start {
		l.start += 1 + b.rng.IntN(most-l.start)
	}
}

// simGroup is a consumer group: its assignment and its offsets.
type simGroup struct {
	topic   string
	owner   []*simMember // by partition; nil for nobody
	offsets []int64      // committed
	notes   map[int32]string
	members []*simMember // running ones, whether or not the group knows them
	make    func() *simMember
}

// position returns where a new owner of a partition begins. It waits for transactions
// that may still commit offsets.
func (b *simBroker) position(g *simGroup, partition int32) int64 {
	for _, t := range b.pending {
		if _, ok := t.offsets[partition]; ok && t.group == g {
			b.timeout(t)
		}
	}
	return g.offsets[partition]
}

// tamper applies the sabotage to the log.
func (s *sim) tamper() {
	logs := s.b.logs[s.p.Topics.Partials]
	list := logs[s.rng.IntN(len(logs))].entries
	if s.b.wrong != repeatFrame || len(list) == 0 {
		return
	}
	e := list[s.rng.IntN(len(list))]
	if e.rec == nil || e.txn == nil || e.txn.state != txnCommitted {
		return
	}
	f, err := wire.NewDecoder(e.rec.Value).Frame()
	if err != nil || f.Sequence == 0 || len(f.Partials) == 0 {
		return
	}
	f.Sequence++
	f.From = f.To
	var enc wire.Encoder
	s.b.write(&kgo.Record{Topic: e.rec.Topic, Partition: e.rec.Partition, Value: wire.AppendFrame(nil, &enc, &f)}, nil)
}

// loses reports whether the sabotage loses a record on its way to a stage.
func (s *sim) loses() bool { return s.b.wrong == loseRecord && s.rng.IntN(50) == 0 }
