package entity

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"

	"keytrail/schemas/cloud"
	"keytrail/schemas/wire"
)

// NewStore returns an empty Store that keeps about hot entities unpacked, at most.
func NewStore(hot int) Store {
	return Store{index: index{seed: maphash.MakeSeed()}, active: noSlab, most: hot, Waste: 3}
}

// Len returns the number of entities.
func (s *Store) Len() int { return len(s.slots) - len(s.free) }

// Slots returns the number of slots, used or not. Slots are numbered from 0.
func (s *Store) Slots() int { return len(s.slots) }

// Used reports whether a slot has an entity.
func (s *Store) Used(i uint32) bool { return s.slots[i].slab != noSlab }

// Marks returns the marks of an entity. The pointer is valid until the next Add.
func (s *Store) Marks(i uint32) *Marks { return &s.slots[i].Marks }

// Size returns the size in bytes of the packed entities. At most a third of it is out of
// date.
func (s *Store) Size() int {
	n := 0
	for i := range s.slabs { // about one per MiB
		n += cap(s.slabs[i].b)
	}
	return n
}

// Name returns the name of an entity.
func (s *Store) Name(i uint32) wire.Entity {
	if k := s.slots[i].hot; k != 0 {
		return s.hot[k-1].Entity
	}
	p := s.At(i)
	return wire.Entity{Scope: p.Scope, Key: s.expand(p.Key), Principal: s.expand(p.Principal)}
}

func (s *Store) expand(short []byte) string {
	s.text = s.names.expand(s.text[:0], short)
	return string(s.text)
}

// Short returns the short form of a name. The caller owns the result.
func (s *Store) Short(name string) []byte { return s.names.shorten(nil, name) }

// CompareKeys orders two entities by the names of their KMS keys, then by slot.
func (s *Store) CompareKeys(i, j uint32) int {
	return cmp.Or(s.names.compare(s.At(i).Key, s.At(j).Key), cmp.Compare(i, j))
}

// named is a slot with the short names of its entity.
type named struct {
	key, principal []byte
	slot           uint32
}

// OfScope returns the entities of one scope in order of name, so that results come in the
// same order everywhere, and the others.
func (s *Store) OfScope(all []uint32, scope wire.Scope) (list, rest []uint32) {
	for _, i := range all {
		if p := s.At(i); p.Scope == scope {
			s.order = append(s.order, named{p.Key, p.Principal, i})
		} else {
			rest = append(rest, i)
		}
	}
	slices.SortFunc(s.order, func(a, b named) int {
		if c := s.names.compare(a.key, b.key); c != 0 {
			return c
		}
		return s.names.compare(a.principal, b.principal)
	})
	list = make([]uint32, len(s.order))
	for k := range s.order {
		list[k] = s.order[k].slot
	}
	clear(s.order) // it holds slabs
	s.order = s.order[:0]
	return list, rest
}

// name returns a packed entity's name alone. Its parts are valid until the next call.
func (s *Store) name(e wire.Entity) Packed {
	s.short = [2][]byte{s.names.shorten(s.short[0][:0], e.Key), s.names.shorten(s.short[1][:0], e.Principal)}
	return Packed{Scope: e.Scope, Key: s.short[0], Principal: s.short[1]}
}

// Add makes a slot without state for a new entity. It copies the names.
func (s *Store) Add(e wire.Entity) uint32 { return s.AddPacked(e, nil) }

// AddPacked makes a slot for a new entity with its packed state, which it copies.
func (s *Store) AddPacked(e wire.Entity, state []byte) uint32 {
	var i uint32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		i = uint32(len(s.slots))
		s.slots = append(s.slots, entry{})
	}
	s.slots[i] = entry{slab: noSlab, hash: s.index.hash(e)}
	s.index.add(s.slots, i)
	p := s.name(e)
	p.State = state
	s.put(i, p)
	return i
}

// Find returns the slot of an entity, if it is known.
func (s *Store) Find(e wire.Entity) (uint32, bool) {
	want := s.name(e)
	return s.index.find(s.slots, s.index.hash(e), func(i uint32) bool {
		p := s.At(i)
		return p.Scope == e.Scope && bytes.Equal(p.Key, want.Key) && bytes.Equal(p.Principal, want.Principal)
	})
}

// Remove forgets an entity.
func (s *Store) Remove(i uint32) {
	s.index.remove(s.slots, i)
	s.cool(i)
	s.bury(i)
	s.slots[i] = entry{slab: noSlab}
	s.free = append(s.free, i)
}

// Get returns an unpacked entity. It is valid until the next Trim, which keeps its
// changes if it is Stale.
func (s *Store) Get(i uint32) *Entity {
	if k := s.slots[i].hot; k != 0 {
		return s.hot[k-1]
	}
	ent, err := s.Load(i)
	if err != nil { // everything packed was unpacked before, or packed here
		panic(err)
	}
	s.hot = append(s.hot, ent)
	s.slots[i].hot = uint32(len(s.hot))
	return ent
}

// Load unpacks an entity without keeping it: changes to the result are lost unless Save
// is called. Damaged state gives an error that wraps wire.ErrFrame.
func (s *Store) Load(i uint32) (*Entity, error) {
	p, name := s.At(i), s.Name(i)
	if len(p.State) == 0 {
		return &Entity{Entity: name, Slot: i}, nil
	}
	ent, err := unpack(name, p.State)
	if err != nil {
		return nil, err
	}
	if ent.Slot = i; ent.Scope != wire.ScopeKey {
		ent.Account = AccountNumber(cloud.Account(ent.Principal))
	}
	return ent, nil
}

// AccountNumber returns an account id as a number, or 0 if it is not one.
func AccountNumber(id string) uint64 {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil || len(id) > 12 {
		return 0
	}
	return n
}

// Age returns when a call or a binding last named an entity, and its numbers of windows
// and roll-ups. It does not unpack the entity.
func (s *Store) Age(i uint32) (last int64, windows int) {
	if k := s.slots[i].hot; k != 0 {
		ent := s.hot[k-1]
		return ent.Last, len(ent.Windows) + len(ent.Rollups)
	}
	return packedAge(wire.NewDecoder(s.At(i).State))
}
