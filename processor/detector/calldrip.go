package detector

import (
	"fmt"
	"math"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// CallDrip asks: has one principal made many more calls today and yesterday than in any two
// days before? It finds a theft that is so slow that every window looks usual, also where
// encryption contexts do not name objects (S3 Bucket Keys).
//
// Method: the calls of two days (UTC) in a row are log-normal (entity.Usual). An anomaly is
// dripSigmas deviations above the mean, dripFactor times the mean, half as many again for a
// person, and at least six times MinCount. Two days, because a theft of one day is still
// half of their sum. State: six numbers. Warm-up: five days with calls. Known false
// positives: a new level, once.
var CallDrip = Detector{"call_drip", 14, anomaly.KindRate, []string{"T1530", "T1020"}, 24 * hour, judgeCallDrip}

const (
	// dripFactor is how many times the usual calls are a drip: less is everyday growth.
	dripFactor = 2.0
	// dripSigmas is how many deviations of the logarithm above the mean a drip is. By
	// Student's t with the ten days that two weeks weigh, one day in 1,000 has as many.
	dripSigmas = 4
)

func judgeCallDrip(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
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
		"%s has made %.0f calls since yesterday (UTC), where %s are usual in two days (probability %s); learned since %s.",
		ent.Principal, n, expected(level), likelihood(p), date(ent.Since))}, true
}
