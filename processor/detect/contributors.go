package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"keytrail/processor/count"
	"keytrail/schemas/normalize"
	"keytrail/schemas/wire"
)

// part is a part of a window's calls.
type part struct {
	n         int64
	text      string
	principal string // of a user of a KMS key
}

// largest returns the words of the largest shares.
func largest(list []part, most int) (words []string) {
	slices.SortFunc(list, func(a, b part) int { return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.text, b.text)) })
	for _, s := range list[:min(most, len(list))] {
		words = append(words, fmt.Sprintf("%d %s", s.n, s.text))
	}
	return words
}

// contributors says what most of a window's calls have in common: of a KMS key the three
// principals, and of every entity the two classes of operations and of encryption
// contexts with the most calls. It is asked for anomalies only, which are rare.
func (e *Engine) contributors(ent *Entity, w *Window) (list []string) {
	if ent.Scope == wire.ScopeKey {
		list = largest(e.users(ent, w.Start), 3)
	}
	var classes, contexts []part
	for c := range normalize.NumClasses {
		if n := count.Get(&w.Partial, wire.CounterClass+wire.CounterID(c)); n > 0 {
			classes = append(classes, part{n: n, text: c.String()})
		}
	}
	for c := range normalize.NumContexts {
		if n := count.Get(&w.Partial, wire.CounterContext+wire.CounterID(c)); n > 0 && c != normalize.ContextNone {
			contexts = append(contexts, part{n: n, text: "with context " + c.String()})
		}
	}
	return append(append(list, largest(classes, 2)...), largest(contexts, 2)...)
}

// users returns the calls of the principals that used a KMS key in the window at start:
// pairs live with their KMS key.
func (e *Engine) users(key *Entity, start int64) (list []part) {
	for _, i := range e.starts[start] {
		if of := e.store.at(i).entity; of.Scope != wire.ScopePair || of.KeyARN != key.KeyARN {
			continue
		}
		pair := e.store.get(i)
		if w := pair.find(start); w != nil {
			if n := count.Get(&w.Partial, wire.CounterCalls); n > 0 {
				list = append(list, part{n, "by " + pair.Principal, pair.Principal})
			}
		}
	}
	return list
}
