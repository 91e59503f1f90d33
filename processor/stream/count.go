package stream

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/intake"
	"keytrail/processor/kafka"
	"keytrail/processor/keyledger"
	"keytrail/processor/state"
	"keytrail/schemas/cloud"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// counter is stage count: kms.events to kms.partials. For every source partition that it
// owns, it removes duplicates, judges single events by the always-on rules and the
// user's, and adds the calls to partial counts. A commit writes a frame of them to every
// partition of kms.partials.
type counter struct {
	p       *Pipeline
	tasks   map[int32]*countTask
	rec     otellog.Record
	call    count.Call
	event   keyledger.Event
	change  otellog.Record // all attributes of a change
	taker   intake.Taker
	judging *Judging           // the rules of taker
	headers []kgo.RecordHeader // of its frames
	told    bool               // logged that rules could not read a call
	full    bool               // logged that correlations have too many matches
	enc     wire.Encoder
	batches []wire.Batch      // by partition of kms.partials
	now     int64             // wall clock, ns; every poll updates it
	began   time.Time         // first look at the clock; see since
	topic   topicView         // the known state of all sources
	emit    func(*kgo.Record) // of the current Output
	emitted bool              // it has been called
	commits bool              // the current transaction commits in any case
	out     []*kgo.Record     // output of the records processed since
	taking  *countTask        // whose call is being taken
	stats   tally
}

// countTask is the state of one source partition.
type countTask struct {
	partition int32
	intake.Source
	ledger    keyledger.Batch // since the last commit
	observed  *observer       // nil without correlations
	progress  eventtime.Progress
	log       countLog
	at        kafka.Position // position in the source
	cut       bool           // records before the first one were deleted
	begun     bool           // from and to are known
	sequence  uint64
	from, to  int64      // range of offsets counted since the last commit: [from, to)
	lost      uint64     // the number of those that expired unread
	lastEvent int64      // when it last had something to read, or its lag was unknown; see since
	held      int64      // when this process saw the hold begin; see since
	own       int64      // the watermark of its own events; see marks
	sent      wire.Frame // the last watermark, late mark and idleness sent
	told      int64      // when they were sent; see since
	quiet     int64      // of the current Output; see eventtime.Mark
	hits      []hit      // anomalies of rules since the last commit
	ended     int64      // the largest quiet sent: windows may have closed by it
}

// newTask returns a source partition without state at a time of since.
func (c *counter) newTask(partition int32, since int64) *countTask {
	w := c.p.Window
	t := &countTask{
		partition: partition, log: countLog{head: state.Head{Settings: c.p.settings().String()}},
		Source:   intake.NewSource(w.Detect.Size),
		progress: eventtime.Progress{Disorder: w.OutOfOrderness, Skew: w.FutureSkew}, lastEvent: since,
		sent: wire.Frame{Watermark: eventtime.None, Late: eventtime.None, Quiet: eventtime.None}, ended: eventtime.None,
		own: eventtime.None, held: since,
	}
	t.observe(c.judging)
	return t
}

// Assign keeps tasks only if all are restored: every task writes frames and a head, and a
// partition whose restore failed may belong to another process by then.
func (c *counter) Assign(ctx context.Context, partitions []int32) error {
	began := c.p.now()
	if len(c.tasks) == 0 {
		c.adopt()
	}
	tasks := map[int32]*countTask{}
	for _, p := range partitions {
		tasks[p] = c.newTask(p, c.since(began))
	}
	n, forgotten := 0, 0
	err := c.p.readLog(ctx, c.p.Topics.Dedup, partitions, func(r *kgo.Record) error {
		n++
		return tasks[r.Partition].restore(r, &forgotten)
	})
	if err != nil {
		return err
	}
	for _, p := range partitions {
		t := tasks[p]
		t.lastEvent = c.since(c.p.now()) // the time of the restore is not silence of the source
		err := t.restored()
		if err == nil {
			err = c.p.sameSettings(t.log.head.Settings)
		}
		if err != nil {
			return kafka.Fatal(fmt.Errorf("topic %q partition %d holds the state of stage count: %w", c.p.Topics.Dedup, p, err))
		}
	}
	maps.Copy(c.tasks, tasks)
	c.owns()
	c.p.forgot("count", forgotten)
	if n > 0 {
		c.p.Log.Info("count: state restored", "partitions", len(partitions), "records", n,
			"took", c.p.now().Sub(began).Round(time.Millisecond))
		c.p.restored("count", n, c.p.now().Sub(began))
	}
	return nil
}

func (c *counter) Revoke(partitions []int32) {
	for _, p := range partitions {
		delete(c.tasks, p)
	}
	c.stats = tally{}
	c.owns()
}

// owns shows the sources and their watermarks to the status.
func (c *counter) owns() {
	marks := map[int32]int64{}
	for p, t := range c.tasks {
		marks[p] = t.sent.Watermark
	}
	c.p.owns("count", c.p.Topics.Events, marks)
}

func (c *counter) Lag(behind map[int32]int64) {
	for p, n := range behind {
		if t := c.tasks[p]; t != nil && n != 0 { // it has unread records
			t.lastEvent = c.since(c.p.now())
		}
	}
}

func (c *counter) Process(r *kgo.Record) error {
	t := c.tasks[r.Partition]
	if r.Offset < t.to {
		return fmt.Errorf("topic %q partition %d: offset %d arrives after offset %d was counted", r.Topic,
			r.Partition, r.Offset, t.to)
	}
	if !t.begun { // a new source
		t.from, t.begun = r.Offset, true
	}
	t.to = r.Offset + 1
	known := c.arrive(t, r)
	c.stats.received++
	if err := c.rec.DecodeOnly(r.Value, count.Attributes); err != nil {
		c.dead(r, "bad_record", err.Error())
		return nil
	}
	count.FromRecord(&c.rec, &c.call)
	if detail, is := c.call.Oversized(); is {
		c.dead(r, "bad_record", detail)
		return nil
	}
	call := &c.call
	switch {
	case call.IDText == "" || call.Time == 0:
		c.dead(r, "no_call", "the log record has no keytrail.call.id or no time: it was not made by Keytrail")
	case c.rec.Str(semconv.KeytrailOperationClass) == "": // every record of this version of the schema has it
		c.dead(r, "old_schema", "the log record has no "+semconv.KeytrailOperationClass+
			": another version of Keytrail made it; upgrade what writes to this topic and publish the event again")
	case !eventtime.InRange(call.Time):
		c.dead(r, "bad_time", fmt.Sprintf("the event time, %d ns from 1970, is not between 1970 and 2261", call.Time))
	case call.Time > eventtime.Add(known, maxFuture):
		c.dead(r, "future", fmt.Sprintf("the event time is more than a day ahead of %s", stamp(known)))
	default:
		c.take(t, r, known)
	}
	return nil
}

// take processes the call in c.call, from record r; see arrive for known.
func (c *counter) take(t *countTask, r *kgo.Record, known int64) {
	late := t.late(c.p)
	c.taking = t
	if c.p.coverage != nil {
		_, account, region := cloud.Place(c.call.Key)
		c.p.coverage.Saw(account, region, c.call.Time)
	}
	if !c.entry(t, r) {
		return
	}
	verdict := c.taker.Take(&t.Source, &c.rec, &c.call, late)
	c.stats.unexplained += c.taker.Unexplained
	c.taker.Unexplained = 0
	switch verdict {
	case intake.New:
		c.stats.delivered++
	case intake.Duplicate:
		c.stats.duplicate++
	case intake.LateDuplicate:
		c.stats.duplicate++
		return
	case intake.Late:
		c.stats.late++
		c.dead(r, "late", fmt.Sprintf("windows that end by %s accept no more calls", stamp(late)))
		return
	}
	t.progress.Observe(c.call.Time, known)
}

// maxFuture is how far ahead an event may be of the clock, or of its record's broker
// timestamp: a day. One further ahead is a dead letter, because it would keep its window
// open for that long.
const maxFuture = int64(24 * time.Hour)

func (c *counter) dead(r *kgo.Record, reason, detail string) {
	c.stats.dead(reason)
	c.out = append(c.out, c.p.deadLetter("count", reason, detail, r))
}

// Output writes, for every task with news, a frame to each partition of kms.partials and
// the counted calls to the dedup topic.
func (c *counter) Output(now time.Time, emit func(*kgo.Record)) (more bool, err error) {
	c.now, c.emitted = now.UnixNano(), false
	c.emit = func(r *kgo.Record) {
		c.emitted = true
		emit(r)
	}
	for _, r := range c.out { // dead letters, and anomalies of rules
		c.emit(r)
	}
	c.out = nil
	for _, t := range c.tasks {
		c.output(t, now)
	}
	if c.emitted || c.commits {
		c.heads()
	}
	c.p.room.follow(now)
	return false, nil
}

func (c *counter) output(t *countTask, now time.Time) {
	since := c.since(now)
	mark, quiet, idle := c.marks(t, since)
	if t.to <= t.from && !t.tells(mark, quiet, idle, since) {
		return
	}
	t.told, t.quiet, t.ended = since, quiet, max(t.ended, quiet)
	late := max(t.late(c.p), c.p.behind(mark))
	c.frames(t, mark, late, idle)
	c.logCounted(t)
	c.tell(t.observed)
	t.sent = wire.Frame{Watermark: mark, Late: late, Quiet: quiet, Idle: idle}
	t.from, t.lost, t.hits = t.to, 0, nil
	t.ledger.Reset()
	t.Committed()
	t.forget(&c.p.Window)
	c.logHead(t)
}

// frameBytes is the size at which a frame's partials continue in another frame: even with
// the largest partial (6 sets of 512 values, 40 kB, names and ids of 20 kB) or pane
// (10,001 values, 80 kB, ids of 17 kB) it stays below Kafka's record limit.
const frameBytes = 600_000

// frames writes the counts of t to every partition of kms.partials, in as many frames as
// the fullest partition needs.
func (c *counter) frames(t *countTask, mark, late int64, idle bool) {
	n := int(c.p.Partitions[c.p.Topics.Partials])
	if len(c.batches) != n {
		c.batches = make([]wire.Batch, n)
	}
	for p := range t.Table.All() {
		if !count.Empty(p) {
			c.batches[p.Owner(n)].Add(p, c.p.mostBytes)
		}
	}
	t.observed.batch(max(mark, t.ended), t.Credits, c.batches, c.p.mostBytes)
	for _, h := range t.hits {
		c.batches[wire.Owner(h.id, n)].AddHit(string(h.record), c.p.mostBytes)
	}
	t.ledger.All(func(account string, delta []byte) {
		c.batches[wire.Owner(account, n)].AddDelta(delta, c.p.mostBytes)
	})
	most := 1
	for q := range c.batches {
		most = max(most, c.batches[q].Frames())
	}
	for k := range most {
		f := t.frame(k, most, mark, late, idle)
		for q := range c.batches {
			c.emit(&kgo.Record{Topic: c.p.Topics.Partials, Partition: int32(q), Value: c.batches[q].AppendFrame(nil, &f, k),
				Headers: c.headers})
		}
	}
	for q := range c.batches {
		c.batches[q].Reset()
	}
}

func (c *counter) Committed(ok bool) {
	c.out = nil
	c.stats.commit(c.p, "count", ok)
	if ok {
		c.owns()
		c.adopt()
	}
}
