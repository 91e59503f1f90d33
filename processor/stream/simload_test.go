package stream

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/eventtime"
	"keytrail/processor/internal/oracle"
	"keytrail/processor/kafka"
	"keytrail/processor/telemetry"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// simTools is shared by schedules: creating it takes longer than a schedule.
type simTools struct {
	telemetry *telemetry.Telemetry
	flows     map[string]*telemetry.Flow
	norm      *normalize.Normalizer
	dec       *cloudtrail.Decoder
	ev        cloudtrail.Event
	rec       otellog.Record
	// partitions is the number of partitions in every schedule; 0 is a random one.
	partitions int32
}

func newTools(t testing.TB) *simTools {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	flows := map[string]*telemetry.Flow{"count": tel.Flow("count", ""), "detect": tel.Flow("detect", "")}
	tools := simTools{telemetry: tel, flows: flows}
	return tools.fork()
}

// fork returns tools for another goroutine, with the same metrics.
func (t *simTools) fork() *simTools {
	return &simTools{telemetry: t.telemetry, flows: t.flows, norm: normalize.New(normalize.Options{OmitBody: true, Direct: true}), dec: cloudtrail.NewDecoder(decoding.Limits{})}
}

// simLoad makes calls and delivers their copies. In most schedules no copy that must
// count is late, and a copy that must be late is late whatever the stages have done so
// far. In wild ones any copy comes at any time.
type simLoad struct {
	s        *sim
	tools    *simTools
	judge    *oracle.Judge
	left     int       // calls to make
	kinds    []int     // of calls: see call
	made     int       // ids given out
	front    int64     // for old events, the progress of event times
	pending  []simItem // copies to deliver
	withheld []simItem // better copies, to be delivered once they are late
	spare    []simItem // delivered copies, to be delivered again once they are late
	high     []int64   // by partition the largest event time written, which bounds the watermark
	sure     []int64   // by partition an event time that the watermark has surely passed, for the next records
	newest   int64     // the largest event time written anywhere
	open     int64     // the first end of a window with records on their way
	last     int64     // the end of the last window
	letters  map[string]int
	either   int                 // late duplicates: each may be a dead letter or a duplicate
	written  []map[int64]simItem // by partition of the events and offset
}

// simItem is one copy of a call, or an unrelated record.
type simItem struct {
	topic      string // "" for the topic of the events
	key, value []byte
	partition  int32
	time       int64 // 0 without an event time
	counts     bool
	json       []byte // nil for a record that is not an event
	kind       copyKind
	fate       simFate
}

// simFate is the correct outcome of an item, whatever the stages do.
type simFate int

const (
	anyFate simFate = iota
	onTime
	tooLate
)

func newLoad(s *sim, tools *simTools) *simLoad {
	n := s.p.Partitions[s.p.Topics.Events]
	l := &simLoad{s: s, tools: tools, left: 1 + s.rng.IntN(7), letters: map[string]int{}, open: forever, front: s.now,
		high: make([]int64, n), sure: make([]int64, n)}
	for range n {
		l.written = append(l.written, map[int64]simItem{})
	}
	l.kinds = s.some(8)
	if !s.small {
		l.left = 8 + s.rng.IntN(40)
	}
	if !s.live {
		l.front -= int64(16*time.Hour) + s.rng.Int64N(int64(8*time.Hour))
	}
	l.judge, _ = oracle.New(time.Duration(s.p.Window.Detect.Size))
	return l
}

const forever = int64(1) << 62

// second is the resolution of CloudTrail's times.
const second = int64(time.Second)

// item makes a producer's record of an event's JSON.
func (l *simLoad) item(json []byte, kinds ...copyKind) simItem {
	t := l.tools
	t.ev = cloudtrail.Event{}
	if err := t.dec.Decode(json, &t.ev); err != nil {
		panic(err)
	}
	if ok, err := t.norm.Record(&t.ev, l.s.now, &t.rec); err != nil || !ok {
		panic(fmt.Sprintf("BUG: %v %s", err, json))
	}
	key := slices.Clone(wire.CallKey(&t.rec))
	return simItem{key: key, value: otellog.AppendRequest(nil, &t.rec), partition: kafka.KeyPartition(key, int32(len(l.high))), time: t.rec.Time, counts: true, json: json, kind: append(kinds, plainCopy)[0]}
}

// produce writes a few records, with or without a transaction. It repeats an aborted one.
func (l *simLoad) produce() {
	var batch []simItem
	for range 1 + l.s.rng.IntN(l.s.most(8, 3)) {
		batch = append(batch, l.choose()...)
	}
	b := l.s.b
	for len(batch) > 0 && b.chance(4) {
		txn := b.begin()
		l.write(batch, txn)
		b.decide(txn, false)
	}
	var txn *simTxn
	if b.chance(2) {
		txn = b.begin()
	}
	l.write(batch, txn)
	if txn != nil {
		b.decide(txn, true)
	}
}

func (l *simLoad) write(batch []simItem, txn *simTxn) {
	l.s.stats["records"] += len(batch)
	for _, it := range batch {
		r := &kgo.Record{Topic: cmp.Or(it.topic, l.s.p.Topics.Events), Partition: it.partition, Key: it.key, Value: it.value}
		if it.topic == "" {
			l.s.stamp(r)
		}
		l.s.b.write(r, txn)
		if it.topic == "" {
			l.written[it.partition][r.Offset] = it
		}
	}
}

// choose returns the next item, in the order of writing.
func (l *simLoad) choose() []simItem {
	rng := l.s.rng
	switch {
	case len(l.pending) > 0 && (l.left == 0 || rng.IntN(2) == 0):
		i := rng.IntN(len(l.pending))
		it := l.pending[i]
		l.pending = slices.Delete(l.pending, i, i+1)
		return []simItem{l.note(it)}
	case l.left == 0:
		return nil
	case rng.IntN(12) == 0:
		return l.oddity()
	}
	l.left--
	copies := l.call(l.when())
	first := copies[0]
	batch := l.due(first.partition, first.time)
	l.pending = append(l.pending, copies[1:]...)
	return append(batch, l.note(first))
}

// note records what watermarks may know of a copy once it is written.
func (l *simLoad) note(it simItem) simItem {
	w := &l.s.p.Window
	l.high[it.partition] = max(l.high[it.partition], it.time)
	l.sure[it.partition] = max(l.sure[it.partition], min(it.time, l.s.now+w.FutureSkew))
	l.newest = max(l.newest, it.time)
	l.open = min(l.open, l.end(it.time))
	if !l.s.wild {
		it.fate = onTime
	}
	if len(l.spare) < 8 {
		again := it
		again.fate = anyFate
		l.spare = append(l.spare, again)
	}
	return it
}

// due returns the copies that an event at that time, in that partition, would make late.
func (l *simLoad) due(partition int32, at int64) (batch []simItem) {
	w := &l.s.p.Window
	for i := 0; i < len(l.pending); i++ {
		it := l.pending[i]
		late := it.partition == partition && l.end(it.time)+w.Detect.Lateness <= at-w.OutOfOrderness
		if l.s.orderly {
			late = it.time < at-w.OutOfOrderness
		}
		if late && !l.s.live && !l.s.wild {
			batch = append(batch, l.note(it))
			l.pending = slices.Delete(l.pending, i, i+1)
			i--
		}
	}
	return batch
}

// all writes the remaining copies of the calls made so far.
func (l *simLoad) all() {
	for i, it := range l.pending {
		l.pending[i] = l.note(it)
	}
	l.write(l.pending, nil)
	l.pending = nil
}

// end returns the end of the window that contains an event time.
func (l *simLoad) end(at int64) int64 {
	size := l.s.p.Window.Detect.Size
	return eventtime.Start(at, size) + size
}

// when chooses the event time of the next call. Live calls happen now, or by a fast
// clock; old ones are somewhere behind the front.
func (l *simLoad) when() int64 {
	rng, w := l.s.rng, &l.s.p.Window
	if l.s.wild {
		return l.anytime()
	}
	if l.s.live {
		if rng.IntN(15) == 0 {
			return l.s.now/second*second + rng.Int64N(int64(time.Hour))/second*second
		}
		// Late enough that a fast clock has not closed its window, with a margin.
		oldest := min(w.OutOfOrderness, w.OutOfOrderness+w.Detect.Lateness-w.FutureSkew-int64(30*time.Second))
		return (l.s.now - rng.Int64N(oldest)) / second * second
	}
	l.front += rng.Int64N(int64(2 * time.Minute))
	if rng.IntN(15) == 0 {
		l.front += rng.Int64N(int64(2 * time.Hour))
	}
	at := l.front - rng.Int64N(2*w.OutOfOrderness)
	if l.s.orderly {
		return (max(at, l.newest-w.OutOfOrderness) + second - 1) / second * second
	}
	if rng.IntN(6) == 0 { // for any partition: just in time, or a little later
		at = l.floor(int32(rng.IntN(len(l.high)))) + rng.Int64N(w.Detect.Size)
	}
	return at / second * second
}

// anytime chooses the event time of a call in a wild schedule: now, as long ago as the
// shippers were stopped, or by a fast clock; for old events likewise around the front.
func (l *simLoad) anytime() int64 {
	rng, at := l.s.rng, l.s.now
	if !l.s.live {
		l.front += rng.Int64N(int64(10 * time.Minute))
		at = min(l.front, l.s.now)
	}
	switch rng.IntN(12) {
	case 0:
		at += rng.Int64N(int64(time.Hour))
	case 1, 2, 3:
		at -= rng.Int64N(int64(4 * time.Hour))
	default:
		at -= rng.Int64N(2 * l.s.p.Window.OutOfOrderness)
	}
	return at / second * second
}

// floor returns the start of the first window in a partition that is not late.
func (l *simLoad) floor(partition int32) int64 {
	w := &l.s.p.Window
	if l.high[partition] == 0 {
		return eventtime.Start(l.front, w.Detect.Size)
	}
	return eventtime.Start(l.high[partition]-w.OutOfOrderness-w.Detect.Lateness, w.Detect.Size)
}

// oddity returns a record that must become a dead letter, or a late duplicate.
func (l *simLoad) oddity() []simItem {
	rng, w := l.s.rng, &l.s.p.Window
	p := int32(rng.IntN(len(l.high)))
	var it simItem
	switch rng.IntN(6) {
	case 0:
		it = simItem{key: []byte("x"), value: []byte("no log record"), partition: p}
		l.letters["count bad_record"]++
	case 1:
		it = simItem{key: []byte("x"), value: otellog.AppendRequest(nil, &otellog.Record{Time: l.s.now}), partition: p}
		l.letters["count no_call"]++
	case 2:
		it = l.plain(l.s.now + int64(400*24*time.Hour))
	case 3:
		return l.again()
	case 4:
		topic := l.s.p.Topics.Partials
		it = simItem{topic: topic, value: []byte("no frame"), partition: rng.Int32N(l.s.p.Partitions[topic])}
		l.letters["detect bad_frame"]++
	default:
		it = l.plain(second)
		if l.sure[it.partition] == 0 {
			return nil
		}
		if rng.IntN(2) == 0 {
			return l.better()
		}
		start := eventtime.Start(l.sure[it.partition]-w.OutOfOrderness-w.Detect.Lateness-w.Detect.Size, w.Detect.Size)
		id := string(it.key)
		it = l.item(l.json(simCall{id: id, at: start + rng.Int64N(w.Detect.Size) - rng.Int64N(3)*w.Detect.Size, key: keyHere(0), role: 1}, plainCopy), plainCopy)
		it.fate = tooLate
	}
	return []simItem{it}
}

// plain makes a call at a time that the judge ignores.
func (l *simLoad) plain(at int64) simItem {
	return l.item(l.json(simCall{id: l.id(), at: at, key: keyHere(0), role: 1}, plainCopy), plainCopy)
}

// better delivers a better copy of a counted call once it is surely late: it must not
// count, and the first copy must remain.
func (l *simLoad) better() []simItem {
	for i, late := range l.withheld {
		w := &l.s.p.Window
		if l.s.wild || l.end(late.time)+w.Detect.Lateness <= l.sure[late.partition]-w.OutOfOrderness {
			l.withheld = slices.Delete(l.withheld, i, i+1)
			if late.fate = tooLate; l.s.wild {
				late.fate = anyFate
			}
			return []simItem{late}
		}
	}
	return nil
}

// again delivers a copy once more, after all copies of its call. It may be late by then,
// and must not count in either case.
func (l *simLoad) again() []simItem {
	if len(l.spare) == 0 {
		return nil
	}
	it := l.spare[0]
	if slices.ContainsFunc(l.pending, func(o simItem) bool { return string(o.key) == string(it.key) }) {
		return nil
	}
	l.spare = l.spare[1:]
	return []simItem{it}
}

// done reports that everything has been delivered.
func (l *simLoad) done() bool { return l.left == 0 && len(l.pending) == 0 }

// deadline is the clock time by which all live records must be through both stages. No
// watermark is ahead of the clock plus the skew minus the disorder.
func (l *simLoad) deadline() int64 {
	open := l.open
	for _, it := range l.pending {
		open = min(open, l.end(it.time))
	}
	if open == forever {
		return forever
	}
	w := &l.s.p.Window
	return open + w.Detect.Lateness + w.OutOfOrderness - w.FutureSkew - 1
}
