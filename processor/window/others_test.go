package window_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"keytrail/processor/count"
	"keytrail/processor/window"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// tight is a configuration with room for few entities, in all and per account.
func tight(all, account int) window.Config {
	c := hasty()
	c.MaxEntities, c.MaxAccountEntities, c.Partition = all, account, 3

	return c
}

// foreign makes calls from several accounts: on their own KMS keys, on others, and of
// accounts that do not exist.
func foreign(rng *rand.Rand, calls []count.Call) {
	for i := range calls {
		c := &calls[i]
		account := fmt.Sprintf("%012d", 1+rng.IntN(3))
		c.Principal = strings.Replace(c.Principal, "111122223333", account, 1)
		switch rng.IntN(4) {
		case 0:
			c.Key = fmt.Sprintf("arn:aws:kms:eu-central-1:%012d:key/made-up", rng.IntN(200))
		case 1:
			c.Key = "arn:aws:kms::000000000001:others/3" // a caller can write this as well
		}
	}
}

// Above the bounds, too, every call counts once in each scope: in the window of its
// entity, or of its account's others. A caller with the names of others makes no entity,
// and there are never more entities than the bounds allow.
func TestOthersCountExactly(t *testing.T) {
	others, scattered := int64(0), 0
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 50))
		calls := history(rng, int64(hasty().Retention))
		foreign(rng, calls)
		own, want := plain(calls), map[string]int64{}
		for _, c := range calls {
			for _, scope := range []wire.Scope{wire.ScopeKey, wire.ScopePrincipal, wire.ScopePair} {
				for _, n := range lengths {
					want[fmt.Sprint(scope, c.Time/n*n, n)]++
				}
			}
		}
		cfg := tight(40, 18)
		e := window.NewEngine(cfg, nil)
		e.SetHot(rng.IntN(6))
		finals := map[string]window.Result{}
		run(t, rng, e, arrivals(rng, calls, disorder), func(results []window.Result) {
			for _, r := range results {
				if r.Closed {
					finals[nameOf(r.Entity, r.Start, r.Length(size))] = r
				}
			}
			e.Changes(func(string, []byte) {}, func(string) {})
			if n := e.Len(); n > cfg.MaxEntities+4*3 {
				t.Fatalf("seed %d: %d entities, of which %d may be others", seed, n, 4*3)
			}
		}, func(p *wire.Partial) { t.Fatalf("%s is late", nameOf(p.Entity, p.Start, size)) })
		got := map[string]int64{}
		for name, r := range finals {
			n := get(&r, wire.CounterCalls)
			if c := negative(&r.Partial); c != "" && r.Scope == wire.ScopeKey && cloud.IsOthers(r.Entity) {
				scattered++
			} else if c != "" {
				t.Errorf("seed %d: %s has %s", seed, name, c)
			}
			got[fmt.Sprint(r.Scope, r.Start, r.Length(size))] += n
			switch shared := cloud.IsOthers(r.Entity); {
			case shared:
				others += n
			case n > own[name]:
				t.Errorf("seed %d: %s has %d calls, and there are %d", seed, name, n, own[name])
			}
		}
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("seed %d: %s: %d calls in all windows, want %d", seed, name, got[name], want[name])
			}
		}
	}
	if scattered > 9 { // one partial that takes back calls from the others of several accounts
		t.Errorf("%d windows of others have negative counts", scattered)
	}
	if others < 5000 {
		t.Errorf("%d calls counted for others: this tests too little", others)
	}
}

// negative names a count of p that is below zero, or returns "".
func negative(p *wire.Partial) string {
	for _, c := range p.Counters {
		if c.N < 0 {
			return fmt.Sprintf("%s %d", c.ID.Name(), c.N)
		}
	}
	for id := range p.Sets {
		for _, v := range p.Sets[id].Values {
			if v.N < 0 {
				return fmt.Sprintf("%d times value %x of set %d", v.N, v.Hash, id)
			}
		}
	}
	return ""
}

// A call of the others is taken back from them, also if its entity has become known
// since, with or without the same window.
func TestCorrectionsOfOthers(t *testing.T) {
	for name, between := range map[string]func(r *rig, c count.Call){
		"unknown": func(*rig, count.Call) {},
		"known by another window": func(r *rig, c count.Call) {
			c.Time += size
			r.add(c, 1)
		},
		"known by the same window": func(r *rig, c count.Call) {
			c.Class = kms.ClassEncrypt
			r.add(c, 1)
		},
	} {
		r := newRig(t, tight(100, 3), false)
		r.add(decrypt(begin-9*hour, 1, 1), 1)
		c := decrypt(begin+minute, 2, 2)
		r.add(c, 1)
		if list := r.e.Overflows(); len(list) != 1 {
			t.Fatalf("%s: %+v", name, list)
		}
		r.advance(begin + 2*minute) // the first key is forgotten, which makes room
		between(r, c)
		r.add(c, -1)
		got := map[wire.Scope]int64{}
		for _, res := range r.advance(begin + 2*size) {
			if n := negative(&res.Partial); n != "" {
				t.Errorf("%s: %s has %s", name, res.StateKey(), n)
			}
			got[res.Scope] += get(&res, wire.CounterCalls)
		}
		want := int64(1)
		if name == "unknown" {
			want = 0
		}
		for scope, n := range got {
			if n != want {
				t.Errorf("%s: %d calls in scope %v, want %d", name, n, scope, want)
			}
		}
	}
}

// The known entities, and the charges of an account, are the same after a restart.
func TestOthersAreRestored(t *testing.T) {
	for _, notify := range []bool{false, true} {
		restoresAlike(t, tight(12, 7), notify, 1000)
	}
}

// An account at its limit takes nothing from another, whatever KMS keys it requests.
func TestAccountsDoNotDisplaceEachOther(t *testing.T) {
	r := newRig(t, tight(100, 30), false)
	flood := func(n int) {
		c := decrypt(begin+minute, 1, 1)
		c.Key = fmt.Sprintf("arn:aws:kms:eu-central-1:%012d:key/%d", n, n) // each of another account
		c.IDText = fmt.Sprint("flood", n)
		r.add(c, 1)
	}
	for n := range 500 {
		flood(n)
	}
	victim := "arn:aws:iam::000000000002:role/victim"
	for n := range 14 { // 29 units
		c := decrypt(begin+minute, 700+n, 1)
		c.Principal = victim
		r.add(c, 2)
	}
	list := r.advance(begin + size)
	for n := range 14 {
		for _, e := range []wire.Entity{keyOf(700 + n), {Scope: wire.ScopePair, Key: keyARN(700 + n), Principal: victim}} {
			if w := find(list, e, begin); w == nil || get(w, wire.CounterCalls) != 2 {
				t.Fatalf("%v has no window of 2 calls", e)
			}
		}
	}
	sum := int64(0)
	for _, scope := range []wire.Scope{wire.ScopeKey, wire.ScopePair} {
		w := find(list, cloud.Others(wire.Entity{Scope: scope}, 111122223333, 3), begin)
		if w == nil {
			t.Fatalf("no others of scope %v", scope)
		}
		sum += get(w, wire.CounterCalls)
	}
	if want := int64(2*500 - 29); sum != want { // the principal takes one of 30 units
		t.Errorf("the others have %d calls, want %d", sum, want)
	}
}

// Reaching the bound is one anomaly for as long as it lasts, and the only anomaly of
// others, whatever many have in common.
func TestOneAnomalyOfOthers(t *testing.T) {
	r := newRig(t, tight(100, 20), false)
	ids, n := map[string]int{}, 0
	for at := begin; at < begin+12*hour; at += size {
		for range 30 {
			n++
			c := decrypt(at+minute, n, n%2)
			c.Object, c.Network, c.Client = uint64(n), uint32(n), uint32(n)
			r.add(c, 1)
		}
		for _, res := range r.advance(at + size) {
			for _, a := range res.Anomalies {
				if !cloud.IsOthers(a.Entity) {
					continue
				}
				if ids[a.ID]++; a.Detector != "entity_bound" || !strings.Contains(a.Reason, "detect.max_account_entities") {
					t.Fatalf("%s: %s", a.Detector, a.Reason)
				}
			}
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d anomalies of others, want 1: %v", len(ids), ids)
	}
}

// An account may name a million accounts as callers of its keys: some have their own
// others, and all together are bounded.
func TestAccountsOfOthersAreBounded(t *testing.T) {
	r := newRig(t, tight(10, 10), false)
	for n := range 3000 {
		c := decrypt(begin+minute, n, 1)
		c.Principal = fmt.Sprintf("account:%012d", n+1)
		r.add(c, 1)
	}
	if n := r.e.Len(); n > 10+3*1001 {
		t.Errorf("%d entities", n)
	}
	got := map[wire.Scope]int64{}
	for _, res := range r.advance(begin + size) {
		got[res.Scope] += get(&res, wire.CounterCalls)
	}
	if got[wire.ScopeKey] != 3000 || got[wire.ScopePrincipal] != 3000 || got[wire.ScopePair] != 3000 {
		t.Errorf("counted %v", got)
	}
}

// Long names are charged with their size.
func TestLongNamesAreCharged(t *testing.T) {
	r := newRig(t, tight(1000, 1000), false)
	for n := range 400 {
		c := decrypt(begin+minute, n, 1)
		c.Key += strings.Repeat("x", 2000)
		r.add(c, 1)
	}
	if n := r.e.Len(); n > 150 {
		t.Errorf("%d entities with names of 2,000 bytes, where 1000 units are charged", n)
	}
}

// Overflows reports the calls of others once, by account and scope.
func TestOverflows(t *testing.T) {
	r := newRig(t, tight(100, 3), false)
	for n := range 5 {
		r.add(decrypt(begin+minute, n, 1), 2)
	}
	list := r.e.Overflows()
	if len(list) != 1 || list[0].Account != 111122223333 || !list[0].Full || list[0].Calls != [4]int64{0, 8, 0, 8} {
		t.Errorf("%+v", list)
	}
	if list := r.e.Overflows(); len(list) != 0 {
		t.Errorf("told twice: %+v", list)
	}
}
