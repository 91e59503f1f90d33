package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// MassDestruction asks: does one principal disable several KMS keys, or delete them or their
// material, within one window, or try to? Aliases and key stores do not count. It needs no
// history.
var MassDestruction = Detector{
	"mass_destruction", 8, anomaly.KindFanOut, []string{"T1485", "T1489"}, hour, judgeMassDestruction,
}

func judgeMassDestruction(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	set, done := &w.Sets[wire.SetDestroyed], count.Get(&w.Partial, wire.CounterDestroyed)
	if ent.Scope != wire.ScopePrincipal || len(set.Values) < 3 {
		return Finding{}, false
	}
	asked, keys := sum(set), atLeast(len(set.Values), set.Capped)
	score, what := 10.0, fmt.Sprintf("called for the disabling or the deletion of %s different KMS keys, or of their "+
		"material, in %s: %s, of which %d succeeded", keys, anomaly.Span(v.Size()), callCount(asked), done)
	if done < 3 {
		score = 8
	}
	if done == 0 {
		what = fmt.Sprintf("tried to disable or delete %s different KMS keys, or their material, in %s: %s, none of which "+
			"succeeded", keys, anomaly.Span(v.Size()), callCount(asked))
	}
	return Finding{Score: score, Observed: float64(asked), Reason: fmt.Sprintf(
		"%s %s; none are expected, whatever came before.", ent.Principal, what)}, true
}
