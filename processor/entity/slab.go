package entity

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
