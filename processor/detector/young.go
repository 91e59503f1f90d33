package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
)

const (
	// youngLimit is how many times MinCount the uses of two clock hours have to be, of an
	// entity that is younger than WarmUp.
	youngLimit = 10
	// youngFactor is how many times as many as in its earlier hours they have to be.
	youngFactor = 12
	// youngest is how long these earlier hours have to be.
	youngest = 4 * hour
)

// judgeYoung judges an entity without a baseline by an absolute limit, and by its earlier
// hours. The last two clock hours are left out of these, so that an attack does not hide
// itself.
func judgeYoung(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	begin, t := eventtime.Start(w.Start, hour)-hour, &ent.Habits.Tops
	known := begin - ent.Baseline.Since
	n, ok := t.InHours(w.Start, float64(w.Uses()))
	if !ok || n < float64(youngLimit*v.Settings().MinCount) || ent.Baseline.Since == 0 || known < youngest {
		return Finding{}, false
	}
	earlier := ent.Baseline.Total() - (n - float64(w.Uses()))
	span := w.Start + v.Size() - begin
	usual := max(earlier*float64(span)/float64(known), 1)
	if n < youngFactor*usual {
		return Finding{}, false
	}
	return Finding{Score: byFactor(int(n), int(usual)), Observed: n, Expected: usual, Reason: fmt.Sprintf(
		"%s: %.0f uses in %s, where %s are expected by its first hours; known since %s.",
		subject(v, ent, w), n, anomaly.Span(span), expected(usual), date(ent.Baseline.Since))}, true
}
