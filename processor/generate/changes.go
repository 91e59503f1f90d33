package generate

import (
	"math"
	"time"
)

// This file changes the background of long trails for good reasons, in ways that follow
// no distribution a detector assumes.

// Edge is one principal's use of one KMS key in the background. It shows which habits a
// detector mistakes for an anomaly.
type Edge struct {
	KeyARN    string
	Principal string // in the form of keytrail.principal.id
	// Archetype describes its habit.
	Archetype string
	// Rate is its mean number of calls per hour.
	Rate float64
}

// Background returns every edge of the background and of its consequences: the second key
// of ReEncrypt, and the account in the owner's copy of a call, which counts if the
// caller's copy is missing. The receiver owns the slice.
func (g *Generator) Background() []Edge {
	list := make([]Edge, 0, len(g.world.edges))
	for _, e := range g.world.edges {
		list = append(list, Edge{KeyARN: e.key.arn, Principal: e.who.entity(), Archetype: e.archetype(), Rate: e.rate})
		if e.crossAccount() {
			list = append(list, Edge{KeyARN: e.key.arn, Principal: "account:" + e.who.account,
				Archetype: "owner's copy alone (the caller's is late or hidden)"})
		}
		if e.key.purpose == forCustom && e.key.partner != nil && !e.admin {
			list = append(list, Edge{KeyARN: e.key.partner.arn, Principal: e.who.entity(),
				Archetype: "second key of ReEncrypt", Rate: e.rate / 25})
		}
	}
	return list
}

// archetype names the rarest habit of the edge.
func (e *edge) archetype() string {
	switch {
	case e.who.kind == isRoot:
		return "root"
	case e.who.kind == isInternal:
		return "rotation by KMS"
	case e.since > 0:
		return "new service"
	case e.fixed > 0:
		return "occasional use"
	case e.regimes:
		return "regime switches"
	case e.level.to-e.level.from > 86400:
		return "slow growth"
	case e.level.to > 0:
		return "level shift (Bucket Keys)"
	case e.rhythm == batch && e.daily:
		return "daily batch"
	case e.rhythm == batch:
		return "hourly batch"
	case e.deploys:
		return "deployments"
	case e.rhythm == steady:
		return "steady machine"
	case e.who.kind == isService:
		return "AWS service"
	case e.who.flavor == byPerson:
		return "person in office hours"
	}
	return "application (log-normal Poisson)"
}

// change gives some edges of a long trail habits that show only over weeks.
func (w *world) change(r random, c Config) {
	first := c.Start.Unix() + int64(c.Duration.Seconds()*0.1)
	spread := int(c.Duration.Seconds() * 0.3)
	people := 0
	for _, e := range w.edges {
		switch {
		case e.who.kind != isRole && e.who.kind != isUser:
		case e.who.flavor == byPerson:
			people++
		case r.chance(0.06) && e.rhythm == noisy:
			e.regimes = true
		case r.chance(0.15):
			e.deploys = true
		}
	}
	for _, p := range w.principals { // services that begin during the trail
		if p.kind == isRole && p.flavor != byPerson && r.chance(0.01) {
			since := first + int64(r.IntN(spread))
			for _, e := range w.edges {
				if e.who == p {
					e.since = since
				}
			}
		}
	}
	for _, p := range w.principals {
		if p.kind == isRole || p.kind == isUser || p.kind == isFederated {
			p.moves = newMoves(r, p, c)
		}
	}
	for range people / 8 { // keys that a person looks at about once in ten days
		p := w.principals[r.IntN(len(w.principals))]
		k := w.keys[r.IntN(len(w.keys))]
		if p.flavor == byPerson && p.account == k.account && (p.kind == isUser || p.kind == isRole) {
			w.addEdge(r, p, k, true)
			w.edges[len(w.edges)-1].fixed = 0.1 / 24 * (0.5 + r.Float64())
		}
	}
}

// regime returns the level factor of the edge's rate, which changes at random every few
// hours to days.
func (e *edge) regime(second int64) float64 {
	if !e.regimes {
		return 1
	}
	const block = 6 * 3600
	b := second / block
	for n := 0; n < 40; n++ {
		if h := mix(e.seed ^ uint64(b)<<8); h%4 == 0 { // the level changed here
			return [...]float64{0.2, 0.7, 0.9, 2.2}[h>>8%4] // mean 1
		}
		b--
	}
	return 1
}

// appendDeployment appends the calls of a restart in [from, from+3600), if any: on every
// third working day, all objects are read again within two minutes.
func (e *edge) appendDeployment(dst []int64, r random, from int64) []int64 {
	day := (from + 3599) / 86400
	h := mix(e.seed + uint64(day)*0x9e3779b97f4a7c15)
	switch time.Unix(day*86400, 0).UTC().Weekday() {
	case time.Saturday, time.Sunday:
		return dst
	}
	at := day*86400 + 8*3600 + int64(h>>16%(10*3600))
	if h%3 != 0 || at < from || at >= from+3600 {
		return dst
	}
	n := 8 + int(h>>40%24)
	for range n {
		dst = append(dst, min(from+3599, at+int64(r.IntN(120))))
	}
	return dst
}

// delay changes the delivery of an account's files with the events of some time.
type delay struct {
	span
	account string
	later   time.Duration // additional delay of its files
	again   []time.Duration
	at      int64 // Unix seconds of a second delivery of all of them; 0: none
}

// deliveries returns a record's additional delay, and the time of its second delivery.
func (w *world) deliveries(event *Event) (later time.Duration, again []time.Time) {
	for i := range w.delayed {
		d := &w.delayed[i]
		if d.account != event.Account || !d.holds(event.Time.Unix()) {
			continue
		}
		later += d.later
		for _, more := range d.again {
			again = append(again, event.Delivered.Add(more))
		}
		if d.at != 0 {
			again = append(again, time.Unix(d.at, 0).UTC())
		}
	}
	return later, again
}

// logUniform draws from a log-uniform distribution between low and high.
func (r random) logUniform(low, high float64) float64 {
	return low * math.Exp(r.Float64()*math.Log(high/low))
}
