package count

import (
	"iter"
	"strings"

	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Table collects the partials of a batch of calls: one for each entity and
// window that the calls touch. It is made to be reused. Not safe for concurrent
// use.
//
// Memory: one commit of 20,000 calls touches at most 140,000 partials (two KMS
// keys, two pairs and a principal each, and two aliases that learn), about 40 MB;
// usually a tenth of it.
type Table struct {
	size  int64
	cells map[cell]*wire.Partial
}

type cell struct {
	entity wire.Entity
	start  int64
}

// NewTable returns a Table over tumbling windows of the given size in ns.
func NewTable(size int64) *Table { return &Table{size: size, cells: make(map[cell]*wire.Partial)} }

// Len returns the number of partials.
func (t *Table) Len() int { return len(t.cells) }

// Reset empties the table.
func (t *Table) Reset() { clear(t.cells) }

// Add counts c once for its principal, and once for each of its KMS keys alone
// and with the principal. n is 1, or -1 to take a call back that was credited
// by a worse copy. Strings of c are copied when they are kept.
func (t *Table) Add(c *Call, n int64) {
	start := eventtime.Start(c.Time, t.size)
	count(t.at(wire.Entity{Scope: wire.ScopePrincipal, Principal: c.Principal}, start), c, n, c.KeyARN)
	if c.SecondARN != "" {
		insert(&t.at(wire.Entity{Scope: wire.ScopePrincipal, Principal: c.Principal}, start).Sets[wire.SetPeers], wire.EntityHash(c.SecondARN), n)
	}
	for _, arn := range [...]string{c.KeyARN, c.SecondARN} {
		if arn == "" {
			continue
		}
		count(t.at(wire.Entity{Scope: wire.ScopeKey, KeyARN: arn}, start), c, n, c.Principal)
		count(t.at(wire.Entity{Scope: wire.ScopePair, KeyARN: arn, Principal: c.Principal}, start), c, n, "")
	}
}

// Learn takes from c which KMS key an alias stood for and which key was the
// primary of a multi-Region key. Such bindings do not depend on the call being
// counted: every copy of it may be learned from, any number of times. Strings of
// c are copied when they are kept.
//
// An alias learns from its use as well as from its changes, because most are
// older than any trail that is kept.
func (t *Table) Learn(c *Call) {
	if s := &c.Shown; s.Alias != "" || s.Primary != "" || s.SecondAlias != "" {
		t.learn(c)
	}
}

func (t *Table) learn(c *Call) {
	s, isAlias := &c.Shown, func(name string) bool { return wire.Entity{KeyARN: name}.IsAlias() }
	switch {
	case !isAlias(s.Alias):
	case s.Unbound:
		t.bind(s.Alias, c.Time, "")
	case wire.IsKeyARN(c.KeyARN):
		t.bind(s.Alias, c.Time, c.KeyARN)
	}
	if isAlias(s.SecondAlias) && wire.IsKeyARN(c.SecondARN) {
		t.bind(s.SecondAlias, c.Time, c.SecondARN)
	}
	if wire.IsMultiRegion(c.KeyARN) && wire.IsMultiRegion(s.Primary) {
		t.bind(c.KeyARN, c.Time, s.Primary)
		if wire.IsMultiRegion(s.Replica) {
			t.bind(s.Replica, c.Time, s.Primary)
		}
	}
}

// bind keeps that name stood for a KMS key, or for nothing, at a time.
func (t *Table) bind(name string, at int64, key string) {
	p := t.at(wire.Entity{Scope: wire.ScopeKey, KeyARN: name}, eventtime.Start(at, t.size))
	b := wire.Binding{Time: at, ARN: key}
	switch {
	case !b.Newer(p.Binding):
	case p.Binding != nil && p.Binding.ARN == key: // it is named again and again: no copy of the same text
		p.Binding.Time = at
	default:
		p.Binding = &wire.Binding{Time: at, ARN: strings.Clone(key)}
	}
}

// at returns the partial of an entity and window, new or not.
func (t *Table) at(e wire.Entity, start int64) *wire.Partial {
	if p := t.cells[cell{e, start}]; p != nil {
		return p
	}
	// The entity's strings may be views into a buffer that is used again.
	e.KeyARN, e.Principal = string([]byte(e.KeyARN)), string([]byte(e.Principal))
	p := &wire.Partial{Entity: e, Start: start}
	t.cells[cell{e, start}] = p
	return p
}

// All yields the partials in no particular order. They belong to the table
// until Reset.
func (t *Table) All() iter.Seq[*wire.Partial] {
	return func(yield func(*wire.Partial) bool) {
		for _, p := range t.cells {
			if !yield(p) {
				return
			}
		}
	}
}
