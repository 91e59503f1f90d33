package detector

import (
	"fmt"
	"math"

	"keytrail/processor/anomaly"
	"keytrail/processor/baseline"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Rate asks: is this KMS key used, or does this principal use keys, more than at this hour,
// and more than in its busiest times? It asks on several clocks: one window, two windows in
// a row, two clock hours, and for principals two days. The clocks share one budget of false
// anomalies, and one anomaly: the first clock begins it, and a later one continues it.
//
// Method: the upper tail of a negative binomial. Its mean is learned by hour of day and by
// weekday or weekend, its dispersion by moments (package baseline). Programs that start,
// and people at work, make bursts that no such distribution allows. So the detector also
// learns the tops of days (block maxima: Coles 2001, "An Introduction to Statistical
// Modeling of Extreme Values", chapter 3). A count has to be PeakFactor times the usual
// top, and rateSigmas deviations above it in the logarithm, or fewer when it is very
// unlikely. Entities whose days differ much, as with deployments, need more than machines.
// At an hour at which the entity is idle, a count in two hours that is beyond idleThreshold
// suffices.
//
// A day is judged by what was learned before it, so more calls never hide earlier or later
// ones of the same day. An entity that is younger than WarmUp is judged by limits that no
// new program reaches: see young.
//
// State: the baseline, the tops, the uses of two hours and of two days. Warm-up: WarmUp;
// five days for two days. Known false positives: the first run of a job that comes less
// than once in four weeks; Bucket Keys that are turned off; a new level, once. A burst that
// comes again within a day is the same anomaly.
var Rate = Detector{"rate", 1, anomaly.KindRate, []string{"T1530", "T1486", "T1020"}, 24 * hour, judgeRate}

// Adopt is how long after a rate anomaly began its level is learned as the new one, if it
// is still or again there.
const Adopt = 6 * hour

// How many deviations of the logarithm a burst has to be above the most uses of a usual
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

const (
	// idleThreshold is the probability below which uses at an idle hour are an anomaly
	// whatever the day's tops: five powers of ten below the usual one.
	idleThreshold = 1e-5
	// idleScore bounds their score: a job may have moved.
	idleScore = 7
)

// span is the number of uses on one clock, with the expected number.
type span struct {
	clock    entity.Clock
	n        float64
	mu, a    float64 // expected, and the dispersion
	duration int64
}

func judgeRate(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	s, uses := v.Settings(), w.Uses()
	if ent.Scope == wire.ScopePair || uses <= 0 {
		return Finding{}, false
	}
	if !ent.Baseline.Ready(w.Start, int64(s.WarmUp)) {
		return judgeYoung(v, ent, w)
	}
	best, found := Finding{}, false
	add := func(f Finding, ok bool) {
		if ok && (!found || f.Score > best.Score) {
			best, found = f, true
		}
	}
	if 4*uses >= s.MinCount {
		add(judgeWindows(v, ent, w, float64(uses)))
	}
	add(judgeHours(v, ent, w, float64(uses)))
	if !found {
		add(judgeDays(v, ent, w))
	}
	return best, found
}

// judgeWindows judges one window, and it together with the one before.
func judgeWindows(v View, ent *entity.Entity, w *entity.Window, n float64) (Finding, bool) {
	least, size := float64(v.Settings().MinCount), v.Size()
	mu, a := ent.Baseline.Before(w.Start, w.Start, size)
	if n >= least {
		if f, ok := unlikely(v, ent, w, span{entity.OneWindow, n, mu, a, size}); ok {
			return f, true
		}
	}
	// Two windows in a row, each of which alone would be a burst like others.
	before := ent.Find(w.Start - size)
	if before == nil || 4*before.Uses() < v.Settings().MinCount {
		return Finding{}, false
	}
	if n += float64(before.Uses()); n < least {
		return Finding{}, false
	}
	earlier, _ := ent.Baseline.Before(w.Start, before.Start, size)
	return unlikely(v, ent, w, span{entity.TwoWindows, n, mu + earlier, a, 2 * size})
}

// judgeHours judges the hour of the window so far, and the hour before.
func judgeHours(v View, ent *entity.Entity, w *entity.Window, one float64) (Finding, bool) {
	s, size, tops := v.Settings(), v.Size(), &ent.Habits.Tops
	n, ok := tops.InHours(w.Start, one)
	if !ok || n < float64(s.MinCount) || n == one || size >= hour {
		return Finding{}, false
	}
	top, _ := tops.Of(entity.TwoHours)
	busy := n > s.PeakFactor*top.Level()
	quiet := !busy && ent.Baseline.Idle(w.Start) && !v.Person(ent.Principal) &&
		ent.WatchedFor(w.Start, longWarmUp*int64(s.WarmUp))
	if !busy && !quiet {
		return Finding{}, false
	}
	begin := eventtime.Start(w.Start, hour)
	mu, a := ent.Baseline.Before(w.Start, w.Start, size)
	earlier, _ := ent.Baseline.Before(w.Start, begin-hour, size)
	mu = mu*float64((w.Start-begin)/size+1) + earlier*float64(hour/size)
	c := span{entity.TwoHours, n, mu, a, w.Start + size - begin + hour}
	if busy {
		return unlikely(v, ent, w, c)
	}
	p := baseline.UpperTail(int64(n), c.mu, a)
	if n < 2*c.mu || p >= s.Threshold*idleThreshold {
		return Finding{}, false
	}
	return Finding{Score: idleScore, Observed: n, Expected: c.mu, Reason: fmt.Sprintf(
		"%s: %.0f uses in %s, at an hour at which it is mostly idle, where %s are expected (probability %s); learned since %s.",
		subject(v, ent, w), n, anomaly.Span(c.duration), expected(c.mu), likelihood(p), date(ent.Baseline.Since))}, true
}

// unlikely compares the uses on a clock with the expected number and with the largest
// number of usual days. The clocks of windows have half of the Threshold, and that of hours
// and that of days a quarter each.
func unlikely(v View, ent *entity.Entity, w *entity.Window, c span) (Finding, bool) {
	s := v.Settings()
	threshold := s.Threshold / 2
	if c.clock == entity.TwoHours {
		threshold = s.Threshold / 4
	}
	top, days := ent.Habits.Tops.Of(c.clock)
	if ent.Habits.Tops.Days == 0 && ent.Baseline.Since < eventtime.Start(w.Start, day) {
		top = entity.Usual{} // its first day with uses does not judge itself
	}
	if c.n < 2*c.mu || c.n <= s.PeakFactor*top.Level() || top.Above(c.n, days) < leastSigmas {
		return Finding{}, false
	}
	p := baseline.UpperTail(int64(c.n), c.mu, c.a)
	if p >= threshold || top.Above(c.n, days) < rateSigmas-rateTrade*(surprise(p)-surprise(threshold)) {
		return Finding{}, false
	}
	return Finding{Score: surprise(p), Observed: c.n, Expected: c.mu, Reason: fmt.Sprintf(
		"%s: %.0f uses in %s where %s are expected at this hour (probability %s) and the most on a usual day is %s; learned since %s.",
		subject(v, ent, w), c.n, anomaly.Span(c.duration), expected(c.mu), likelihood(p), expected(top.Level()),
		date(ent.Baseline.Since))}, true
}

const (
	// dripFactor is how many times the usual uses are a drip: less is everyday growth.
	dripFactor = 2.0
	// dripSigmas is how many deviations of the logarithm above the mean a drip is. By
	// Student's t with the ten days that two weeks weigh, one day in 1,000 has as many.
	dripSigmas = 4
)

// judgeDays judges the uses of a principal today and yesterday (UTC), which are log-normal
// (entity.Usual). It finds a theft that is so slow that every window looks usual, also
// where encryption contexts do not name objects (S3 Bucket Keys). Two days, because a theft
// of one day is still half of their sum.
func judgeDays(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	h := &ent.Habits.Calls
	if ent.Scope != wire.ScopePrincipal || h.Days < entity.MinDays || v.Service(ent.Principal) {
		return Finding{}, false
	}
	n := h.With(w)
	if n < 6*float64(v.Settings().MinCount) { // most principals: no logarithm is taken for them
		return Finding{}, false
	}
	level, factor := h.Two.Level(), dripFactor
	if v.Person(ent.Principal) {
		factor *= peopleFactor
	}
	if n < factor*level || h.Two.Above(n, h.Days) < dripSigmas {
		return Finding{}, false
	}
	p := entity.Tail(h.Two.Above(n, h.Days), h.Days)
	return Finding{Score: min(max(surprise(p), 6), 9), Observed: n, Expected: math.Round(level), Reason: fmt.Sprintf(
		"%s: %.0f uses since yesterday (UTC), where %s are usual in two days (probability %s); learned since %s.",
		ent.Principal, n, expected(level), likelihood(p), date(ent.Since))}, true
}
