package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/generate"
	"keytrail/processor/intake"
	"keytrail/processor/sigma"
	"keytrail/processor/window"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// disorder is out_of_orderness, as keytrail run has it by default: the watermark is
// so far behind the youngest event.
const disorder = int64(15 * time.Minute)

// engine takes the records of a trail as its files are delivered, and does to them
// what the stages count and detect do: decode, normalize, remove duplicates, judge
// by the rules, count, close windows at the watermark, judge those. Between its
// parts there is no Kafka and no file; the code is the same. The event time at which
// a file is delivered is the clock: what comes of its records is published then.
//
// The records are made as JSON and decoded, because that takes less than a third of the
// time of a run, and so no detector can look at something that a short cut forgot.
type engine struct {
	cfg     window.Config
	detect  *window.Engine
	taker   intake.Taker
	source  intake.Source
	decoder *cloudtrail.Decoder
	norm    *normalize.Normalizer
	event   cloudtrail.Event
	rec     otellog.Record
	call    count.Call
	mark    int64
	now     int64 // ns
	totals  totals
	// found takes every anomaly each time that it is published, and whether that is
	// while its window is open; closed every window that closes or is refined. Their
	// arguments are valid only during the call.
	found  func(a *anomaly.Anomaly, published int64, open bool)
	closed func(r *window.Result, published int64)
	// withheld takes the name of a rule whose anomaly a storm keeps from being published,
	// and the call's time.
	withheld func(rule string, at int64)
	packed   int64 // when the engine last packed what changed
	failed   error // of the rules, at the call at hand
}

// totals says what became of the records.
type totals struct {
	records, calls, duplicates, late, filtered, windows int
}

// newEngine returns an engine that also judges by the user's rules; nil for none.
func newEngine(cfg window.Config, rules *sigma.Rules) *engine {
	e := &engine{
		cfg: cfg, detect: window.NewEngine(cfg, nil), source: intake.NewSource(cfg.Size), mark: eventtime.None,
		decoder: cloudtrail.NewDecoder(decoding.Limits{}), norm: normalize.New(normalize.Options{OmitBody: rules == nil}),
		found: func(*anomaly.Anomaly, int64, bool) {}, closed: func(*window.Result, int64) {}, withheld: func(string, int64) {},
	}
	e.taker = intake.Taker{
		Judge:    intake.NewJudge(cfg.Size, cfg.Allow, rules),
		Publish:  func(a *anomaly.Anomaly) { e.found(a, e.now, false) },
		Withhold: func(a *anomaly.Anomaly) { e.withheld(a.Detector, e.call.Time) },
		Unmatched: func(_ *count.Call, err error) {
			e.failed = fmt.Errorf("cannot match a generated record: %w: %s", err, e.rec.Body)
		},
	}
	return e
}

// trail runs a whole trail through the engine, in the order of delivery. It holds
// the records that wait for their file.
func (e *engine) trail(g *generate.Generator) error {
	waiting := map[int64][][]byte{} // JSON by delivery, Unix seconds
	flush := func(before int64) error {
		var due []int64
		for at := range waiting {
			if at < before {
				due = append(due, at)
			}
		}
		slices.Sort(due)
		for _, at := range due {
			if err := e.deliver(at, waiting[at]); err != nil {
				return err
			}
			delete(waiting, at)
		}
		return nil
	}
	last, flushed := int64(0), int64(0)
	for event := range g.Events() {
		if last = event.Time.Unix(); last >= flushed+60 { // delivery takes two minutes at least
			flushed = last
			if err := flush(last + 1); err != nil {
				return err
			}
		}
		at := event.Delivered.Unix()
		waiting[at] = append(waiting[at], event.JSON)
	}
	const forever = 1 << 62
	if err := flush(forever); err != nil {
		return err
	}
	// The last windows close; the end of the trail is not a silence of a KMS key.
	e.now += 2 * disorder
	e.advance(e.mark + disorder + e.cfg.Size)
	return nil
}

// deliver takes the records that are delivered at a Unix second.
func (e *engine) deliver(second int64, records [][]byte) error {
	e.now = second * int64(time.Second)
	for _, text := range records {
		e.totals.records++
		if err := e.decoder.Decode(text, &e.event); err != nil {
			return fmt.Errorf("a generated record cannot be read: %w: %s", err, text)
		}
		ok, err := e.norm.Record(&e.event, 0, &e.rec)
		switch {
		case err != nil:
			return fmt.Errorf("a generated record cannot be normalized: %w: %s", err, text)
		case !ok:
			e.totals.filtered++
			continue
		}
		count.FromRecord(&e.rec, &e.call)
		if err := e.take(); err != nil {
			return err
		}
	}
	e.advance(e.mark)
	return nil
}

// take takes in the call in e.call.
func (e *engine) take() error {
	switch e.taker.Take(&e.source, &e.rec, &e.call, e.cfg.MarkAt(e.mark).Late) {
	case intake.New:
		e.totals.calls++
	case intake.Late:
		e.totals.late++
		return nil
	case intake.Duplicate, intake.LateDuplicate:
		e.totals.duplicates++
	}
	e.mark = max(e.mark, e.call.Time-disorder)
	return e.failed
}

// advance merges what was counted, and closes windows up to the watermark.
func (e *engine) advance(mark int64) {
	for p := range e.source.Table.All() {
		e.detect.Merge(p)
	}
	e.source.Committed()
	e.detect.Advance(e.cfg.MarkAt(mark), math.MaxInt, func(r window.Result) {
		if r.Closed {
			e.totals.windows++
			e.closed(&r, e.now)
		}
		for i := range r.Anomalies {
			e.found(&r.Anomalies[i], e.now, !r.Closed)
		}
	})
	if e.now-e.packed >= int64(time.Hour) { // nobody reads them: packing each time would take two fifths of a run
		e.packed = e.now
		e.detect.Changes(func(string, []byte) {}, func(string) {})
	}
	e.source.Forget(eventtime.Sub(e.cfg.MarkAt(e.mark).Late, 2*e.cfg.Size), nil)
}
