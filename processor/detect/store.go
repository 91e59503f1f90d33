package detect

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"

	"keytrail/schemas/wire"
)

// store keeps entities by name, packed: a million of them are a few hundred bytes
// each, in slabs without pointers, which the collector of garbage does not look
// into. Those at work are unpacked, as many as maxHot. Not safe for concurrent use.
//
// A slab is written from its beginning to its end and never changed, so that a view
// into it stays what it was; an entity that is packed again takes new room. A slab of
// which a third is out of date is given up, and what still counts in it moved.
type store struct {
	index  index
	slots  []entry
	free   []uint32 // slots that are not in use
	slabs  []slab
	active uint32   // the slab that is written now
	spare  []uint32 // slabs that were given up
	due    []uint32 // slabs to give up
	hot    []*Entity
	most   int // bounds hot: maxHot, but for tests
	names  names
	short  [2][]byte // the short names of the entity that is asked for
	enc    wire.Encoder
}

// entry is what a slot holds: where one entity is, for as long as it is known.
type entry struct {
	slab, offset uint32
	hash         uint32 // of the entity, for the index
	hot          uint32 // the place in hot, plus one
	dirty        bool   // changed since the last Changes
	watched      bool   // its silence will be judged
}

// noSlab is the slab of a slot that is not in use, and the active one when there is
// none.
const noSlab = ^uint32(0)

// slab is a piece of memory that holds packed entities one behind the other: a head,
// the two parts of the name in their short form, the state.
type slab struct {
	b    []byte
	dead int // bytes that are out of date
}

const (
	slabSize = 1 << 20
	// The first slab is small, and each further one twice as large up to slabSize: a
	// partition with a handful of entities does not take a MiB for them.
	firstSlab = 2 << 10
	// maxHot bounds the unpacked entities: at some 2 kB each, 8 MB.
	maxHot = 4096
)

func newStore() store {
	return store{index: index{seed: maphash.MakeSeed()}, active: noSlab, most: maxHot}
}

// len returns the number of entities.
func (s *store) len() int { return len(s.slots) - len(s.free) }

// packed is an entity in a slab. Its parts are views. Its head are the scope, the slot
// and the lengths of the others: eight bytes of most.
type packed struct {
	scope          wire.Scope
	slot           uint32
	key, principal []byte // short
	state          []byte
	size           int // with its head
}

func parse(b []byte) packed {
	p, at := packed{scope: wire.Scope(b[0])}, 1
	number := func() int {
		v, n := binary.Uvarint(b[at:])
		at += n
		return int(v)
	}
	slot, key, principal, state := number(), number(), number(), number()
	p.slot, p.size = uint32(slot), at+key+principal+state
	b = b[at:p.size:p.size]
	p.key, p.principal, p.state = b[:key], b[key:key+principal], b[key+principal:]
	return p
}

// append appends p to a slab.
func (p *packed) append(b []byte) []byte {
	b = append(b, byte(p.scope))
	for _, v := range [...]int{int(p.slot), len(p.key), len(p.principal), len(p.state)} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return append(append(append(b, p.key...), p.principal...), p.state...)
}

// maxHead is the most that the head of a packed entity takes.
const maxHead = 1 + 4*binary.MaxVarintLen32

// at returns the packed form of an entity, which may be out of date when it is hot;
// its name never is.
func (s *store) at(i uint32) packed {
	at := &s.slots[i]
	return parse(s.slabs[at.slab].b[at.offset:])
}

// name returns the name of an entity.
func (s *store) name(i uint32) wire.Entity {
	if k := s.slots[i].hot; k != 0 {
		return s.hot[k-1].Entity
	}
	p := s.at(i)
	return wire.Entity{Scope: p.scope, KeyARN: s.names.expand(p.key), Principal: s.names.expand(p.principal)}
}

// named returns the packed form of an entity's name alone, whose parts are valid until
// the next call.
func (s *store) named(e wire.Entity) packed {
	s.short = [2][]byte{s.names.short(s.short[0][:0], e.KeyARN), s.names.short(s.short[1][:0], e.Principal)}
	return packed{scope: e.Scope, key: s.short[0], principal: s.short[1]}
}

// add makes a slot for an entity that has none, without state.
func (s *store) add(e wire.Entity) uint32 {
	var i uint32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		i = uint32(len(s.slots))
		s.slots = append(s.slots, entry{})
	}
	s.slots[i] = entry{slab: noSlab, hash: s.index.hash(e)}
	s.index.add(s.slots, i)
	s.put(i, s.named(e))
	return i
}

// find returns an entity's slot.
func (s *store) find(e wire.Entity) (uint32, bool) {
	want := s.named(e)
	return s.index.find(s.slots, s.index.hash(e), func(i uint32) bool {
		p := s.at(i)
		return p.scope == e.Scope && bytes.Equal(p.key, want.key) && bytes.Equal(p.principal, want.principal)
	})
}

// remove forgets an entity.
func (s *store) remove(i uint32) {
	s.index.remove(s.slots, i)
	s.cool(i)
	s.bury(i)
	s.slots[i] = entry{slab: noSlab}
	s.free = append(s.free, i)
}

// cool takes an entity from those that are unpacked.
func (s *store) cool(i uint32) {
	k := s.slots[i].hot
	if k == 0 {
		return
	}
	last := len(s.hot) - 1
	s.hot[k-1] = s.hot[last]
	s.slots[s.hot[k-1].slot].hot = k
	s.hot[last] = nil
	s.hot, s.slots[i].hot = s.hot[:last], 0
}

// put writes the packed form of an entity, and returns where it is now.
func (s *store) put(i uint32, p packed) packed {
	p.slot = i
	most := maxHead + len(p.key) + len(p.principal) + len(p.state)
	s.bury(i)
	if s.active == noSlab || len(s.slabs[s.active].b)+most > cap(s.slabs[s.active].b) {
		s.open(max(min(slabSize, firstSlab<<min(len(s.slabs), 9)), most))
	}
	into := &s.slabs[s.active]
	s.slots[i].slab, s.slots[i].offset = s.active, uint32(len(into.b))
	into.b = p.append(into.b)
	return s.at(i)
}

// rewrite writes an entity's state.
func (s *store) rewrite(i uint32, state []byte) packed {
	p := s.at(i)
	p.state = state
	return s.put(i, p)
}

// open makes a slab of so many bytes the active one.
func (s *store) open(size int) {
	if n := len(s.spare); n > 0 {
		s.active, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		s.active = uint32(len(s.slabs))
		s.slabs = append(s.slabs, slab{})
	}
	s.slabs[s.active] = slab{b: make([]byte, 0, size)}
}

// bury marks the packed form of an entity as out of date.
func (s *store) bury(i uint32) {
	at := s.slots[i]
	if at.slab == noSlab {
		return
	}
	of := &s.slabs[at.slab]
	before := of.dead
	of.dead += s.at(i).size
	if limit := cap(of.b) / 3; before <= limit && of.dead > limit {
		s.due = append(s.due, at.slab)
	}
}

// get returns an entity, unpacked. It is valid until the next trim, and changes to it
// are kept when it is stale then.
func (s *store) get(i uint32) *Entity {
	if k := s.slots[i].hot; k != 0 {
		return s.hot[k-1]
	}
	ent, err := s.load(i)
	if err != nil { // all that is packed was unpacked before, or packed here
		panic(err)
	}
	s.hot = append(s.hot, ent)
	s.slots[i].hot = uint32(len(s.hot))
	return ent
}

// load unpacks an entity without keeping it at hand.
func (s *store) load(i uint32) (*Entity, error) {
	p, name := s.at(i), s.name(i)
	if len(p.state) == 0 {
		return &Entity{Entity: name, slot: i}, nil
	}
	ent, err := unpack(name, p.state)
	if err == nil {
		ent.slot = i
	}
	return ent, err
}

// pack returns the packed form of an entity as it is now.
func (s *store) pack(i uint32) packed {
	k := s.slots[i].hot
	if k == 0 || !s.hot[k-1].stale {
		return s.at(i)
	}
	return s.save(s.hot[k-1])
}

// save packs an entity.
func (s *store) save(ent *Entity) packed {
	ent.stale = false
	s.enc.Reset()
	encodeEntity(&s.enc, ent, s.at(ent.slot).state)
	return s.rewrite(ent.slot, s.enc.B)
}

// trim packs all entities when more than s.most are unpacked, and gives up slabs of
// which too much is out of date. Called between two pieces of work, never within one.
func (s *store) trim() {
	if len(s.hot) > s.most {
		for k, ent := range s.hot {
			if ent.stale {
				s.save(ent)
			}
			s.slots[ent.slot].hot, s.hot[k] = 0, nil
		}
		s.hot = s.hot[:0]
	}
	for len(s.due) > 0 { // moving what a slab holds can make another one due
		k := s.due[len(s.due)-1]
		s.due = s.due[:len(s.due)-1]
		s.give(k)
	}
}

// give moves what still counts in a slab, and gives the slab up.
func (s *store) give(k uint32) {
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
