// Package stream runs the stages between Kafka's topics. Run, below, shows the path of an
// event: collect, normalize, count, detect, forward, each in a file of its own name.
//
// Between topics every stage except forward works in transactions: its input, output and
// state become visible together or not at all, so a crash or a rebalance loses nothing
// and counts nothing twice. Collect publishes objects at least once, and stage count drops
// repeated calls. Forward delivers to sinks at least once; every record has a
// constant id.
package stream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/keyledger"
	"keytrail/processor/lograte"
	"keytrail/processor/setting"
	"keytrail/processor/sigma"
	"keytrail/processor/sink"
	"keytrail/processor/sink/filter"
	"keytrail/processor/status"
	"keytrail/processor/store"
	"keytrail/processor/telemetry"
	"keytrail/processor/window"
	"keytrail/schemas/cloud"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// Window sets the rules of event time; all values are nanoseconds.
type Window struct {
	Detect         window.Config
	OutOfOrderness int64 // how much later than a younger event one may arrive without being late
	FutureSkew     int64 // how far ahead of the clock an event may move the watermark
	// IdleAfter is how long a source must have nothing to read before its watermark follows the
	// other sources, or the clock if all are silent: see eventtime.Progress.Follow.
	IdleAfter int64
}

// Destination is one sink with its selection of records.
type Destination struct {
	Name      string
	ID        string // of its consumer group; "" means Name
	Sink      sink.Sink
	From      sink.Start
	Filter    filter.Config
	Ends      bool // the filter admits the end of an anomaly whatever its severity
	Batch     sink.Batch
	InFlight  int
	Retry     sink.Retry
	Events    bool
	Anomalies bool
	Incidents bool
	Windows   WindowChoice
}

// WindowChoice selects the windows of a sink.
type WindowChoice uint8

// The choices.
const (
	WindowsNone      WindowChoice = iota
	WindowsAnomalous              // those with anomalies, and roll-ups
	WindowsAll
)

// Stages selects the stages to run.
type Stages struct{ Collect, Normalize, Count, Detect, Forward, Web bool }

// Pipeline is one process's part of an installation. Set its fields, then Run it once.
type Pipeline struct {
	Kafka         kafka.Config
	Topics        wire.Topics
	Events        int32  // partitions of the topics by call, if created
	Partials      int32  // partitions of the topics by entity
	Replication   int16  // of created topics
	TransactionID string // prefix of the transactional ids and group names
	Interval      time.Duration
	Records       int
	Window        Window
	Ledger        keyledger.Deadlines
	Read          cloud.Options // how stage normalize reads events
	// MessageRecords and MessageBytes bound the output of one message of the raw topic:
	// log records and dead letters, and their bytes. 0 means wire.DefaultMessageRecords
	// and wire.DefaultMessageBytes.
	MessageRecords int
	MessageBytes   int64
	// Rules are the user's at the start, nil for none; Judge changes them, and
	// Window.Detect.Allow.
	Rules *sigma.Rules
	// PageURL is the public address of the page, without a slash at the end; anomalies link to
	// it. "" for none.
	PageURL string
	// Process names this process to others, without spaces; at most 200 bytes.
	Process   string
	Sources   []Source // of stage collect
	Sinks     []Destination
	History   *store.Store   // of stage web
	Resource  []otellog.Attr // what the resource of every record gets on its way to a sink
	Telemetry *telemetry.Telemetry
	Coverage  []string // as in telemetry.Config
	Log       *slog.Logger
	// Secrets are removed from the details of dead letters; nil for none. The log removes its own.
	Secrets *setting.Scrubber
	Version string // of the program, for its status
	// Status, when set, receives the status of all processes of the installation.
	Status *status.Table
	// Ready, when set, is called once the topics exist.
	Ready func()

	// Partitions are the partition counts of all topics, known after startup.
	Partitions map[string]int32

	flows      map[string]*telemetry.Flow
	letters    map[string]*lograte.Letters
	partsMu    sync.Mutex
	parts      []*part // the stages, sources and sinks of this process; guarded by partsMu
	forwarders forwarders
	watermarks map[string]*telemetry.Watermark
	judging    atomic.Pointer[Judging]
	coverage   *telemetry.Coverage     // nil for none
	alarms     *telemetry.LedgerAlarms // nil in tests that run without a start
	// Of windows, and of events from kms.raw; nil in tests that run without a start.
	windowDelay, rawDelay *telemetry.Delay
	room                  headroom
	keptMu                sync.Mutex
	kept                  map[string]time.Duration // retention times of topics; guarded by keptMu
	began                 beginning                // of the sinks at the start

	// The simulation replaces these: the clock, the logs and the bounds.
	now         func() time.Time
	readLog     func(ctx context.Context, topic string, partitions []int32, f func(*kgo.Record) error) error
	mostBytes   int   // frameBytes
	mostBehind  int64 // mostBehind, for calls
	mostHeld    int64 // mostBehind, for notices
	mostNotices int   // frameNotices
	mostWindows int
}

// giveUp is how long a stage may run without progress before the process ends, for its
// supervisor to restart it.
const giveUp = 5 * time.Minute

// Run creates the topics and runs the stages until ctx is done, which ends each after its
// current transaction, or until one fails, which ends them all. It returns nil after a
// graceful stop.
func (p *Pipeline) Run(ctx context.Context, stages Stages) error {
	p.checkRules(stages)
	if p.Kafka.Trouble == nil {
		p.Kafka.Trouble = kafka.NewTrouble(p.Log)
	}
	if err := p.start(ctx, stages); err != nil {
		return err
	}
	defer func() {
		for _, l := range p.letters {
			l.Flush()
		}
	}()
	defer p.room.leave()
	r, err := p.newReporter()
	if err != nil {
		return err
	}
	defer r.end(ctx)
	g := newGroup(ctx)
	run := g.run
	run(true, func(ctx context.Context) error { return p.oversee(ctx, stages) })
	run(true, r.run)
	run(p.Status != nil, p.FollowStatus)
	counted := make(chan struct{})
	if !stages.Count {
		close(counted)
	}
	// The path of an event:
	for _, s := range p.Sources { // objects -> kms.events
		run(stages.Collect, func(ctx context.Context) error { return p.collect(ctx, s) })
	}
	run(stages.Normalize, func(ctx context.Context) error { // kms.raw -> kms.events
		n, t := newNormalizer(p), p.transact("normalize", p.Topics.Raw)
		t.Room, t.Early, t.Expired, t.Refused, t.Singly = n.room, n.flush, n.expired, n.refused, n.careful
		return t.Run(ctx, p.trace("normalize", true, t, n))
	})
	run(stages.Count, func(ctx context.Context) error { // kms.events -> kms.partials, kms.anomalies
		defer close(counted)
		c, t := newCounter(p), p.transact("count", p.Topics.Events)
		t.State = p.Topics.Dedup
		t.Note, t.Saw, t.Room = c.note, c.saw, c.room
		return t.Run(ctx, p.trace("count", true, t, c))
	})
	run(stages.Detect, func(ctx context.Context) error { // kms.partials -> kms.windows, kms.anomalies
		t := p.transact("detect", p.Topics.Partials)
		t.State = p.Topics.State
		if stages.Count {
			t.Drain = drain
		}
		ctx, stop := behind(ctx, counted)
		defer stop()
		return t.Run(ctx, p.trace("detect", false, t, newDetector(p)))
	})
	run(stages.Forward, p.forwardAll) // kms.events, kms.windows, kms.anomalies -> SIEM
	run(stages.Web, p.remember)       // the same -> the page's history
	return g.wait()
}

// group runs functions concurrently; the first that fails ends the others.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	failed []error // guarded by mu
}

func newGroup(ctx context.Context) *group {
	g := &group{}
	g.ctx, g.cancel = context.WithCancel(ctx)
	return g
}

// run runs f if on is true.
func (g *group) run(on bool, f func(context.Context) error) {
	if !on {
		return
	}
	g.wg.Go(func() {
		if err := f(g.ctx); err != nil {
			g.mu.Lock()
			g.failed = append(g.failed, err)
			g.mu.Unlock()
			g.cancel()
		}
	})
}

// wait returns the errors of all functions once they have ended.
func (g *group) wait() error {
	g.wg.Wait()
	g.cancel()
	return errors.Join(g.failed...)
}

// drain is how long stage detect continues after stage count of the same process has
// ended, to process its output: mostly less than a second's work. A supervisor kills the
// process about 10 s after the request to stop (Docker) or later, which loses nothing
// either.
const drain = 5 * time.Second

// behind returns a context that is done after both ctx and first are.
func behind(ctx context.Context, first <-chan struct{}) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		<-first
		cancel()
	})
	return later, func() {
		stop()
		cancel()
	}
}

// MakeTopics creates missing topics and checks the others. Run does it too; call it to
// write to the topics before.
func (p *Pipeline) MakeTopics(ctx context.Context) (err error) {
	return p.makeTopics(ctx, Stages{})
}

func (p *Pipeline) makeTopics(ctx context.Context, stages Stages) (err error) {
	p.Partitions, err = kafka.EnsureTopics(ctx, p.Kafka, p.Replication, p.topics(stages))
	if err != nil {
		return err
	}
	for _, two := range [][2]string{{p.Topics.Events, p.Topics.Dedup}, {p.Topics.Partials, p.Topics.State}} {
		if n, m := p.Partitions[two[0]], p.Partitions[two[1]]; n != m {
			return fmt.Errorf("topic %q has %d partitions and %q has %d: they must have the same number; "+
				"docs/operations.md, \"Starting over, and other numbers of partitions\", says how to change it", two[0], n, two[1], m)
		}
	}
	return nil
}

// start creates the topics and the parts that the stages share.
func (p *Pipeline) start(ctx context.Context, stages Stages) error {
	if err := p.Window.Detect.Validate(); err != nil {
		return err
	}
	// The anomalies of a pair reach its principal's window after it has closed.
	if p.Window.Detect.Lateness < p.Window.Detect.Size {
		return fmt.Errorf("allowed lateness %v is shorter than the window size %v", time.Duration(p.Window.Detect.Lateness),
			time.Duration(p.Window.Detect.Size))
	}
	err := p.makeTopics(ctx, stages)
	if err != nil {
		return err
	}
	if err := p.makeParts(stages); err != nil {
		return err
	}
	if err := p.checkAccess(ctx); err != nil {
		return err
	}
	p.watermarks = map[string]*telemetry.Watermark{}
	for _, stage := range []string{"count", "detect"} {
		if p.watermarks[stage], err = p.Telemetry.Watermark(stage); err != nil {
			return err
		}
	}
	if p.coverage, err = p.Telemetry.Coverage(p.Coverage); err != nil {
		return err
	}
	if p.alarms, err = p.Telemetry.LedgerAlarms(p.Coverage, keyledger.Kinds()); err != nil {
		return err
	}
	p.Kafka.Hooks = append(p.Kafka.Hooks, meter{p.Telemetry.Messaging()})
	p.windowDelay, p.rawDelay = p.Telemetry.WindowDelay(), p.Telemetry.EventDelay("normalize")
	p.now, p.mostBytes, p.mostNotices, p.mostWindows = time.Now, frameBytes, frameNotices, mostWindows
	p.mostBehind, p.mostHeld = mostBehind, mostBehind
	p.readLog = func(ctx context.Context, topic string, partitions []int32, f func(*kgo.Record) error) error {
		defer p.restoring(topic, partitions)()
		return kafka.ReadState(ctx, p.Kafka, topic, partitions, f)
	}
	if stages.Forward {
		p.began = p.noteEnds(ctx)
	}
	if p.Ready != nil {
		p.Ready()
	}
	return nil
}

// restored records a stage's restore in the metrics.
func (p *Pipeline) restored(stage string, records int, took time.Duration) {
	p.flow(stage).Restored(records, took)
}

func (p *Pipeline) flow(stage string) *telemetry.Flow { return p.flows[stage] }

// transact returns the transactions of a stage. Every process has a new transactional id:
// a process that lost its partitions is fenced by the consumer group's generation, which
// every offset commit carries (KIP-447).
func (p *Pipeline) transact(stage, topic string) *kafka.Transact {
	var unique [8]byte
	rand.Read(unique[:]) // never fails
	return &kafka.Transact{
		Kafka: p.Kafka, Group: p.group(stage), Topic: topic,
		TransactionID: p.TransactionID + "-" + stage + "-" + hex.EncodeToString(unique[:]),
		Interval:      p.Interval, Records: p.Records, GiveUp: giveUp, LargeTopic: p.Topics.State,
		Took: p.flow(stage).Took, Failed: func(err error) { p.failed(stage, err) },
	}
}

// keyed returns a Kafka record whose key determines its partition.
func (p *Pipeline) keyed(topic, key string, value []byte, event string) *kgo.Record {
	return &kgo.Record{
		Topic: topic, Partition: kafka.KeyPartition([]byte(key), p.Partitions[topic]), Key: []byte(key), Value: value,
		Headers: []kgo.RecordHeader{{Key: wire.HeaderEvent, Value: []byte(event)}},
	}
}

// deadLetter returns the dead letter of a Kafka record.
func (p *Pipeline) deadLetter(stage, reason, detail string, r *kgo.Record) *kgo.Record {
	return p.letter(letterOf(stage, reason, detail, r))
}

func letterOf(stage, reason, detail string, r *kgo.Record) *wire.DeadLetter {
	return &wire.DeadLetter{Stage: stage, Reason: reason, Detail: detail, Raw: r.Value,
		Object: fmt.Sprintf("%s/%d", r.Topic, r.Partition), Offset: r.Offset}
}

func (p *Pipeline) letter(d *wire.DeadLetter) *kgo.Record {
	if len(d.Raw) > wire.MaxValueBytes {
		d.Raw, d.Cut = d.Raw[:wire.MaxValueBytes], true
	}
	d.Detail = p.Secrets.Clean(d.Detail)
	r := &kgo.Record{Topic: p.Topics.DeadLetter, Value: append([]byte(nil), d.Raw...)}
	for _, h := range d.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}
