package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/baseline"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// Rate asks: are there more calls than this KMS key, or this principal, has at this hour,
// and more than in its busiest windows?
//
// Method: the upper tail of a negative binomial. Its mean is learned by hour of day and by
// weekday or weekend, its dispersion by moments (package baseline). Programs that start,
// and people at work, make bursts that no such distribution allows. So the detector also
// learns the tops of days (block maxima: Coles 2001, "An Introduction to Statistical
// Modeling of Extreme Values", chapter 3). A count has to be PeakFactor times the usual
// top, and rateSigmas deviations above it in the logarithm, or fewer when it is very
// unlikely. Entities whose days differ much, as with deployments, need more than machines.
// Two windows in a row are judged in the same way.
//
// State: the baseline, the tops. Warm-up: WarmUp. Known false positives: the first run of
// a job that comes less than once in four weeks; Bucket Keys that are turned off; a new
// level, once. A burst that comes again within a day is the same anomaly.
var Rate = Detector{"rate", 1, anomaly.KindRate, []string{"T1530", "T1486"}, 24 * hour, judgeRate}

// Adopt is how long after a rate anomaly began its level is learned as the new one, if it
// is still or again there.
const Adopt = 6 * hour

// How many deviations of the logarithm a burst has to be above the most calls of a usual
// day: rateSigmas when it is just unlikely enough by the hour, and rateTrade fewer for
// every power of ten that it is less likely, down to leastSigmas. By Student's t with the
// ten days that two weeks weigh, one entity has a day of 4.75 once in ten years, and one of
// 3.5 once a year. The two questions are about the same calls, so a clear answer to one
// makes up for a weak answer to the other.
const (
	rateSigmas  = 4.75
	leastSigmas = 3.5
	rateTrade   = 0.3
)

func judgeRate(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	s, size, calls := v.Settings(), v.Size(), w.ToJudge()
	if ent.Scope == wire.ScopePair || 4*calls < s.MinCount || !ent.Baseline.Ready(w.Start, int64(s.WarmUp)) {
		return Finding{}, false
	}
	mu := ent.Baseline.Expected(w.Start, size)
	if calls >= s.MinCount {
		if f, ok := unlikely(v, ent, w, calls, mu, false); ok {
			return f, true
		}
	}
	// Two windows in a row, each of which alone would be a burst like others.
	before := ent.Find(w.Start - size)
	if before == nil || 4*before.ToJudge() < s.MinCount {
		return Finding{}, false
	}
	if calls += before.ToJudge(); calls < s.MinCount {
		return Finding{}, false
	}
	return unlikely(v, ent, w, calls, mu+ent.Baseline.Expected(before.Start, size), true)
}

// unlikely compares the calls in one or two windows with the expected number and with the
// largest number of usual days.
func unlikely(v View, ent *entity.Entity, w *entity.Window, calls int64, mu float64, two bool) (Finding, bool) {
	s, n, time := v.Settings(), float64(calls), v.Size()
	if two {
		time *= 2
	}
	top, days := ent.Habits.Tops.Of(two)
	if n < 2*mu || n <= s.PeakFactor*top.Level() || top.Above(n, days) < leastSigmas {
		return Finding{}, false
	}
	p := baseline.UpperTail(calls, mu, ent.Baseline.Dispersion())
	if p >= s.Threshold || top.Above(n, days) < rateSigmas-rateTrade*(surprise(p)-surprise(s.Threshold)) {
		return Finding{}, false
	}
	return Finding{Score: surprise(p), Observed: n, Expected: mu, Reason: fmt.Sprintf(
		"%s: %d calls in %s where %s are expected at this hour (probability %s) and the most on a usual day is %s; learned since %s.",
		subject(v, ent, w), calls, anomaly.Span(time), expected(mu), likelihood(p), expected(top.Level()),
		date(ent.Baseline.Since))}, true
}
