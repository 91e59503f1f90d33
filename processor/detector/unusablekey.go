package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// UnusableKey asks: is a KMS key in use that is disabled or pending deletion? Its users
// cannot read their data once the key is gone. The detector needs no history. A key that
// stays so is one anomaly for as long as the calls continue.
var UnusableKey = Detector{
	"unusable_key", 11, anomaly.KindRefusals, []string{"T1485", "T1489"}, 24 * hour, judgeUnusableKey,
}

func judgeUnusableKey(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	n := count.Get(&w.Partial, wire.CounterUnusableKey)
	if ent.Scope != wire.ScopeKey || ent.Key == kms.NoEntity || n < 1 {
		return Finding{}, false
	}
	return Finding{Score: 6, Observed: float64(n), Expected: 0, Reason: fmt.Sprintf(
		"%s is disabled or waits for its deletion: %s failed for that reason in %s, where none are expected.",
		subject(v, ent, w), callCount(n), anomaly.Span(v.Size()))}, true
}
