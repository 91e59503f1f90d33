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
// keys, two pairs and a principal each, and two aliases that learn), about 150 MB;
// usually a tenth of it. It is kept for the next commit, but no more than maxSpare.
type Table struct {
	size  int64
	names names
	cells map[place]*cell
	order []*cell // as they were made, and behind them those of earlier batches
	n     int     // how many of order are in use
}

// place is what a cell counts: of a KMS key without a principal, of a principal
// without a KMS key, or of a pair. Names are known by their address, because hashing
// two ARNs for each call and scope would cost as much as all the rest of counting.
type place struct {
	key, principal *name
	start          int64
}

// maxSpare bounds the cells that an empty table keeps: some 4 MB, with up to 13 MB of
// sets if all of them had many values.
const maxSpare = 4000

// NewTable returns a Table over tumbling windows of the given size in ns.
func NewTable(size int64) *Table {
	return &Table{size: size, names: names{all: map[string]*name{}}, cells: map[place]*cell{}}
}

// Len returns the number of partials.
func (t *Table) Len() int { return t.n }

// Reset empties the table.
func (t *Table) Reset() {
	if t.n > 8*maxSpare { // a map keeps the memory of the most that it had: 80 bytes for each
		t.cells = map[place]*cell{}
	} else {
		clear(t.cells)
	}
	t.n = 0
	if len(t.order) > maxSpare {
		clear(t.order[maxSpare:])
		t.order = t.order[:maxSpare]
	}
	t.names.trim()
}

// Add counts c once for its principal, and once for each of its KMS keys alone
// and with the principal. n is 1, or -1 to take a call back that was credited
// by a worse copy. Strings of c are copied when they are kept.
func (t *Table) Add(c *Call, n int64) {
	start, who, id := eventtime.Start(c.Time, t.size), t.names.get(c.Principal), wire.SampleOf(c.IDText)
	what := t.names.get(c.KeyARN)
	pair := t.pair(what, who, start)
	pair.principal.count(c, id, n, what, what)
	pair.key.count(c, id, n, who, nil)
	pair.count(c, id, n, nil, nil)
	if c.SecondARN == "" {
		return
	}
	what = t.names.get(c.SecondARN)
	insert(&pair.principal.Sets[wire.SetPeers], what.hash, n)
	second := t.pair(what, who, start)
	second.key.count(c, id, n, who, nil)
	second.count(c, id, n, nil, nil)
}

// pair returns the cell of a pair, which leads to those of each alone.
func (t *Table) pair(key, principal *name, start int64) *cell {
	at := place{key, principal, start}
	if c := t.cells[at]; c != nil {
		return c
	}
	c := t.at(at, wire.ScopePair)
	c.key = t.at(place{key, nil, start}, wire.ScopeKey)
	if c.key.Account == "" {
		c.key.Account = principal.account
	}
	c.principal = t.at(place{nil, principal, start}, wire.ScopePrincipal)
	return c
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
		t.bind(s.Alias, c, "")
	case wire.IsKeyARN(c.KeyARN):
		t.bind(s.Alias, c, c.KeyARN)
	}
	if isAlias(s.SecondAlias) && wire.IsKeyARN(c.SecondARN) {
		t.bind(s.SecondAlias, c, c.SecondARN)
	}
	if wire.IsMultiRegion(c.KeyARN) && wire.IsMultiRegion(s.Primary) {
		t.bind(c.KeyARN, c, s.Primary)
		if wire.IsMultiRegion(s.Replica) {
			t.bind(s.Replica, c, s.Primary)
		}
	}
}

// bind keeps that name stood for a KMS key, or for nothing, at the time of the call.
func (t *Table) bind(name string, c *Call, key string) {
	at := c.Time
	p := t.at(place{key: t.names.get(name), start: eventtime.Start(at, t.size)}, wire.ScopeKey)
	if p.Account == "" {
		p.Account = t.names.get(c.Principal).account
	}
	b := wire.Binding{Time: at, ARN: key}
	switch {
	case !b.Newer(p.Binding):
	case p.Binding != nil && p.Binding.ARN == key: // it is named again and again: no copy of the same text
		p.Binding.Time = at
	default:
		p.Binding = &wire.Binding{Time: at, ARN: strings.Clone(key)}
	}
}

// at returns the cell of a place, new or not.
func (t *Table) at(at place, scope wire.Scope) *cell {
	if c := t.cells[at]; c != nil {
		return c
	}
	if t.n == len(t.order) {
		t.order = append(t.order, &cell{})
	}
	c := t.order[t.n]
	t.n++
	c.reset()
	c.Scope, c.Start = scope, at.start
	if at.key != nil {
		c.KeyARN = at.key.text
	}
	if at.principal != nil {
		c.Principal = at.principal.text
	}
	t.cells[at] = c
	return c
}

// All yields the partials in the order in which they were begun. They belong to the
// table until Reset, after which their memory is used again: of what is kept longer,
// only strings may be.
func (t *Table) All() iter.Seq[*wire.Partial] {
	return func(yield func(*wire.Partial) bool) {
		for _, c := range t.order[:t.n] {
			if !yield(c.partial()) {
				return
			}
		}
	}
}
