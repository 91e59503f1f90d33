package window

import (
	"slices"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/detector"
	"keytrail/processor/entity"
	"keytrail/schemas/cloud"
	"keytrail/schemas/wire"
)

// This file bounds the entities of an engine. A caller chooses the key ids that it
// requests, and CloudTrail records the refused calls, too. Without a bound, one principal
// could create as many KMS keys and pairs as it makes calls.
//
// Each entity is charged to an account: a principal and a pair to the principal's
// account, and a KMS key to that of the first principal that used it, because the account
// in the key's own ARN may be invented. When an account, or the engine, has reached its
// limit, calls of further KMS keys, principals and pairs count for the others of the
// account: one entity per scope, whose names no caller can take. The sums over all
// entities of a scope stay exact. An entity stays known, also across a restart, until it
// is forgotten for lack of calls. The charges follow from the entities themselves.
//
// The names of others contain the engine's partition, so every engine has its own others,
// and a window's id belongs to one engine.

// others is an engine's accounting of charged accounts.
type others struct {
	accounts map[uint64]charged // at most as many as entities
	units    int                // of all accounts
	sharing  []uint64           // accounts with others, sorted; at most maxSharing, and account 0
	over     []Overflow         // since the last Overflows; at most as many as accounts with others
}

// charged is the charge of one account.
type charged struct {
	units  int
	scopes uint8 // a bit for each scope with others
}

// maxSharing bounds the accounts with their own others, 3 entities each. The calls of
// further accounts count for the others of no account, because there may be principals of
// a million foreign accounts.
const maxSharing = 1000

// Overflow is the calls of an account that counted for its others.
type Overflow struct {
	// Account is 0 for calls without an account, or beyond maxSharing.
	Account uint64
	As      wire.Entity               // the pair that stands for the others
	Full    bool                      // the account has reached its limit; else the engine has
	Calls   [wire.ScopePair + 1]int64 // by scope
}

// Overflows returns the calls that counted for others since the last call. The list is
// valid until the next Merge.
func (e *Engine) Overflows() []Overflow {
	list := e.others.over
	e.others.over = e.others.over[:0]
	return list
}

// payer returns the account to which the entity of p is charged.
func (e *Engine) payer(p *wire.Partial) uint64 {
	if p.Scope == wire.ScopeKey {
		return entity.AccountNumber(p.Account)
	}
	return entity.AccountNumber(cloud.Account(p.Principal))
}

// units returns an entity's charge: one, plus one per 256 bytes of its names, which
// callers can make as long as count.MaxNames.
func units(e wire.Entity) int { return 1 + (len(e.Key)+len(e.Principal))/256 }

// home returns the entity that p counts for, new or not, and p in the form that counts
// there. p is nil if there is nothing to count.
//
// A correction counts where the corrected call was counted. That may be the others of an
// account, even if there is room by now or the entity has become known.
func (e *Engine) home(p *wire.Partial) (ent *entity.Entity, known bool, as *wire.Partial) {
	shared := cloud.IsOthers(p.Entity)
	if !shared {
		if i, ok := e.store.Find(p.Entity); ok {
			ent = e.store.Get(i)
		}
	}
	back := len(e.others.sharing) > 0 && count.TakesBack(p)
	if ent != nil && (!back || ent.Covers(p)) {
		return ent, true, p
	}
	account := e.payer(p)
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
		if i, ok := e.store.Find(p.Entity); ok {
			return e.store.Get(i), true, p
		}
	}
	ent = e.store.Get(e.store.Add(p.Entity))
	ent.Account = account
	e.charge(ent, 1)
	return ent, false, p
}

// countedFor returns the others that contain the calls that p takes back, and p in the
// form that counts there; nil if there are none. The others of the paying account come
// first. Calls on a KMS key that several accounts use may count for the others of any of
// them; a partial that takes back calls from more than one of these finds none.
func (e *Engine) countedFor(p *wire.Partial, account uint64) (*entity.Entity, *wire.Partial) {
	as := *p
	as.Binding = nil
	try := func(account uint64) *entity.Entity {
		as.Entity = cloud.Others(p.Entity, account, e.cfg.Partition)
		if i, ok := e.store.Find(as.Entity); ok {
			if ent := e.store.Get(i); ent.Covers(p) {
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

// CountsFor returns the entity in whose windows an entity's calls count now: the entity
// itself if it is known, else the others of its account. of is a principal or a pair.
func (e *Engine) CountsFor(of wire.Entity) wire.Entity {
	if _, known := e.store.Find(of); known && !cloud.IsOthers(of) {
		return of
	}
	account := e.payer(&wire.Partial{Entity: of})
	return cloud.Others(of, e.sharer(account), e.cfg.Partition)
}

// sharer returns the account whose others take the calls of an account: 0 if too many
// accounts have others.
func (e *Engine) sharer(account uint64) uint64 {
	if e.others.accounts[account].scopes == 0 && len(e.others.sharing) >= maxSharing {
		return 0
	}
	return account
}

// admits reports whether an account may have n more units.
func (e *Engine) admits(account uint64, n int) bool {
	o := &e.others
	return o.units+n <= e.cfg.MaxEntities && o.accounts[account].units+n <= e.cfg.MaxAccountEntities
}

// charge charges an entity to its account (sign 1), or reverses that (-1).
func (e *Engine) charge(ent *entity.Entity, sign int) {
	o := &e.others
	at := o.accounts[ent.Account]
	if cloud.IsOthers(ent.Entity) {
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

// toOthers returns p in the form for the others of an account, and that account; nil for
// a partial with only a binding.
func (e *Engine) toOthers(p *wire.Partial, account uint64) (*wire.Partial, uint64) {
	if count.NoCounts(p) {
		return nil, account
	}
	o := &e.others
	full := o.accounts[account].units+units(p.Entity) > e.cfg.MaxAccountEntities
	account = e.sharer(account)
	as := *p
	as.Entity, as.Binding = cloud.Others(p.Entity, account, e.cfg.Partition), nil
	if calls := count.Get(p, wire.CounterCalls); calls > 0 {
		i := slices.IndexFunc(o.over, func(v Overflow) bool { return v.Account == account })
		if i < 0 {
			i = len(o.over)
			pair := wire.Entity{Scope: wire.ScopePair, Key: p.Key, Principal: p.Principal}
			as := cloud.Others(pair, account, e.cfg.Partition)
			o.over = append(o.over, Overflow{Account: account, As: as, Full: full})
		}
		o.over[i].Calls[p.Scope] += calls
	}
	return &as, account
}

// judgeOthers is judge for the others of an account.
func (e *Engine) judgeOthers(ent *entity.Entity, w *entity.Window) []anomaly.Anomaly {
	d, beside := &detector.EntityBound, ent.Entity
	switch ent.Scope {
	case wire.ScopeKey:
		return nil
	case wire.ScopePair:
		beside.Scope = wire.ScopePrincipal
	case wire.ScopePrincipal:
		beside.Scope = wire.ScopePair
	}
	i, ok := e.store.Find(cloud.Others(beside, ent.Account, e.cfg.Partition))
	if ok && e.store.Get(i).Habits.Has(d.Code, d.Lasts, w.Start) {
		return nil
	}
	full := e.others.accounts[ent.Account].units >= e.cfg.MaxAccountEntities*9/10
	f := detector.BoundReached(view{e}, ent, w, full)
	a, ok := e.report(&f, d, ent, w)
	if !ok {
		return nil
	}
	return []anomaly.Anomaly{a}
}
