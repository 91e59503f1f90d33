package detector

import (
	"fmt"
	"slices"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// NewOrigin asks: does a principal call from a network that it never called from, with a
// program that it never used? Each alone is everyday life: programs are updated, and move.
// Both at once are the mark of a stolen credential. So is another network alone, where a
// program has called from one or two networks for twice the warm-up, and calls from them
// in the same window: a program that moved would not.
//
// State: the last 16 networks (IPv4 by its first two bytes, IPv6 by its /48) and programs
// (user agents without their versions). Warm-up: a week. Known false positives: a person
// with a new laptop elsewhere.
var NewOrigin = Detector{
	"new_origin", 3, anomaly.KindFirstSeen, []string{"T1078.004", "T1550.001"}, hour, judgeNewOrigin,
}

func judgeNewOrigin(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	h := &ent.Habits
	if ent.Scope != wire.ScopePrincipal || len(h.Networks) == 0 || len(h.Clients) == 0 {
		return Finding{}, false
	}
	warm := longWarmUp * int64(v.Settings().WarmUp)
	if !ent.WatchedFor(w.Start, warm) {
		return Finding{}, false
	}
	networks := &w.Sets[wire.SetNetworks]
	calls, programs := strange(h.Networks, networks), strange(h.Clients, &w.Sets[wire.SetClients])
	few := len(h.Networks) <= 2
	score, with := 6.0, ""
	switch {
	case calls == 0:
		return Finding{}, false
	case programs > 0 && few && len(h.Clients) <= 2:
		score, with = 8, ", with a program that "+never(h.Clients)
	case programs > 0:
		score, with = 7, ", with a program that "+never(h.Clients)
	case calls > 1 && few && !v.Person(ent.Principal) && ent.WatchedFor(w.Start, 2*warm) && sum(networks) > calls:
		with = ", beside others from one that it has used before"
	default:
		return Finding{}, false
	}
	return Finding{Score: score, Observed: float64(calls), Reason: fmt.Sprintf(
		"%s: %s in %s from a network that %s%s (probability %s); %s and %s were seen since %s.",
		ent.Principal, callCount(calls), anomaly.Span(v.Size()), never(h.Networks), with,
		rarity(ent.Since, w.Start, v.Size()), Several(len(h.Networks), "network"),
		Several(len(h.Clients), "program"), date(ent.Since))}, true
}

// never says that a network or a program is unknown; the oldest of those known are
// forgotten.
func never(known []uint32) string {
	if len(known) >= entity.MaxKnown {
		return fmt.Sprintf("differs from its last %d", entity.MaxKnown)
	}
	return "it never used"
}

// sum returns the calls of all values of a set.
func sum(s *wire.Set) (calls int64) {
	for _, v := range s.Values {
		calls += v.N
	}
	return calls
}

// strange returns how many calls of a set have unknown values.
func strange(known []uint32, s *wire.Set) (calls int64) {
	for _, v := range s.Values {
		if !slices.Contains(known, uint32(v.Hash)) {
			calls += v.N
		}
	}
	return calls
}
