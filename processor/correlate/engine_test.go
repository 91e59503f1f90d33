package correlate

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
	"keytrail/schemas/wire"
)

const rules = `title: A
name: a
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventName: A}, condition: s}
---
title: B
name: b
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventName: B}, condition: s}
---
title: Many
id: many
correlation: {type: event_count, rules: [a], group-by: [g], timespan: 40s, condition: {gte: 4}}
---
title: Few
id: few
correlation: {type: event_count, rules: [a, b], group-by: [g], timespan: 30s, condition: {lt: 3}}
---
title: Values
id: values
correlation: {type: value_count, rules: [a, b], group-by: [g], timespan: 1m, condition: {field: v, gte: 3}}
---
title: Both
id: both
correlation: {type: temporal, rules: [a, b], group-by: [g], timespan: 20s}
---
title: In order
id: ordered
correlation: {type: temporal_ordered, rules: [a, b], timespan: 2m}
`

func load(t testing.TB, text string) *sigma.Rules {
	t.Helper()
	var l sigma.Loader
	l.File("rules.yml", []byte(text))
	set, problems := l.Rules()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return set
}

// match is a call, and one observation of it.
type match struct {
	o    sigma.Observation
	call count.Call
}

// matches makes the observations of n calls in some minutes, the same for a seed.
func matches(set *sigma.Rules, seed uint64, n int) (list []match) {
	rng := rand.New(rand.NewPCG(seed, 7))
	for i := range n {
		at := int64(1_700_000_000+rng.IntN(600)) * second
		c := count.Call{IDText: fmt.Sprint("call-", i), Time: at, Key: fmt.Sprint("key-", rng.IntN(2)), Principal: fmt.Sprint("p-", rng.IntN(3))}
		group, rule, value := fmt.Sprint("g", rng.IntN(3)), rng.IntN(2), 1+rng.Uint64N(5)
		for _, k := range set.Correlations {
			o := sigma.Observation{Correlation: k, Rule: rule, Group: group}
			switch {
			case rule >= len(k.Rules):
				continue
			case len(k.GroupBy) == 0:
				o.Group = ""
			}
			if k.Kind == sigma.ValueCount {
				o.Value = value
			}
			list = append(list, match{o, c})
		}
	}
	return list
}

// naive is what has to be found, by sigma.Counter.
func naive(t *testing.T, list []match) (found []string) {
	t.Helper()
	var k sigma.Counter
	for _, m := range list {
		if err := k.Add(&m.o, m.call.Time); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range k.Firings() {
		var calls []wire.CallAt
		keys, principals := map[string]bool{}, map[string]bool{}
		for _, m := range list {
			if c := m.call; m.o.Correlation == f.Correlation && m.o.Group == f.Group && c.Time >= f.Start && c.Time < f.End {
				calls = append(calls, wire.CallAt{Rule: uint8(m.o.Rule), Time: c.Time, ID: c.IDText})
				keys[c.Key], principals[c.Principal] = true, true
			}
		}
		one := func(set map[string]bool) string {
			for name := range set {
				if len(set) == 1 {
					return name
				}
			}
			return "-"
		}
		e := wire.Entity{Scope: wire.ScopePair, Key: one(keys), Principal: one(principals)}
		if e.Key == "-" && e.Principal != "-" {
			e = wire.Entity{Scope: wire.ScopePrincipal, Principal: e.Principal}
		} else if e.Principal == "-" && e.Key != "-" {
			e = wire.Entity{Scope: wire.ScopeKey, Key: e.Key}
		}
		slices.SortFunc(calls, byTime)
		var ids []string
		of := map[uint8]int{}
		for _, c := range slices.Compact(calls) {
			if of[c.Rule]++; of[c.Rule] <= MaxCalls/len(f.Correlation.Rules) { // none has more than ten
				ids = append(ids, c.ID)
			}
		}
		a := anomaly.FromFiring(&f, e, ids)
		found = append(found, fmt.Sprintf("%+v", a))
	}
	slices.Sort(found)
	return found
}

// pane is the pane of one match.
func pane(m match) wire.Pane {
	var table Table
	table.Add(&m.o, &m.call)
	var w wire.Pane
	table.All(func(p *Pane) { w = p.Wire() })
	return w
}

// disorder is how many seconds later than a younger one a match comes, at most.
const disorder = 100

// arrive puts matches into the order in which they come.
func arrive(rng *rand.Rand, list []match) {
	at := map[string]int64{}
	for _, m := range list {
		at[m.call.IDText] = m.call.Time + rng.Int64N(disorder)*second
	}
	slices.SortStableFunc(list, func(a, b match) int { return cmp.Compare(at[a.call.IDText], at[b.call.IDText]) })
}

// partition is an Engine with its changelog, and what it has reported.
type partition struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	cfg   Config
	e     *Engine
	log   map[string][]byte
	found []string
	last  int64 // end of the window reported last
	kinds map[string]int
	steps int // restarts within a step
}

// commit moves on to a watermark, in parts, between which it may be killed.
func (p *partition) commit(mark int64) {
	for more := true; more; {
		more = p.e.Advance(to(mark), p.rng.IntN(3), func(a *anomaly.Anomaly) {
			p.found = append(p.found, fmt.Sprintf("%+v", *a))
			p.kinds[a.Detector]++
			if a.End < p.last {
				p.t.Errorf("seed %d: a window until %d after one until %d", p.seed, a.End, p.last)
			}
			p.last = a.End
		})
		changes(p.e, p.log)
		if p.rng.IntN(6) > 0 {
			continue
		}
		forgotten := 0
		if p.e, forgotten = restored(p.t, p.cfg, p.log, mark); forgotten != 0 || p.e.Closing() != more {
			p.t.Errorf("seed %d: %d panes are forgotten, Closing is %v after a step with more %v", p.seed, forgotten, p.e.Closing(), more)
		}
		if more {
			p.steps++
		}
	}
}

// take merges matches as one commit of stage count tells of them.
func (p *partition) take(list []match) {
	var table Table
	for _, m := range list {
		table.Add(&m.o, &m.call)
	}
	table.All(func(one *Pane) {
		w := one.Wire()
		if why := p.e.Take(&w); why != Counted {
			p.t.Fatalf("seed %d: refused: %s", p.seed, why)
		}
	})
}

// In whatever order matches come, in however many pieces, and wherever it is restarted,
// also in the middle of a step: an Engine reports what is to be found, each once, in the
// order of time.
func TestEngine(t *testing.T) {
	set := load(t, rules)
	kinds, steps := map[string]int{}, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 9))
		list := matches(set, seed, 60)
		want := naive(t, list)
		arrive(rng, list)
		cfg := Config{Correlations: set.Correlations, Bytes: math.MaxInt}
		p := &partition{t: t, seed: seed, rng: rng, cfg: cfg, e: NewEngine(cfg), log: map[string][]byte{}, last: math.MinInt64, kinds: kinds}
		for mark := int64(math.MinInt64); len(list) > 0; {
			n := min(1+rng.IntN(12), len(list))
			for _, m := range list[:n] {
				mark = max(mark, m.call.Time-disorder*second)
			}
			p.take(list[:n])
			list = list[n:]
			if rng.IntN(3) > 0 {
				p.commit(mark)
			}
		}
		p.commit(math.MaxInt64)
		slices.Sort(p.found)
		if !slices.Equal(p.found, want) {
			t.Fatalf("seed %d: found\n%s\nwant\n%s", seed, strings.Join(p.found, "\n"), strings.Join(want, "\n"))
		}
		if e := p.e; len(p.log) != 0 || e.panes != 0 || e.bytes != 0 || len(e.groups) != 0 {
			t.Errorf("seed %d: at the end there are %d records, %d panes, %d groups and %d bytes", seed, len(p.log), e.panes, len(e.groups), e.bytes)
		}
		steps += p.steps
	}
	if len(kinds) != len(set.Correlations) || steps < 100 {
		t.Errorf("found are %v, with %d restarts within a step: this tests too little", kinds, steps)
	}
}

// A match that comes after its window was reported gives the anomaly a higher revision,
// also where the count cannot grow.
func TestLateMatchesRaiseTheRevision(t *testing.T) {
	set := load(t, rules)
	e := NewEngine(Config{Correlations: set.Correlations, Bytes: math.MaxInt})
	revisions, again := map[string]int64{}, map[string]bool{}
	for i := range int64(12) {
		at := 1_700_000_000*second + i%4*second
		for _, k := range set.Correlations {
			o := sigma.Observation{Correlation: k, Rule: int(i) % len(k.Rules)}
			if len(k.GroupBy) > 0 {
				o.Group = "g"
			}
			if k.Kind == sigma.ValueCount {
				o.Value = 1 + uint64(i)
			}
			w := pane(match{o, count.Call{IDText: fmt.Sprint("call-", i), Time: at}})
			if why := e.Take(&w); why != Counted {
				t.Fatal(why)
			}
		}
		mark := eventtime.Mark{Watermark: 1_700_001_000 * second, Quiet: eventtime.None, Late: eventtime.None}
		for more := true; more; {
			more = e.Advance(mark, 10, func(a *anomaly.Anomaly) {
				if last, known := revisions[a.ID]; known {
					again[a.Detector] = true
					if a.Revision <= last {
						t.Errorf("%s has revision %d after %d", a.Detector, a.Revision, last)
					}
				}
				revisions[a.ID] = a.Revision
			})
		}
	}
	if len(again) != len(set.Correlations) {
		t.Errorf("published again are %v, want each of %d correlations: this tests too little", again, len(set.Correlations))
	}
}

// TestRevisionsGrow: however late matches come, a window that is judged again has more of
// them than before.
func TestRevisionsGrow(t *testing.T) {
	set := load(t, rules)
	late, again := 0, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 11))
		list := matches(set, seed, 60)
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		e := NewEngine(Config{Correlations: set.Correlations, Bytes: math.MaxInt, Keep: int64(rng.IntN(60)) * second})
		mark, last := int64(math.MinInt64), map[string]int64{}
		for _, m := range list {
			w := pane(m)
			if e.Take(&w) == Late {
				late++
			}
			mark = max(mark, m.call.Time-int64(rng.IntN(300))*second)
			e.Advance(to(mark), math.MaxInt, func(a *anomaly.Anomaly) {
				if before, had := last[a.ID]; had {
					if again++; a.Revision <= before {
						t.Errorf("seed %d: %s has the revision %d after %d", seed, a.Detector, a.Revision, before)
					}
				}
				last[a.ID] = a.Revision
			})
		}
	}
	if late == 0 || again == 0 {
		t.Errorf("%d matches are late, %d windows are judged again: this tests too little", late, again)
	}
}
