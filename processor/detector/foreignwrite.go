package detector

import (
	"fmt"
	"slices"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// ForeignWrite asks: does a principal encrypt under a KMS key of another account, under
// none of whose keys it ever encrypted before? That is the core of ransom: who owns the
// key can take it away. Encrypt, GenerateDataKey and ReEncrypt to the key count.
//
// State: the last 16 other accounts. Warm-up: WarmUp. Known false positives: a program that
// begins to write to another account of its organization.
var ForeignWrite = Detector{
	"foreign_write", 17, anomaly.KindFanOut, []string{"T1486"}, 24 * hour, judgeForeignWrite,
}

func judgeForeignWrite(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	set, h := &w.Sets[wire.SetForeign], &ent.Habits
	if ent.Scope != wire.ScopePrincipal || len(set.Values) == 0 || v.Service(ent.Principal) ||
		!ent.WatchedFor(w.Start, int64(v.Settings().WarmUp)) || len(h.Foreign) >= entity.MaxKnown {
		return Finding{}, false
	}
	calls := int64(0)
	for _, a := range set.Values {
		if !slices.Contains(h.Foreign, uint32(a.Hash)) {
			calls += a.N
		}
	}
	if calls <= 0 {
		return Finding{}, false
	}
	return Finding{Score: 8, Observed: float64(calls), Reason: fmt.Sprintf(
		"%s encrypted under KMS keys of another account, under none of whose keys it encrypted before: %s in %s; "+
			"the account can take the keys away, and the data with them; watched since %s.",
		ent.Principal, callCount(calls), anomaly.Span(v.Size()), date(ent.Since))}, true
}
