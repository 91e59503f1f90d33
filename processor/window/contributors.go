package window

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"keytrail/processor/count"
	"keytrail/processor/detector"
	"keytrail/processor/entity"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// part is a part of a window's calls.
type part struct {
	n    int64
	text string
}

// largest returns the words of the largest shares of all calls.
func largest(list []part, most int, all int64) (words []string) {
	slices.SortFunc(list, func(a, b part) int {
		return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.text, b.text))
	})
	for _, s := range list[:min(most, len(list))] {
		words = append(words, fmt.Sprintf("%d %s (%d %%)", s.n, s.text, (100*s.n+all/2)/max(all, 1)))
	}
	return words
}

// contributors describes what most of a window's calls have in common. For a KMS key it
// names the three principals with the most calls, for a principal the three KMS keys and
// the two networks, and for every entity the two classes of operations and of encryption
// contexts. Only anomalies, which are rare, need it.
func (e *Engine) contributors(ent *entity.Entity, w *entity.Window) (list []string) {
	all := count.Get(&w.Partial, wire.CounterCalls)
	switch ent.Scope {
	case wire.ScopeKey:
		list = largest(e.users(ent, w.Start), 3, all)
	case wire.ScopePrincipal:
		list = append(e.keys(ent, w, all), largest(networks(w), 2, all)...)
	}
	var classes, contexts []part
	for c := range kms.NumClasses {
		if n := count.Get(&w.Partial, wire.CounterClass+wire.CounterID(c)); n > 0 && c != kms.ClassTrail {
			classes = append(classes, part{n, c.String()})
		}
	}
	for c := range kms.NumContexts {
		if n := count.Get(&w.Partial, wire.CounterContext+wire.CounterID(c)); n > 0 && c != kms.ContextNone {
			contexts = append(contexts, part{n, "with context " + c.String()})
		}
	}
	return append(append(list, largest(classes, 2, all)...), largest(contexts, 2, all)...)
}

// pairs calls f with every matching pair with calls in the window at start, and their
// number.
func (e *Engine) pairs(start int64, fits func(entity.Packed) bool, f func(pair *entity.Entity, n int64)) {
	for _, i := range e.starts[start] {
		if of := e.store.At(i); of.Scope != wire.ScopePair || !fits(of) {
			continue
		}
		pair := e.store.Get(i)
		if w := pair.Find(start); w != nil {
			if n := count.Get(&w.Partial, wire.CounterCalls); n > 0 {
				f(pair, n)
			}
		}
	}
}

// users returns the calls of the principals that used a KMS key in the window at start.
func (e *Engine) users(key *entity.Entity, start int64) (list []part) {
	name := e.store.Short(key.Key)
	fits := func(of entity.Packed) bool { return bytes.Equal(of.Key, name) }
	e.pairs(start, fits, func(pair *entity.Entity, n int64) {
		list = append(list, part{n, "by " + pair.Principal})
	})
	return list
}

// keys returns a principal's calls by KMS key. A principal's window has its keys only by
// hash, so the names come from the pairs in this engine: all of them if it has all
// entities, else those whose KMS key has the same owner. The calls on the others are one
// number, because partials of principals would be twice as long with names.
func (e *Engine) keys(who *entity.Entity, w *entity.Window, all int64) (words []string) {
	var here []part
	named := map[uint64]bool{wire.EntityHash(kms.NoEntity): true}
	name, none := e.store.Short(who.Principal), e.store.Short(kms.NoEntity)
	fits := func(of entity.Packed) bool { return bytes.Equal(of.Principal, name) && !bytes.Equal(of.Key, none) }
	e.pairs(w.Start, fits, func(pair *entity.Entity, n int64) {
		here = append(here, part{n, "on " + detector.KeyName(view{e}, pair.Entity, w.Start)})
		named[wire.EntityHash(pair.Key)] = true
	})
	others, calls := 0, int64(0)
	for _, v := range w.Sets[wire.SetPeers].Values {
		if !named[v.Hash] {
			others++
			calls += v.N
		}
	}
	words = largest(here, 3, all)
	if others > 0 {
		far := part{calls, "on " + detector.Several(others, "KMS key") + " of other partitions"}
		words = append(words, largest([]part{far}, 1, all)...)
	}
	return words
}

// networks returns a principal's calls by network.
func networks(w *entity.Window) (list []part) {
	other := int64(0)
	for _, v := range w.Sets[wire.SetNetworks].Values {
		if name, ok := networkNames()[uint32(v.Hash)]; ok {
			list = append(list, part{v.N, "from " + name.String()})
		} else {
			other += v.N
		}
	}
	if other > 0 {
		list = append(list, part{other, "from IPv6 networks"})
	}
	return list
}

// network is the first two bytes of an IPv4 address.
type network uint16

func (n network) String() string { return fmt.Sprintf("%d.%d.0.0/16", n>>8, n&0xff) }

// networkNames maps the hashes of the IPv4 networks to their names. They are so few that
// one table of one or two megabytes has all. It is made at the first anomaly of a
// principal. One IPv6 network in 65,536 has the hash of one of them.
var networkNames = sync.OnceValue(func() map[uint32]network {
	all := make(map[uint32]network, 1<<16)
	for n := range 1 << 16 {
		all[count.Network(strconv.Itoa(n>>8)+"."+strconv.Itoa(n&0xff)+".")] = network(n)
	}
	return all
})
