package detect

import (
	"fmt"
	"math"

	"keytrail/processor/baseline"
	"keytrail/schemas/wire"
)

// callDrip asks: has one principal made more calls today than on any day of the last
// weeks, by far? So a theft is found that is slow enough for every window to look as
// usual, also where encryption contexts name no objects (S3 Bucket Keys).
//
// Method: dripDayFactor times the most calls of a day (UTC), half as many again of a
// person; five times MinCount at the least. State: two sums. Warm-up: five days with
// calls. Known false positives: a new level, once.
var callDrip = detector{"call_drip", 14, KindRate, []string{"T1530", "T1020"}, 24 * hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	h := &ent.Habits
	if ent.Scope != wire.ScopePrincipal || h.CallDays < dripDays || isService(ent.Principal) {
		return Anomaly{}, false
	}
	n, high := h.callsWith(w), h.callPeak(w.Start)
	factor := dripDayFactor
	if isPerson(ent.Principal) {
		factor *= peopleFactor
	}
	if n < 5*float64(e.cfg.MinCount) || n < factor*high {
		return Anomaly{}, false
	}
	return Anomaly{Score: min(6+math.Log2(n/max(high, 1))/2, 9), Observed: n, Expected: math.Round(high), Reason: fmt.Sprintf(
		"%s has made %.0f calls since midnight (UTC); the most on any day of the last weeks was %.0f; watched since %s.",
		ent.Principal, n, high, date(ent.Since))}, true
}}

// dripDayFactor is how many times the calls of any day are a drip. Days differ by
// weekends, deployments and the level of the load, less than windows do.
const dripDayFactor = 2.25

// adoptAfter is how long a rate anomaly lasts until its level is learned as the new
// one: six hours.
const adoptAfter = 6 * hour

// peopleFactor is how much more of a peak is asked for where a person makes the calls:
// people work by fits and starts.
const peopleFactor = 1.5

// byPerson tells whether a person makes most of a window's calls. It is asked when all
// else speaks for an anomaly, which is rare.
func (e *Engine) byPerson(ent *Entity, w *Window) bool {
	if ent.Scope == wire.ScopePrincipal {
		return isPerson(ent.Principal)
	}
	people := int64(0)
	for _, u := range e.users(ent, w.Start) {
		if isPerson(u.principal) {
			people += u.n
		}
	}
	return 2*people > toJudge(&w.Partial)
}

// rate asks: are there more calls than this KMS key, or this principal, has at
// this hour?
//
// Method: the upper tail of a negative binomial whose mean is learned by hour of day
// and weekday or weekend and whose dispersion is learned by moments (package
// baseline), and, because programs that start and people at work make bursts that no
// such distribution allows, more calls by PeakFactor than any window of the last
// weeks had (or any two in a row, where two are judged), by half as many again where a person makes most of them. State: the baseline, the peak. Warm-up: WarmUp. Known false positives:
// the first run of a job that comes less than once in four weeks; Bucket Keys that are
// turned off; a new level, once, and then for six hours at the most.
var rate = detector{"rate", 1, KindRate, []string{"T1530", "T1486"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	calls := toJudge(&w.Partial)
	if ent.Scope == wire.ScopePair || 2*calls < e.cfg.MinCount || !ent.Baseline.Ready(w.Start, e.cfg.WarmUp) {
		return Anomaly{}, false
	}
	mu := ent.Baseline.Expected(w.Start, e.cfg.Size)
	if calls >= e.cfg.MinCount {
		if a, ok := e.unlikely(ent, w, calls, mu, ent.faded(ent.Habits.Peak, w.Start), e.cfg.Size); ok {
			return a, true
		}
	}
	// What goes on for two windows, each of which alone would be a burst like others.
	before := ent.find(w.Start - e.cfg.Size)
	if before == nil || 2*toJudge(&before.Partial) < e.cfg.MinCount {
		return Anomaly{}, false
	}
	if calls += toJudge(&before.Partial); 2*calls < 3*e.cfg.MinCount {
		return Anomaly{}, false
	}
	mu += ent.Baseline.Expected(before.Start, e.cfg.Size)
	return e.unlikely(ent, w, calls, mu, ent.faded(ent.Habits.PeakOfTwo, w.Start), 2*e.cfg.Size)
}}

// unlikely judges a number of calls in one or two windows against what is expected and
// the most so far.
func (e *Engine) unlikely(ent *Entity, w *Window, calls int64, mu, peak float64, time int64) (Anomaly, bool) {
	n := float64(calls)
	if n <= e.cfg.PeakFactor*peak || n < 2*mu {
		return Anomaly{}, false
	}
	p := baseline.UpperTail(calls, mu, ent.Baseline.Dispersion())
	if p >= e.cfg.Threshold || n <= peopleFactor*e.cfg.PeakFactor*peak && e.byPerson(ent, w) {
		return Anomaly{}, false
	}
	return Anomaly{Score: surprise(p), Observed: n, Expected: mu, Reason: fmt.Sprintf(
		"%s: %d calls in %s where %s are expected at this hour (probability %s); learned since %s.",
		subject(e, ent, w), calls, span(time), expected(mu), likelihood(p), date(ent.Baseline.Since))}, true
}
