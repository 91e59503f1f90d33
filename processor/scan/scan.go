// Package scan counts and judges trails without a broker: files in, windows and anomalies
// out, in one process, with the stream's code for decoding, counting and detecting.
//
// The order of files and records does not matter, because nothing is published before
// everything is read: calls are deduplicated over the whole input, and windows close in
// order of event time, so no call is late. Memory depends on the distinct KMS keys,
// principals and pairs, not on the number of events (see pool).
package scan

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/intake"
	"keytrail/processor/keyledger"
	"keytrail/processor/read"
	"keytrail/processor/sigma"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/cloud"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// Config configures a scan.
type Config struct {
	Read    cloud.Options
	Detect  window.Config
	Rules   *sigma.Rules // the user's own; nil for none
	Workers int          // objects read concurrently; at least 1
	// DeadLetter is called for every piece of input that was not counted, one at a time.
	// The letter's Raw is valid only during the call.
	DeadLetter func(*wire.DeadLetter) error
	// Ended, which may be nil, takes the record of each anomaly that ends before the input
	// does: it was not found again within its time. The record is valid during the call.
	Ended func(*otellog.Record)
	// Event, which may be nil, takes the record of each call and its origin, copies of calls
	// included. Workers call it concurrently; both are valid during the call.
	Event func(*decoding.Origin, *otellog.Record) error
	// Ledger, unless it is nil, takes the event of each record, copies included.
	Ledger *keyledger.Ledger
	// Details, unless it is nil, gives each record a number, which Calls passes on: that of
	// the details of a call which counting does not need. Workers call it concurrently.
	Details interface{ Number(*otellog.Record) uint32 }
	// Now is when the scan runs, for the dead letters and the ends.
	Now time.Time
}

// Totals accounts for the records of a scan: Received = Counted + Duplicates + Filtered +
// DeadLettered.
type Totals struct {
	Objects      int64
	Received     int64 // records, good and bad
	Filtered     int64 // events of other services, and digest files
	FilteredBy   decoding.Filtered
	DeadLettered int64
	Duplicates   int64 // further copies of a call
	Counted      int64 // calls
	Windows      int64
	Anomalies    int64
	// Unexplained counts anomalies of rules beyond MaxRuleAnomalies, or beyond
	// count.MaxFindings for one call: windows count them, but they have no record.
	Unexplained int64
	// Unmatched counts records of calls that the user's rules could not read.
	Unmatched int64
	// Others counts calls of pairs beyond the entity bound, which count for their
	// account's "others": see window.Config.MaxEntities.
	Others int64
}

// MaxEntities and MaxAccountEntities are the recommended bounds for a scan, which has one
// engine where a stream has one per partition. 3,000,000 units take at most 1.5 GB.
const (
	MaxEntities        = 3_000_000
	MaxAccountEntities = 1_500_000
)

// MaxRuleAnomalies bounds the rule anomalies kept in memory until their windows close:
// 100,000 of about 1 kB.
const MaxRuleAnomalies = 100_000

// maxPartials bounds the partials waiting for the engine to pack them: 16,384 of about 1
// kB. A window has one per entity in it.
const maxPartials = 1 << 14

// Scanner is one scan: Read any number of times, then Finish once.
type Scanner struct {
	cfg    Config
	names  *names
	pool   pool
	counts read.Counts
	totals Totals // atomic while reading; Finish adds the results of counting
	// bindings counts the facts that are not calls; atomic while reading
	bindings int64

	mu        sync.Mutex // guards the following, Totals.Unexplained, and calls of cfg.DeadLetter
	rules     map[ruleCall][]anomaly.Anomaly
	explained int // anomalies in rules
	event     keyledger.Event
	// of the user's rules; hold requires the lock
	correlations correlator

	open *anomaly.OpenSet
	mark int64 // the end of the last window; used by Finish and Correlated
}

type ruleCall struct {
	id  wire.CallID
	sum uint32
}

// New returns a Scanner.
func New(cfg Config) *Scanner {
	cfg.Workers = max(cfg.Workers, 1)
	cfg.Detect.Lateness = 0 // nothing closes before everything is read
	n := newNames(cfg.Detect.MaxEntities)
	return &Scanner{cfg: cfg, names: n, pool: pool{max: maxFacts, names: n}, rules: map[ruleCall][]anomaly.Anomaly{},
		correlations: correlator{held: map[ruleCall][]sigma.Observation{}}, open: anomaly.NewOpenSet()}
}

// Close removes the scan's temporary files.
func (s *Scanner) Close() { s.pool.close() }

// Progress returns the totals so far. Safe for concurrent use with Read.
func (s *Scanner) Progress() Totals {
	return Totals{
		Objects: atomic.LoadInt64(&s.totals.Objects), Received: s.counts.Received.Load(),
		Filtered: s.counts.Filtered.Load(), FilteredBy: s.counts.Why(), DeadLettered: s.counts.Dead.Load(),
	}
}

// Read reads objects with the configured number of workers. An object that cannot be
// opened becomes a dead letter. An error of the sequence itself (a path that does not
// exist), of the dead letter callback or of the disk ends the scan.
func (s *Scanner) Read(ctx context.Context, objects iter.Seq2[source.Object, error]) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan source.Object)
	var wg sync.WaitGroup
	for range s.cfg.Workers {
		wg.Go(func() {
			r := newReader(s)
			for o := range work {
				if err := r.object(ctx, o); err != nil {
					cancel(err)
				}
			}
			if err := r.flush(); err != nil {
				cancel(err)
			}
		})
	}
	for o, err := range objects {
		if err != nil {
			cancel(err)
		}
		if ctx.Err() != nil {
			break
		}
		select {
		case work <- o:
		case <-ctx.Done():
		}
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

// Finish deduplicates, counts and judges the input, and calls emit for every window in
// order of event time, with its anomalies; a result is valid only during the call.
// Afterwards the totals are final.
func (s *Scanner) Finish(emit func(*window.Result) error) (Totals, error) {
	size := s.cfg.Detect.Size
	engine := window.NewEngine(s.cfg.Detect, nil)
	table := count.NewTable(size)
	start, begun, bindings := int64(0), false, 0
	var storm anomaly.Storm
	var explained []anomaly.Anomaly
	merge := func() {
		for p := range table.All() {
			engine.Merge(p)
		}
		table.Reset()
	}
	closeTo := func(mark int64) error {
		merge()
		for _, o := range engine.Overflows() {
			s.totals.Others += o.Calls[wire.ScopePair]
		}
		publish := s.publisher(engine, explained, emit)
		engine.Hold(mark - size) // the previous window is read as well
		var err error
		engine.Advance(s.cfg.Detect.MarkAt(mark), math.MaxInt, func(r window.Result) {
			if err == nil {
				err = publish(&r)
			}
		})
		engine.Changes(func(string, []byte) {}, func(string) {})
		explained = explained[:0]
		s.mark = start + size
		s.end()
		return err
	}
	facts, err := s.pool.each(func(f *fact) error {
		if at := eventtime.Start(f.time, size); !begun || at != start {
			if begun {
				if err := closeTo(start + size); err != nil {
					return err
				}
			}
			start, begun = at, true
		}
		if f.flags&flagBinding != 0 {
			bindings++
			engine.Merge(f.binding(size, s.names))
			return nil
		}
		c := f.call(s.names)
		if f.rules != 0 || f.matched != 0 {
			explained = append(explained, s.publishable(&storm, &c, ruleCall{f.id, f.sum})...)
		}
		table.Add(&c, 1)
		if table.Len() >= maxPartials {
			merge()
		}
		if f.flags&flagObserved != 0 {
			s.correlations.count(ruleCall{f.id, f.sum}, &c)
		}
		return nil
	})
	if err == nil && begun {
		err = closeTo(start + size)
		for _, longer := range s.cfg.Detect.Rollups {
			if err == nil {
				err = closeTo(eventtime.Start(start, longer) + longer)
			}
		}
	}
	s.account(facts, bindings)
	return s.totals, err
}

// publishable returns a call's anomalies of rules that have records, and counts the
// others in the call: those of a storm, and those beyond the bound.
func (s *Scanner) publishable(storm *anomaly.Storm, c *count.Call, at ruleCall) (list []anomaly.Anomaly) {
	intake.Admit(storm, c, s.rules[at], false, func(a *anomaly.Anomaly) { list = append(list, *a) }, nil)
	return list
}

// publisher returns the function that emits the results of one window start. The rules'
// anomalies, found while reading, go out with the window of their pair.
func (s *Scanner) publisher(engine *window.Engine, explained []anomaly.Anomaly,
	emit func(*window.Result) error) func(*window.Result) error {
	byEntity := make(map[wire.Entity][]anomaly.Anomaly, len(explained))
	for _, a := range explained {
		at := engine.CountsFor(a.Entity)
		byEntity[at] = append(byEntity[at], a)
	}
	for _, list := range byEntity { // facts of one time come in the order of reading
		slices.SortFunc(list, func(a, b anomaly.Anomaly) int {
			return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.ID, b.ID))
		})
	}
	return func(r *window.Result) error {
		if !r.Closed {
			return nil // a preview: the window closes at once
		}
		if r.Size == 0 {
			r.Anomalies = append(r.Anomalies, byEntity[r.Entity]...)
		}
		s.totals.Windows++
		s.totals.Anomalies += int64(len(r.Anomalies))
		if r.Ended != "" {
			s.open.End(r.Ended, r.Start)
		}
		for i := range r.Anomalies {
			s.hold(&r.Anomalies[i])
		}
		return emit(r)
	}
}

// hold holds an anomaly until it ends.
func (s *Scanner) hold(a *anomaly.Anomaly) {
	if s.cfg.Ended == nil {
		return
	}
	var rec otellog.Record
	anomaly.AnomalyRecord(&rec, a, s.cfg.Now.UnixNano())
	s.open.Put(&rec, a.Until)
}

// Mark returns the end of the last window, in ns since 1970, after Finish.
func (s *Scanner) Mark() int64 { return s.mark }

// end reports the anomalies that end with the windows so far.
func (s *Scanner) end() {
	most := math.MaxInt
	s.open.Advance(s.mark, s.cfg.Now.UnixNano(), &most, func(_ string, rec *otellog.Record) { s.cfg.Ended(rec) })
	var enc wire.Encoder
	s.open.Changes(&enc, func(string, []byte) {})
}
