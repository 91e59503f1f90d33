package detector

import (
	"fmt"
	"slices"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// NewPeers asks: does a principal use several KMS keys in one window that it never used, or
// a KMS key serve several principals that never used it? One alone says too little, but
// several together do not.
//
// State: for a principal the last 64 KMS keys, by hash; a principal that has as many is
// beyond it. For a KMS key the number of first uses in the window. Warm-up: WarmUp. Known
// false positives: the first run of an audit.
var NewPeers = Detector{"new_peers", 13, anomaly.KindFanOut, []string{"T1526", "T1078.004"}, hour, judgeNewPeers}

func judgeNewPeers(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	s := v.Settings()
	if ent.Scope == wire.ScopePair || ent.Key == kms.NoEntity || !ent.WatchedFor(w.Start, int64(s.WarmUp)) {
		return Finding{}, false
	}
	h, n, what := &ent.Habits, 0, "used %d KMS keys that it never used before in %s"
	switch {
	case ent.Scope == wire.ScopeKey && h.FreshAt == w.Start:
		n, what = h.Fresh, "was used by %d principals that never used it before in %s"
		if len(h.Families) > 0 {
			what = "was used by %d principals of no known family that never used it before in %s"
		}
	case ent.Scope == wire.ScopePrincipal && len(h.Keys) < entity.MaxKeys &&
		len(w.Sets[wire.SetPeers].Values) >= s.NewPeers:
		n = unknown(h.Keys, w.Used())
	}
	if n < s.NewPeers {
		return Finding{}, false
	}
	return Finding{Score: min(6+float64(n-s.NewPeers)/4, 9), Observed: float64(n), Expected: 0, Reason: fmt.Sprintf(
		"%s "+what+"; watched since %s (probability %s).", subject(v, ent, w), n, anomaly.Span(v.Size()), date(ent.Since),
		rarity(ent.Since, w.Start, v.Size()))}, true
}

// unknown returns how many values of a set are not known.
func unknown(known []uint32, values []wire.HashCount) (n int) {
	for _, v := range values {
		if !slices.Contains(known, uint32(v.Hash)) {
			n++
		}
	}
	return n
}
