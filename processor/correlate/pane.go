// Package correlate counts what the correlations of the user's rules see, and tells in
// which windows they hold: for stage count, which adds up what the calls of a commit
// show (Table), for stage detect, which holds the panes of the groups that it owns and
// judges their windows (Engine), and for a scan, which does both in one place.
//
// A pane is a piece of a correlation's windows (package sigma). The parts of a group
// in a pane add up in any order. An Engine is moved on by a watermark as detect.Engine
// is, and like that one it reports what has to be in a changelog and comes back from it.
// It is pure, and none of it is safe for concurrent use.
package correlate

import (
	"cmp"
	"slices"
	"strings"

	"keytrail/processor/count"
	"keytrail/processor/sigma"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// MaxCalls is how many calls a pane, and the anomaly of a correlation, names: the first
// that each of its rules matches, as many of one as of the other and at least one, so up
// to 64 where there are so many rules. The first are those of the smallest event times,
// and then ids, so that they do not depend on the order in which they come.
const MaxCalls = 10

// share is how many calls of each rule are named.
func share(c *sigma.Correlation) int { return max(1, MaxCalls/len(c.Rules)) }

// Pane is what some calls add to one group of a correlation in one pane.
type Pane struct {
	Correlation *sigma.Correlation
	Group       string
	Start       int64 // ns since 1970
	Tally       sigma.Tally
	about       about
}

// about is what matches are about.
type about struct {
	key, principal string // that all have; kms.NoEntity when they have several
	calls          []wire.CallAt
}

// merge adds what other matches of the correlation are about. a is nil before the first.
func (a *about) merge(c *sigma.Correlation, o *about) *about {
	if a == nil {
		return &about{o.key, o.principal, slices.Clone(o.calls)}
	}
	if a.key != o.key {
		a.key = kms.NoEntity
	}
	if a.principal != o.principal {
		a.principal = kms.NoEntity
	}
	for _, call := range o.calls {
		if i, ok := a.place(call, share(c)); ok {
			a.name(i, call, share(c))
		}
	}
	return a
}

// place tells where a call belongs, and whether it is one of the first most of its rule
// and not there yet.
func (a *about) place(c wire.CallAt, most int) (i int, ok bool) {
	i, had := slices.BinarySearchFunc(a.calls, c, inOrder)
	return i, !had && (i < most || a.calls[i-most].Rule != c.Rule)
}

// name keeps a call in its place, and gives up the last of its rule when there are more
// than most.
func (a *about) name(i int, c wire.CallAt, most int) {
	a.calls = slices.Insert(a.calls, i, c)
	first := i
	for first > 0 && a.calls[first-1].Rule == c.Rule {
		first--
	}
	if last := first + most; last < len(a.calls) && a.calls[last].Rule == c.Rule {
		a.calls = slices.Delete(a.calls, last, last+1)
	}
}

func inOrder(a, b wire.CallAt) int {
	return cmp.Or(cmp.Compare(a.Rule, b.Rule), byTime(a, b))
}

func byTime(a, b wire.CallAt) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.ID, b.ID))
}

// entity is the key and the principal that all matches have, or the one of them that
// they have.
func (a *about) entity() wire.Entity {
	switch {
	case a.key == kms.NoEntity && a.principal != kms.NoEntity:
		return wire.Entity{Scope: wire.ScopePrincipal, Principal: a.principal}
	case a.principal == kms.NoEntity && a.key != kms.NoEntity:
		return wire.Entity{Scope: wire.ScopeKey, Key: a.key}
	}
	return wire.Entity{Scope: wire.ScopePair, Key: a.key, Principal: a.principal}
}

// ids are those of the calls, in the order of time, each once.
func (a *about) ids() []string {
	calls := slices.SortedFunc(slices.Values(a.calls), byTime)
	list := make([]string, len(calls))
	for i := range calls {
		list[i] = calls[i].ID
	}
	return slices.Compact(list)
}

// Bytes that panes take in memory, as measured with 50,000 groups of one pane: see size.
const (
	paneBytes = 640 // with its group, its timers and its place in maps
	callBytes = 88
)

// size is about how many bytes p takes in memory.
func (p *Pane) size() int {
	names := len(p.Group) + len(p.about.key) + len(p.about.principal)
	return paneBytes + names + 8*(len(p.Tally.Values)+len(p.Tally.Slots)) + callBytes*len(p.about.calls)
}

// Table adds up what the calls of a commit show. Its zero value is empty.
type Table struct {
	panes map[tableKey]*Pane
	bytes int
}

// tableKey names a pane. Its group may be a view while one is looked for.
type tableKey struct {
	correlation int
	group       string
	start       int64
}

// Add adds an observation of a call. It keeps none of their memory.
func (t *Table) Add(o *sigma.Observation, c *count.Call) {
	key := tableKey{o.Correlation.Index, o.Group, o.Correlation.Pane(c.Time)}
	p := t.panes[key]
	if p == nil {
		if t.panes == nil {
			t.panes = map[tableKey]*Pane{}
		}
		key.group = strings.Clone(o.Group)
		p = &Pane{Correlation: o.Correlation, Group: key.group, Start: key.start,
			about: about{key: strings.Clone(c.Key), principal: strings.Clone(c.Principal)}}
		t.panes[key] = p
		t.bytes += paneBytes + len(key.group)
	}
	t.bytes -= 8 * (len(p.Tally.Values) + len(p.Tally.Slots))
	p.Tally.Add(o, c.Time)
	t.bytes += 8 * (len(p.Tally.Values) + len(p.Tally.Slots))
	if p.about.key != c.Key {
		p.about.key = kms.NoEntity
	}
	if p.about.principal != c.Principal {
		p.about.principal = kms.NoEntity
	}
	at, most := wire.CallAt{Rule: uint8(o.Rule), Time: c.Time, ID: c.IDText}, share(o.Correlation)
	if i, ok := p.about.place(at, most); ok { // else no copy of the id is made
		at.ID = strings.Clone(at.ID)
		p.about.name(i, at, most)
	}
}

// Len returns the number of panes.
func (t *Table) Len() int { return len(t.panes) }

// Bytes returns about how many bytes the panes take, without the calls that they name.
func (t *Table) Bytes() int { return t.bytes }

// Reset empties the table.
func (t *Table) Reset() {
	clear(t.panes)
	t.bytes = 0
}

// All calls f for each pane, in no particular order. Panes belong to the table until
// Reset.
func (t *Table) All(f func(*Pane)) {
	for _, p := range t.panes {
		f(p)
	}
}

// Wire returns p as frames carry it. It shares p's strings.
func (p *Pane) Wire() wire.Pane {
	return wire.Pane{
		PaneKey: p.key(), Tally: p.Tally.Append(nil), Key: p.about.key, Principal: p.about.principal, Calls: p.about.calls,
	}
}

func (p *Pane) key() wire.PaneKey {
	return wire.PaneKey{Correlation: p.Correlation.Fingerprint, Group: p.Group, Start: p.Start}
}

// mostTime bounds starts on both sides: far more than any event's, and windows around it
// do not overflow.
const mostTime = int64(1) << 61

// fromWire reads a pane of a correlation. ok is false if w is not one.
func fromWire(c *sigma.Correlation, w *wire.Pane) (p *Pane, ok bool) {
	tally, rest, err := c.DecodeTally(w.Tally)
	if err != nil || len(rest) > 0 || w.Start < -mostTime || w.Start > mostTime || w.Start != c.Pane(w.Start) {
		return nil, false
	}
	values := c.Values(w.Group)
	if len(values) != len(c.GroupBy) || values == nil && w.Group != "" {
		return nil, false
	}
	for i, call := range w.Calls {
		if int(call.Rule) >= len(c.Rules) || i > 0 && inOrder(w.Calls[i-1], call) >= 0 ||
			i >= share(c) && w.Calls[i-share(c)].Rule == call.Rule {
			return nil, false
		}
	}
	return &Pane{
		Correlation: c, Group: w.Group, Start: w.Start, Tally: tally, about: about{w.Key, w.Principal, w.Calls},
	}, true
}
