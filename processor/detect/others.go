package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"keytrail/processor/count"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/wire"
)

// This file bounds the entities of an engine. A caller chooses the key ids that it asks
// for, and CloudTrail records the refused calls, too: without a bound, one principal makes
// as many KMS keys and pairs as it makes calls.
//
// Each entity is charged to an account: a principal and a pair to that of the principal,
// and a KMS key to that of the first principal that used it, because the account in its
// own ARN may be made up. When an account, or the engine, has as many as it may have,
// calls of further KMS keys, principals and pairs count for the others of the account:
// one entity a scope, whose names no caller can take. The sums over all entities of a
// scope stay exact. An entity that is known stays known until it is forgotten for want of
// calls, after a restart, too; what was charged follows from the entities themselves.
//
// Every engine has others of its own, with its partition in their names: they are in no
// other engine's way, and a window's id is that of one engine.

// others is what an engine knows of the accounts that its entities are charged to.
type others struct {
	accounts map[uint64]charged // no more than there are entities
	units    int                // of all accounts
	sharing  []uint64           // accounts with others, sorted; at most maxSharing, and account 0
	over     []Overflow         // since the last Overflows; no more than accounts with others
}

// charged is what is charged to one account.
type charged struct {
	units  int
	scopes uint8 // a bit for each scope with others
}

// maxSharing bounds the accounts that have others of their own, 3 entities each. The calls
// of further ones count for the others of no account: principals of a million foreign
// accounts are possible.
const maxSharing = 1000

// Overflow tells of the calls of an account that count for its others.
type Overflow struct {
	Account uint64 // as a number; 0 for calls that belong to none, or beyond the accounts that are told apart
	// Full tells that the account has as many entities as it may have; else the engine has.
	Full  bool
	Calls [wire.ScopePair + 1]int64 // by scope
}

// Overflows returns what has counted for others since the last call. The list is valid
// until the next Merge.
func (e *Engine) Overflows() []Overflow {
	list := e.others.over
	e.others.over = e.others.over[:0]
	return list
}

// Others returns the entity of the others of an account in a partition. Where account is
// 0 the names have none.
func Others(scope wire.Scope, account uint64, partition int32) wire.Entity {
	id, number := "", strconv.Itoa(int(partition))
	if account != 0 {
		id = fmt.Sprintf("%012d", account)
	}
	e := wire.Entity{Scope: scope}
	if scope != wire.ScopePrincipal {
		e.KeyARN = othersKey + id + othersType + number
	}
	if scope != wire.ScopeKey {
		e.Principal = othersPrincipal + id + othersType + number
	}
	return e
}

// What the names of others begin with, and what stands behind the account: AWS has no
// resources of such a type.
const (
	othersKey       = "arn:aws:kms::"
	othersPrincipal = "arn:aws:iam::"
	othersType      = ":others/"
)

// IsOthers reports whether e stands for many entities. An entity that a caller named so
// never comes to exist: its calls count for the others of the account.
func IsOthers(e wire.Entity) bool {
	return isOthers(e.KeyARN, othersKey) || isOthers(e.Principal, othersPrincipal)
}

func isOthers(name, head string) bool {
	rest, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	_, rest, ok = strings.Cut(rest, ":")
	return ok && strings.HasPrefix(rest, othersType[1:])
}

// AccountNumber returns an account id as a number, or 0 where it is not one.
func AccountNumber(id string) uint64 {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil || len(id) > 12 {
		return 0
	}
	return n
}

// payer returns the account that the entity of p is charged to.
func payer(p *wire.Partial) uint64 {
	if p.Scope == wire.ScopeKey {
		return AccountNumber(p.Account)
	}
	return AccountNumber(normalize.PrincipalAccount(p.Principal))
}

// units is what an entity is charged with: one for itself, and one for every 256 bytes
// of its names, which callers can make as long as count.MaxNames.
func units(e wire.Entity) int { return 1 + (len(e.KeyARN)+len(e.Principal))/256 }

// home returns the entity that p counts for, new or not, and p as it counts there; nil
// where there is nothing to count.
//
// A correction counts where the call was counted that it takes back. That may have been
// the others of an account although there is room by now, or although the entity is known.
func (e *Engine) home(p *wire.Partial) (ent *Entity, known bool, as *wire.Partial) {
	shared := IsOthers(p.Entity)
	if !shared {
		if i, ok := e.store.find(p.Entity); ok {
			ent = e.store.get(i)
		}
	}
	back := len(e.others.sharing) > 0 && takesBack(p)
	if ent != nil && (!back || ent.covers(p)) {
		return ent, true, p
	}
	account := payer(p)
	if back {
		if counted, as := e.countedFor(p, account); counted != nil {
			if ent != nil && p.Binding != nil {
				e.mergeInto(&wire.Partial{Entity: p.Entity, Account: p.Account, Start: p.Start, Binding: p.Binding})
			}
			return counted, true, as
		}
	}
	if ent != nil {
		return ent, true, p
	}
	if shared || back || !e.admits(account, units(p.Entity)) {
		if p, account = e.toOthers(p, account); p == nil {
			return nil, false, nil
		}
		if i, ok := e.store.find(p.Entity); ok {
			return e.store.get(i), true, p
		}
	}
	ent = e.store.get(e.store.add(p.Entity))
	ent.Account = account
	e.charge(ent, 1)
	return ent, false, p
}

// takesBack reports whether a count of p is negative.
func takesBack(p *wire.Partial) bool {
	for _, c := range p.Counters {
		if c.N < 0 {
			return true
		}
	}
	for i := range p.Sets {
		for _, v := range p.Sets[i].Values {
			if v.N < 0 {
				return true
			}
		}
	}
	return false
}

// covers reports whether the entity's window has all that p takes back.
func (ent *Entity) covers(p *wire.Partial) bool {
	w := ent.find(p.Start)
	if w == nil {
		return false
	}
	for _, c := range p.Counters {
		if c.N < 0 && count.Get(&w.Partial, c.ID)+c.N < 0 {
			return false
		}
	}
	for i := range p.Sets {
		for _, v := range p.Sets[i].Values {
			if v.N < 0 && !w.Sets[i].Capped && times(&w.Sets[i], v.Hash)+v.N < 0 {
				return false
			}
		}
	}
	return true
}

// times returns how often a set has a value.
func times(s *wire.Set, hash uint64) int64 {
	i, found := slices.BinarySearchFunc(s.Values, hash, func(v wire.HashCount, h uint64) int { return cmp.Compare(v.Hash, h) })
	if !found {
		return 0
	}
	return s.Values[i].N
}

// countedFor returns the others that have what p takes back, and p as it counts there; nil
// when there are none. The others of the account that pays come first. Calls on a KMS key
// that several accounts use may count for the others of any of them; a partial that takes
// back calls from more than one of these finds none.
func (e *Engine) countedFor(p *wire.Partial, account uint64) (*Entity, *wire.Partial) {
	as := *p
	as.Binding = nil
	try := func(account uint64) *Entity {
		as.Entity = Others(p.Scope, account, e.cfg.Partition)
		if i, ok := e.store.find(as.Entity); ok {
			if ent := e.store.get(i); ent.covers(p) {
				return ent
			}
		}
		return nil
	}
	if ent := try(account); ent != nil {
		return ent, &as
	}
	for _, of := range e.others.sharing {
		if of != account && (of == 0 || p.Scope == wire.ScopeKey) {
			if ent := try(of); ent != nil {
				return ent, &as
			}
		}
	}
	return nil, nil
}

// CountsFor returns the entity in whose windows what belongs to e is counted now: e itself
// where it is known, else the others of its account. e is a principal or a pair.
func (e *Engine) CountsFor(of wire.Entity) wire.Entity {
	if _, known := e.store.find(of); known && !IsOthers(of) {
		return of
	}
	account := payer(&wire.Partial{Entity: of})
	if e.others.accounts[account].scopes == 0 && len(e.others.sharing) >= maxSharing {
		account = 0
	}
	return Others(of.Scope, account, e.cfg.Partition)
}

// admits reports whether an account may have so many units more.
func (e *Engine) admits(account uint64, n int) bool {
	o := &e.others
	return o.units+n <= e.cfg.MaxEntities && o.accounts[account].units+n <= e.cfg.MaxAccountEntities
}

// charge charges an entity to its account (sign 1), or takes that back (-1).
func (e *Engine) charge(ent *Entity, sign int) {
	o := &e.others
	at := o.accounts[ent.Account]
	if IsOthers(ent.Entity) {
		before := at.scopes
		at.scopes ^= 1 << ent.Scope
		i, _ := slices.BinarySearch(o.sharing, ent.Account)
		switch {
		case before == 0:
			o.sharing = slices.Insert(o.sharing, i, ent.Account)
		case at.scopes == 0:
			o.sharing = slices.Delete(o.sharing, i, i+1)
		}
	} else {
		at.units += sign * units(ent.Entity)
		o.units += sign * units(ent.Entity)
	}
	if at == (charged{}) {
		delete(o.accounts, ent.Account)
	} else {
		o.accounts[ent.Account] = at
	}
}

// toOthers returns p as it counts for the others of an account, and that account; nil for
// one that only tells what a name stands for.
func (e *Engine) toOthers(p *wire.Partial, account uint64) (*wire.Partial, uint64) {
	if count.NoCounts(p) {
		return nil, account
	}
	o := &e.others
	full := o.accounts[account].units+units(p.Entity) > e.cfg.MaxAccountEntities
	if o.accounts[account].scopes == 0 && len(o.sharing) >= maxSharing {
		account = 0
	}
	as := *p
	as.Entity, as.Binding = Others(p.Scope, account, e.cfg.Partition), nil
	if calls := count.Get(p, wire.CounterCalls); calls > 0 {
		i := 0
		for i < len(o.over) && o.over[i].Account != account {
			i++
		}
		if i == len(o.over) {
			o.over = append(o.over, Overflow{Account: account, Full: full})
		}
		o.over[i].Calls[p.Scope] += calls
	}
	return &as, account
}

// entityBound says that an account, or the engine, has as many entities as it may have.
// It is all that is said of others: no detector compares what many have in common. It is
// said of pairs, or of principals in a partition that has others of these only; a KMS key
// comes with a pair. Known false positives: organizations that are larger than the bounds.
var entityBound = detector{"entity_bound", 15, KindFanOut, []string{"T1562"}, 24 * hour, nil}

// judgeOthers is judge for the others of an account.
func (e *Engine) judgeOthers(ent *Entity, w *Window) []Anomaly {
	calls := toJudge(&w.Partial)
	beside := wire.ScopePair
	switch ent.Scope {
	case wire.ScopeKey:
		return nil
	case wire.ScopePair:
		beside = wire.ScopePrincipal
	}
	if i, ok := e.store.find(Others(beside, ent.Account, e.cfg.Partition)); ok && e.store.get(i).Habits.has(&entityBound, w.Start) {
		return nil
	}
	a, ok := e.report(Anomaly{Score: 6, Observed: float64(calls), Reason: e.boundReached(ent, w)}, &entityBound, ent, w)
	if !ok {
		return nil
	}
	return []Anomaly{a}
}

// has reports whether an anomaly of d began before the end of the window at start, and
// goes on in it.
func (h *Habits) has(d *detector, start int64) bool {
	for _, o := range h.Ongoing {
		if o.Code == d.code {
			return start >= o.Start && start-o.Last <= d.lasts
		}
	}
	return false
}

// boundReached is the sentence of entityBound.
func (e *Engine) boundReached(ent *Entity, w *Window) string {
	who := "Principals without an account"
	if ent.Account != 0 {
		who = fmt.Sprintf("Account %012d", ent.Account)
	}
	limit := fmt.Sprintf("one account has %d KMS keys, principals and pairs at most in a partition (detect.max_account_entities)", e.cfg.MaxAccountEntities)
	if e.others.accounts[ent.Account].units < e.cfg.MaxAccountEntities*9/10 {
		limit = fmt.Sprintf("a partition has %d KMS keys, principals and pairs at most (detect.max_entities)", e.cfg.MaxEntities)
	}
	what := "pairs"
	if ent.Scope == wire.ScopePrincipal {
		what = "principals"
	}
	return fmt.Sprintf("%s: %s in %s by further %s count together, and no detector judges them, because %s.",
		who, callCount(toJudge(&w.Partial)), span(e.cfg.Size), what, limit)
}
