package detect

import (
	"fmt"
	"slices"
	"strings"

	"keytrail/processor/count"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// firstUse asks: is this the first time that this principal uses this KMS key,
// which others have used for at least WarmUp, and is there more to it?
//
// New programs begin to use KMS keys every day, and a person who is told of each soon
// reads none. So what speaks against the call is added up: 3 for being the first; 1
// when it uses the key rather than asks about it; 2 when it is a person's; 3 when no
// principal of its account ever used the key; 1 when at most three principals did; 1
// when the key is mostly idle at this hour; 2 when it asked about the key in the same
// window, and not in passing, as programs do once in dozens of calls. The sum is the score, and FirstUse is where an anomaly begins. AWS services
// and KMS itself are left out: they act for a principal, who is judged.
//
// State: whether the pair is known; of the key how many principals used it, and from
// which accounts. Known false positives: a person's first work with a key; a new
// program that begins at night on a key of few.
var firstUse = detector{"first_use", 2, KindFirstSeen, []string{"T1078.004"}, 0, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	if ent.Scope != wire.ScopePair || ent.KeyARN == kms.NoEntity || ent.known(w.Start, e.cfg.Retention) || isService(ent.Principal) {
		return Anomaly{}, false
	}
	i, ok := e.store.find(wire.Entity{Scope: wire.ScopeKey, KeyARN: ent.KeyARN})
	if !ok {
		return Anomaly{}, false
	}
	key := e.store.get(i)
	if !key.known(w.Start, e.cfg.Retention) || !key.watchedFor(w.Start, e.cfg.WarmUp) {
		return Anomaly{}, false
	}
	score, signs := e.firstUseScore(ent, key, w)
	if score < e.cfg.FirstUse {
		return Anomaly{}, false
	}
	calls := count.Get(&w.Partial, wire.CounterCalls)
	return Anomaly{Score: score, Observed: float64(calls), Reason: fmt.Sprintf(
		"%s used %s for the first time (%s in %s, probability %s)%s; others have used the key since %s.",
		ent.Principal, keyName(e, ent, w), callCount(calls), span(e.cfg.Size), rarity(key.Since, w.Start, e.cfg.Size), signs, date(key.Since))}, true
}}

// firstUseScore adds up what speaks against a first use, and says it.
func (e *Engine) firstUseScore(ent, key *Entity, w *Window) (score float64, signs string) {
	score = 3
	sign := func(holds bool, points float64, words string) {
		if holds {
			score += points
			if words != "" {
				signs += ", " + words
			}
		}
	}
	data, reads := dataCalls(&w.Partial), count.Get(&w.Partial, wire.CounterClass+wire.CounterID(kms.ClassRead))
	sign(data > 0, 1, "")
	sign(isPerson(ent.Principal), 2, "by a person")
	sign(!slices.Contains(key.Habits.Accounts, accountOf(ent.Principal)), 3, "from an account that never used it")
	sign(key.Habits.Users <= 3, 1, "a key that few use")
	sign(idle(key, w.Start, e.cfg.Size), 1, "at an hour at which it is mostly idle")
	sign(data > 0 && 10*reads >= data, 2, "having asked about it first")
	return score, signs
}

// dataCalls returns the number of calls that use a KMS key on data.
func dataCalls(p *wire.Partial) (n int64) {
	for _, c := range [...]kms.Class{kms.ClassEncrypt, kms.ClassDecrypt, kms.ClassGenerate, kms.ClassReencrypt, kms.ClassSign, kms.ClassDerive} {
		n += count.Get(p, wire.CounterClass+wire.CounterID(c))
	}
	return n
}

// idle tells whether less than half of an entity's usual calls are expected at an hour.
func idle(ent *Entity, start, size int64) bool {
	return ent.Baseline.Expected(start, size) < ent.Baseline.Mean(size)/2
}

// isService tells whether a principal is an AWS service, or KMS itself.
func isService(principal string) bool {
	return principal == "AWS Internal" || strings.HasSuffix(principal, ".amazonaws.com") || strings.HasSuffix(principal, ".amazonaws.com.cn")
}

// isPerson tells whether a principal is one whom people act as: a user, the root of an
// account, or a role of the Identity Center.
func isPerson(principal string) bool {
	return strings.Contains(principal, ":user/") || strings.Contains(principal, ":federated-user/") ||
		strings.HasSuffix(principal, ":root") || strings.Contains(principal, "AWSReservedSSO_")
}

// accountOf returns a hash of a principal's account: 0 where it has none.
func accountOf(principal string) uint32 {
	id := normalize.PrincipalAccount(principal)
	if id == "" {
		return 0
	}
	return uint32(wire.EntityHash(id))
}

// longWarmUp is how many times WarmUp an entity is watched before what depends on its
// habits is judged: by default a week, in which weekends and weekly jobs show.
const longWarmUp = 7

// newOrigin asks: does a principal call from a network that it never called from, with a
// program that it never used? Each alone is everyday life: programs are updated, and
// move. Both at once are what a stolen credential looks like. So is another network alone
// where a program has called from one or two for twice that time, and goes on to do so in
// the same window: whoever moves is no longer where they were.
//
// State: the last 16 networks (IPv4 by its first two bytes, IPv6 by its /48) and programs
// (user agents without their versions). Warm-up: a week. Known false positives: a person
// with a new laptop elsewhere.
var newOrigin = detector{"new_origin", 3, KindFirstSeen, []string{"T1078.004", "T1550.001"}, hour, func(e *Engine, ent *Entity, w *Window) (Anomaly, bool) {
	h := &ent.Habits
	if ent.Scope != wire.ScopePrincipal || len(h.Networks) == 0 || len(h.Clients) == 0 || !ent.watchedFor(w.Start, longWarmUp*e.cfg.WarmUp) {
		return Anomaly{}, false
	}
	calls, programs := strange(h.Networks, &w.Sets[wire.SetNetworks]), strange(h.Clients, &w.Sets[wire.SetClients])
	few := len(h.Networks) <= 2
	score, with := 6.0, ""
	switch {
	case calls == 0:
		return Anomaly{}, false
	case programs > 0 && few && len(h.Clients) <= 2:
		score, with = 8, ", with a program that it never used"
	case programs > 0:
		score, with = 7, ", with a program that it never used"
	case calls > 1 && few && !isPerson(ent.Principal) && ent.watchedFor(w.Start, 2*longWarmUp*e.cfg.WarmUp) && sum(&w.Sets[wire.SetNetworks]) > calls:
		with = ", beside others from one that it did use"
	default:
		return Anomaly{}, false
	}
	return Anomaly{Score: score, Observed: float64(calls), Reason: fmt.Sprintf(
		"%s: %s in %s from a network that it never used%s (probability %s); %s and %s were seen since %s.",
		ent.Principal, callCount(calls), span(e.cfg.Size), with, rarity(ent.Since, w.Start, e.cfg.Size), several(len(h.Networks), "network"), several(len(h.Clients), "program"), date(ent.Since))}, true
}}

// sum returns the calls of all values of a set.
func sum(s *wire.Set) (calls int64) {
	for _, v := range s.Values {
		calls += v.N
	}
	return calls
}

// strange returns how many calls a set has with values that are not known.
func strange(known []uint32, s *wire.Set) (calls int64) {
	for _, v := range s.Values {
		if !slices.Contains(known, uint32(v.Hash)) {
			calls += v.N
		}
	}
	return calls
}
