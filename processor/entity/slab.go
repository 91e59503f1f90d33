package entity

import (
	"encoding/binary"

	"keytrail/schemas/wire"
)

// Store keeps entities by name. A million of them take a few hundred bytes each, in slabs
// without pointers, which the garbage collector does not scan. Only some are unpacked. It
// is not safe for concurrent use.
//
// A slab is written from beginning to end and never changed, so views into it stay valid.
// Packing an entity again takes new space. Once a part of a slab is out of date (Waste), the
// Store moves the rest and drops the slab.
type Store struct {
	index  index
	slots  []entry
	free   []uint32 // slots that are not in use
	slabs  []slab
	active uint32   // the slab being written
	spare  []uint32 // numbers of dropped slabs
	due    []uint32 // slabs to drop
	hot    []*Entity
	most   int // bounds hot
	// Waste is the part of a slab, 1/Waste, that may be out of date before the Store moves the
	// rest. A greater one saves memory and costs time.
	Waste int
	names names
	short [2][]byte // the short names of the entity being looked up
	text  []byte    // memory of expand
	enc   wire.Encoder
	order []named // memory of OfScope
}

// noSlab is the slab of an unused slot, and the active one if there is none.
const noSlab = ^uint32(0)

// slab is a piece of memory with consecutive packed entities.
type slab struct {
	b    []byte
	dead int // bytes that are out of date
}

const (
	slabSize = 1 << 20
	// The first slab is small, and each further one twice as large up to slabSize, so
	// that a partition with few entities does not take a MiB for them.
	firstSlab = 2 << 10
	// Hot is the number of entities that an engine keeps unpacked: at about 2 kB each, 8 MB.
	Hot = 4096
)

// Packed is an entity in a slab. Its parts are views that never change. Key and Principal
// are the short forms of its names.
type Packed struct {
	Scope          wire.Scope
	Key, Principal []byte
	State          []byte
	slot           uint32
	size           int // with its head: the scope, the slot and the lengths of the parts
}

func parse(b []byte) Packed {
	p, at := Packed{Scope: wire.Scope(b[0])}, 1
	number := func() int {
		v, n := binary.Uvarint(b[at:])
		at += n
		return int(v)
	}
	slot, key, principal, state := number(), number(), number(), number()
	p.slot, p.size = uint32(slot), at+key+principal+state
	b = b[at:p.size:p.size]
	p.Key, p.Principal, p.State = b[:key], b[key:key+principal], b[key+principal:]
	return p
}

// append appends p to a slab.
func (p *Packed) append(b []byte) []byte {
	b = append(b, byte(p.Scope))
	for _, v := range [...]int{int(p.slot), len(p.Key), len(p.Principal), len(p.State)} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return append(append(append(b, p.Key...), p.Principal...), p.State...)
}

// maxHead is the maximum size of a packed entity's head.
const maxHead = 1 + 4*binary.MaxVarintLen32

// At returns the packed form of an entity. Its names are always right; its state may be
// out of date while the entity is unpacked.
func (s *Store) At(i uint32) Packed {
	at := &s.slots[i]
	return parse(s.slabs[at.slab].b[at.offset:])
}

// Pack returns the current packed form of an entity.
func (s *Store) Pack(i uint32) Packed {
	k := s.slots[i].hot
	if k == 0 || !s.hot[k-1].Stale {
		return s.At(i)
	}
	return s.Save(s.hot[k-1])
}

// Save packs an entity of the Store.
func (s *Store) Save(ent *Entity) Packed {
	ent.Stale = false
	s.enc.Reset()
	encode(&s.enc, ent, s.At(ent.Slot).State)
	return s.Rewrite(ent.Slot, s.enc.B)
}

// Rewrite replaces the state of an entity, which it copies.
func (s *Store) Rewrite(i uint32, state []byte) Packed {
	p := s.At(i)
	p.State = state
	return s.put(i, p)
}

// Trim packs all entities if too many are unpacked, and drops slabs with too much
// outdated data. The caller calls it between two pieces of work, never within one.
func (s *Store) Trim() {
	if len(s.hot) > s.most {
		for k, ent := range s.hot {
			if ent.Stale {
				s.Save(ent)
			}
			s.slots[ent.Slot].hot, s.hot[k] = 0, nil
		}
		s.hot = s.hot[:0]
	}
	for len(s.due) > 0 { // moving one slab's entities may make another one due
		k := s.due[len(s.due)-1]
		s.due = s.due[:len(s.due)-1]
		s.drop(k)
	}
}

// cool removes an entity from the unpacked ones.
func (s *Store) cool(i uint32) {
	k := s.slots[i].hot
	if k == 0 {
		return
	}
	last := len(s.hot) - 1
	s.hot[k-1] = s.hot[last]
	s.slots[s.hot[k-1].Slot].hot = k
	s.hot[last] = nil
	s.hot, s.slots[i].hot = s.hot[:last], 0
}

// put writes the packed form of an entity, and returns its location.
func (s *Store) put(i uint32, p Packed) Packed {
	p.slot = i
	most := maxHead + len(p.Key) + len(p.Principal) + len(p.State)
	s.bury(i)
	if s.active == noSlab || len(s.slabs[s.active].b)+most > cap(s.slabs[s.active].b) {
		s.open(max(min(slabSize, firstSlab<<min(len(s.slabs), 9)), most))
	}
	into := &s.slabs[s.active]
	s.slots[i].slab, s.slots[i].offset = s.active, uint32(len(into.b))
	into.b = p.append(into.b)
	return s.At(i)
}

// open makes a slab of size bytes the active one.
func (s *Store) open(size int) {
	if n := len(s.spare); n > 0 {
		s.active, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		s.active = uint32(len(s.slabs))
		s.slabs = append(s.slabs, slab{})
	}
	s.slabs[s.active] = slab{b: make([]byte, 0, size)}
}

// bury marks the packed form of an entity as out of date.
func (s *Store) bury(i uint32) {
	at := s.slots[i]
	if at.slab == noSlab {
		return
	}
	of := &s.slabs[at.slab]
	before := of.dead
	of.dead += s.At(i).size
	if limit := cap(of.b) / s.Waste; before <= limit && of.dead > limit {
		s.due = append(s.due, at.slab)
	}
}

// drop moves the current entities of a slab, and drops the slab.
func (s *Store) drop(k uint32) {
	if s.active == k {
		s.active = noSlab
	}
	all := s.slabs[k].b
	for offset := 0; offset < len(all); {
		p := parse(all[offset:])
		if at := s.slots[p.slot]; at.slab == k && at.offset == uint32(offset) {
			s.put(p.slot, p)
		}
		offset += p.size
	}
	s.slabs[k] = slab{}
	s.spare = append(s.spare, k)
}
