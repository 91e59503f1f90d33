// Package dedup remembers the ids of counted calls, within a horizon of event time. It is
// pure and stores only ids, 128 bits each: at 64 bits a false duplicate, which would
// silently drop a call, becomes likely within a billion calls.
package dedup

import (
	"encoding/binary"
	"hash/maphash"
	"iter"

	"keytrail/schemas/wire"
)

// Span is the event time, in ns, of one bucket: ids are forgotten by buckets, so that
// they need no individual times.
const Span = int64(600e9)

// Set is a set of call ids that forgets by event time. All copies of a call have the same
// event time; the adjacent buckets are searched as well, so that copies whose times
// differ by up to ten minutes are still one call. Not safe for concurrent use.
//
// Memory: 16 bytes per id at a load of 3/8 to 3/4, so 21 to 43 bytes per id within the
// horizon: a million calls an hour with a horizon of two hours take 45 to 90 MB.
type Set struct {
	buckets map[int64]*table
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{buckets: make(map[int64]*table)} }

// Add remembers id, of a call at event time at (ns), and reports whether it was
// new.
func (s *Set) Add(id wire.CallID, at int64) bool {
	b := at / Span
	for _, beside := range [...]int64{b - 1, b + 1} {
		if t := s.buckets[beside]; t != nil && t.has(id) {
			return false
		}
	}
	t := s.buckets[b]
	if t == nil {
		t = &table{seed: maphash.MakeSeed()}
		s.buckets[b] = t
	}
	return t.add(id)
}

// Has reports whether id, of a call at event time at (ns), is in the set.
func (s *Set) Has(id wire.CallID, at int64) bool {
	for b := at/Span - 1; b <= at/Span+1; b++ {
		if t := s.buckets[b]; t != nil && t.has(id) {
			return true
		}
	}
	return false
}

// Forget drops the ids of calls before the event time before (ns), in whole
// buckets.
func (s *Set) Forget(before int64) {
	for b := range s.buckets {
		if (b+1)*Span <= before {
			delete(s.buckets, b)
		}
	}
}

// table is a hash table with open addressing and linear probing. Ids are UUIDs or hashes,
// and a hostile producer may choose them: any 128 bits are a UUID. An id's slot therefore
// depends on a random seed that never leaves the process. Without it a producer could
// compute ids that collide in one slot, and make each Add probe all the others. The
// runtime protects its maps in the same way, with the same function. Each table has its
// own seed, so that observing one reveals nothing about the next.
type table struct {
	seed  maphash.Seed
	slots []wire.CallID
	n     int
	zero  bool // the all-zero id, which marks an empty slot, is in the set
}

func (t *table) add(id wire.CallID) bool {
	if id == (wire.CallID{}) {
		if t.zero {
			return false
		}
		t.zero = true
		t.n++
		return true
	}
	if 4*(t.n+1) > 3*len(t.slots) {
		t.grow()
	}
	i := t.slot(id)
	if t.slots[i] == id {
		return false
	}
	t.slots[i] = id
	t.n++
	return true
}

func (t *table) has(id wire.CallID) bool {
	if id == (wire.CallID{}) {
		return t.zero
	}
	return len(t.slots) > 0 && t.slots[t.slot(id)] == id
}

// slot returns the slot of id, or where it would go.
func (t *table) slot(id wire.CallID) uint64 {
	mask := uint64(len(t.slots) - 1)
	i := maphash.Bytes(t.seed, id[:]) & mask
	for t.slots[i] != (wire.CallID{}) && t.slots[i] != id {
		i = (i + 1) & mask
	}
	return i
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]wire.CallID, max(64, 2*len(old)))
	for _, id := range old {
		if id != (wire.CallID{}) {
			t.slots[t.slot(id)] = id
		}
	}
}

// Key is an entry of the log of counted calls: an id and its bucket.
type Key struct {
	ID   wire.CallID
	Time int64
}

// KeySize is the length of a key in the form of AppendKeys.
const KeySize = 24

// AppendKeys appends keys to dst in the form of the dedup topic: 16 bytes of id
// and 8 of event time each.
func AppendKeys(dst []byte, keys []Key) []byte {
	for _, k := range keys {
		dst = append(dst, k.ID[:]...)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(k.Time))
	}
	return dst
}

// Keys yields the keys in b and ignores remaining bytes at the end.
func Keys(b []byte) iter.Seq[Key] {
	return func(yield func(Key) bool) {
		for len(b) >= KeySize {
			k := Key{ID: wire.CallID(b[:16]), Time: int64(binary.LittleEndian.Uint64(b[16:KeySize]))}
			if !yield(k) {
				return
			}
			b = b[KeySize:]
		}
	}
}
