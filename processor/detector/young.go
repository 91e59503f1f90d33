package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
)

const (
	// youngLimit is how many times MinCount the uses of two windows have to be, of an entity
	// that is younger than WarmUp: more than jobs make that start on an installation's first
	// day, which may go on for hours.
	youngLimit = 12
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
	known, n := begin-ent.Baseline.Since, float64(w.Uses())
	late, ok := t.InHours(w.Start, n)
	if before := ent.Find(w.Start - v.Size()); before != nil {
		n += float64(before.Uses())
	}
	if !ok || n < float64(youngLimit*v.Settings().MinCount) || ent.Baseline.Since == 0 || known < youngest {
		return Finding{}, false
	}
	earlier := ent.Baseline.Total() - (late - float64(w.Uses()))
	usual := max(earlier*float64(2*v.Size())/float64(known), 1)
	if n < youngFactor*usual {
		return Finding{}, false
	}
	return Finding{Score: byFactor(int(n), int(usual)), Observed: n, Expected: usual, Reason: fmt.Sprintf(
		"%s: %.0f uses in %s, where %s are expected by its first hours; known since %s.",
		subject(v, ent, w), n, anomaly.Span(2*v.Size()), expected(usual), date(ent.Baseline.Since))}, true
}
