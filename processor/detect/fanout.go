package detect

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"keytrail/processor/count"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// secretSweep asks: does one principal touch many different secrets or parameters
// within one window? It needs no history, but a principal that has always done
// so is let be.
var secretSweep = detector{"secret_sweep", 4, KindFanOut, []string{"T1555.006", "T1552"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	n := len(w.Sets[wire.SetSecrets].Values)
	if ent.Scope != wire.ScopePrincipal || n < e.cfg.SweepSecrets || float64(n) < e.cfg.FanOutFactor*float64(ent.High[wire.SetSecrets]) {
		return Anomaly{}, false
	}
	return Anomaly{Score: 8, Observed: float64(n), Expected: float64(ent.High[wire.SetSecrets]), Reason: fmt.Sprintf(
		"%s touched %s different secrets or parameters in %s; %s.",
		ent.Principal, atLeast(n, w.Sets[wire.SetSecrets].Capped), span(e.cfg.Size), most(ent, w, ent.High[wire.SetSecrets], e.cfg.Size))}, true
}}

// fanOut asks: does a principal touch more KMS keys, or a KMS key serve more
// principals, in one window than ever before, by far?
var fanOut = detector{"fan_out", 5, KindFanOut, []string{"T1526", "T1078.004"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	n, high := len(w.Sets[wire.SetPeers].Values), ent.High[wire.SetPeers]
	if ent.Scope == wire.ScopePair || ent.KeyARN == kms.NoEntity || n < e.cfg.FanOut ||
		ent.Since == 0 || w.Start-ent.Since < e.cfg.WarmUp || float64(n) < e.cfg.FanOutFactor*float64(high) {
		return Anomaly{}, false
	}
	what, by := "used", "KMS keys"
	if ent.Scope == wire.ScopeKey {
		what, by = "was used by", "principals"
	}
	return Anomaly{Score: 6 + math.Log2(float64(n)/float64(max(high, 1)))/2, Observed: float64(n), Expected: float64(high), Reason: fmt.Sprintf(
		"%s %s %s different %s in %s; %s.",
		subject(e, ent, w), what, atLeast(n, w.Sets[wire.SetPeers].Capped), by, span(e.cfg.Size), most(ent, w, high, e.cfg.Size))}, true
}}

// newPeers asks: does a principal use several KMS keys in one window that it never used,
// or a KMS key serve several principals that never used it? What each alone is too weak
// for, they are together.
//
// State: the last 64 KMS keys of a principal, by hash; who has as many is beyond it. Of a
// key, how many first uses the window has. Warm-up: WarmUp. Known false positives: the
// first run of an audit.
var newPeers = detector{"new_peers", 13, KindFanOut, []string{"T1526", "T1078.004"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	if ent.Scope == wire.ScopePair || ent.KeyARN == kms.NoEntity || !ent.watchedFor(w.Start, e.cfg.WarmUp) {
		return Anomaly{}, false
	}
	h, n, what := &ent.Habits, 0, "used %d KMS keys that it never used before in %s; it is known to use %d"
	seen := len(h.Keys)
	switch {
	case ent.Scope == wire.ScopeKey && h.FreshAt == w.Start:
		n, what = h.Fresh, "was used by %d principals that never used it before in %s; %d had used it"
		seen = h.Users - n
	case ent.Scope == wire.ScopePrincipal && seen < maxKeys:
		n = several32(h.Keys, &w.Sets[wire.SetPeers])
	}
	if n < e.cfg.NewPeers {
		return Anomaly{}, false
	}
	return Anomaly{Score: min(6+float64(n-e.cfg.NewPeers)/4, 9), Observed: float64(n), Expected: 0, Reason: fmt.Sprintf(
		"%s "+what+", since %s (probability %s).", subject(e, ent, w), n, span(e.cfg.Size), seen, date(ent.Since), rarity(ent.Since, w.Start, e.cfg.Size))}, true
}}

// several32 returns how many values of a set are not known.
func several32(known []uint32, s *wire.Set) (n int) {
	for _, v := range s.Values {
		if !slices.Contains(known, uint32(v.Hash)) {
			n++
		}
	}
	return n
}

// objectSweep asks: does one principal touch more different objects (encryption
// contexts) in one window than ever before, by far?
//
// State: the most in any window. Warm-up: WarmUp. Known false positives: the first run
// of a migration.
var objectSweep = detector{"object_sweep", 6, KindFanOut, []string{"T1530", "T1486"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	n, high := len(w.Sets[wire.SetObjects].Values), ent.High[wire.SetObjects]
	if ent.Scope != wire.ScopePrincipal || n < e.cfg.ObjectSweep || !ent.watchedFor(w.Start, e.cfg.WarmUp) ||
		high >= count.MaxDistinct/2 || float64(n) < e.cfg.FanOutFactor*float64(high) {
		return Anomaly{}, false
	}
	return Anomaly{Score: 6 + math.Log2(float64(n)/float64(max(high, 1)))/2, Observed: float64(n), Expected: float64(high), Reason: fmt.Sprintf(
		"%s touched %s different objects in %s; %s.",
		ent.Principal, atLeast(n, w.Sets[wire.SetObjects].Capped), span(e.cfg.Size), most(ent, w, high, e.cfg.Size))}, true
}}

// objectDrip asks: has one principal touched more different objects today than on any
// day of the last weeks, by far? So a theft is found that is slow enough for every
// window to look as usual.
//
// Method: linear counting (Whang, Vander-Zanden and Taylor 1990, "A linear-time
// probabilistic counting algorithm for database applications"): a bit for each hash of
// an object, 1,024 bits a day (UTC), from which the number follows within 3 % up to a
// thousand and 10 % up to 4,000. State: 128 bytes, and the most of a day. Warm-up: five
// days. Who touches thousands of objects every day is beyond it.
var objectDrip = detector{"object_drip", 7, KindFanOut, []string{"T1530", "T1020"}, 24 * hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	h := &ent.Habits
	if ent.Scope != wire.ScopePrincipal || len(w.Sets[wire.SetObjects].Values) == 0 || h.Days < dripDays {
		return Anomaly{}, false
	}
	n, high, factor := h.objectsWith(w), h.dayPeak(w.Start), e.cfg.FanOutFactor
	if isPerson(ent.Principal) {
		factor *= peopleFactor
	}
	if n < float64(e.cfg.ObjectSweep) || n < factor*high || high > maxBits {
		return Anomaly{}, false
	}
	return Anomaly{Score: min(6+math.Log2(n/max(high, 1))/2, 9), Observed: math.Round(n), Expected: math.Round(high), Reason: fmt.Sprintf(
		"%s has touched about %.0f different objects since midnight (UTC); the most on any day of the last weeks was %.0f (probability below 1 in %d days); watched since %s.",
		ent.Principal, n, high, h.Days+1, date(ent.Since))}, true
}}

// bitmap counts different values: a bit for each hash.
const (
	maxBits = 1024
	words   = maxBits / 64
)

// linear returns how many different values have set so many bits.
func linear(set int) float64 {
	if set >= maxBits {
		set = maxBits - 1
	}
	return -maxBits * math.Log(1-float64(set)/maxBits)
}

func ones(bitmap []uint64) (n int) {
	for _, b := range bitmap {
		n += bits.OnesCount64(b)
	}
	return n
}

// massDestruction asks: does one principal disable, delete or otherwise destroy several
// KMS keys, or their material, within one window?
var massDestruction = detector{"mass_destruction", 8, KindFanOut, []string{"T1485", "T1489"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	calls, keys := count.Get(&w.Partial, wire.CounterClass+wire.CounterID(kms.ClassDestroy)), len(w.Sets[wire.SetPeers].Values)
	if ent.Scope != wire.ScopePrincipal || calls < 3 || keys < 3 {
		return Anomaly{}, false
	}
	return Anomaly{Score: 10, Observed: float64(calls), Reason: fmt.Sprintf(
		"%s asked %d times to disable or delete KMS keys, their material, aliases or stores in %s, and named %s different keys in that time; none are expected, whatever came before.",
		ent.Principal, calls, span(e.cfg.Size), atLeast(keys, w.Sets[wire.SetPeers].Capped))}, true
}}
