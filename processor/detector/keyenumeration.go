package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// KeyEnumeration asks: does one principal ask about many KMS keys that it does not use, in
// one window, and about more than ever before, by far? It is how an intruder, or an
// auditor, gets to know the keys of an account. It needs no history, but a principal that
// has always done so is left alone.
//
// State: the most in any window. Known false positives: the first run of an audit or of a
// tool that manages keys.
var KeyEnumeration = Detector{
	"key_enumeration", 16, anomaly.KindFanOut, []string{"T1580", "T1526", "T1087.004"}, hour, judgeKeyEnumeration,
}

// enumerated is how many KMS keys a principal may ask about in a window.
const enumerated = 15

func judgeKeyEnumeration(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	set, high := &w.Sets[wire.SetUnused], ent.High[wire.SetUnused]
	n := len(set.Values)
	if ent.Scope != wire.ScopePrincipal || n < enumerated || v.Service(ent.Principal) ||
		float64(n) < v.Settings().FanOutFactor*float64(high) {
		return Finding{}, false
	}
	unused := count.Get(&w.Partial, wire.CounterUnused)
	reads := count.Get(&w.Partial, wire.CounterClass+wire.CounterID(kms.ClassRead))
	if 2*reads < unused { // changes of keys, or refused uses: other detectors judge them
		return Finding{}, false
	}
	return Finding{Score: min(byFactor(n, max(high, enumerated)), 7.5), Observed: float64(n), Expected: float64(high),
		Reason: fmt.Sprintf("%s made %s without a use, about %s different KMS keys, in %s; %s.", ent.Principal,
			callCount(unused), atLeast(n, set.Capped), anomaly.Span(v.Size()), most(ent, w, high, v.Size()))}, true
}
