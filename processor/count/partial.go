package count

import (
	"slices"
	"sort"
	"strings"

	"keytrail/schemas/normalize"
	"keytrail/schemas/wire"
)

// MaxDistinct bounds every set of distinct values in a window: 512 values of 16
// bytes are 8 KiB. Above it the set keeps the smallest hashes and is marked as
// capped: its size is a lower bound, as long as no call is taken back.
const MaxDistinct = 512

// MaxSamples bounds the call ids kept with a window. A call that is taken back
// stays among them: it was made, and only its credit moves.
const MaxSamples = 5

// add adds n to counter id, keeping the counters sorted and free of zeros.
func add(list []wire.Counter, id wire.CounterID, n int64) []wire.Counter {
	if n == 0 {
		return list
	}
	i := 0
	for i < len(list) && list[i].ID < id { // a window has about six counters
		i++
	}
	if i == len(list) || list[i].ID != id {
		return slices.Insert(list, i, wire.Counter{ID: id, N: n})
	}
	if list[i].N += n; list[i].N == 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// Get returns counter id of p.
func Get(p *wire.Partial, id wire.CounterID) int64 {
	for _, c := range p.Counters {
		if c.ID == id {
			return c.N
		}
	}
	return 0
}

// Put sets counter id of p to n.
func Put(p *wire.Partial, id wire.CounterID, n int64) { p.Counters = add(p.Counters, id, n-Get(p, id)) }

// insert adds n occurrences of hash to a set. A full set keeps the smallest
// hashes, so that what it keeps does not depend on the order of arrival.
func insert(s *wire.Set, hash uint64, n int64) {
	i := sort.Search(len(s.Values), func(i int) bool { return s.Values[i].Hash >= hash })
	switch {
	case i < len(s.Values) && s.Values[i].Hash == hash:
		if s.Values[i].N += n; s.Values[i].N == 0 {
			s.Values = slices.Delete(s.Values, i, i+1)
		}
	case n < 0 && s.Capped: // taken back what was counted when the set was full
	case len(s.Values) < MaxDistinct:
		s.Values = slices.Insert(s.Values, i, wire.HashCount{Hash: hash, N: n})
	default:
		if s.Capped = true; i < MaxDistinct {
			copy(s.Values[i+1:], s.Values[i:MaxDistinct-1])
			s.Values[i] = wire.HashCount{Hash: hash, N: n}
		}
	}
}

// Merge adds q to p; both are of the same window of the same entity. Of q only
// the samples' strings are kept.
func Merge(p, q *wire.Partial) {
	if len(p.Counters) == 0 { // most windows see one partial only: copied whole, in one allocation
		p.Counters = append(p.Counters, q.Counters...)
	} else {
		for _, c := range q.Counters {
			p.Counters = add(p.Counters, c.ID, c.N)
		}
	}
	for i := range q.Sets {
		if len(p.Sets[i].Values) == 0 && !p.Sets[i].Capped && len(q.Sets[i].Values) <= MaxDistinct {
			p.Sets[i].Values = append(p.Sets[i].Values, q.Sets[i].Values...)
		} else {
			for _, v := range q.Sets[i].Values {
				insert(&p.Sets[i], v.Hash, v.N)
			}
		}
		p.Sets[i].Capped = p.Sets[i].Capped || q.Sets[i].Capped
	}
	for _, id := range q.Samples {
		if i, ok := place(p, id); ok {
			sample(p, i, id)
		}
	}
	if q.Binding.Newer(p.Binding) { // the newest of all is the same in any order, and however often it comes
		b := *q.Binding
		p.Binding = &b
	}
}

// place tells whether id belongs to the samples of p, and where: the smallest
// ids are kept, so that the samples do not depend on the order of arrival.
func place(p *wire.Partial, id string) (i int, ok bool) {
	i, found := slices.BinarySearch(p.Samples, id)
	return i, !found && i < MaxSamples
}

func sample(p *wire.Partial, i int, id string) {
	p.Samples = slices.Insert(p.Samples, i, id)
	p.Samples = p.Samples[:min(len(p.Samples), MaxSamples)]
}

// Empty tells whether p changes nothing, as when it took back the only call that
// it counted.
func Empty(p *wire.Partial) bool { return p.Binding == nil && NoCounts(p) }

// NoCounts tells whether p changes no count. A call that moves from one principal
// to another changes no counter of its KMS key, but the key's set of principals.
func NoCounts(p *wire.Partial) bool {
	for i := range p.Sets {
		if len(p.Sets[i].Values) > 0 {
			return false
		}
	}
	return len(p.Counters) == 0
}

// origin adds where a principal's call came from.
func origin(p *wire.Partial, c *Call, n int64) {
	if c.Network != 0 {
		insert(&p.Sets[wire.SetNetworks], uint64(c.Network), n)
	}
	if c.Client != 0 {
		insert(&p.Sets[wire.SetClients], uint64(c.Client), n)
	}
}

// count adds one call (n = 1), or takes it back (n = -1).
func count(p *wire.Partial, c *Call, n int64, other string) {
	p.Counters = add(p.Counters, wire.CounterCalls, n)
	p.Counters = add(p.Counters, wire.CounterClass+wire.CounterID(c.Class), n)
	p.Counters = add(p.Counters, wire.CounterContext+wire.CounterID(c.Context), n)
	switch c.Outcome {
	case normalize.OutcomeDenied:
		p.Counters = add(p.Counters, wire.CounterDenied, n)
		if p.Scope == wire.ScopePrincipal && c.KeyARN != normalize.NoEntity {
			insert(&p.Sets[wire.SetRefused], wire.EntityHash(c.KeyARN), n)
		}
	case normalize.OutcomeFailed:
		p.Counters = add(p.Counters, wire.CounterFailed, n)
	}
	if c.Direct {
		p.Counters = add(p.Counters, wire.CounterDirect, n)
	} else {
		p.Counters = add(p.Counters, wire.CounterService, n)
	}
	if c.Cross {
		p.Counters = add(p.Counters, wire.CounterCrossAccount, n)
	}
	if c.Self {
		p.Counters = add(p.Counters, wire.CounterSelf, n)
	}
	if c.Unusable {
		p.Counters = add(p.Counters, wire.CounterUnusableKey, n)
	}
	if p.Scope == wire.ScopePrincipal && !c.Self {
		origin(p, c, n)
	}
	rules, blind := c.Rules.Kinds()
	p.Counters = add(p.Counters, wire.CounterRule, n*(int64(rules)+int64(c.Matched)))
	p.Counters = add(p.Counters, wire.CounterBlindSpot, n*int64(blind))
	p.Counters = add(p.Counters, wire.CounterSuppressed, n*int64(c.Suppressed))
	p.Counters = add(p.Counters, wire.CounterWithheld, n*int64(c.Withheld))
	if c.Object != 0 {
		insert(&p.Sets[wire.SetObjects], c.Object, n)
		if c.Context == normalize.ContextSecret || c.Context == normalize.ContextSSMParameter {
			insert(&p.Sets[wire.SetSecrets], c.Object, n)
		}
	}
	if other != "" && other != normalize.NoEntity {
		insert(&p.Sets[wire.SetPeers], wire.EntityHash(other), n)
	}
	if n > 0 {
		if i, ok := place(p, c.IDText); ok {
			sample(p, i, strings.Clone(c.IDText)) // it may be a view into a buffer that is used again
		}
	}
}
