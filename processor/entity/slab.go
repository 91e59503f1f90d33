package entity

import (
	"encoding/binary"

	"keytrail/schemas/wire"
)

// Store keeps entities by name. A million of them take a few hundred bytes each, in slabs
// without pointers, into which the garbage collector does not look. Only some are unpacked.
// It is not safe for concurrent use.
//
// A slab is written from its beginning to its end and never changed, so views into it stay
// valid. An entity that is packed again takes new room. Once a third of a slab is out of
// date, the Store moves the rest and drops the slab.
type Store struct {
	index  index
	slots  []entry
	free   []uint32 // slots that are not in use
	slabs  []slab
	active uint32   // the slab that is written now
	spare  []uint32 // slabs that were dropped
	due    []uint32 // slabs to drop
	hot    []*Entity
	most   int // bounds hot
	names  names
	short  [2][]byte // the short names of the entity that is looked up
	text   []byte    // memory of expand
	enc    wire.Encoder
}

// noSlab is the slab of a slot that is not in use, and the active one when there is none.
const noSlab = ^uint32(0)

// slab is a piece of memory that holds packed entities one behind the other.
type slab struct {
	b    []byte
	dead int // bytes that are out of date
}

const (
	slabSize = 1 << 20
	// The first slab is small, and each further one twice as large up to slabSize, so that
	// a partition with a handful of entities does not take a MiB for them.
	firstSlab = 2 << 10
	// Hot is how many entities an engine keeps unpacked: at some 2 kB each, 8 MB.
	Hot = 4096
)

// Packed is an entity in a slab. Its parts are views, which are never changed. Key and
// Principal are the short forms of its names.
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

// maxHead is the most that the head of a packed entity takes.
const maxHead = 1 + 4*binary.MaxVarintLen32

// At returns the packed form of an entity. Its names are always right; its state may be
// out of date while the entity is unpacked.
func (s *Store) At(i uint32) Packed {
	at := &s.slots[i]
	return parse(s.slabs[at.slab].b[at.offset:])
}

// Pack returns the packed form of an entity as it is now.
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

// Trim packs all entities when too many are unpacked, and drops slabs of which too much is
// out of date. The caller calls it between two pieces of work, never within one.
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
	for len(s.due) > 0 { // moving what a slab holds can make another one due
		k := s.due[len(s.due)-1]
		s.due = s.due[:len(s.due)-1]
		s.drop(k)
	}
}

// cool takes an entity from those that are unpacked.
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

// put writes the packed form of an entity, and returns where it is now.
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

// open makes a slab of so many bytes the active one.
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
	if limit := cap(of.b) / 3; before <= limit && of.dead > limit {
		s.due = append(s.due, at.slab)
	}
}

// drop moves the entities of a slab that are not out of date, and drops the slab.
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
