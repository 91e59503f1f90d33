package count

import (
	"iter"
	"strings"

	"keytrail/processor/eventtime"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// Table collects the partials of a batch of calls: one per entity and window that the calls
// touch. It is made to be reused. It is not safe for concurrent use.
//
// Memory: one commit of 20,000 calls touches at most 140,000 partials (two KMS keys, two
// pairs and a principal each, and two aliases that learn), about 150 MB; usually a tenth of
// it. The next commit reuses the memory of up to maxSpare of them.
type Table struct {
	size  int64
	names names
	cells map[place]*cell
	order []*cell // in the order of creation, and behind them those of earlier batches
	n     int     // how many of order are in use
}

// place identifies a cell: of a KMS key without a principal, of a principal without a KMS
// key, or of a pair. Names are interned and compared by pointer, because hashing two names
// per call and scope would cost as much as all the rest of counting.
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
	if t.n > 8*maxSpare { // a map keeps the memory of its largest size: 80 bytes per entry
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

// Add counts c once for its principal, and once for each of its KMS keys alone and with the
// principal. n is 1, or -1 to take a call back that a worse copy credited. Add copies the
// strings of c that it keeps.
func (t *Table) Add(c *Call, n int64) {
	start, who, id := eventtime.Start(c.Time, t.size), t.names.get(c.Principal), wire.SampleOf(c.IDText)
	what := t.names.get(c.Key)
	pair := t.pair(what, who, start)
	pair.principal.count(c, id, n, what, what)
	pair.key.count(c, id, n, who, nil)
	pair.count(c, id, n, nil, nil)
	if c.SecondKey == "" {
		if c.encrypts() && c.Class != kms.ClassReencrypt && c.Uses() {
			pair.principal.foreign(what, who, n)
		}
		return
	}
	what = t.names.get(c.SecondKey)
	insert(&pair.principal.Sets[wire.SetPeers], what.hash, n)
	if !c.Uses() {
		insert(&pair.principal.Sets[wire.SetUnused], what.hash, n)
	} else {
		pair.principal.foreign(what, who, n)
	}
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

// Learn takes from c the KMS key that an alias stood for and the primary key of a
// multi-Region key. Such bindings do not depend on the call being counted: Learn may take
// every copy of it, any number of times. It copies the strings of c that it keeps.
//
// The use of an alias shows its binding as well as its changes do. Most aliases are older
// than any trail that is kept.
func (t *Table) Learn(c *Call) {
	if s := &c.Shown; s.Alias != "" || s.Primary != "" || s.SecondAlias != "" {
		t.learn(c)
	}
}

func (t *Table) learn(c *Call) {
	s := &c.Shown
	isAlias := func(name string) bool { return cloud.Form(name) == kms.FormAlias }
	isMultiRegion := func(name string) bool { return cloud.Form(name) == kms.FormMultiRegion }
	switch {
	case !isAlias(s.Alias):
	case s.Unbound:
		t.bind(s.Alias, c, "")
	case isKey(c.Key):
		t.bind(s.Alias, c, c.Key)
	}
	if isAlias(s.SecondAlias) && isKey(c.SecondKey) {
		t.bind(s.SecondAlias, c, c.SecondKey)
	}
	if isMultiRegion(c.Key) && isMultiRegion(s.Primary) {
		t.bind(c.Key, c, s.Primary)
		if isMultiRegion(s.Replica) {
			t.bind(s.Replica, c, s.Primary)
		}
	}
}

// bind records that name stood for a KMS key, or for no key, at the time of the call.
func (t *Table) bind(name string, c *Call, key string) {
	at := c.Time
	p := t.at(place{key: t.names.get(name), start: eventtime.Start(at, t.size)}, wire.ScopeKey)
	if p.Account == "" {
		p.Account = t.names.get(c.Principal).account
	}
	b := wire.Binding{Time: at, Key: key}
	switch {
	case !b.Newer(p.Binding):
	case p.Binding != nil && p.Binding.Key == key: // named again and again: the text is not copied again
		p.Binding.Time = at
	default:
		p.Binding = &wire.Binding{Time: at, Key: strings.Clone(key)}
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
		c.Key = at.key.text
	}
	if at.principal != nil {
		c.Principal = at.principal.text
	}
	t.cells[at] = c
	return c
}

// All yields the partials in the order of their first calls. They belong to the table until
// Reset, which reuses their memory. Only their strings may be kept longer.
func (t *Table) All() iter.Seq[*wire.Partial] {
	return func(yield func(*wire.Partial) bool) {
		for _, c := range t.order[:t.n] {
			if !yield(c.partial()) {
				return
			}
		}
	}
}
