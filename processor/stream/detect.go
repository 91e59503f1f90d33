package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/processor/correlate"
	"keytrail/processor/eventtime"
	"keytrail/processor/incident"
	"keytrail/processor/kafka"
	"keytrail/processor/keyledger"
	"keytrail/processor/state"
	"keytrail/processor/window"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// detector is stage detect: kms.partials to kms.windows and kms.anomalies. Each partition
// that it owns has a share of the entities. It checks that the frames of every source
// continue without gaps, merges their partials, and closes windows at the combined
// watermark. It also keeps the ledgers of the KMS keys of its accounts. Its state goes to
// kms.state in the same transaction.
type detector struct {
	p       *Pipeline
	tasks   map[int32]*detectTask
	enc     wire.Encoder
	rec     otellog.Record
	emit    func(*kgo.Record) // of the current Output
	commits bool              // the current transaction commits in any case
	out     []*kgo.Record     // dead letters of the records processed since
	stats   tally
	told    map[othersOf]time.Time // time of the last log line about others
	judging *Judging
	delays  []delayed        // of the transaction
	others  map[int32]string // the makers of frames that were judged by other rules, by source
}

// detectTask is the state of one partition of kms.partials.
type detectTask struct {
	partition int32
	engine    *window.Engine
	// correlations count the matches of the user's correlations, and refused are the
	// panes of this commit that they could not count.
	correlations *correlate.Engine
	open         *anomaly.OpenSet
	keys         *keyledger.Ledger // of the accounts that the partition owns, as are
	incidents    *incident.Set
	signals      map[int32][]string // anomalies of this step, by the partition that owns their account
	looked       time.Time          // when keys last looked for moved aliases
	refused      []refused
	sources      eventtime.Sources
	meta         state.Meta
	news         bool
	at           kafka.Position // position in kms.partials
	stored       bool           // the changelog has a meta
	restored     int            // records of the changelog
	last         []byte         // the newest meta of the changelog
	// notices are counts for principals that other partitions may own.
	notices []wire.Partial
	late    []wire.Partial // notices of this commit for dropped windows
	// passed is the time of the first frame since the last step: no window of the next one
	// could be published before. closed counts the windows of this transaction.
	passed time.Time
	closed int
}

func newDetector(p *Pipeline) *detector {
	return &detector{p: p, tasks: map[int32]*detectTask{}, judging: p.Judging(), others: map[int32]string{}}
}

func (d *detector) newTask(partition int32) *detectTask {
	t := &detectTask{partition: partition, meta: state.Meta{Settings: d.p.settings().String(), Watermark: eventtime.None,
		Late: eventtime.None, Ended: eventtime.None, Told: eventtime.None, Hold: eventtime.None,
		Applied: map[int32]state.Applied{}, Sent: map[int32]uint64{}}}
	cfg := d.p.Window.Detect
	cfg.Partition, cfg.Allow = partition, d.judging.Allow
	t.engine = window.NewEngine(cfg, func(p wire.Partial) { t.notices = append(t.notices, p) })
	t.correlations, t.open = d.p.correlations(d.judging), anomaly.NewOpenSet()
	t.keys, t.incidents = keyledger.New(), incident.NewSet()
	t.keys.Watch()
	return t
}

func (d *detector) Assign(ctx context.Context, partitions []int32) error {
	began := d.p.now()
	d.adopt()
	tasks := map[int32]*detectTask{}
	for _, p := range partitions {
		tasks[p] = d.newTask(p)
	}
	// Only the last of an entity's many states in the changelog counts.
	n := 0
	err := d.p.readLog(ctx, d.p.Topics.State, partitions, func(r *kgo.Record) error {
		t := tasks[r.Partition]
		t.restored++
		if n++; n%10_000 == 0 {
			d.p.room.beside(d.packed(tasks))
			d.p.room.follow(d.p.now())
		}
		if string(r.Key) == state.MetaKey {
			t.last = r.Value
			return nil
		}
		if correlate.Owns(string(r.Key)) {
			t.correlations.Restore(string(r.Key), r.Value)
			return nil
		}
		if anomaly.IsOpenKey(string(r.Key)) {
			return t.open.Restore(string(r.Key), r.Value)
		}
		if keyledger.IsStateKey(string(r.Key)) {
			return t.keys.Restore(string(r.Key), r.Value)
		}
		if incident.IsStateKey(string(r.Key)) {
			return t.incidents.Restore(string(r.Key), r.Value)
		}
		return t.engine.Restore(string(r.Key), r.Value)
	})
	if err != nil {
		return err
	}
	for p, t := range tasks {
		forgotten, err := t.restore(d.p)
		if err != nil {
			return kafka.Fatal(fmt.Errorf("topic %q partition %d holds the state of stage detect: %w", d.p.Topics.State, p, err))
		}
		d.p.forgot("detect", forgotten)
		if t.restored > 0 {
			took := d.p.now().Sub(began)
			d.p.Log.Info("detect: state restored", "partition", p, "entities", t.engine.Len(),
				"took", took.Round(time.Millisecond), "records", t.restored)
			d.p.restored("detect", t.restored, took)
		}
	}
	maps.Copy(d.tasks, tasks) // all or none: see counter.Assign
	d.owns()
	d.p.room.beside(d.packed(nil))
	d.p.room.follow(d.p.now())
	return nil
}

// restore brings the task to the state of the changelog. It returns the number of panes
// of removed correlations.
func (t *detectTask) restore(p *Pipeline) (forgotten int, err error) {
	if t.last == nil && t.restored > 0 {
		return 0, fmt.Errorf("%d records, but no record of the progress of detecting: %w", t.restored, kafka.ErrStateMissing)
	}
	if t.last != nil {
		m, err := state.DecodeMeta(t.last)
		if err == nil {
			err = p.sameSettings(m.Settings)
		}
		if err != nil {
			return 0, err
		}
		t.meta, t.last = m, nil
		t.at, t.stored = kafka.Position(m.At), true
		for source, a := range m.Applied {
			if source >= 0 {
				t.sources.Set(source, eventtime.Mark{Watermark: a.Watermark, Late: a.Late, Quiet: a.Watermark})
			}
		}
		t.sources.Restore(eventtime.Mark{Watermark: m.Watermark, Late: m.Late})
	}
	t.incidents.Resume(p.settled(t))
	t.engine.SetTraffic(t.meta.Traffic)
	if err := t.engine.Restored(t.mark(), t.meta.Hold); err != nil {
		return 0, err
	}
	forgotten, err = t.correlations.Restored(t.mark())
	// Continues a step that was interrupted.
	t.news = t.engine.Closing() || t.correlations.Closing() || t.open.Due(t.engine.Mark().Quiet) || forgotten > 0
	return forgotten, err
}

// mark is the task's progress at its last commit; its Quiet is the largest so far.
func (t *detectTask) mark() eventtime.Mark {
	return eventtime.Mark{Watermark: t.meta.Watermark, Late: t.meta.Late, Quiet: t.meta.Ended}
}

func (d *detector) Revoke(partitions []int32) {
	for _, p := range partitions {
		delete(d.tasks, p)
	}
	d.stats = tally{}
	d.owns()
}

// owns shows the partitions and their watermarks to metrics and status.
func (d *detector) owns() {
	marks := map[int32]int64{}
	for p, t := range d.tasks {
		marks[p] = t.meta.Watermark
	}
	d.p.owns("detect", d.p.Topics.Partials, marks)
	d.showAlarms()
}

// Lag is unused: frames carry what detect waits for.
func (d *detector) Lag(map[int32]int64) {}

func (d *detector) Process(r *kgo.Record) error {
	d.adopt()
	t := d.tasks[r.Partition]
	d.stats.received++
	frame, err := wire.NewDecoder(r.Value).Frame()
	if errors.Is(err, wire.ErrNewer) || errors.Is(err, wire.ErrOlder) { // not to be dropped
		return fmt.Errorf("topic %s partition %d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	if err != nil {
		d.stats.dead("bad_frame")
		d.out = append(d.out, d.p.deadLetter("detect", "bad_frame", err.Error(), r))
		return nil
	}
	if frame.Settings != t.meta.Settings {
		return fmt.Errorf("topic %s partition %d offset %d: frame %d of source %d: %w",
			r.Topic, r.Partition, r.Offset, frame.Sequence, frame.Source, d.p.sameSettings(frame.Settings))
	}
	before, known := t.meta.Applied[frame.Source]
	fresh, err := t.admit(&frame)
	if err == nil && fresh && known && frame.Source >= 0 {
		err = d.onTime(&frame, before.Late)
	}
	if err != nil {
		return fmt.Errorf("topic %s partition %d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	if !fresh {
		d.stats.duplicate++
		return nil
	}
	d.heard(r, frame.Source)
	if t.passed.IsZero() {
		t.passed = r.Timestamp
	}
	d.stats.delivered++
	t.news = true
	for i := range frame.Partials {
		p := &frame.Partials[i]
		if frame.Source < 0 && t.engine.Notice(p) {
			t.late = append(t.late, *p)
		} else if frame.Source >= 0 && t.engine.Merge(p) {
			return fmt.Errorf("BUG: source %d is behind the marks that all sources have sent", frame.Source) // see onTime
		}
	}
	err = d.correlate(t, &frame)
	if err == nil && frame.Source < 0 {
		err = d.signalled(t, &frame)
	} else if err == nil {
		err = d.hits(t, &frame)
	}
	if err == nil {
		err = t.learn(&frame)
	}
	if err != nil {
		return fmt.Errorf("topic %s partition %d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return nil
}

// Output closes windows and writes them, their anomalies, the notices and the changelog.
func (d *detector) Output(now time.Time, emit func(*kgo.Record)) (more bool, err error) {
	d.adopt()
	emitted := false
	d.emit = func(r *kgo.Record) {
		emitted = true
		emit(r)
	}
	for _, r := range d.out { // dead letters
		d.emit(r)
	}
	d.out = nil
	left := d.p.mostWindows
	for _, p := range slices.Sorted(maps.Keys(d.tasks)) {
		if t := d.tasks[p]; t.news {
			t.news = d.output(t, now.UnixNano(), &left)
			d.overflowed(t, now)
			more = more || t.news
		}
	}
	for _, t := range d.tasks { // a commit covers the offsets of all tasks
		if (emitted || d.commits) && (!t.stored || t.meta.At != state.Position(t.at)) {
			d.progress(t)
		}
	}
	d.p.room.beside(d.packed(nil))
	d.p.room.follow(now)
	return more, nil
}

// packed returns the size in bytes of the state of all tasks, and of expected ones.
func (d *detector) packed(coming map[int32]*detectTask) (n int) {
	for _, tasks := range []map[int32]*detectTask{d.tasks, coming} {
		for _, t := range tasks {
			n += t.engine.Packed() + t.open.Packed() + t.keys.Packed()
		}
	}
	return n
}

// mostWindows bounds the windows that one transaction publishes, besides previews: a
// million would take longer than a transaction may.
const mostWindows = 50_000

// output reports whether it stopped before the end of the step.
func (d *detector) output(t *detectTask, now int64, left *int) (more bool) {
	mark := t.sources.Mark(int(d.p.Partitions[d.p.Topics.Events]))
	size := d.p.Window.Detect.Size
	t.meta.Hold = max(t.meta.Hold, t.slowest(d.p.Partitions[d.p.Topics.Partials]))
	if mark != eventtime.Unknown() { // held windows are bounded state
		t.meta.Hold = max(t.meta.Hold, eventtime.Sub(mark.Watermark, d.p.mostHeld*size))
	}
	t.engine.Hold(t.meta.Hold)
	t.closed = 0
	more = t.engine.Advance(mark, *left, func(r window.Result) {
		*left--
		d.publish(t, r, size, now)
	})
	if t.closed > 0 && !t.passed.IsZero() {
		d.delays = append(d.delays, delayed{t.passed, t.closed})
	}
	if !more {
		t.passed = time.Time{}
	}
	more = d.correlated(t, mark, now, left) || more
	more = d.ledger(t, now, left) || more
	more = d.end(t, more, now, left) || more
	d.notify(t, more)
	d.incidents(t, now)
	d.changelog(t)
	for i := range t.late {
		d.emit(d.lateNotice(t, &t.late[i], now))
	}
	t.late = nil
	return more
}

func (d *detector) publish(t *detectTask, r window.Result, size, now int64) {
	if r.Ended != "" {
		t.open.End(r.Ended, r.Start)
	}
	for i := range r.Anomalies {
		d.found(t, &r.Anomalies[i], now)
	}
	anomaly.WindowRecord(&d.rec, r.Window, size, now)
	d.emit(d.p.keyed(d.p.Topics.Windows, anomaly.WindowID(r.Entity, r.Start, r.Length(size)),
		otellog.AppendRequest(nil, &d.rec), semconv.EventKeytrailWindow))
	d.stats.window(r.Revision)
	if r.Revision == 1 && r.Length(size) == size {
		t.closed++
	}
}

// changelog writes every changed entity, and the task's progress.
func (d *detector) changelog(t *detectTask) {
	put := func(key string, value []byte) {
		d.emit(&kgo.Record{Topic: d.p.Topics.State, Partition: t.partition, Key: []byte(key), Value: value})
	}
	t.engine.Changes(put, func(key string) { put(key, nil) })
	t.correlations.Changes(&d.enc, put)
	t.open.Changes(&d.enc, put)
	t.keys.Changes(put)
	t.incidents.Changes(put)
	mark := t.engine.Mark()
	t.meta.Watermark, t.meta.Late, t.meta.Ended, t.meta.Traffic = mark.Watermark, mark.Late,
		t.correlations.Ended(), t.engine.Traffic()
	d.progress(t)
}

func (d *detector) Committed(ok bool) {
	d.out = nil
	d.stats.commit(d.p, "detect", ok)
	delays := d.delays
	d.delays = nil
	if ok {
		recordAll(d.p.windowDelay, delays, d.p.now())
		d.owns()
	}
}
