package main

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/generate"
	"keytrail/processor/sigma"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// world configures the trails to measure on: one per seed.
type world struct {
	keys, principals, days, events, repeat int
	seeds                                  []uint64
	accounts                               []string
	scenarios                              []string     // nil: all
	rules                                  *sigma.Rules // the user's; nil for none
}

// start is when all trails begin: a Monday.
var start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// config returns the configuration of one seed's trail.
func (w world) config(seed uint64) generate.Config {
	return generate.Config{
		Seed: seed, Start: start, Duration: time.Duration(w.days) * 24 * time.Hour, Keys: w.keys,
		Principals: w.principals, Events: w.events,
		Repeat: w.repeat, Accounts: w.accounts, Scenarios: w.scenarios,
	}
}

// measured is the result of one trail, or of all.
type measured struct {
	ours   tally
	rate   tally // of the rate detector alone
	others []tally
	totals totals
	wrong  []finding
	// entityDays are those judged, by scope
	entityDays [wire.ScopePair + 1]int
	// learning counts anomalies per day before the judged days.
	learning, learningDays float64
	labels                 []generate.Label
	rules                  ruleTallies
}

// measure runs the trails of all seeds, concurrently on all processors.
func measure(w world, cfg window.Config,
	progress func(seed uint64, m *measured, took time.Duration)) (*measured, error) {
	results, errs := make([]*measured, len(w.seeds)), make([]error, len(w.seeds))
	var wg sync.WaitGroup
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, seed := range w.seeds {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			began := time.Now()
			if results[i], errs[i] = measureOne(w.config(seed), cfg, w.rules); errs[i] == nil {
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
	m.rate.join(&o.rate)
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
	for i, n := range o.entityDays {
		m.entityDays[i] += n
	}
	m.learning += o.learning
	m.learningDays += o.learningDays
	m.labels = append(m.labels, o.labels...)
	for name, t := range o.rules {
		m.rules.add(name, t)
	}
}

// judge collects the results of one trail.
type judge struct {
	m      *measured
	trial  *trial
	rate   *trial // of the rate detector alone
	users  *trial // of the user's rules
	field  *field
	causes *causes
	early  int
	open   map[string]finding // published for open windows, by id
	done   map[string]bool    // judged, by id
	last   int64              // start of the last window that closed
	days   map[entityDay]struct{}
	from   int64
	names  map[string]string // one copy of each kept name
}

// own returns e with copies of its names: the engine's are views into memory that they
// would keep alive.
func (j *judge) own(e wire.Entity) wire.Entity {
	for _, s := range []*string{&e.Key, &e.Principal} {
		name, ok := j.names[*s]
		if !ok {
			name = strings.Clone(*s)
			j.names[name] = name
		}
		*s = name
	}
	return e
}

type entityDay struct {
	wire.Entity
	day int64
}

// measureOne runs one trail.
func measureOne(c generate.Config, cfg window.Config, rules *sigma.Rules) (*measured, error) {
	g, err := generate.New(c)
	if err != nil {
		return nil, err
	}
	known, from := newIncidents(g.Labels()), g.Quiet().UnixNano()
	j := &judge{
		m: &measured{labels: g.Labels(), rules: newTallies(rules)}, trial: newTrial("Keytrail", 0, 0, known, from),
		rate:  newTrial("Keytrail, rate alone", 0, 0, known, from),
		users: newTrial("the user's rules", 0, 0, known, from), field: newField(yardsticks(), known, from, cfg.Size),
		causes: newCauses(g, cfg.Size), open: map[string]finding{}, done: map[string]bool{}, names: map[string]string{},
		days: map[entityDay]struct{}{}, from: from,
	}
	e := newEngine(cfg, rules)
	e.found, e.closed, e.withheld = j.anomaly, j.window, j.withheld
	if err := e.trail(g.Events()); err != nil {
		return nil, err
	}
	j.settle(1 << 62)
	quiet := g.Quiet().Sub(c.Start).Hours() / 24 // days before the judged ones
	judged := c.Duration.Hours()/24 - quiet
	j.m.totals, j.m.learning, j.m.learningDays = e.totals, float64(j.early), quiet
	for _, t := range append(slices.Clone(j.field.trials), j.trial, j.rate) {
		t.days, t.entityDays = judged, len(j.days)
	}
	for d := range j.days {
		j.m.entityDays[d.Scope]++
	}
	j.m.ours, j.m.rate = j.trial.tally, j.rate.tally
	for _, t := range j.field.trials {
		j.m.others = append(j.m.others, t.tally)
	}
	slices.SortStableFunc(j.m.wrong, func(a, b finding) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.start, b.start), cmp.Compare(a.StateKey(), b.StateKey()))
	})
	return j.m, nil
}

// anomaly takes one of Keytrail's anomalies. If it is published while its window is open,
// it is judged when the window closes, even unconfirmed, with the time of its first
// publication.
func (j *judge) anomaly(a *anomaly.Anomaly, published int64, open bool) {
	f := finding{Entity: j.own(a.Entity), start: a.Start, end: a.End, published: published, score: a.Score,
		kind: string(a.Kind), detector: a.Detector, reason: a.Reason}
	if j.done[a.ID] {
		return
	}
	if first, again := j.open[a.ID]; again {
		f.published = first.published
	}
	if open {
		j.open[a.ID] = f
		return
	}
	delete(j.open, a.ID)
	j.done[a.ID] = true
	j.judge(&f)
}

// settle judges the anomalies of open windows before a time that the closed windows did
// not confirm.
func (j *judge) settle(before int64) {
	for id, f := range j.open {
		if f.end <= before {
			delete(j.open, id)
			j.done[id] = true
			j.judge(&f)
		}
	}
}

func (j *judge) judge(f *finding) {
	if ofUser(f.detector) {
		j.rule(f, j.users.add)
		return
	}
	if f.start < j.from {
		j.early++
	}
	if f.kind == string(anomaly.KindRate) {
		j.rate.add(f)
	}
	wrong, benign := false, ""
	if f.kind == string(anomaly.KindRule) || f.kind == string(anomaly.KindBlindSpot) {
		wrong, benign = j.rule(f, j.trial.add)
	} else {
		wrong, benign = j.trial.add(f)
	}
	if wrong {
		f.cause = j.causes.of(f)
		if benign != "" {
			f.cause += ", during " + benign
		}
		j.m.wrong = append(j.m.wrong, *f)
	}
}

// rule judges a rule's anomaly with one of the trials.
func (j *judge) rule(f *finding, add func(*finding) (bool, string)) (wrong bool, benign string) {
	if wrong, benign = add(f); f.start >= j.from {
		t := ruleTally{anomalies: 1}
		if wrong {
			t.wrong = 1
		}
		j.m.rules.add(f.detector, t)
	}
	return wrong, benign
}

// withheld counts a rule's anomaly that a storm kept from publication.
func (j *judge) withheld(rule string, at int64) {
	if at >= j.from {
		j.m.rules.add(rule, ruleTally{withheld: 1})
	}
}

// window takes a closed window.
func (j *judge) window(r *window.Result, published int64) {
	calls := count.Get(&r.Partial, wire.CounterCalls)
	if r.Size != 0 || calls <= 0 {
		return
	}
	e := j.own(r.Entity)
	if r.Start >= j.from {
		j.days[entityDay{e, r.Start / (24 * 3600e9)}] = struct{}{}
	}
	if r.Revision == 1 {
		if r.Start > j.last {
			j.last = r.Start
			j.settle(r.Start)
		}
		j.causes.window(e, r.Start, calls)
		j.field.window(e, r.Start, published, calls)
	}
}
