package detect

import (
	"fmt"

	"keytrail/processor/baseline"
	"keytrail/schemas/wire"
)

// adoptAfter is how long a rate anomaly lasts until its level is learned as the new
// one: six hours.
const adoptAfter = 6 * hour

// rate asks: are there more calls than this KMS key, or this principal, has at
// this hour?
//
// Method: the upper tail of a negative binomial whose mean is learned by hour of day
// and weekday or weekend and whose dispersion is learned by moments (package
// baseline), and, because programs that start and people at work make bursts that no
// such distribution allows, more calls by PeakFactor than any window of the last
// weeks had. State: the baseline, the peak. Warm-up: WarmUp. Known false positives:
// the first run of a job that comes less than once in four weeks; Bucket Keys that are
// turned off; a new level, once, and then for six hours at the most.
var rate = detector{"rate", 1, KindRate, []string{"T1530", "T1486"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	calls := toJudge(&w.Partial)
	if ent.Scope == wire.ScopePair || calls < e.cfg.MinCount || !ent.Baseline.Ready(w.Start, e.cfg.WarmUp) {
		return Anomaly{}, false
	}
	if float64(calls) <= e.cfg.PeakFactor*ent.peak(w.Start) {
		return Anomaly{}, false
	}
	mu := ent.Baseline.Expected(w.Start, e.cfg.Size)
	p := baseline.UpperTail(calls, mu, ent.Baseline.Dispersion())
	if p >= e.cfg.Threshold || float64(calls) < 2*mu {
		return Anomaly{}, false
	}
	return Anomaly{Score: surprise(p), Observed: float64(calls), Expected: mu, Reason: fmt.Sprintf(
		"%s: %d calls in %s where %s are expected at this hour (probability %s); learned since %s.",
		subject(e, ent, w), calls, span(e.cfg.Size), expected(mu), likelihood(p), date(ent.Baseline.Since))}, true
}}
