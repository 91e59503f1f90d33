package detector

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/baseline"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// Refusals asks: are more calls of this principal, or on this KMS key, refused than usual,
// in a window or in two in a row?
// A tenth of the number of calls that succeed is expected, so a busy principal with a
// broken permission is not an anomaly by itself.
var Refusals = Detector{"refusals", 9, anomaly.KindRefusals, []string{"T1580"}, hour, judgeRefusals}

func judgeRefusals(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	denied, calls := count.Get(&w.Partial, wire.CounterDenied), count.Get(&w.Partial, wire.CounterCalls)
	if ent.Scope == wire.ScopePair || ent.Key == kms.NoEntity || denied == 0 {
		return Finding{}, false
	}
	if f, ok := tooManyRefused(v, ent, w, denied, calls, v.Size()); ok {
		return f, true
	}
	before := ent.Find(w.Start - v.Size()) // a window may end within the attempts
	if before == nil {
		return Finding{}, false
	}
	denied += count.Get(&before.Partial, wire.CounterDenied)
	calls += count.Get(&before.Partial, wire.CounterCalls)
	return tooManyRefused(v, ent, w, denied, calls, 2*v.Size())
}

// tooManyRefused judges the refused calls of a time that ends with w.
func tooManyRefused(v View, ent *entity.Entity, w *entity.Window, denied, calls, span int64) (Finding, bool) {
	if denied < v.Settings().Refusals {
		return Finding{}, false
	}
	mu := 0.5 + 0.1*float64(calls-denied)
	p := baseline.UpperTail(denied, mu, 1)
	if p >= 1e-3 {
		return Finding{}, false
	}
	return Finding{Score: max(surprise(p), 6), Observed: float64(denied), Expected: mu, Reason: fmt.Sprintf(
		"%s: %d of %d calls refused in %s, where %s are expected of so many (probability %s).",
		subject(v, ent, w), denied, calls, anomaly.Span(span), expected(mu), likelihood(p))}, true
}
