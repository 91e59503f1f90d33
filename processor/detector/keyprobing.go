package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// KeyProbing asks: is one principal refused on many different KMS keys? It needs no history.
var KeyProbing = Detector{
	"key_probing", 10, anomaly.KindRefusals, []string{"T1580", "T1526"}, hour, judgeKeyProbing,
}

func judgeKeyProbing(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	set := &w.Sets[wire.SetRefused]
	n := len(set.Values)
	if ent.Scope != wire.ScopePrincipal || n < v.Settings().RefusedKeys {
		return Finding{}, false
	}
	return Finding{Score: 8, Observed: float64(n), Expected: 0, Reason: fmt.Sprintf(
		"%s was refused on %s different KMS keys in %s, as by somebody who tries out keys. "+
			"None are expected, whatever came before.",
		ent.Principal, atLeast(n, set.Capped), anomaly.Span(v.Size()))}, true
}
