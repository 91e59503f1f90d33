package keyledger

import (
	"encoding/binary"
	"fmt"
	"strings"

	"keytrail/schemas/cloud"
	"keytrail/schemas/wire"
)

// Batch collects what the events of one commit state, as the deltas that Ledger.Merge takes:
// one per KMS key and custom key store. Events of one ledger may be split over any number of
// batches. A Batch is made to be reused; the zero value is ready. It is not safe for
// concurrent use.
type Batch struct {
	keys   map[string]*Key
	order  []*Key // of keys, in order of their first events
	spare  []*Key
	stores map[string]*Fact
	recent [256]*Key
	texts  [1024]string // recent operations and principals
	enc    wire.Encoder
}

// maxSpare bounds the keys that an empty batch keeps: some 1.5 MB.
const maxSpare = 1000

// Apply joins what an event states.
func (b *Batch) Apply(e *Event) { apply(b, e) }

func (b *Batch) open(name string) *Key {
	at := slot(name) % uint64(len(b.recent))
	if k := b.recent[at]; k != nil && k.Name == name {
		return k
	}
	k := b.keys[name]
	if k == nil {
		if b.keys == nil {
			b.keys = map[string]*Key{}
		}
		k = &Key{}
		if last := len(b.spare) - 1; last >= 0 {
			k, b.spare = b.spare[last], b.spare[:last]
		}
		*k = Key{Name: strings.Clone(name)}
		b.keys[k.Name] = k
		b.order = append(b.order, k)
	}
	b.recent[at] = k
	return k
}

// keep returns a copy of a text that outlives the caller's buffer. Calls name the same few
// operations and principals.
func (b *Batch) keep(text string) string {
	kept := &b.texts[slot(text)%uint64(len(b.texts))]
	if *kept != text {
		*kept = strings.Clone(text)
	}
	return *kept
}

// slot mixes a text's length and its last characters, in which names differ.
func slot(text string) uint64 {
	var tail [8]byte
	copy(tail[:], text[max(len(text)-8, 0):])
	return (binary.LittleEndian.Uint64(tail[:]) ^ uint64(len(text))) * 0x9e3779b97f4a7c15 >> 48
}

func (b *Batch) state(store string, f *Fact) {
	if b.stores == nil {
		b.stores = map[string]*Fact{}
	}
	if b.stores[store] == nil {
		b.stores[store] = &Fact{}
	}
	b.stores[store].join(storeState, f)
}

// All calls f with each delta and the account whose ledger takes it. A delta is valid during
// the call.
func (b *Batch) All(f func(account string, delta []byte)) {
	for _, k := range b.order {
		_, account, _ := cloud.Place(k.Name)
		b.enc.Reset()
		b.enc.Uint(deltaKey)
		b.enc.Raw(k.Name)
		c := coder{enc: &b.enc}
		c.key(k)
		f(account, b.enc.B)
	}
	for name, s := range b.stores {
		account, _, _ := strings.Cut(name, "/")
		b.enc.Reset()
		b.enc.Uint(deltaStore)
		b.enc.Raw(name)
		c := coder{enc: &b.enc}
		c.store(s)
		f(account, b.enc.B)
	}
}

// Reset empties the batch.
func (b *Batch) Reset() {
	b.spare = append(b.spare, b.order[:min(len(b.order), maxSpare-len(b.spare))]...)
	clear(b.order)
	if b.order = b.order[:0]; len(b.keys) > maxSpare { // a map keeps the memory of its largest size
		b.keys = nil
	}
	clear(b.keys)
	clear(b.stores)
	clear(b.recent[:])
}

// The kinds of deltas.
const (
	deltaKey = iota
	deltaStore
)

// store codes the state of a custom key store.
func (c *coder) store(f *Fact) {
	c.int(&f.At)
	c.base = f.At
	c.word(&f.Value)
	c.word(&f.By)
	tied := uint64(0)
	c.marked(&tied, &f.Tied)
}

// Merge joins a delta of a Batch. It copies what it keeps. A damaged one is an error.
func (l *Ledger) Merge(delta string) error {
	d := wire.NewDecoder([]byte(delta))
	kind, name := d.Uint(), d.Raw()
	c := coder{dec: d}
	if kind == deltaStore {
		var f Fact
		if c.store(&f); d.Done() {
			l.state(name, &f)
			return nil
		}
	}
	var k Key
	if kind == deltaKey {
		if c.key(&k); d.Done() && cloud.Form(name).IsKey() {
			l.merge(name, &k)
			return nil
		}
	}
	return fmt.Errorf("a delta of the ledger, kind %d of %.300q: %w", kind, name, wire.ErrFrame)
}

// merge joins a part of a key's ledger.
func (l *Ledger) merge(name string, o *Key) {
	k := l.open(name)
	if k == nil {
		return
	}
	before := len(k.Grants)
	what := k.join(o)
	if what == (changed{}) {
		return
	}
	what.life = what.facts || what.buckets != 0
	switch n := len(k.Grants); {
	case n <= manyGrants:
		what.facts, what.buckets = what.life, 0
	case before <= manyGrants:
		what.facts, what.buckets = true, ^uint64(0)
	}
	k.stale = true
	l.touch(k, what)
}

// changed is what differs from the changelog of a key's ledger. buckets has a bit for each
// bucket of grants, and life says that its life cycle has changed, not only its uses.
type changed struct {
	uses, facts, life bool
	buckets           uint64
}

func (c changed) and(o changed) changed {
	return changed{c.uses || o.uses, c.facts || o.facts, c.life || o.life, c.buckets | o.buckets}
}

// join joins a part of the same key's ledger.
func (k *Key) join(o *Key) (what changed) {
	if o.First != 0 && (k.First == 0 || o.First < k.First) {
		k.First, what.uses = o.First, true
	}
	later := func(v *int64, o int64) {
		if o > *v {
			*v, what.uses = o, true
		}
	}
	later(&k.Last, o.Last)
	for i := range o.Uses {
		later(&k.Uses[i], o.Uses[i])
	}
	if o.FirstUse != 0 && (k.FirstUse == 0 || o.FirstUse < k.FirstUse) {
		k.FirstUse, what.uses = o.FirstUse, true
	}
	for id := range o.Facts {
		if o.Facts[id].At != 0 && k.Facts[id].join(FactID(id), &o.Facts[id]) {
			if isUse(FactID(id)) {
				what.uses = true
			} else {
				what.facts = true
			}
		}
	}
	for i := range o.Aliases {
		what.facts = k.alias(o.Aliases[i]) || what.facts
	}
	for _, name := range o.Replicas {
		what.facts = k.replica(name) || what.facts
	}
	for i := range o.History {
		what.facts = k.note(o.History[i]) || what.facts
	}
	for i := range o.Grants {
		if k.grant(&o.Grants[i]) {
			what.buckets |= 1 << bucket(o.Grants[i].ID)
		}
	}
	for _, d := range [...][2]*Distinct{{&k.MoreAliases, &o.MoreAliases}, {&k.MoreReplicas, &o.MoreReplicas},
		{&k.MoreGrants, &o.MoreGrants}, {&k.MoreHistory, &o.MoreHistory}} {
		what.facts = d[0].join(d[1]) || what.facts
	}
	return what
}

// isUse reports whether a fact belongs to the uses, which nearly every call changes.
func isUse(id FactID) bool { return id == Used || id == Refused || id == Unusable }

// bucket is the part of a key's changelog that has a grant: 64 parts of 128 grants each, at
// most, about.
func bucket(id string) uint64 { return wire.EntityHash(id) >> 58 }
