package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// SecretSweep asks: does one principal touch many different secrets or parameters within
// one window? It needs no history, but a principal that has always done so is left alone.
var SecretSweep = Detector{
	"secret_sweep", 4, anomaly.KindFanOut, []string{"T1555.006", "T1552"}, hour, judgeSecretSweep,
}

func judgeSecretSweep(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	s, set, high := v.Settings(), &w.Sets[wire.SetSecrets], ent.High[wire.SetSecrets]
	n := len(set.Values)
	if ent.Scope != wire.ScopePrincipal || n < s.SweepSecrets || float64(n) < s.FanOutFactor*float64(high) {
		return Finding{}, false
	}
	return Finding{Score: 8, Observed: float64(n), Expected: float64(high), Reason: fmt.Sprintf(
		"%s %s %s different secrets or parameters in %s; %s.",
		ent.Principal, touched(w), atLeast(n, set.Capped), anomaly.Span(v.Size()), most(ent, w, high, v.Size()))}, true
}
