package main

import (
	"fmt"
	"iter"
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

// disorder is keytrail run's default out_of_orderness: the watermark is that far behind
// the youngest event.
const disorder = int64(15 * time.Minute)

// engine processes a trail's records in order of file delivery like the stages count and
// detect: decode, normalize, remove duplicates, apply the rules, count, close windows at
// the watermark, judge them. It uses the same code without Kafka and files in between.
// The event time of a file's delivery is the clock and the time of publication.
//
// The records are made as JSON and decoded, which takes less than a third of the run, so
// that no shortcut can hide a field from a detector.
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
	// found takes every publication of an anomaly, and whether its window is open; closed
	// takes every window that closes or is refined. Their arguments are valid only during
	// the call.
	found  func(a *anomaly.Anomaly, published int64, open bool)
	closed func(r *window.Result, published int64)
	// withheld takes the rule of an anomaly that a storm keeps from publication, and the
	// call's time.
	withheld func(rule string, at int64)
	packed   int64 // time of the last packing
	failed   error // of the rules, for the current call
}

// totals counts the records by outcome.
type totals struct {
	records, calls, duplicates, late, filtered, windows int
}

// newEngine returns an engine that also judges by the user's rules; nil for none.
func newEngine(cfg window.Config, rules *sigma.Rules) *engine {
	e := &engine{
		cfg: cfg, detect: window.NewEngine(cfg, nil), source: intake.NewSource(cfg.Size), mark: eventtime.None,
		decoder: cloudtrail.NewDecoder(decoding.Limits{}), norm: normalize.New(normalize.Options{OmitBody: rules == nil}),
		found: func(*anomaly.Anomaly, int64, bool) {}, closed: func(*window.Result, int64) {},
		withheld: func(string, int64) {},
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

// trail runs the records of a whole trail, which come in order of event time, through the
// engine in order of delivery. It holds the records that wait for their file.
func (e *engine) trail(events iter.Seq[generate.Event]) error {
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
	for event := range events {
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
	// The last windows close, but the end of the trail is not a silence of a KMS key.
	e.now += 2 * disorder
	e.advance(e.mark + disorder + e.cfg.Size)
	return nil
}

// deliver processes the records delivered at a Unix second.
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

// take processes the call in e.call.
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

// advance merges the counts, and closes windows up to the watermark.
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
	if e.now-e.packed >= int64(time.Hour) { // nobody reads them: packing at each step would take two fifths of a run
		e.packed = e.now
		e.detect.Changes(func(string, []byte) {}, func(string) {})
	}
	e.source.Forget(eventtime.Sub(e.cfg.MarkAt(e.mark).Late, 2*e.cfg.Size), nil)
}
