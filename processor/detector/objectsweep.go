package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// ObjectSweep asks: does one principal touch more different objects (encryption contexts)
// in one window than ever before, by far?
//
// State: the most in any window. Warm-up: WarmUp. Known false positives: the first run of
// a migration.
var ObjectSweep = Detector{
	"object_sweep", 6, anomaly.KindFanOut, []string{"T1530", "T1486"}, hour, judgeObjectSweep,
}

func judgeObjectSweep(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	s, set, high := v.Settings(), &w.Sets[wire.SetObjects], ent.High[wire.SetObjects]
	n := len(set.Values)
	if ent.Scope != wire.ScopePrincipal || n < s.ObjectSweep || !ent.WatchedFor(w.Start, int64(s.WarmUp)) ||
		high >= count.MaxDistinct/2 || float64(n) < s.FanOutFactor*float64(high) {
		return Finding{}, false
	}
	return Finding{Score: byFactor(n, high), Observed: float64(n), Expected: float64(high), Reason: fmt.Sprintf(
		"%s %s %s different objects in %s; %s.",
		ent.Principal, touched(w), atLeast(n, set.Capped), anomaly.Span(v.Size()), most(ent, w, high, v.Size()))}, true
}
