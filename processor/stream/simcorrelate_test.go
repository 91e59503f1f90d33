package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/sigma"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// simRules are rules that all copies of a simulated call match alike, so that the result
// does not depend on which copies come before the watermark.
const simRules = `title: Decrypts
name: decrypts
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventName: Decrypt}, condition: s}
---
title: Refused
name: refused
logsource: {product: aws, service: cloudtrail}
detection: {s: {errorCode: AccessDenied}, condition: s}
---
title: Many
id: c-many
correlation: {type: event_count, rules: [decrypts], timespan: 8m, condition: {gte: 3}}
---
title: Many of a key
id: c-key
correlation: {type: event_count, rules: [decrypts, refused], group-by: [resources.ARN], timespan: 30m, condition: {gte: 2}}
---
title: Few
id: c-few
correlation: {type: event_count, rules: [refused], group-by: [eventName], timespan: 15m, condition: {lte: 1}}
---
title: Keys
id: c-keys
correlation: {type: value_count, rules: [decrypts, refused], timespan: 1h, condition: {field: resources.ARN, gte: 3}}
---
title: Both
id: c-both
correlation: {type: temporal, rules: [decrypts, refused], group-by: [resources.ARN], timespan: 40m}
---
title: In order
id: c-order
correlation: {type: temporal_ordered, rules: [refused, decrypts], timespan: 20m}
`

// simMoreRules adds a correlation that no other one depends on.
const simMoreRules = simRules + `---
title: Extra
id: c-extra
correlation: {type: event_count, rules: [decrypts], group-by: [resources.ARN], timespan: 10m, condition: {gte: 1}}
`

// reloads has two sets of rules take turns, at any time: what one of them adds may begin
// and end at any time, and everything else is as if nothing had happened.
func (s *sim) reloads(sets []*sigma.Rules) {
	if s.rng.IntN(3) > 0 {
		return
	}
	s.reload = func() {
		rules := sets[s.rng.IntN(len(sets))]
		s.p.judging.Store(NewJudging(rules, s.p.Window.Detect.Allow))
		s.stats["reloads"]++
	}
}

// correlatedVerdict runs a schedule with correlations and judges only those.
func correlatedVerdict(seed uint64, wrong sabotage, tools *simTools, sets []*sigma.Rules) (v string, s *sim) {
	s = newSim(seed, wrong, tools)
	defer func() {
		if r := recover(); r != nil && wrong != sound { // a sabotaged stage may panic
			v = fmt.Sprint(r)
		} else if r != nil {
			panic(fmt.Sprintf("seed %d: %v", seed, r))
		}
	}()
	rules := sets[0]
	s.p.judging.Store(NewJudging(rules, s.p.Window.Detect.Allow))
	s.reloads(sets)
	s.count.make = func() *simMember { return s.newMember(s.count, newCounter(s.p)) }
	s.run()
	s.draining, s.reload = true, nil
	for range 3 { // the windows of correlations are longer
		s.now += int64(3*time.Hour) + s.p.Window.IdleAfter
		s.drain()
	}
	if len(s.faults) == 0 {
		s.correlations(rules)
		s.lives()
	}
	return strings.Join(s.faults[:min(len(s.faults), 12)], "\n"), s
}

// simTally is the matches of a correlation's group, by the start of their panes.
type simTally map[int64]*sigma.Tally

func (t simTally) at(start int64) *sigma.Tally { return t[start] }

// observed counts the correlations' matches of the counting calls, by the correlation's
// title and group.
func (s *sim) observed(rules *sigma.Rules) map[simGroupName]simTally {
	dead := map[string]bool{}
	s.read(s.p.Topics.DeadLetter, func(r *kgo.Record) {
		dead[letterHeader(r, "object")+" "+letterHeader(r, "offset")] = true
		extra := strings.Contains(string(r.Value), `"correlation":"c-extra"`) || letterHeader(r, "reason") == "no_correlation"
		if strings.Contains(letterHeader(r, "detail"), "matches") && (s.stats["reloads"] == 0 || !extra) {
			s.fault("a dead letter: %s", letterHeader(r, "detail"))
		}
	})
	taken, lost := map[string]bool{}, s.lost()
	for _, k := range s.b.took {
		taken[fmt.Sprintf("%d %d", k.partition, k.offset)] = true
	}
	all, seen, match := map[simGroupName]simTally{}, map[string]bool{}, count.NewMatcher(rules)
	var rec otellog.Record
	var call count.Call
	s.read(s.p.Topics.Events, func(r *kgo.Record) {
		if dead[fmt.Sprintf("%s/%d %d", r.Topic, r.Partition, r.Offset)] || rec.Decode(r.Value) != nil {
			return
		}
		if !taken[fmt.Sprintf("%d %d", r.Partition, r.Offset)] && lost.takes(int(r.Partition), r.Offset) {
			return // it expired unread, which frames report
		}
		count.FromRecord(&rec, &call)
		if seen[call.IDText] {
			return
		}
		seen[strings.Clone(call.IDText)] = true
		found, err := match.Match(&rec, &call)
		if err != nil {
			s.fault("%v", err)
		}
		for _, o := range found.Observations {
			name := simGroupName{o.Correlation, strings.Clone(o.Group)}
			if all[name] == nil {
				all[name] = simTally{}
			}
			pane := o.Correlation.Pane(call.Time)
			if all[name][pane] == nil {
				all[name][pane] = &sigma.Tally{}
			}
			all[name][pane].Add(&o, call.Time)
		}
	})
	return all
}

type simGroupName struct {
	c     *sigma.Correlation
	group string
}

// simFiring names a window of a correlation; where is the group in words.
type simFiring struct {
	detector, where string
	start           int64
}

// correlations compares the anomalies of correlations with the plain count.
func (s *sim) correlations(rules *sigma.Rules) {
	published := map[simFiring][]int64{}
	ids := map[string]simFiring{}
	s.read(s.p.Topics.Anomalies, func(r *kgo.Record) {
		var rec otellog.Record
		if err := rec.Decode(r.Value); err != nil || !isCorrelated(&rec) || rec.Str(semconv.KeytrailAnomalyState) != anomaly.StateOpen {
			return
		}
		_, where, _ := strings.Cut(rec.Str(semconv.KeytrailAnomalyReason), "Z")
		start, err := time.Parse(time.RFC3339, rec.Str(semconv.KeytrailWindowStart))
		if err != nil {
			s.fault("%v", err)
		}
		f := simFiring{rec.Str(semconv.KeytrailAnomalyDetector), strings.TrimSuffix(where, "."), start.UnixNano()}
		if id := rec.Str(semconv.KeytrailAnomalyID); ids[id] != f && ids[id] != (simFiring{}) {
			s.fault("%v and %v have one id", ids[id], f)
		} else {
			ids[id] = f
		}
		published[f] = append(published[f], int64(rec.Get(semconv.KeytrailAnomalyObserved).Num))
	})
	for name, panes := range s.observed(rules) {
		starts := map[int64]bool{}
		for pane := range panes {
			for start := range name.c.Windows(pane) {
				starts[start] = true
			}
		}
		where := ""
		for i, value := range name.c.Values(name.group) {
			where += fmt.Sprintf(", %s %s", name.c.GroupBy[i], value)
		}
		for start := range starts {
			f := simFiring{"sigma/" + name.c.ID, where, start}
			n, reports := name.c.Reports(start, panes.at)
			_, fires := name.c.Judge(start, panes.at)
			s.correlatedWindow(f, published[f], name.c, n, reports, fires)
			delete(published, f)
		}
	}
	for f, list := range published {
		if f.detector == "sigma/c-extra" && s.stats["reloads"] > 0 {
			continue
		}
		s.fault("%v: published with %v, and there are no matches", f, list)
	}
}

// correlatedWindow judges the published revisions of a window with a final count of n.
// Published anomalies cannot be taken back: a window may be published although a late
// match made another one succeed it, or left it with too many.
func (s *sim) correlatedWindow(f simFiring, list []int64, c *sigma.Correlation, n int64, reports, fires bool) {
	few := c.Panes() == 1
	switch {
	case reports && (len(list) == 0 || list[len(list)-1] != n):
		s.fault("%v: published with %v, want %d", f, list, n)
	case !reports && len(list) > 0 && !few && !fires:
		s.fault("%v: published with %v, and does not hold with %d", f, list, n)
	case !reports && few && len(list) > 0 && list[len(list)-1] >= n:
		s.fault("%v: published with %v, and there are %d", f, list, n)
	}
	for i := 1; i < len(list); i++ {
		if c.Kind == sigma.EventCount && list[i] <= list[i-1] {
			s.fault("%v: published with %v: once too often", f, list)
		}
	}
	if reports {
		s.stats[f.detector]++
	}
	if len(list) > 1 {
		s.stats["refined correlations"]++
	}
}

// simTools with the events' bodies, which rules read.
func newToolsWithBodies(t testing.TB) *simTools {
	tools := newTools(t)
	tools.norm = normalize.New(normalize.Options{Direct: true})
	return tools
}

// Whatever happens to the instances, and in whatever order records arrive, correlations
// find the same as a plain count of the calls.
func TestSimulatedCorrelations(t *testing.T) {
	tools, sum := newToolsWithBodies(t), map[string]int{}
	sets := []*sigma.Rules{loadRules(t, simRules), loadRules(t, simMoreRules), loadRules(t, simRules)}
	schedules := uint64(1000)
	if testing.Short() {
		schedules = 300
	}
	for seed := range schedules {
		v, s := correlatedVerdict(seed+1, sound, tools, sets)
		for what, n := range s.stats {
			sum[what] += n
		}
		if v != "" {
			t.Fatalf("seed %d:\n%s", seed+1, v)
		}
	}
	t.Log(sum)
	want := []string{"aborts", "killed", "restores", "reloads"}
	for _, c := range sets[0].Correlations {
		want = append(want, "sigma/"+c.ID)
	}
	for _, what := range want {
		if sum[what] == 0 {
			t.Errorf("no schedule has any %s: this tests too little", what)
		}
	}
}

// The judge of correlations detects sabotage.
func TestSimulatedCorrelationsHaveTeeth(t *testing.T) {
	tools, sets := newToolsWithBodies(t), []*sigma.Rules{loadRules(t, simRules)}
	for _, wrong := range []sabotage{repeatFrame, loseRecord, noFence} {
		found := ""
		seed := uint64(1)
		for ; found == "" && seed < 500; seed++ {
			found, _ = correlatedVerdict(seed, wrong, tools, sets)
		}
		if found == "" {
			t.Errorf("%v: no schedule shows it", wrong)
		}
		t.Logf("%v: seed %d: %.200s", wrong, seed-1, found)
	}
}
