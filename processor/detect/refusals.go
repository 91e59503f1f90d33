package detect

import (
	"fmt"

	"keytrail/processor/baseline"
	"keytrail/processor/count"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// refusals asks: are more calls of this principal, or on this KMS key, refused
// than it is used to? The expected number is a tenth of the calls that succeed,
// so that a busy principal with a broken permission is no anomaly by itself.
var refusals = detector{"refusals", 9, KindRefusals, []string{"T1580"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	denied, calls := count.Get(&w.Partial, wire.CounterDenied), count.Get(&w.Partial, wire.CounterCalls)
	mu := 0.5 + 0.1*float64(calls-denied)
	if ent.Scope == wire.ScopePair || ent.KeyARN == kms.NoEntity || denied < e.cfg.Refusals {
		return Anomaly{}, false
	}
	p := baseline.UpperTail(denied, mu, 1)
	if p >= 1e-3 {
		return Anomaly{}, false
	}
	return Anomaly{Score: max(surprise(p), 6), Observed: float64(denied), Expected: mu, Reason: fmt.Sprintf(
		"%s: %d of %d calls refused in %s, where %s are expected of so many (probability %s).", subject(e, ent, w), denied, calls, span(e.cfg.Size), expected(mu), likelihood(p))}, true
}}

// probing asks: is one principal refused on many different KMS keys?
var probing = detector{"key_probing", 10, KindRefusals, []string{"T1580", "T1526"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	n := len(w.Sets[wire.SetRefused].Values)
	if ent.Scope != wire.ScopePrincipal || n < e.cfg.RefusedKeys {
		return Anomaly{}, false
	}
	return Anomaly{Score: 8, Observed: float64(n), Expected: 0, Reason: fmt.Sprintf(
		"%s was refused on %s different KMS keys in %s, as by somebody who tries which keys can be used. None are expected, whatever came before.",
		ent.Principal, atLeast(n, w.Sets[wire.SetRefused].Capped), span(e.cfg.Size))}, true
}}

// unusableKey asks: is a KMS key used that is disabled or waits for its deletion? What
// fails now is data that nobody will read once the key is gone. It needs no history; a
// key that stays so is one anomaly for as long as the calls go on.
var unusableKey = detector{"unusable_key", 11, KindRefusals, []string{"T1485", "T1489"}, 24 * hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	n := count.Get(&w.Partial, wire.CounterUnusableKey)
	if ent.Scope != wire.ScopeKey || ent.KeyARN == kms.NoEntity || n < 1 {
		return Anomaly{}, false
	}
	return Anomaly{Score: 6, Observed: float64(n), Expected: 0, Reason: fmt.Sprintf(
		"%s is disabled or waits for its deletion, and was used all the same: %s failed in %s, where none are expected.", subject(e, ent, w), callCount(n), span(e.cfg.Size))}, true
}}
