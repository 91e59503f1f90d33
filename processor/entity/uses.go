package entity

import (
	"keytrail/processor/count"
	"keytrail/schemas/wire"
)

// Uses returns the number of calls of w that used key material, without the collector's
// own: those that are compared with the usual number.
func (w *Window) Uses() int64 { return w.ToJudge() - count.Get(&w.Partial, wire.CounterUnused) }

// Used returns the peers of w with at least one call that used key material: the KMS keys
// of a principal, or the principals of a KMS key.
func (w *Window) Used() []wire.HashCount {
	all, unused := w.Sets[wire.SetPeers].Values, w.Sets[wire.SetUnused].Values
	if len(unused) == 0 {
		return all
	}
	used := make([]wire.HashCount, 0, len(all))
	for _, v := range all { // both are sorted by hash
		for len(unused) > 0 && unused[0].Hash < v.Hash {
			unused = unused[1:]
		}
		if len(unused) > 0 && unused[0].Hash == v.Hash {
			v.N -= unused[0].N
		}
		if v.N > 0 {
			used = append(used, v)
		}
	}
	return used
}

// distinct returns how many values of a set are compared with the most before: of the
// peers those that used key material.
func (w *Window) distinct(id wire.SetID) int {
	if id == wire.SetPeers {
		return len(w.Used())
	}
	return len(w.Sets[id].Values)
}

// Top keeps the most distinct values of each set.
func (ent *Entity) Top(w *Window) {
	for i := range ent.High {
		ent.High[i] = max(ent.High[i], w.distinct(wire.SetID(i)))
	}
}
