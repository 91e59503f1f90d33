package detect

import (
	"fmt"
	"math"
	"strings"
	"time"

	"keytrail/processor/baseline"
	"keytrail/processor/count"
	"keytrail/schemas/normalize"
	"keytrail/schemas/wire"
)

// detector asks one question of a window that closes.
type detector struct {
	name       string
	kind       Kind
	techniques []string
	judge      func(e *Engine, ent *Entity, w *Window) (Anomaly, bool)
}

// detectors are all of them, in the order in which they judge.
var detectors = []detector{rate, firstSeen, sweep, fanOut, refusals, probing}

// rate asks: are there more calls than this KMS key, or this principal, has at
// this hour? It needs WarmUp of history.
var rate = detector{"rate", KindRate, []string{"T1530", "T1486"}, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	calls := toJudge(&w.Partial)
	if ent.Scope == wire.ScopePair || calls < e.cfg.MinCount || !ent.Baseline.Ready(w.Start, e.cfg.WarmUp) {
		return Anomaly{}, false
	}
	mu := ent.Baseline.Expected(w.Start, e.cfg.Size)
	p := baseline.UpperTail(calls, mu, ent.Baseline.Dispersion())
	if p >= e.cfg.Threshold || float64(calls) < 2*mu {
		return Anomaly{}, false
	}
	return Anomaly{Score: surprise(p), Observed: float64(calls), Expected: mu, Reason: fmt.Sprintf(
		"%s: %d calls in %s where %s are expected at this hour (probability %s); learned since %s.",
		subject(e, ent, w), calls, span(e.cfg.Size), expected(mu), likelihood(p), date(ent.Baseline.Since))}, true
}}

// firstSeen asks: is this the first time that this principal uses this KMS key,
// which others have used for at least WarmUp?
var firstSeen = detector{"first_use", KindFirstSeen, []string{"T1078.004"}, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	if ent.Scope != wire.ScopePair || ent.KeyARN == normalize.NoEntity || ent.known(w.Start, e.cfg.Retention) {
		return Anomaly{}, false
	}
	i, ok := e.store.find(wire.Entity{Scope: wire.ScopeKey, KeyARN: ent.KeyARN})
	if !ok {
		return Anomaly{}, false
	}
	key := e.store.get(i)
	if !key.known(w.Start, e.cfg.Retention) || w.Start-key.Since < e.cfg.WarmUp {
		return Anomaly{}, false
	}
	calls := count.Get(&w.Partial, wire.CounterCalls)
	// The score says how long the key went without this principal: four at a day,
	// one more for each doubling.
	days := float64(w.Start-key.Since) / float64(24*time.Hour)
	return Anomaly{Score: min(4+math.Log2(max(days, 1)), 8), Observed: float64(calls), Reason: fmt.Sprintf(
		"%s used %s for the first time (%s in %s); others have used the key since %s.",
		ent.Principal, keyName(e, ent, w), callCount(calls), span(e.cfg.Size), date(key.Since))}, true
}}

// sweep asks: does one principal read many different secrets or parameters
// within one window? It needs no history, but a principal that has always done
// so is let be.
var sweep = detector{"secret_sweep", KindFanOut, []string{"T1555.006", "T1552"}, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	n := len(w.Sets[wire.SetSecrets].Values)
	if ent.Scope != wire.ScopePrincipal || n < e.cfg.SweepSecrets || float64(n) < e.cfg.FanOutFactor*float64(ent.High[wire.SetSecrets]) {
		return Anomaly{}, false
	}
	return Anomaly{Score: 8, Observed: float64(n), Expected: float64(ent.High[wire.SetSecrets]), Reason: fmt.Sprintf(
		"%s read %s different secrets or parameters in %s; the most in any window before was %d.",
		ent.Principal, atLeast(n, w.Sets[wire.SetSecrets].Capped), span(e.cfg.Size), ent.High[wire.SetSecrets])}, true
}}

// fanOut asks: does a principal touch more KMS keys, or a KMS key serve more
// principals, in one window than ever before, by far?
var fanOut = detector{"fan_out", KindFanOut, []string{"T1526", "T1078.004"}, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	n, high := len(w.Sets[wire.SetPeers].Values), ent.High[wire.SetPeers]
	if ent.Scope == wire.ScopePair || ent.KeyARN == normalize.NoEntity || n < e.cfg.FanOut ||
		ent.Since == 0 || w.Start-ent.Since < e.cfg.WarmUp || float64(n) < e.cfg.FanOutFactor*float64(high) {
		return Anomaly{}, false
	}
	what, by := "used", "KMS keys"
	if ent.Scope == wire.ScopeKey {
		what, by = "was used by", "principals"
	}
	return Anomaly{Score: 6 + math.Log2(float64(n)/float64(max(high, 1)))/2, Observed: float64(n), Expected: float64(high), Reason: fmt.Sprintf(
		"%s %s %s different %s in %s; the most in any window since %s was %d.",
		subject(e, ent, w), what, atLeast(n, w.Sets[wire.SetPeers].Capped), by, span(e.cfg.Size), date(ent.Since), high)}, true
}}

// refusals asks: are more calls of this principal, or on this KMS key, refused
// than it is used to? The expected number is a tenth of the calls that succeed,
// so that a busy principal with a broken permission is no anomaly by itself.
var refusals = detector{"refusals", KindRefusals, []string{"T1580"}, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	denied, calls := count.Get(&w.Partial, wire.CounterDenied), count.Get(&w.Partial, wire.CounterCalls)
	mu := 0.5 + 0.1*float64(calls-denied)
	if ent.Scope == wire.ScopePair || ent.KeyARN == normalize.NoEntity || denied < e.cfg.Refusals {
		return Anomaly{}, false
	}
	p := baseline.UpperTail(denied, mu, 1)
	if p >= 1e-3 {
		return Anomaly{}, false
	}
	return Anomaly{Score: max(surprise(p), 6), Observed: float64(denied), Expected: mu, Reason: fmt.Sprintf(
		"%s: %d of %d calls refused in %s.", subject(e, ent, w), denied, calls, span(e.cfg.Size))}, true
}}

// probing asks: is one principal refused on many different KMS keys?
var probing = detector{"key_probing", KindRefusals, []string{"T1580", "T1526"}, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	n := len(w.Sets[wire.SetRefused].Values)
	if ent.Scope != wire.ScopePrincipal || n < e.cfg.RefusedKeys {
		return Anomaly{}, false
	}
	return Anomaly{Score: 8, Observed: float64(n), Expected: 0, Reason: fmt.Sprintf(
		"%s was refused on %s different KMS keys in %s: it is trying which keys it can use.",
		ent.Principal, atLeast(n, w.Sets[wire.SetRefused].Capped), span(e.cfg.Size))}, true
}}

// known tells whether the entity had calls in another window that closed, and
// not longer before start than the retention: one that was silent for longer is
// new again, whether or not it has been forgotten yet. That other window may be
// a later one: a late call is no second first use.
func (ent *Entity) known(start, retention int64) bool {
	return ent.Since != 0 && start-ent.Seen <= retention
}

// fade forgets what the entity has learned when it was silent for longer than
// the retention before start: whether the sweep found it in between or not.
func (ent *Entity) fade(start, retention int64) {
	if ent.Since != 0 && start-ent.Seen > retention {
		ent.Since, ent.Baseline, ent.High = 0, baseline.State{}, [wire.NumSets]int{}
	}
}

// learn lets the entity learn from a window that closed. A window with an
// anomaly teaches at most four standard deviations above what was expected, so
// that an attack does not become normal, but a lasting change does.
func (e *Engine) learn(ent *Entity, w *Window, found []Anomaly) {
	if ent.Since == 0 {
		ent.Since = w.Start
	}
	ent.Seen = max(ent.Seen, w.Start)
	for i := range w.Sets {
		ent.High[i] = max(ent.High[i], len(w.Sets[i].Values))
	}
	if ent.Scope == wire.ScopePair {
		return
	}
	calls := toJudge(&w.Partial)
	for i := range found {
		if found[i].Kind == KindRate {
			mu, a := found[i].Expected, ent.Baseline.Dispersion()
			calls = min(calls, int64(mu+4*math.Sqrt(mu+a*mu*mu)))
		}
	}
	ent.Baseline.Learn(w.Start, e.cfg.Size, calls)
}

func subject(e *Engine, ent *Entity, w *Window) string {
	switch {
	case ent.Scope != wire.ScopeKey:
		return ent.Principal
	case ent.KeyARN == normalize.NoEntity:
		return "Calls without a KMS key"
	}
	name := keyName(e, ent, w)
	return strings.ToUpper(name[:1]) + name[1:]
}

// keyName names the KMS key of an entity, and with an alias the key behind it.
func keyName(e *Engine, ent *Entity, w *Window) string {
	if !ent.IsAlias() {
		return "KMS key " + ent.KeyARN
	}
	if key := target(e.bound(ent.Entity, w.Start)); key != "" {
		return "alias " + ent.KeyARN + " of KMS key " + key
	}
	return "alias " + ent.KeyARN
}

// expected writes an expected count as a person says it: "0.25", "12.3", "1234".
func expected(mu float64) string {
	switch {
	case mu >= 100:
		return fmt.Sprintf("%.0f", mu)
	case mu >= 0.001:
		return fmt.Sprintf("%.3g", mu)
	}
	return "less than 0.001"
}

// span writes a window's size as a person says it: "5m", "1h".
func span(ns int64) string {
	s := strings.TrimSuffix(time.Duration(ns).String(), "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func date(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02 15:04Z") }

func callCount(n int64) string {
	if n == 1 {
		return "1 call"
	}
	return fmt.Sprintf("%d calls", n)
}

func atLeast(n int, capped bool) string {
	if capped {
		return fmt.Sprintf("at least %d", n)
	}
	return fmt.Sprint(n)
}

// likelihood writes a probability as a person says it: "1 in 3 million".
func likelihood(p float64) string {
	if p < 1e-18 {
		return "below 1 in a billion billion"
	}
	n := 1 / p
	switch {
	case n >= 1e12:
		return fmt.Sprintf("1 in %.0f million million", n/1e12)
	case n >= 1e9:
		return fmt.Sprintf("1 in %.0f billion", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("1 in %.0f million", n/1e6)
	}
	return fmt.Sprintf("1 in %.0f", n)
}
