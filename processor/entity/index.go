package entity

import (
	"hash/maphash"

	"keytrail/schemas/wire"
)

// entry is the content of a slot: the location of one entity, for as long as it is known.
type entry struct {
	slab, offset uint32
	hash         uint32 // of the entity, for the index
	hot          uint32 // the place in hot, plus one
	Marks
}

// Marks are the notes of a Store's owner on an entity. They are not packed.
type Marks struct {
	Dirty   bool   // changed since the owner wrote it to the changelog
	Watched bool   // a time is set at which its silence is judged
	Due     uint16 // when its owner looks at it again
}

// index finds slots by the hash of their entity. It is a table with open addressing and
// linear probing that contains only slot numbers: 5 to 11 bytes per entity, where a map
// from hashes would take 30. Each process has its own seed, so no caller can choose names
// that collide.
type index struct {
	seed  maphash.Seed
	table []uint32 // slots plus one; 0 is free. The length is a power of two
	n     int
}

func (x *index) hash(e wire.Entity) uint32 { return uint32(maphash.Comparable(x.seed, e)) }

// find returns the slot of a hash for which is reports true.
func (x *index) find(slots []entry, hash uint32, is func(slot uint32) bool) (uint32, bool) {
	if x.n == 0 {
		return 0, false
	}
	mask := uint32(len(x.table) - 1)
	for p := hash & mask; x.table[p] != 0; p = (p + 1) & mask {
		if i := x.table[p] - 1; slots[i].hash == hash && is(i) {
			return i, true
		}
	}
	return 0, false
}

// add puts a slot with its hash into the table.
func (x *index) add(slots []entry, slot uint32) {
	if 4*(x.n+1) > 3*len(x.table) {
		old := x.table
		x.table = make([]uint32, max(64, 2*len(old)))
		for _, i := range old {
			if i != 0 {
				x.place(slots, i-1)
			}
		}
	}
	x.place(slots, slot)
	x.n++
}

func (x *index) place(slots []entry, slot uint32) {
	mask := uint32(len(x.table) - 1)
	p := slots[slot].hash & mask
	for x.table[p] != 0 {
		p = (p + 1) & mask
	}
	x.table[p] = slot + 1
}

// remove removes a slot from the table, and moves the slots after it that would not be
// found any longer (Knuth, The Art of Computer Programming, volume 3, section 6.4,
// algorithm R).
func (x *index) remove(slots []entry, slot uint32) {
	mask := uint32(len(x.table) - 1)
	hole := slots[slot].hash & mask
	for x.table[hole] != slot+1 {
		hole = (hole + 1) & mask
	}
	for p := (hole + 1) & mask; x.table[p] != 0; p = (p + 1) & mask {
		home := slots[x.table[p]-1].hash & mask
		if (p-home)&mask >= (p-hole)&mask { // its home is not between the hole and itself
			x.table[hole] = x.table[p]
			hole = p
		}
	}
	x.table[hole] = 0
	x.n--
}
