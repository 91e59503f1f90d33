package stream

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/count"
	"keytrail/processor/dedup"
	"keytrail/processor/detect"
	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// counter is stage count: kms.events to kms.partials. For every source
// partition it owns it removes duplicates, judges single events by the
// always-on rules and the user's own, and adds the calls to partial counts; a commit writes one
// frame of them to every partition of kms.partials.
type counter struct {
	p       *Pipeline
	tasks   map[int32]*countTask
	rec     otellog.Record
	call    count.Call
	match   *count.Matcher // nil without rules of the user
	told    bool           // the log has that rules could not be tried
	full    bool           // the log has that correlations see too much
	enc     wire.Encoder
	batches []wire.Batch      // by partition of kms.partials
	now     int64             // wall clock, ns; moved on by every poll
	began   time.Time         // of the first look at the clock; see since
	topic   topicView         // what is known of all sources
	emit    func(*kgo.Record) // of the Output at hand
	emitted bool              // it has been called
	commits bool              // the transaction at hand commits in any case
	out     []*kgo.Record     // of what was processed since
	stats   tally
}

// countTask is the state of one source partition.
type countTask struct {
	partition int32
	seen      *dedup.Set
	credits   map[wire.CallID]count.Call // calls credited by a copy that a better one may correct
	observed  *observer                  // nil without correlations
	progress  eventtime.Progress
	log       countLog
	at        kafka.Position // where the source is read on
	begun     bool           // from and to are known
	sequence  uint64
	from, to  int64      // offsets counted since the last commit: [from, to)
	lost      uint64     // of these, how many expired before they were read
	lastEvent int64      // when it had something to read last, or that was not known; see since
	sent      wire.Frame // watermark, late and idleness as told last
	told      int64      // when that was; see since
	quiet     int64      // of the Output at hand; see eventtime.Mark
	ended     int64      // the largest quiet that was told: windows may have closed by it
	table     *count.Table
	keys      []dedup.Key
	storm     detect.Storm
	changed   []count.Call // credits to write with the next commit
}

// newTask returns a source partition without state, at a time of since.
func (c *counter) newTask(partition int32, since int64) *countTask {
	w := c.p.Window
	return &countTask{
		partition: partition, seen: dedup.NewSet(), credits: map[wire.CallID]count.Call{}, table: count.NewTable(w.Detect.Size), observed: newObserver(c.p.Rules),
		progress: eventtime.Progress{Disorder: w.OutOfOrderness, Skew: w.FutureSkew}, lastEvent: since,
		sent: wire.Frame{Watermark: eventtime.None, Late: eventtime.None, Quiet: eventtime.None}, ended: eventtime.None,
	}
}

// Assign keeps no task unless all are restored: what has a task writes frames and a head,
// and a partition whose restore failed may be another process's by then.
func (c *counter) Assign(ctx context.Context, partitions []int32) error {
	began := c.p.now()
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
		t.lastEvent = c.since(c.p.now()) // the time of the restore was no silence of the source
		if err := t.restored(); err != nil {
			return kafka.Fatal(fmt.Errorf("topic %q partition %d holds the state of stage count: %w", c.p.Topics.Dedup, p, err))
		}
	}
	maps.Copy(c.tasks, tasks)
	c.p.forgot("count", forgotten)
	if n > 0 {
		c.p.Log.Info("count: state restored", "partitions", len(partitions), "records", n, "took", c.p.now().Sub(began).Round(time.Millisecond))
		c.p.restored("count", n, c.p.now().Sub(began))
	}
	return nil
}

// credit remembers a call that a better copy may correct, or any other copy complete;
// the best copy needs no memory when it is complete.
func (t *countTask) credit(c count.Call) {
	if c.Copy == kms.CopyCaller && !c.Open {
		delete(t.credits, c.ID)
	} else {
		t.credits[c.ID] = c
	}
}

func (c *counter) Revoke(partitions []int32) {
	for _, p := range partitions {
		delete(c.tasks, p)
	}
	c.stats = tally{}
}

func (c *counter) Lag(behind map[int32]int64) {
	for p, n := range behind {
		if t := c.tasks[p]; t != nil && n != 0 { // it has records, which are not read yet
			t.lastEvent = c.since(c.p.now())
		}
	}
}

func (c *counter) Process(r *kgo.Record) error {
	t := c.tasks[r.Partition]
	if r.Offset < t.to {
		return fmt.Errorf("topic %q partition %d: offset %d comes after offset %d is counted", r.Topic, r.Partition, r.Offset, t.to)
	}
	if !t.begun { // a new source
		t.from, t.begun = r.Offset, true
	}
	t.to = r.Offset + 1
	now := c.p.now()
	c.now, t.lastEvent = now.UnixNano(), c.since(now)
	c.topic.arrived(t.lastEvent, c.p.Window.OutOfOrderness)
	c.held(t, t.lastEvent)
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
	late := t.isLate(call.Time, &c.p.Window)
	switch {
	case call.IDText == "" || call.Time == 0:
		c.dead(r, "no_call", "the log record has no keytrail.call.id or no time: it was not made by Keytrail")
	case !eventtime.InRange(call.Time):
		c.dead(r, "bad_time", fmt.Sprintf("the event time, %d ns from 1970, is not before 2262 and after the beginning of 1970", call.Time))
	case call.Time > eventtime.Add(c.now, MaxFuture):
		c.dead(r, "future", "the event time is more than a day ahead of the clock")
	case late && t.seen.Has(call.ID, call.Time):
		c.stats.duplicate++ // whatever it shows comes too late: nothing moves
	case late:
		c.stats.late++
		c.dead(r, "late", fmt.Sprintf("the event's window took calls until the watermark %s", time.Unix(0, t.progress.Watermark()).UTC().Format(time.RFC3339)))
	default:
		t.table.Learn(call)
		c.count(t)
		t.progress.Observe(call.Time, c.now)
	}
	return nil
}

// MaxFuture is how far ahead of the clock an event may be: a day. A farther one
// is a dead letter, because it would hold its window open for that long.
const MaxFuture = int64(24 * time.Hour)

// count counts the call in c.call, unless it is a duplicate; a better copy of a
// call takes the credit over, as long as the window that has it takes calls.
func (c *counter) count(t *countTask) {
	call, published := &c.call, false
	if !t.seen.Add(call.ID, call.Time) {
		c.stats.duplicate++
		old, ok := t.credits[call.ID]
		if !ok || t.isLate(old.Time, &c.p.Window) {
			return
		}
		if call.Copy <= old.Copy {
			t.complete(&old, call)
			return
		}
		t.table.Add(&old, -1)
		call.Complete(&old)
		published = old.Withheld == 0
	} else {
		c.stats.delivered++
		t.keys = append(t.keys, dedup.Key{ID: call.ID, Time: call.Time})
		if call.Copy == kms.CopyCaller && !call.Open {
			c.explain(t, c.judge(t), false)
			t.table.Add(call, 1)
			return
		}
	}
	c.explain(t, c.judge(t), published) // of this copy, even when a worse one was judged
	t.table.Add(call, 1)
	own := call.Clone()
	t.credit(own)
	t.changed = append(t.changed, own)
}

// complete counts the call in old for a KMS key that another copy of it shows, too. What
// else is counted of the call is what the credited copy says.
func (t *countTask) complete(old, other *count.Call) {
	whole := *old
	if !whole.Complete(other) {
		return
	}
	t.table.Add(old, -1)
	t.table.Add(&whole, 1)
	own := whole.Clone()
	t.credit(own)
	t.changed = append(t.changed, own)
}

func (c *counter) dead(r *kgo.Record, reason, detail string) {
	c.stats.dead(reason)
	c.out = append(c.out, c.p.deadLetter("count", reason, detail, r))
}

// Output writes, for every task with something to tell, a frame to each
// partition of kms.partials and what it counted to the dedup topic.
func (c *counter) Output(now time.Time, emit func(*kgo.Record)) (more bool, err error) {
	c.now, c.emitted = now.UnixNano(), false
	c.emit = func(r *kgo.Record) {
		c.emitted = true
		emit(r)
	}
	for _, r := range c.out { // dead letters, and the anomalies of rules
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
	c.held(t, since)
	idle, quiet := c.silent(t, since), eventtime.None
	if idle && c.topic.ends != nil { // else nobody has looked yet
		quiet = t.progress.Follow(c.topic.stream, c.now)
	}
	mark := t.progress.Watermark()
	quiet = max(quiet, mark)
	if t.to <= t.from && !t.tells(mark, quiet, idle, since) {
		return
	}
	t.told, t.quiet, t.ended = since, quiet, max(t.ended, quiet)
	c.frames(t, mark, idle)
	c.logCounted(t)
	c.tell(t.observed)
	t.sent = wire.Frame{Watermark: mark, Late: t.late(mark, &c.p.Window), Quiet: quiet, Idle: idle}
	t.from, t.lost, t.keys, t.changed = t.to, 0, nil, nil
	t.table.Reset()
	t.forget(&c.p.Window)
	c.logHead(t)
}

// frameBytes is the size from which on a frame's partials go on in a further
// one: with the largest partial (6 sets of 512 values, 40 kB, names and ids of 20 kB)
// or pane (10,001 values, 80 kB, ids of 17 kB) it stays below Kafka's bound for a record.
const frameBytes = 600_000

// frames writes what t has counted to every partition of kms.partials, in as
// many frames as the fullest partition needs.
func (c *counter) frames(t *countTask, mark int64, idle bool) {
	n := int(c.p.Partitions[c.p.Topics.Partials])
	if len(c.batches) != n {
		c.batches = make([]wire.Batch, n)
	}
	for p := range t.table.All() {
		if !count.Empty(p) {
			c.batches[p.Owner(n)].Add(p, c.p.mostBytes)
		}
	}
	t.observed.batch(max(mark, t.ended), t.credits, c.batches, c.p.mostBytes)
	most, late := 1, t.late(mark, &c.p.Window)
	for q := range c.batches {
		most = max(most, c.batches[q].Frames())
	}
	for k := range most {
		f := t.frame(k, most, mark, late, idle)
		for q := range c.batches {
			c.emit(&kgo.Record{Topic: c.p.Topics.Partials, Partition: int32(q), Value: c.batches[q].AppendFrame(nil, &f, k)})
		}
	}
	for q := range c.batches {
		c.batches[q].Reset()
	}
}

func (c *counter) Committed(ok bool) {
	c.out = nil
	c.stats.commit(c.p, "count", ok)
}
