package detect

import (
	"fmt"

	"keytrail/processor/baseline"
	"keytrail/schemas/wire"
)

// adoptAfter is how long after a rate anomaly began its level is learned as the new one,
// if it is still or again there: six hours.
const adoptAfter = 6 * hour

// peopleFactor is how much more is asked for of a person's days: people work by fits and
// starts.
const peopleFactor = 1.5

// How many deviations of the logarithm a burst is above the most calls of a usual day:
// rateSigmas where it is just unlikely enough by the hour, and for every power of ten that
// it is less likely rateTrade fewer, down to leastSigmas. By Student's t with the ten days
// that two weeks weigh, one entity has a day of 4.75 once in ten years and one of 3.5 once
// a year: the two questions are asked of the same calls, and what the one leaves open the
// other may decide.
const (
	rateSigmas  = 4.75
	leastSigmas = 3.5
	rateTrade   = 0.3
)

// rate asks: are there more calls than this KMS key, or this principal, has at
// this hour, and than its busiest windows have?
//
// Method: the upper tail of a negative binomial whose mean is learned by hour of day
// and weekday or weekend and whose dispersion is learned by moments (package
// baseline). Programs that start and people at work make bursts that no such
// distribution allows, so the tops of days are learned as well (block maxima: Coles 2001,
// "An Introduction to Statistical Modeling of Extreme Values", chapter 3): a count has to
// be rateSigmas deviations above the usual top in the logarithm, fewer where it is very
// unlikely, and PeakFactor times that top. Whose days differ much, as those with deployments do, is so asked for more
// than a machine. Two windows in a row are judged in the same way. State: the baseline, the
// tops. Warm-up: WarmUp. Known false positives: the first run of a job that comes less
// than once in four weeks; Bucket Keys that are turned off; a new level, once. What comes
// again within a day is the same anomaly: who has read of a burst knows what made it.
var rate = detector{"rate", 1, KindRate, []string{"T1530", "T1486"}, 24 * hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	calls := toJudge(&w.Partial)
	if ent.Scope == wire.ScopePair || 4*calls < e.cfg.MinCount || !ent.Baseline.Ready(w.Start, e.cfg.WarmUp) {
		return Anomaly{}, false
	}
	mu := ent.Baseline.Expected(w.Start, e.cfg.Size)
	if calls >= e.cfg.MinCount {
		if a, ok := e.unlikely(ent, w, calls, mu, false); ok {
			return a, true
		}
	}
	// What goes on for two windows, each of which alone would be a burst like others.
	before := ent.find(w.Start - e.cfg.Size)
	if before == nil || 4*toJudge(&before.Partial) < e.cfg.MinCount {
		return Anomaly{}, false
	}
	if calls += toJudge(&before.Partial); calls < e.cfg.MinCount {
		return Anomaly{}, false
	}
	return e.unlikely(ent, w, calls, mu+ent.Baseline.Expected(before.Start, e.cfg.Size), true)
}}

// shows tells whether an earlier window of the entity that is still open has the rate
// anomaly that w would begin: when they close it will be one.
func (e *Engine) shows(ent *Entity, w *Window) bool {
	for _, before := range ent.Windows {
		if before.Start >= w.Start {
			return false
		}
		if !before.Closed && w.Start-before.Start <= rate.lasts {
			if _, ok := rate.judge(e, ent, before); ok {
				return true
			}
		}
	}
	return false
}

// unlikely judges the calls in one or two windows against what is expected and the most
// of usual days.
func (e *Engine) unlikely(ent *Entity, w *Window, calls int64, mu float64, two bool) (Anomaly, bool) {
	n, time := float64(calls), e.cfg.Size
	if two {
		time = 2 * e.cfg.Size
	}
	top, days := ent.Habits.Tops.of(two)
	if n < 2*mu || n <= e.cfg.PeakFactor*top.level() || top.above(n, days) < leastSigmas {
		return Anomaly{}, false
	}
	p := baseline.UpperTail(calls, mu, ent.Baseline.Dispersion())
	if p >= e.cfg.Threshold || top.above(n, days) < rateSigmas-rateTrade*(surprise(p)-surprise(e.cfg.Threshold)) {
		return Anomaly{}, false
	}
	return Anomaly{Score: surprise(p), Observed: n, Expected: mu, Reason: fmt.Sprintf(
		"%s: %d calls in %s where %s are expected at this hour (probability %s) and the most on a usual day is %s; learned since %s.",
		subject(e, ent, w), calls, span(time), expected(mu), likelihood(p), expected(top.level()), date(ent.Baseline.Since))}, true
}
