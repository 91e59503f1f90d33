package detect

import (
	"fmt"
	"math"

	"keytrail/schemas/wire"
)

// callDrip asks: has one principal made many more calls today and yesterday than in any
// two days before? So a theft is found that is slow enough for every window to look as
// usual, also where encryption contexts name no objects (S3 Bucket Keys).
//
// Method: the calls of two days (UTC) in a row are log-normal (usual). An anomaly is
// dripSigmas deviations above the mean, dripFactor times the mean, half as many again of
// a person, and six times MinCount at the least. Two days, because their sum varies less
// than that of one, and a theft of one day is still half of it. State: six numbers.
// Warm-up: five days with calls. Known false positives: a new level, once.
var callDrip = detector{"call_drip", 14, KindRate, []string{"T1530", "T1020"}, 24 * hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	h := &ent.Habits.Calls
	if ent.Scope != wire.ScopePrincipal || h.Days < dripDays || isService(ent.Principal) {
		return Anomaly{}, false
	}
	n := h.with(w)
	if n < 6*float64(e.cfg.MinCount) { // most are: no logarithm is taken for them
		return Anomaly{}, false
	}
	level, factor := h.Two.level(), dripFactor
	if isPerson(ent.Principal) {
		factor *= peopleFactor
	}
	if n < factor*level || h.Two.above(n, h.Days) < dripSigmas {
		return Anomaly{}, false
	}
	p := tail(h.Two.above(n, h.Days), h.Days)
	return Anomaly{Score: min(max(surprise(p), 6), 9), Observed: n, Expected: math.Round(level), Reason: fmt.Sprintf(
		"%s has made %.0f calls since yesterday (UTC), where %s are usual in two days (probability %s); learned since %s.",
		ent.Principal, n, expected(level), likelihood(p), date(ent.Since))}, true
}}

const (
	// dripDays is how many days are learned before one is judged.
	dripDays = 5
	// dripFactor is how many times the usual calls are a drip: less is everyday growth.
	dripFactor = 2.0
	// dripSigmas is how many deviations of the logarithm above the mean: Student's t with
	// the ten days that two weeks weigh is there once in 1,000 days.
	dripSigmas = 4
)

// callDays is what is remembered of a principal's calls of days (UTC).
type callDays struct {
	Day    int64   // the last day with calls, in days since 1970; 0: none yet
	Days   int     // days with calls before it
	Today  float32 // calls of Day
	Before float32 // calls of the day before Day
	Two    usual   // calls of two days
}

// add adds the calls of a window to those of its day.
func (h *callDays) add(w *Window) {
	today := w.Start / day
	switch {
	case h.Day == 0:
		h.Day = today
	case today < h.Day:
		return // late
	case today > h.Day:
		if h.Days == 0 {
			h.Before = h.Today // what came before the first day is not known
		}
		h.Two.learn(float64(h.Today)+float64(h.Before), h.Days, math.Exp(2*h.Two.sigma(h.Days)))
		h.Days++
		if h.Before = 0; today == h.Day+1 {
			h.Before = h.Today
		}
		h.Day, h.Today = today, 0
	}
	h.Today += float32(toJudge(&w.Partial))
}

// with returns how many calls the window's day and the day before it have so far, the
// window included.
func (h *callDays) with(w *Window) float64 {
	n := float64(toJudge(&w.Partial))
	switch w.Start/day - h.Day {
	case 0:
		n += float64(h.Today) + float64(h.Before)
	case 1:
		n += float64(h.Today)
	}
	return n
}
