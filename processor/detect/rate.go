package detect

import (
	"fmt"

	"keytrail/processor/baseline"
	"keytrail/schemas/wire"
)

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
// weeks had, by half as many again where a person makes most of them. State: the baseline, the peak. Warm-up: WarmUp. Known false positives:
// the first run of a job that comes less than once in four weeks; Bucket Keys that are
// turned off; a new level, once, and then for six hours at the most.
var rate = detector{"rate", 1, KindRate, []string{"T1530", "T1486"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	calls := toJudge(&w.Partial)
	if ent.Scope == wire.ScopePair || calls < e.cfg.MinCount || !ent.Baseline.Ready(w.Start, e.cfg.WarmUp) {
		return Anomaly{}, false
	}
	peak := ent.peak(w.Start)
	if float64(calls) <= e.cfg.PeakFactor*peak {
		return Anomaly{}, false
	}
	mu := ent.Baseline.Expected(w.Start, e.cfg.Size)
	p := baseline.UpperTail(calls, mu, ent.Baseline.Dispersion())
	if p >= e.cfg.Threshold || float64(calls) < 2*mu || float64(calls) <= peopleFactor*e.cfg.PeakFactor*peak && e.byPerson(ent, w) {
		return Anomaly{}, false
	}
	return Anomaly{Score: surprise(p), Observed: float64(calls), Expected: mu, Reason: fmt.Sprintf(
		"%s: %d calls in %s where %s are expected at this hour (probability %s); learned since %s.",
		subject(e, ent, w), calls, span(e.cfg.Size), expected(mu), likelihood(p), date(ent.Baseline.Since))}, true
}}
