package entity

import (
	"cmp"
	"slices"

	"keytrail/processor/count"
	"keytrail/schemas/wire"
)

// Covers reports whether the entity's window contains everything that p takes back.
func (ent *Entity) Covers(p *wire.Partial) bool {
	w := ent.Find(p.Start)
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
	i, found := slices.BinarySearchFunc(s.Values, hash, func(v wire.HashCount, h uint64) int {
		return cmp.Compare(v.Hash, h)
	})
	if !found {
		return 0
	}
	return s.Values[i].N
}
