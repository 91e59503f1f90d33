package main

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/detect"
	"keytrail/processor/generate"
	"keytrail/schemas/wire"
)

// world says what trails to measure on: one for each seed.
type world struct {
	keys, principals, days, events, repeat int
	seeds                                  []uint64
	regions, accounts                      []string
	scenarios                              []string
}

// start is when all trails begin: a Monday.
var start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// config returns the trail of one seed.
func (w world) config(seed uint64) generate.Config {
	return generate.Config{
		Seed: seed, Start: start, Duration: time.Duration(w.days) * 24 * time.Hour, Keys: w.keys, Principals: w.principals, Events: w.events,
		Repeat: w.repeat, Accounts: w.accounts, Scenarios: w.scenarios,
	}
}

// measured is what came of one trail, or of all.
type measured struct {
	ours   tally
	others []tally
	totals totals
	// false anomalies and incidents missed, for -explain and the report
	wrong []finding
	// learning counts anomalies before the judged days, a day.
	learning, learningDays float64
	labels                 []generate.Label
}

// measure runs the trails of all seeds, as many at a time as there are processors.
func measure(w world, cfg detect.Config, progress func(seed uint64, m *measured, took time.Duration)) (*measured, error) {
	results, errs := make([]*measured, len(w.seeds)), make([]error, len(w.seeds))
	var wg sync.WaitGroup
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, seed := range w.seeds {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			began := time.Now()
			if results[i], errs[i] = measureOne(w.config(seed), cfg); errs[i] == nil {
				progress(seed, results[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	all := results[0]
	for _, m := range results[1:] {
		all.join(m)
	}
	return all, nil
}

func (m *measured) join(o *measured) {
	m.ours.join(&o.ours)
	for i := range m.others {
		m.others[i].join(&o.others[i])
	}
	m.totals.records += o.totals.records
	m.totals.calls += o.totals.calls
	m.totals.duplicates += o.totals.duplicates
	m.totals.late += o.totals.late
	m.totals.filtered += o.totals.filtered
	m.totals.windows += o.totals.windows
	m.wrong = append(m.wrong, o.wrong...)
	m.learning += o.learning
	m.learningDays += o.learningDays
	m.labels = append(m.labels, o.labels...)
}

// judge collects what one trail gives.
type judge struct {
	m      *measured
	trial  *trial
	field  *field
	causes *causes
	early  int
	pub    map[string]publication // when an anomaly was published first, by id
	days   map[entityDay]struct{}
	from   int64
}

type publication struct {
	at     int64
	judged bool
}

type entityDay struct {
	wire.Entity
	day int64
}

// measureOne runs one trail.
func measureOne(c generate.Config, cfg detect.Config) (*measured, error) {
	g, err := generate.New(c)
	if err != nil {
		return nil, err
	}
	known, from := newIncidents(g.Labels()), g.Quiet().UnixNano()
	j := &judge{
		m: &measured{labels: g.Labels()}, trial: newTrial("Keytrail", 0, 0, known, from), field: newField(yardsticks(), known, from, cfg.Size),
		causes: newCauses(g, cfg.Size), pub: map[string]publication{}, days: map[entityDay]struct{}{}, from: from,
	}
	e := newEngine(cfg)
	e.found, e.closed = j.anomaly, j.window
	if err := e.trail(g); err != nil {
		return nil, err
	}
	quiet := g.Quiet().Sub(c.Start).Hours() / 24 // days before the judged ones
	judged := c.Duration.Hours()/24 - quiet
	j.m.totals, j.m.learning, j.m.learningDays = e.totals, float64(j.early), quiet
	for _, t := range append(slices.Clone(j.field.trials), j.trial) {
		t.days, t.entityDays = judged, len(j.days)
	}
	j.m.ours = j.trial.tally
	for _, t := range j.field.trials {
		j.m.others = append(j.m.others, t.tally)
	}
	slices.SortStableFunc(j.m.wrong, func(a, b finding) int { return cmp.Compare(b.score, a.score) })
	return j.m, nil
}

// anomaly judges one of Keytrail's anomalies. One that is published while its window
// is open is judged when it closes, and is then as old as its first publication.
func (j *judge) anomaly(a *detect.Anomaly, published int64, open bool) {
	first, again := j.pub[a.ID]
	if again {
		published = first.at
	}
	if first.judged {
		return
	}
	j.pub[a.ID] = publication{published, !open}
	if open {
		return
	}
	f := finding{Entity: a.Entity, start: a.Start, end: a.End, published: published, score: a.Score, kind: string(a.Kind), detector: a.Detector, reason: a.Reason}
	if f.start < j.from {
		j.early++
	}
	if wrong, benign := j.trial.add(&f); wrong {
		f.cause = j.causes.of(&f)
		if benign != "" {
			f.cause += ", during " + benign
		}
		j.m.wrong = append(j.m.wrong, f)
	}
}

// window takes a window that closed.
func (j *judge) window(r *detect.Result, published int64) {
	calls := count.Get(&r.Partial, wire.CounterCalls)
	if r.Size != 0 || calls <= 0 {
		return
	}
	if r.Start >= j.from {
		j.days[entityDay{r.Entity, r.Start / (24 * 3600e9)}] = struct{}{}
	}
	if r.Revision == 1 {
		j.causes.window(r.Entity, r.Start, calls)
		j.field.window(r.Entity, r.Start, published, calls)
	}
}
