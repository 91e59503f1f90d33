package keyledger

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"keytrail/schemas/cloud"
	"keytrail/schemas/wire"
)

// The ledger of a key is several records of a changelog, so that a use writes some hundred
// bytes again, and not thousands of grants: its uses, its facts with up to manyGrants grants,
// and, of a key with more, buckets of grants. A restore joins them.

// stateKind begins the state keys of ledgers; those of entities, panes and open anomalies
// begin with other letters.
const stateKind = "l\n"

// The parts, behind stateKind. A bucket of grants has its number behind its letter.
const (
	partUses   = "u"
	partFacts  = "f"
	partGrants = "g"
	partStore  = "s"
)

const manyGrants = 32

// IsStateKey reports whether a state key is that of a ledger.
func IsStateKey(key string) bool { return strings.HasPrefix(key, stateKind) }

// touch notes what has changed since the last Changes and the last Advance.
func (l *Ledger) touch(k *Key, what changed) {
	if l.dirty == nil {
		return
	}
	k.owed, k.stale = true, true
	l.dirty[k.Name] = l.dirty[k.Name].and(what).and(changed{uses: true}) // k.owed is there
	l.fresh[k.Name] = l.fresh[k.Name] || what.life
	l.moving = l.moving || what.facts && len(k.Aliases) > 0
}

// Changes calls put for all that changed since the last call: what a changelog has to hold.
// Nothing is ever deleted.
func (l *Ledger) Changes(put func(key string, value []byte)) {
	for _, name := range slices.Sorted(maps.Keys(l.dirty)) {
		what, k := l.dirty[name], l.Find(name)
		write := func(part string, of *Key) {
			of.First = k.First
			l.enc.Reset()
			l.enc.Version()
			c := coder{enc: &l.enc}
			c.key(of)
			put(stateKind+part+name, slices.Clone(l.enc.B))
		}
		if what.uses {
			write(partUses, k.usesOnly())
		}
		if what.facts {
			write(partFacts, k.factsOnly())
		}
		for ; what.buckets != 0; what.buckets &= what.buckets - 1 {
			if n := uint64(bits.TrailingZeros64(what.buckets)); len(k.grantsOf(n).Grants) > 0 {
				write(partGrants+string(rune('0'+n)), k.grantsOf(n))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.dirtyStores)) {
		f := l.stores[name]
		l.enc.Reset()
		l.enc.Version()
		c := coder{enc: &l.enc}
		c.store(&f)
		put(stateKind+partStore+name, slices.Clone(l.enc.B))
	}
	clear(l.dirty)
	clear(l.dirtyStores)
}

// usesOnly returns the part of k that its uses change, and the notes of stage detect.
func (k *Key) usesOnly() *Key {
	o := &Key{Last: k.Last, FirstUse: k.FirstUse, Uses: k.Uses, watched: k.watched}
	for id := range k.Facts {
		if isUse(FactID(id)) {
			o.Facts[id] = k.Facts[id]
		}
	}
	return o
}

// factsOnly returns the rest of k, without the grants that are in buckets.
func (k *Key) factsOnly() *Key {
	o := *k
	o.Last, o.FirstUse, o.Uses, o.watched = 0, 0, [len(k.Uses)]int64{}, watched{}
	for id := range o.Facts {
		if isUse(FactID(id)) {
			o.Facts[id] = Fact{}
		}
	}
	if len(o.Grants) > manyGrants {
		o.Grants = nil
	}
	return &o
}

// grantsOf returns the grants of a bucket.
func (k *Key) grantsOf(n uint64) *Key {
	o := &Key{}
	for _, g := range k.Grants {
		if bucket(g.ID) == n {
			o.Grants = append(o.Grants, g)
		}
	}
	return o
}

// Restore takes what Changes once reported, the newest last. It copies the value. A damaged
// one is an error.
func (l *Ledger) Restore(key string, value []byte) error {
	part, name := strings.TrimPrefix(key, stateKind), ""
	if at := strings.Index(part, "arn:"); at > 0 && !strings.HasPrefix(part, partStore) {
		part, name = part[:at], part[at:]
	} else if part != "" {
		part, name = part[:1], part[1:]
	}
	d := wire.NewDecoder(value)
	err := d.Version()
	c := coder{dec: d}
	var k Key
	switch {
	case err != nil:
	case part == partStore:
		var f Fact
		if c.store(&f); d.Done() {
			l.stores[name] = f
			return nil
		}
	default:
		if c.key(&k); d.Done() && cloud.Form(name).IsKey() {
			return l.restore(part, name, &k)
		}
	}
	if err == nil {
		err = wire.ErrFrame
	}
	return fmt.Errorf("cannot restore the ledger %.300q: %w", key, err)
}

func (l *Ledger) restore(part, name string, o *Key) error {
	k := l.open(name)
	if k == nil {
		return fmt.Errorf("cannot restore the ledger of %.300q: it has %d keys already", name, l.Len())
	}
	k.join(o)
	if part == partUses {
		l.raise(k, -1)
		k.watched = o.watched
		l.raise(k, 1)
	}
	k.stale = true
	return nil
}
