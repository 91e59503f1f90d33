package detect

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"keytrail/processor/count"
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
	slices.SortFunc(list, func(a, b part) int { return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.text, b.text)) })
	for _, s := range list[:min(most, len(list))] {
		words = append(words, fmt.Sprintf("%d %s (%d %%)", s.n, s.text, (100*s.n+all/2)/max(all, 1)))
	}
	return words
}

// contributors says what most of a window's calls have in common: of a KMS key the three
// principals, of a principal the three KMS keys and the two networks, and of every entity
// the two classes of operations and of encryption contexts with the most calls. It is
// asked for anomalies only, which are rare.
func (e *Engine) contributors(ent *Entity, w *Window) (list []string) {
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

// pairs calls f with the calls of every pair that has some in the window at start.
func (e *Engine) pairs(start int64, fits func(packed) bool, f func(pair *Entity, n int64)) {
	for _, i := range e.starts[start] {
		if of := e.store.at(i); of.scope != wire.ScopePair || !fits(of) {
			continue
		}
		pair := e.store.get(i)
		if w := pair.find(start); w != nil {
			if n := count.Get(&w.Partial, wire.CounterCalls); n > 0 {
				f(pair, n)
			}
		}
	}
}

// users returns the calls of the principals that used a KMS key in the window at start:
// pairs live with their KMS key.
func (e *Engine) users(key *Entity, start int64) (list []part) {
	name := e.store.names.short(nil, key.KeyARN)
	e.pairs(start, func(of packed) bool { return bytes.Equal(of.key, name) }, func(pair *Entity, n int64) {
		list = append(list, part{n, "by " + pair.Principal})
	})
	return list
}

// keys says which KMS keys most of a principal's calls were on. A principal's window
// knows its keys by hash; the names are those of the pairs that live here, which are all
// of them where one engine has all entities, and else those whose KMS key has the same
// owner. How many calls were on the others is said of all of them together: to send the
// names along would make every partial of a principal twice as long.
func (e *Engine) keys(who *Entity, w *Window, all int64) (words []string) {
	var here []part
	named := map[uint64]bool{wire.EntityHash(kms.NoEntity): true}
	name, none := e.store.names.short(nil, who.Principal), e.store.names.short(nil, kms.NoEntity)
	e.pairs(w.Start, func(of packed) bool { return bytes.Equal(of.principal, name) && !bytes.Equal(of.key, none) }, func(pair *Entity, n int64) {
		here = append(here, part{n, "on " + keyName(e, pair, w)})
		named[wire.EntityHash(pair.KeyARN)] = true
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
		words = append(words, largest([]part{{calls, "on " + several(others, "KMS key") + " of other partitions"}}, 1, all)...)
	}
	return words
}

// networks returns the calls of a principal by the networks that they came from.
func networks(w *Window) (list []part) {
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

// networkNames are the IPv4 networks by the hash that windows have of them: there are so
// few that nothing needs to be kept. One of IPv6 has the hash of one of them once in
// 65,536. A megabyte or two, made when the first anomaly of a principal is found.
var networkNames = sync.OnceValue(func() map[uint32]network {
	all := make(map[uint32]network, 1<<16)
	for n := range 1 << 16 {
		all[count.Network(strconv.Itoa(n>>8)+"."+strconv.Itoa(n&0xff)+".")] = network(n)
	}
	return all
})
