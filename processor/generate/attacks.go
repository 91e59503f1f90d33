package generate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// This file has the attacks that show in counts: many calls, objects, keys or refusals,
// and the first of their kind.

// burst: one role decrypts twenty times what it usually does (ten to thirty times in
// long trails), for ten minutes, on its usual key and objects.
func (p *planner) burst(at int64) {
	usual, times := 20.0, 20.0 // calls an hour of a good example
	if p.long {
		usual, times = p.r.logUniform(4, 150), p.r.logUniform(10, 30)
	}
	const minutes = 10
	var best *edge
	cost := func(e *edge) float64 { return math.Abs(math.Log((e.expected(at) + 0.01) / usual)) }
	for _, e := range p.w.edges {
		fits := e.who.kind == isRole && e.who.flavor != byPerson && e.rhythm == noisy && !p.spent[e.who] &&
			!e.crossAccount() && e.key.use() == opDecrypt
		if fits && (best == nil || cost(e) < cost(best)) {
			best = e
		}
	}
	if best == nil { // no background role is like that: take the busiest edge
		best = slices.MaxFunc(p.w.edges, func(a, b *edge) int { return int(math.Copysign(1, a.rate-b.rate)) })
	}
	mean := best.expected(at) * minutes / 60
	n := min(5000, max(60, int(times*mean)))
	i := p.incident(best.key, best.who, fmt.Sprintf("%d decrypt calls in %d minutes where about %.1f are usual", n,
		minutes, mean), KindRate)
	for range n {
		object := int(best.seed%900) + p.r.IntN(best.objects)
		p.add(i, call{at: at + int64(p.r.IntN(minutes*60)), who: best.who, key: best.key, op: best.key.use(),
			form: best.form, object: object})
	}
}

// objectSweep: someone reads dozens of parameters or secrets within minutes, as
// credential-stealing tools do.
func (p *planner) objectSweep(at int64) {
	var users []*principal
	keys := map[*principal]*kmsKey{}
	for _, e := range p.w.edges {
		readable := e.key.purpose == forSSM || e.key.purpose == forSecrets
		if readable && !e.crossAccount() && (e.who.kind == isRole || e.who.kind == isUser) {
			users = append(users, e.who)
			keys[e.who] = e.key
		}
	}
	if len(users) == 0 { // only people read such keys: one tries the account's first key
		someone := p.person()
		users, keys[someone] = []*principal{someone}, p.keysOf(someone.account)[0]
	}
	who := p.choose(users, func(u *principal) float64 {
		if u.kind == isUser {
			return 0
		}
		return 1 + float64(len(p.edges[u]))
	})
	key, n := keys[who], p.r.between(42, 60)
	i := p.incident(key, who, fmt.Sprintf("%d different encryption contexts read within three minutes", n),
		KindFanOut, KindRate)
	for object := range n {
		p.add(i, call{at: at + int64(object*180/n), who: who, key: key, op: opDecrypt, object: 2000 + object})
	}
}

// deniedProbing: a principal is refused on many keys of a foreign account. Only the
// caller's account records that.
func (p *planner) deniedProbing(at int64) {
	who := p.person()
	const n = 30
	i := p.incident(nil, who, fmt.Sprintf("refused on %d keys of account %s within six minutes", n, ForeignAccount),
		KindRefusals)
	region := p.g.config.Regions[0]
	for k := range int64(n) {
		key := &kmsKey{partition: p.w.partition, account: ForeignAccount, region: region, project: "unknown",
			id: p.r.uuid().String(), seed: p.r.Uint64()}
		key.arn = "arn:" + p.w.partition + ":kms:" + region + ":" + ForeignAccount + ":key/" + key.id
		i.Keys = append(i.Keys, key.arn)
		c := call{at: at + k*360/n, who: who, key: key, op: opDescribe, err: errDenied}
		switch k % 3 {
		case 0:
			c.op, c.request = opDecrypt, `{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","keyId":"`+key.arn+`"}`
		case 1:
			c.op, c.request = opDataKey, `{"keyId":"`+key.arn+`","keySpec":"AES_256"}`
		}
		p.add(i, c)
	}
}

// firstUse: an unknown role decrypts at night with the key that has the fewest users.
func (p *planner) firstUse(at int64) {
	account := p.g.config.Accounts[p.n%len(p.g.config.Accounts)]
	keys := p.free(p.keysOf(account), func(k *kmsKey) bool { return k.use() == opDecrypt })
	key := slices.MinFunc(keys, func(a, b *kmsKey) int { return cmp.Compare(a.edges, b.edges) })
	who := p.w.newRole(p.r, account, 0)
	who.name, who.flavor, who.endpoint = "data-export-tmp", onInstance, ""
	if p.n > 0 {
		who.name += fmt.Sprint(p.n + 1)
	}
	who.arn = "arn:" + p.w.partition + ":iam::" + account + ":role/" + who.name
	i := p.incident(key, who, "a role never seen before uses a key that few use, at night", KindFirstSeen)
	p.add(i, call{at: at, who: who, key: key, op: opDescribe})
	for n := range int64(7) {
		p.add(i, call{at: at + 20 + n*70, who: who, key: key, op: opDecrypt, object: int(n) + 1, direct: true})
	}
}

// fanOutKeys: one role uses up to twelve keys for the first time.
func (p *planner) fanOutKeys(at int64) {
	var roles []*principal
	for _, c := range p.w.principals {
		if c.kind == isRole && c.flavor != byPerson {
			roles = append(roles, c)
		}
	}
	who := p.choose(roles, func(c *principal) float64 { return float64(len(p.edges[c])) })
	var own, other []*kmsKey
	for _, k := range p.w.keys {
		used := slices.ContainsFunc(p.edges[who], func(e *edge) bool { return e.key == k || e.key.partner == k })
		switch {
		case used:
		case k.account == who.account:
			own = append(own, k)
		default:
			other = append(other, k)
		}
	}
	if p.long { // else the same keys each time
		p.r.Shuffle(len(own), func(i, j int) { own[i], own[j] = own[j], own[i] })
	}
	keys := append(own, other...)
	keys = keys[:min(12, len(keys))]
	i := p.incident(nil, who, fmt.Sprintf("uses %d keys that it never used, within six minutes", len(keys)),
		KindFanOut, KindFirstSeen)
	for n, k := range keys {
		i.Keys = append(i.Keys, k.arn)
		for again := range 2 {
			p.add(i, call{at: at + int64((2*n+again)*360/(2*len(keys))), who: who, key: k, op: k.use(),
				object: 3000 + n, direct: true})
		}
	}
}
