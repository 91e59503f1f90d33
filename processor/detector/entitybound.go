package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// EntityBound reports that an account, or the engine, has reached its limit of entities.
// It is the only detector for the others of an account, because questions about one
// entity make no sense for many. The engine calls it for pairs, or for principals in a
// partition whose others are only principals; a KMS key comes with a pair. Known false
// positives: organizations that are larger than the bounds.
var EntityBound = Detector{"entity_bound", 15, anomaly.KindFanOut, []string{"T1562"}, 24 * hour, nil}

// BoundReached returns the finding for w, a window of the others of an account. account
// reports whether the account has reached its limit, not the engine.
func BoundReached(v View, others *entity.Entity, w *entity.Window, account bool) Finding {
	s := v.Settings()
	who := "Principals without an account"
	if others.Account != 0 {
		who = fmt.Sprintf("Account %012d", others.Account)
	}
	limit := fmt.Sprintf("a partition has %d KMS keys, principals and pairs at most (detect.max_entities)", s.MaxEntities)
	if account {
		limit = fmt.Sprintf("one account has %d KMS keys, principals and pairs at most in a partition "+
			"(detect.max_account_entities)", s.MaxAccountEntities)
	}
	what := "pairs"
	if others.Scope == wire.ScopePrincipal {
		what = "principals"
	}
	calls := w.ToJudge()
	return Finding{Score: 6, Observed: float64(calls), Reason: fmt.Sprintf(
		"%s: %s in %s by further %s count together, and no detector judges them, because %s.",
		who, callCount(calls), anomaly.Span(v.Size()), what, limit)}
}
