package generate

import (
	"fmt"
	"time"
)

// This file has events that look like an incident but are harmless. An anomaly there is
// false.

// benign starts the label of a harmless event in [from, to).
func (p *planner) benign(key *kmsKey, who *principal, from, to int64, note string) *incident {
	i := p.incident(key, who, note)
	i.Benign = true
	i.Start, i.End = time.Unix(from, 0).UTC(), time.Unix(to, 0).UTC()
	return i
}

// anyAccount returns a random account.
func (p *planner) anyAccount() string { return pick(p.r, p.g.config.Accounts) }

// lateFile: the files with ten minutes of an account's events arrive late: some within
// the allowed lateness, some after it.
func (p *planner) lateFile(at int64) {
	account, later := p.anyAccount(), 40*time.Minute
	if p.n%2 == 1 {
		later = 3 * time.Hour
	}
	d := delay{span: span{at, at + 600}, account: account, later: later}
	p.w.delayed = append(p.w.delayed, d)
	p.benign(nil, nil, at, d.to, fmt.Sprintf("files with ten minutes of events come %v late", later)).Account = account
}

// duplicates: an hour of an account's files is delivered three times.
func (p *planner) duplicates(at int64) {
	account := p.anyAccount()
	d := delay{span: span{at, at + 3600}, account: account, again: []time.Duration{15 * time.Minute, 35 * time.Minute}}
	p.w.delayed = append(p.w.delayed, d)
	p.benign(nil, nil, at, d.to, "an hour of files is delivered three times").Account = account
}

// reread: the collector loses its checkpoint and reads six hours again.
func (p *planner) reread(at int64) {
	account := p.anyAccount()
	d := delay{span: span{at, at + 6*3600}, account: account, at: at + 16*3600}
	p.w.delayed = append(p.w.delayed, d)
	p.benign(nil, nil, at, d.to, "the collector reads six hours of files again, ten hours later").Account = account
}

// deployment: regularly deployed programs of one account restart together in working
// hours and read all their objects again.
func (p *planner) deployment(at int64) {
	hours := at - at%86400 + 8*3600 + at%(9*3600)
	if hours >= p.g.Quiet().Unix() && hours+600 < p.g.end().Unix() {
		at = hours
	}
	account := p.anyAccount()
	i := p.benign(nil, nil, at, at+1800, "")
	roles := map[string]bool{}
	for _, n := range p.r.Perm(len(p.w.edges)) {
		e := p.w.edges[n]
		who := e.who
		if !e.deploys || e.rate < 5 || who.account != account || len(roles) == 8 && !roles[who.arn] {
			continue
		}
		if !roles[who.arn] {
			roles[who.arn] = true
			i.Principals = append(i.Principals, who.arn)
		}
		i.Keys = append(i.Keys, e.key.arn)
		for range p.r.between(10, 35) {
			object := int(e.seed%900) + p.r.IntN(e.objects)
			p.add(i, call{at: at + int64(p.r.IntN(240)), who: who, key: e.key, op: e.key.use(), form: e.form, object: object})
		}
	}
	i.Note = fmt.Sprintf("%d roles restart within four minutes and read %d objects", len(roles), len(i.calls))
}

// levelShift: Bucket Keys of an S3 bucket are turned on, so that fewer calls follow, or
// off, so that more do.
func (p *planner) levelShift(at int64) {
	var best *edge
	cost := func(e *edge) float64 {
		c := float64(mix(e.seed^uint64(at)) >> 11)
		if e.rate < 5 { // nobody would notice
			c += 1 << 60
		}
		return c
	}
	for _, e := range p.w.edges {
		fits := e.rhythm == noisy && e.who.kind == isRole && e.key.purpose == forS3 && e.level == span{} && e.since == 0 &&
			!p.spent[e.who] && !e.regimes
		if fits && (best == nil || cost(e) < cost(best)) {
			best = e
		}
	}
	if best == nil {
		return
	}
	best.level, best.levelEnd = span{at, at + 60}, 0.2
	note := "on: a fifth of the calls"
	if p.n%2 == 1 {
		best.levelEnd, note = 4, "off: four times the calls"
	}
	p.benign(best.key, best.who, at, at+86400, "Bucket Keys are turned "+note)
}

// newService: a new role begins its work on two keys.
func (p *planner) newService(at int64) {
	account := p.anyAccount()
	who := p.w.newRole(p.r, account, p.r.IntN(140))
	if who.flavor == byPerson {
		who.flavor = onInstance
	}
	who.name = fmt.Sprintf("%s-%s-v2-%d", pick(p.r, projects), pick(p.r, roleKinds), p.n)
	who.arn = "arn:" + p.w.partition + ":iam::" + account + ":role/" + who.name
	p.w.principals = append(p.w.principals, who)
	i := p.benign(nil, who, at, at+86400, "a service is new, and uses two keys from now on")
	for range 2 {
		k := byPopularity(p.r, p.keysOf(account))
		p.w.addEdge(p.r, who, k, false)
		e := p.w.edges[len(p.w.edges)-1]
		e.since, e.rate, e.regimes, e.deploys = at, p.r.logUniform(4, 60), false, false
		i.Keys = append(i.Keys, k.arn)
	}
}
