package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// MassDestruction asks: does one principal disable, delete or otherwise destroy several KMS
// keys, or their material, within one window? It needs no history.
var MassDestruction = Detector{
	"mass_destruction", 8, anomaly.KindFanOut, []string{"T1485", "T1489"}, hour, judgeMassDestruction,
}

func judgeMassDestruction(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	calls := count.Get(&w.Partial, wire.CounterClass+wire.CounterID(kms.ClassDestroy))
	set := &w.Sets[wire.SetPeers]
	if ent.Scope != wire.ScopePrincipal || calls < 3 || len(set.Values) < 3 {
		return Finding{}, false
	}
	return Finding{Score: 10, Observed: float64(calls), Reason: fmt.Sprintf(
		"%s asked %d times to disable or delete KMS keys, their material, aliases or stores in %s, "+
			"and named %s different keys in that time; none are expected, whatever came before.",
		ent.Principal, calls, anomaly.Span(v.Size()), atLeast(len(set.Values), set.Capped))}, true
}
