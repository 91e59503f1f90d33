// Package keyledger keeps the ledger of KMS keys: what each key is, what happened to it,
// which names and grants it has, and when it was used last. It is pure: no Kafka, no clock.
//
// The ledger is a join-semilattice: Apply joins what one event states, and the join is
// commutative, associative and idempotent. Events may therefore come in any order, late and
// any number of times, in any number of copies, and end in the same ledger. Each fact keeps
// its newest value; CloudTrail's clock has seconds, so a rule chooses among values of one
// second, and the fact is marked (Fact.Tied). Nothing in it is a sum, because sums of
// repeated events would differ; package count counts.
//
// Everything is bounded: keys and bytes by New, aliases, grants and the history of a key by
// the constants. Distinct and Ledger.Unkept count the rest.
package keyledger

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"keytrail/processor/entity"
	"keytrail/schemas/cloud"
	"keytrail/schemas/wire"
)

// Ledger is the ledger of many keys. Keys are packed into slabs without pointers, and only
// some are unpacked. It is not safe for concurrent use.
type Ledger struct {
	keys   entity.Store
	hot    map[string]*Key // unpacked, by name
	words  words
	enc    wire.Encoder
	stores map[string]Fact // by account, Region and id
	added  int             // keys in hot that were not packed yet
	most   int
	bytes  int
	watching
	// Unkept counts events of keys and stores beyond the bounds, repetitions included.
	Unkept int64
}

// Bounds of a ledger. A key with two aliases and three grants takes some 250 bytes.
const (
	MaxKeys   = 1_000_000
	MaxBytes  = 1 << 30
	MaxStores = 1000
	hotKeys   = 1024
)

// New returns an empty ledger of at most MaxKeys keys in MaxBytes bytes.
func New() *Ledger {
	l := &Ledger{keys: entity.NewStore(0), hot: map[string]*Key{}, stores: map[string]Fact{}, most: MaxKeys,
		bytes: MaxBytes}
	l.keys.Waste = 16 // nearly all keys stay as they are
	return l
}

// Len returns the number of keys.
func (l *Ledger) Len() int { return l.keys.Len() + l.added }

// Packed returns the size of the packed keys in bytes.
func (l *Ledger) Packed() int { return l.keys.Size() }

// Find returns a key, or nil. The result is valid until the next Apply; the caller does not
// change it.
func (l *Ledger) Find(name string) *Key {
	if k := l.hot[name]; k != nil {
		return k
	}
	i, ok := l.keys.Find(wire.Entity{Scope: wire.ScopeKey, Key: name})
	if !ok {
		return nil
	}
	return l.get(i)
}

// open returns a key to be changed, a new one if it is unknown, or nil beyond the bounds.
func (l *Ledger) open(name string) *Key {
	if k := l.Find(name); k != nil {
		return k
	}
	if l.Len() >= l.most || l.keys.Size() >= l.bytes {
		l.Unkept++
		return nil
	}
	k := l.heat(&Key{Name: strings.Clone(name), slot: unpacked})
	l.added++
	return k
}

// unpacked is the slot of a new key that was not packed yet.
const unpacked = ^uint32(0)

// heat puts a key among the unpacked ones, and packs those before it if there are too many.
func (l *Ledger) heat(k *Key) *Key {
	if len(l.hot) >= hotKeys {
		l.Pack()
	}
	l.hot[k.Name] = k
	return k
}

// get unpacks a key.
func (l *Ledger) get(i uint32) *Key {
	k := &Key{Name: l.keys.Name(i).Key, slot: i}
	if old := l.hot[k.Name]; old != nil {
		return old
	}
	c := coder{dec: wire.NewDecoder(l.keys.At(i).State), words: &l.words}
	c.key(k)
	return l.heat(k)
}

// Pack packs all unpacked keys. Ledger does so by itself; measurements call it.
func (l *Ledger) Pack() {
	for _, name := range slices.Sorted(maps.Keys(l.hot)) {
		k := l.hot[name]
		if !k.stale {
			continue
		}
		l.enc.Reset()
		c := coder{enc: &l.enc, words: &l.words}
		c.key(k)
		if k.slot == unpacked {
			l.keys.AddPacked(wire.Entity{Scope: wire.ScopeKey, Key: name}, l.enc.B)
		} else {
			l.keys.Rewrite(k.slot, l.enc.B)
		}
	}
	l.added = 0
	clear(l.hot)
	l.keys.Trim()
}

// All calls f for every key, ordered by name, until f returns false. Aliases that point at
// another key by now have Moved set. A key is valid only during the call.
func (l *Ledger) All(f func(*Key) bool) {
	l.Pack()
	slots := l.slots()
	newest, _ := l.moved(slots, nil)
	slots, _ = l.keys.OfScope(slots, wire.ScopeKey)
	for _, i := range slots {
		k := l.get(i)
		l.move(k, i, newest)
		if !f(k) {
			return
		}
	}
}

// slots returns the slots of all packed keys.
func (l *Ledger) slots() []uint32 {
	list := make([]uint32, 0, l.keys.Len())
	for i := range uint32(l.keys.Slots()) {
		if l.keys.Used(i) {
			list = append(list, i)
		}
	}
	return list
}

// pointed is where an alias points, and since when.
type pointed struct {
	hash uint64
	at   int64
	of   uint32
}

// moved returns the newest target of each alias that more than one key has had, and these
// keys. It calls each, which may be nil, with every key.
func (l *Ledger) moved(slots []uint32, each func(*Key)) (newest map[uint64]pointed, shared []uint32) {
	var all []pointed
	for _, i := range slots {
		k := l.get(i)
		if each != nil {
			each(k)
		}
		for _, a := range k.Aliases {
			if !a.Removed {
				all = append(all, pointed{wire.EntityHash(a.Name), a.At, i})
			}
		}
	}
	slices.SortFunc(all, func(a, b pointed) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.at, b.at),
			strings.Compare(l.keys.Name(a.of).Key, l.keys.Name(b.of).Key))
	})
	newest = map[uint64]pointed{}
	for i := 1; i < len(all); i++ {
		if all[i].hash == all[i-1].hash {
			newest[all[i].hash] = all[i]
			shared = append(shared, all[i-1].of, all[i].of)
		}
	}
	slices.Sort(shared)
	return newest, slices.Compact(shared)
}

// StoreOf reports whether the custom key store of a key is connected, as far as the trail
// shows: a store that it does not show is, and so is a key without one.
func (l *Ledger) StoreOf(k *Key) bool {
	_, account, region := cloud.Place(k.Name)
	switch l.stores[account+"/"+region+"/"+k.Facts[Store].Value].Value {
	case "store_disconnected", "store_created", "store_deleted":
		return false
	}
	return true
}

func (l *Ledger) keep(text string) string { return l.words.keep(text) }

// state joins what an event states of a custom key store.
func (l *Ledger) state(store string, o *Fact) {
	f, ok := l.stores[store]
	if !ok && len(l.stores) >= MaxStores {
		l.Unkept++
		return
	}
	if f.join(storeState, o) {
		l.stores[store] = f
		if l.dirty != nil {
			l.dirtyStores[store], l.moving = true, true
		}
	}
}
