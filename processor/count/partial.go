package count

import (
	"slices"

	"keytrail/schemas/wire"
)

// MaxDistinct bounds every set of distinct values in a window: 512 values of 16 bytes are
// 8 KiB. Above it the set keeps the smallest hashes and is marked as capped. Its size is then
// a lower bound, unless calls are taken back.
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

// insert adds n occurrences of hash to a set. A full set keeps the smallest hashes, so its
// content does not depend on the order of arrival.
func insert(s *wire.Set, hash uint64, n int64) {
	i, end := 0, len(s.Values)
	for i < end { // written out, because counting spends most of its time here
		if m := int(uint(i+end) >> 1); s.Values[m].Hash < hash {
			i = m + 1
		} else {
			end = m
		}
	}
	switch {
	case i < len(s.Values) && s.Values[i].Hash == hash:
		if s.Values[i].N += n; s.Values[i].N == 0 {
			s.Values = slices.Delete(s.Values, i, i+1)
		}
	case n < 0 && s.Capped: // takes back a value that was counted when the set was full
	case len(s.Values) < MaxDistinct:
		s.Values = slices.Insert(s.Values, i, wire.HashCount{Hash: hash, N: n})
	default:
		if s.Capped = true; i < MaxDistinct {
			copy(s.Values[i+1:], s.Values[i:MaxDistinct-1])
			s.Values[i] = wire.HashCount{Hash: hash, N: n}
		}
	}
}

// Merge adds q to p; both are of the same window of the same entity. It retains only those
// samples of q that are not UUIDs.
func Merge(p, q *wire.Partial) {
	if len(p.Counters) == 0 { // most windows get a single partial: copied whole, in one allocation
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
		if i, ok := spot(p, id); ok {
			sample(p, i, id)
		}
	}
	if q.Binding.Newer(p.Binding) { // the newest of all is the same in any order, and however often it is merged
		b := *q.Binding
		p.Binding = &b
	}
}

// spot reports whether id belongs to the samples of p, and its place. The smallest ids are
// kept, so the samples do not depend on the order of arrival.
func spot(p *wire.Partial, id wire.Sample) (i int, ok bool) {
	for i = len(p.Samples); i > 0; i-- { // nearly all ids of a busy entity are above the last
		switch c := id.Compare(p.Samples[i-1]); {
		case c == 0:
			return i, false
		case c > 0:
			return i, i < MaxSamples
		}
	}
	return 0, true
}

func sample(p *wire.Partial, i int, id wire.Sample) {
	if len(p.Samples) < MaxSamples {
		p.Samples = append(p.Samples, wire.Sample{})
	}
	copy(p.Samples[i+1:], p.Samples[i:])
	p.Samples[i] = id
}

// Empty reports whether p changes nothing, as when it took back the only call that it
// counted.
func Empty(p *wire.Partial) bool { return p.Binding == nil && NoCounts(p) }

// NoCounts reports whether p changes no count. A call that moves from one principal to
// another changes the set of principals of its KMS key, and none of the key's counters.
func NoCounts(p *wire.Partial) bool {
	for i := range p.Sets {
		if len(p.Sets[i].Values) > 0 {
			return false
		}
	}
	return len(p.Counters) == 0
}

// TakesBack reports whether p takes calls back: a count of it is negative.
func TakesBack(p *wire.Partial) bool {
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

// origin adds the origin of a principal's call.
func origin(p *wire.Partial, c *Call, n int64) {
	if c.Network != 0 {
		insert(&p.Sets[wire.SetNetworks], uint64(c.Network), n)
	}
	if c.Client != 0 {
		insert(&p.Sets[wire.SetClients], uint64(c.Client), n)
	}
}
