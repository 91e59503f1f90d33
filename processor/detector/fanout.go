package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// FanOut asks: does a principal touch more KMS keys, or a KMS key serve more principals, in
// one window than ever before, by far?
//
// State: the most in any window. Warm-up: WarmUp.
var FanOut = Detector{"fan_out", 5, anomaly.KindFanOut, []string{"T1526", "T1078.004"}, hour, judgeFanOut}

func judgeFanOut(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	s, set, high := v.Settings(), &w.Sets[wire.SetPeers], ent.High[wire.SetPeers]
	if ent.Scope == wire.ScopePair || ent.Key == kms.NoEntity || len(set.Values) < s.FanOut {
		return Finding{}, false
	}
	n := len(w.Used())
	if n < s.FanOut ||
		!ent.WatchedFor(w.Start, int64(s.WarmUp)) || float64(n) < s.FanOutFactor*float64(high) {
		return Finding{}, false
	}
	what, by := "used", "KMS keys"
	if ent.Scope == wire.ScopeKey {
		what, by = "was used by", "principals"
	}
	return Finding{Score: byFactor(n, high), Observed: float64(n), Expected: float64(high), Reason: fmt.Sprintf(
		"%s %s %s different %s in %s; %s.",
		subject(v, ent, w), what, atLeast(n, set.Capped), by, anomaly.Span(v.Size()), most(ent, w, high, v.Size()))}, true
}
