package scan

import (
	"context"
	"hash/crc32"
	"keytrail/processor/count"
	"keytrail/processor/intake"
	"keytrail/processor/keyledger"
	"keytrail/processor/read"
	"keytrail/processor/sigma"
	"keytrail/processor/source"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
	"sync/atomic"
)

// reader reads objects for one worker.
type reader struct {
	s     *Scanner
	in    *read.Records
	call  count.Call
	judge *intake.Judge
	batch []fact
	// learned holds the batch's bindings, the newest of each window: many calls name a
	// busy alias.
	learned *count.Table
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batchFacts is the number of facts that a worker collects before it takes the pool's lock.
const batchFacts = 4096

func newReader(s *Scanner) *reader {
	r := &reader{s: s, judge: intake.NewJudge(s.cfg.Detect.Size, s.cfg.Detect.Allow, s.cfg.Rules),
		batch: make([]fact, 0, batchFacts), learned: count.NewTable(s.cfg.Detect.Size)}
	r.in = read.NewRecords(read.Config{Options: s.cfg.Read, Counts: &s.counts, Record: r.record, Dead: s.dead})
	return r
}

// object reads all records of one object.
func (r *reader) object(ctx context.Context, o source.Object) error {
	atomic.AddInt64(&r.s.totals.Objects, 1)
	return r.in.Object(ctx, o)
}

// record turns a log record into a fact.
func (r *reader) record(_ context.Context, from *decoding.Origin, rec *otellog.Record) error {
	count.FromRecord(rec, &r.call)
	if detail, is := r.call.Oversized(); is { // like stage count, which could not write it
		return from.Bad(decoding.ReasonFieldSize, detail)
	}
	if r.s.cfg.Event != nil {
		if err := r.s.cfg.Event(from, rec); err != nil {
			return err
		}
	}
	if l := r.s.cfg.Ledger; l != nil {
		r.s.mu.Lock()
		keyledger.FromRecord(rec, &r.call, &r.s.event)
		l.Apply(&r.s.event)
		r.s.mu.Unlock()
	}
	// Judges every copy: the counting one is known only when all are read.
	found, err := r.judge.Match(rec, &r.call)
	if err != nil {
		atomic.AddInt64(&r.s.totals.Unmatched, 1)
	}
	sum := crc32.Checksum(from.Raw, castagnoli)
	r.learned.Learn(&r.call)
	r.batch = append(r.batch, makeFact(&r.call, from.ID, sum, r.s.names))
	if d := r.s.cfg.Details; d != nil {
		r.batch[len(r.batch)-1].detail = d.Number(rec)
	}
	if len(found.Observations) > 0 {
		r.batch[len(r.batch)-1].flags |= flagObserved
		r.s.mu.Lock()
		err := r.s.correlations.hold(ruleCall{r.call.ID, sum}, found.Observations)
		r.s.mu.Unlock()
		if err != nil {
			return err // ends the scan: the record is not at fault
		}
	}
	if r.call.Rules != 0 || len(found.Rules) > 0 {
		r.explain(rec, sum, found.Rules)
	}
	if len(r.batch) >= batchFacts {
		return r.flush()
	}
	return nil
}

// explain keeps the rules' anomalies of a record until the counting copy of its call is
// known.
func (r *reader) explain(rec *otellog.Record, sum uint32, matched []*sigma.Rule) {
	s, c := r.s, &r.call
	s.mu.Lock()
	defer s.mu.Unlock()
	at := ruleCall{c.ID, sum}
	if _, had := s.rules[at]; had { // the same record, read again
		return
	}
	rules, blindSpots := c.Rules.Kinds()
	if s.explained >= MaxRuleAnomalies {
		s.totals.Unexplained += int64(rules + blindSpots + int(c.Matched))
		return
	}
	s.totals.Unexplained += int64(int(c.Matched) - len(matched))
	s.rules[at] = r.judge.Anomalies(rec, c, matched)
	s.explained += len(s.rules[at])
}

// dead passes a bad record to the dead letter callback.
func (s *Scanner) dead(_ context.Context, bad *decoding.BadRecord) error {
	letter := wire.FromBadRecord("scan", bad, s.cfg.Now)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.DeadLetter(&letter)
}

// flush moves the collected facts to the pool.
func (r *reader) flush() error {
	for p := range r.learned.All() {
		if f, ok := makeBinding(p, r.s.names); ok {
			r.batch = append(r.batch, f)
			atomic.AddInt64(&r.s.bindings, 1)
		}
	}
	r.learned.Reset()
	err := r.s.pool.add(r.batch)
	r.batch = r.batch[:0]
	return err
}
