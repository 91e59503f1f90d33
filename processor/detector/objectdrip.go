package detector

import (
	"fmt"
	"math"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// ObjectDrip asks: has one principal touched more different objects today than on any day
// of the last weeks, by far? It finds a theft that is so slow that every window looks
// usual.
//
// State: a bitmap of the day (entity.Objects), and the most of a day. Warm-up: five days.
// A principal that touches thousands of objects every day is beyond it.
var ObjectDrip = Detector{
	"object_drip", 7, anomaly.KindFanOut, []string{"T1530", "T1020"}, 24 * hour, judgeObjectDrip,
}

func judgeObjectDrip(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	o := &ent.Habits.Objects
	if ent.Scope != wire.ScopePrincipal || len(w.Sets[wire.SetObjects].Values) == 0 || o.Days < entity.MinDays {
		return Finding{}, false
	}
	s := v.Settings()
	n, high, factor := o.With(w.Start, &w.Sets[wire.SetObjects]), o.Top(w.Start), s.FanOutFactor
	if v.Person(ent.Principal) {
		factor *= peopleFactor
	}
	if n < float64(s.ObjectSweep) || n < factor*high || high > entity.MaxObjects {
		return Finding{}, false
	}
	score := min(6+math.Log2(n/max(high, 1))/2, 9)
	return Finding{Score: score, Observed: math.Round(n), Expected: math.Round(high), Reason: fmt.Sprintf(
		"%s has made calls for about %.0f different objects since midnight (UTC); the most on any day of the last weeks was %.0f "+
			"(probability below 1 in %d days); watched since %s.",
		ent.Principal, n, high, o.Days+1, date(ent.Since))}, true
}
