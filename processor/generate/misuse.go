package generate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// This file has the attacks of long trails: they show only to an observer of weeks.

// roleEdge returns a program's edge with a key of its own account whose rate is closest
// to usual calls an hour, and whose role and key no attack has used.
func (p *planner) roleEdge(at int64, usual float64, fits func(*edge) bool) *edge {
	var best *edge
	cost := func(e *edge) float64 {
		c := math.Abs(math.Log((e.expected(at) + 0.01) / usual))
		if p.spent[e.who] || p.taken[e.key] {
			c += 100
		}
		return c
	}
	for _, e := range p.w.edges {
		usable := e.who.kind == isRole && e.who.flavor != byPerson && !e.crossAccount() && e.since == 0 && e.rhythm != batch
		if usable && fits(e) && (best == nil || cost(e) < cost(best)) {
			best = e
		}
	}
	return best
}

// drip is the duration of a slow drip.
const drip = 72 * time.Hour

// slowDrip: a role decrypts three times its usual number in addition, evenly over three
// days and nights, each time another object. No five-minute window shows it.
func (p *planner) slowDrip(at int64) {
	main := func(e *edge) bool { // the edge dominates its role's activity
		sum := 0.0
		for _, other := range p.edges[e.who] {
			sum += other.rate
		}
		return e.key.use() == opDecrypt && e.key.purpose != forTrail && e.rate > 0.6*sum && !e.regimes && e.level == span{}
	}
	e := p.roleEdge(at, p.r.logUniform(2, 10), main)
	if e == nil {
		return
	}
	n := int(3 * e.rate * drip.Hours())
	i := p.incident(e.key, e.who, fmt.Sprintf("%d calls more in three days, each on another object, where about %.0f "+
		"are usual", n, e.rate*drip.Hours()), KindRate, KindFanOut)
	step := drip.Seconds() / float64(n)
	for k := range n {
		moment := at + int64((float64(k)+p.r.Float64())*step)
		p.add(i, call{at: moment, who: e.who, key: e.key, op: opDecrypt, form: e.form, object: 4000 + k})
	}
}

// refusedOwn: a program's role is refused on ten keys of its own account.
func (p *planner) refusedOwn(at int64) {
	e := p.roleEdge(at, 20, func(*edge) bool { return true })
	if e == nil {
		return
	}
	keys := p.strange(e.who, 10)
	i := p.incident(nil, e.who, fmt.Sprintf("refused on %d keys of its own account within ten minutes", len(keys)),
		KindRefusals)
	for n, k := range keys {
		for again := range 2 {
			p.add(i, call{at: at + int64((2*n+again)*600/(2*len(keys))), who: e.who, key: k, op: k.use(), object: 1,
				direct: true, err: errDenied})
		}
		i.Keys = append(i.Keys, k.arn)
	}
}

// strange returns up to n random keys of the principal's account that it never uses.
func (p *planner) strange(who *principal, n int) []*kmsKey {
	var keys []*kmsKey
	for _, k := range p.keysOf(who.account) {
		if !slices.ContainsFunc(p.edges[who], func(e *edge) bool { return e.key == k || e.key.partner == k }) {
			keys = append(keys, k)
		}
	}
	p.r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys[:min(n, len(keys))]
}

// crossAccount: an unknown account decrypts with a key whose policy allows it. Only the
// owner's copies reach the trail.
func (p *planner) crossAccount(at int64) {
	keys := p.free(p.w.keys, func(k *kmsKey) bool { return k.use() == opDecrypt && k.purpose == forCustom })
	key, account := pick(p.r, keys), fmt.Sprintf("7%011d", p.r.IntN(1e9))
	who := &principal{
		kind: isForeign, flavor: onInstance, account: account, name: "sync", arn: "arn:" + p.w.partition + ":iam::" +
			account + ":role/sync", seed: p.r.Uint64(),
		uniqueID: "AROA" + string(appendBase32(nil, p.r.Uint64(), 17)), version: "1.11",
		ip: publicAddress(p.r), agent: agents[1],
	}
	i := p.incident(key, who, "an account never seen before decrypts with a key of ours", KindFirstSeen, KindRate)
	const n = 25
	for k := range int64(n) {
		p.add(i, call{at: at + k*720/n, who: who, key: key, op: opDecrypt, object: int(k), direct: true})
	}
}

// stolenRole: a program's role does its usual work from another network with another
// client.
func (p *planner) stolenRole(at int64) {
	e := p.roleEdge(at, p.r.logUniform(5, 60), func(e *edge) bool { return e.key.purpose == forCustom })
	if e == nil {
		return
	}
	thief := *e.who
	thief.moves = nil
	thief.ip, thief.endpoint = fmt.Sprintf("198.18.%d.%d", p.r.IntN(256), p.r.between(1, 254)), ""
	thief.agent = "aws-cli/2.15.22 md/awscrt#0.19.19 ua/2.0 os/linux#6.6.9-amd64 md/arch#x86_64 lang/python#3.11.8 " +
		"md/pyimpl#CPython cfg/retry-mode#standard md/installer#source md/prompt#off md/command#kms.decrypt"
	const n = 25
	i := p.incident(e.key, e.who, fmt.Sprintf("%d calls from another network and client within twenty minutes", n),
		KindFirstSeen, KindRate)
	for k := range int64(n) {
		p.add(i, call{at: at + k*1200/n, who: &thief, key: e.key, op: opDecrypt, form: e.form,
			object: int(e.seed%900) + p.r.IntN(e.objects)})
	}
}

// offHours: a person uses a key for the first time, in the middle of the night.
func (p *planner) offHours(at int64) {
	who := p.person()
	keys := slices.DeleteFunc(p.strange(who, 1000),
		func(k *kmsKey) bool { return k.use() != opDecrypt || k.edges == 0 || p.taken[k] })
	if len(keys) == 0 {
		return
	}
	i := p.incident(keys[0], who, "someone uses a key for the first time, at night", KindFirstSeen)
	for n := range int64(8) {
		p.add(i, call{at: at + n*75, who: who, key: keys[0], op: opDecrypt, object: int(n), direct: true})
	}
}

// ransom: a role re-encrypts the data that it can read under another account's key.
func (p *planner) ransom(at int64) {
	e := p.roleEdge(at, p.r.logUniform(5, 60), func(e *edge) bool { return e.key.purpose == forCustom })
	if e == nil {
		return
	}
	own, other := *e.key, *e.key
	other.account, other.id, other.down = ForeignAccount, p.r.uuid().String(), span{}
	other.arn = "arn:" + own.partition + ":kms:" + own.region + ":" + ForeignAccount + ":key/" + other.id
	other.id = other.arn // the form in which a request names another account's key
	own.partner = &other
	const n = 90
	i := p.incident(e.key, e.who, fmt.Sprintf("%d objects re-encrypted under a key of account %s", n, ForeignAccount),
		KindRate, KindFirstSeen, KindFanOut)
	i.Keys = append(i.Keys, other.arn)
	for k := range int64(n) {
		p.add(i, call{at: at + k*480/n, who: e.who, key: &own, op: opReEncrypt, form: e.form, object: 6000 + int(k)})
	}
}

// rotationOff: the rotation of a key is turned off.
func (p *planner) rotationOff(at int64) {
	who := p.person()
	key := pick(p.r, p.free(p.keysOf(who.account), nil))
	i := p.incident(key, who, "the rotation of a key is turned off", KindRule)
	p.add(i, call{at: at, who: who, key: key, op: opRotationOff})
}

// bucketSweep: a role that reads few of a bucket's objects reads two hundred.
func (p *planner) bucketSweep(at int64) {
	e := p.roleEdge(at, p.r.logUniform(5, 60), func(e *edge) bool { return e.key.purpose == forS3 && !e.key.bucketKeys })
	if e == nil {
		return
	}
	const n = 200
	i := p.incident(e.key, e.who, fmt.Sprintf("%d different objects of a bucket read within ten minutes", n),
		KindFanOut, KindRate)
	for k := range int64(n) {
		p.add(i, call{at: at + k*600/n, who: e.who, key: e.key, op: opDecrypt, form: e.form, object: 7000 + int(k)})
	}
}

// fanIn: fifteen roles of an account use one key for the first time: their common source
// of code has been taken over.
func (p *planner) fanIn(at int64) {
	keys := p.free(p.w.keys, func(k *kmsKey) bool { return k.use() == opDecrypt && k.edges > 0 })
	key := slices.MinFunc(keys, func(a, b *kmsKey) int { return cmp.Compare(a.edges, b.edges) })
	i := p.incident(key, nil, "", KindFanOut, KindFirstSeen)
	for _, who := range p.w.principals {
		uses := slices.ContainsFunc(p.edges[who], func(e *edge) bool { return e.key == key })
		if who.kind != isRole || who.flavor == byPerson || who.account != key.account || uses || p.spent[who] ||
			len(i.Principals) == 15 {
			continue
		}
		i.Principals = append(i.Principals, who.arn)
		for again := range int64(2) {
			p.add(i, call{at: at + int64(len(i.Principals))*16 + again*5, who: who, key: key, op: opDecrypt,
				object: 1, direct: true})
		}
	}
	i.Note = fmt.Sprintf("%d roles use a key for the first time within four minutes", len(i.Principals))
}
