package detector

import (
	"fmt"
	"slices"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// FirstUse asks: is this the first time that this principal uses this KMS key, or tries to,
// which others have used for at least WarmUp, and does more speak against it?
//
// New programs begin to use KMS keys every day, and a person who gets a report of each soon
// reads none. So the detector adds points: 3 for being the first; 1 when the use succeeded;
// 2 when it is a person's; 3 when no principal of its account ever used the key, and the
// account is not the key's own; 1 when at most three principals did; 1 when the key is
// mostly idle at this hour; 2 when the principal asked about the key in the same window,
// and more than programs do, which ask once in dozens of calls. The sum is the score, and
// Settings.FirstUse is where an anomaly begins. Reads about a key do not use it. Services
// of the cloud are left out: they act for a principal, who is judged.
//
// A use by another member of a known family (entity.Family) is expected, unless it comes
// from another account. A try is judged like everyone's.
//
// State: whether the pair has used the key or tried to; how many principals used the key,
// of which families, and from which accounts. Known false positives: a person's first work
// with a key; a new program that begins at night on a key of few.
var FirstUse = Detector{"first_use", 2, anomaly.KindFirstSeen, []string{"T1078.004"}, 0, judgeFirstUse}

func judgeFirstUse(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	s, h := v.Settings(), &ent.Habits
	retention := int64(s.Retention)
	if ent.Scope != wire.ScopePair || ent.Key == kms.NoEntity || h.Used || v.Service(ent.Principal) {
		return Finding{}, false
	}
	uses, tries := w.Uses(), Tries(w)
	if uses <= 0 && (tries <= 0 || h.Tried) {
		return Finding{}, false
	}
	key := v.Key(ent)
	if key == nil || !key.Known(w.Start, retention) || !key.WatchedFor(w.Start, int64(s.WarmUp)) {
		return Finding{}, false
	}
	foreign := stranger(v, ent, key)
	if uses > 0 && !foreign && key.Habits.Known(entity.FamilyOf(ent.Principal)) {
		return Finding{}, false
	}
	score, signs := firstUseScore(v, ent, key, w, foreign)
	if score < s.FirstUse {
		return Finding{}, false
	}
	what, n := fmt.Sprintf("used %s for the first time (%s", KeyName(v, ent.Entity, w.Start), several(uses, "use")), uses
	if uses <= 0 {
		what = fmt.Sprintf("tried to use %s and %s (%s", KeyName(v, ent.Entity, w.Start), refused(w, tries), callCount(tries))
		n = tries
	}
	return Finding{Score: score, Observed: float64(n), Reason: fmt.Sprintf(
		"%s %s in %s, probability %s)%s; others have used the key since %s.", ent.Principal, what, anomaly.Span(v.Size()),
		rarity(key.Since, w.Start, v.Size()), signs, date(key.Since))}, true
}

// stranger reports whether no principal of the pair's account is known to have used the
// key. The key's own account is never strange. A key of so many accounts that not all are
// remembered has none.
func stranger(v View, ent, key *entity.Entity) bool {
	account := v.Account(ent.Principal)
	return account != v.Owner(ent.Key) && len(key.Habits.Accounts) < entity.MaxKnown &&
		!slices.Contains(key.Habits.Accounts, account)
}

// firstUseScore adds the points against a first use, and says what they are for.
func firstUseScore(v View, ent, key *entity.Entity, w *entity.Window, foreign bool) (score float64, signs string) {
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
	sign(w.Uses() > 0, 1, "")
	sign(v.Person(ent.Principal), 2, "by a person")
	sign(foreign, 3, "from an account that never used it")
	sign(key.Habits.Users <= 3, 1, "a key that few use")
	sign(idle(key, w.Start, v.Size()), 1, "at an hour at which it is mostly idle")
	sign(data > 0 && 10*reads >= data, 2, fmt.Sprintf("with %s about it in the same time", several(reads, "read")))
	return score, signs
}

// Tries returns the number of calls that use a KMS key on data, or would have: in a window
// without uses those that failed or were refused.
func Tries(w *entity.Window) int64 { return dataCalls(&w.Partial) }

// dataCalls returns the number of calls that use a KMS key on data, or would have.
func dataCalls(p *wire.Partial) (n int64) {
	for _, c := range [...]kms.Class{
		kms.ClassEncrypt, kms.ClassDecrypt, kms.ClassGenerate, kms.ClassReencrypt, kms.ClassSign, kms.ClassDerive,
	} {
		n += count.Get(p, wire.CounterClass+wire.CounterID(c))
	}
	return n
}

// idle reports whether less than half of an entity's usual calls are expected at an hour.
func idle(ent *entity.Entity, start, size int64) bool {
	return ent.Baseline.Expected(start, size) < ent.Baseline.Mean(size)/2
}
