package entity

import (
	"fmt"
	"strconv"
	"strings"

	"keytrail/processor/baseline"
	"keytrail/schemas/wire"
)

// Append appends the packed form of ent to dst, without the entity's name. It is the
// value of the entity's record in the changelog, and the form in a Store. Append uses e
// and leaves it empty.
func Append(dst []byte, e *wire.Encoder, ent *Entity) []byte {
	e.Reset()
	encode(e, ent, nil)
	return append(dst, e.B...)
}

// encode encodes ent into e, which is empty. last is ent's packed form so far, from which
// encode copies the windows that did not change; it notes their new places in them. When
// last is nil, it encodes all windows and notes nothing.
func encode(e *wire.Encoder, ent *Entity, last []byte) {
	e.Version()
	e.Time(ent.Last)
	e.Uint(uint64(len(ent.Windows)))
	e.Uint(uint64(len(ent.Rollups)))
	if ent.Scope == wire.ScopeKey { // the names of other scopes contain it
		e.Uint(ent.Account)
		e.Time(ent.Due)
	}
	e.Time(ent.Since)
	e.Time(ent.Seen)
	for _, n := range ent.High {
		e.Uint(uint64(n))
	}
	e.Bool(ent.Bound != nil)
	if ent.Bound != nil {
		e.Int(ent.Bound.Time)
		e.String(ent.Bound.Key)
		e.Int(ent.Used)
	}
	appendBaseline(e, &ent.Baseline)
	appendHabits(e, &ent.Habits)
	for _, w := range ent.Windows {
		keepWindow(e, w, last)
	}
	for _, w := range ent.Rollups {
		e.Time(w.Size)
		keepWindow(e, w, last)
	}
}

// keepWindow appends w. An entity has a dozen windows, and calls come for two or three of
// them, so most are copied.
func keepWindow(e *wire.Encoder, w *Window, last []byte) {
	if last == nil {
		appendWindow(e, w)
		return
	}
	from := len(e.B)
	if w.to > 0 {
		e.B = append(e.B, last[w.from:w.to]...)
	} else {
		appendWindow(e, w)
	}
	w.from, w.to = from, len(e.B)
}

// appendBaseline omits slots without calls, because most entities are young or have their
// hours.
func appendBaseline(e *wire.Encoder, b *baseline.State) {
	e.Time(b.Since)
	if b.Since == 0 { // pairs and entities before their first close have none
		return
	}
	e.Time(b.Until)
	e.Float(b.MuSq)
	e.Float(b.Excess)
	floats(e, b.Today.Hour, b.Today.Calls, b.Today.MuSq, b.Today.Excess)
	used := uint64(0)
	for i, calls := range b.Calls {
		if calls != 0 {
			used |= 1 << i
		}
	}
	e.Uint(used)
	for _, calls := range b.Calls {
		if calls != 0 {
			e.Float(calls)
		}
	}
}

func decodeBaseline(d *wire.Decoder, b *baseline.State) {
	if b.Since = d.Time(); b.Since == 0 {
		return
	}
	b.Until, b.MuSq, b.Excess = d.Time(), d.Float(), d.Float()
	b.Today = baseline.Today{Hour: d.Float(), Calls: d.Float(), MuSq: d.Float(), Excess: d.Float()}
	used := d.Uint()
	for i := range b.Calls {
		if used&(1<<i) != 0 {
			b.Calls[i] = d.Float()
		}
	}
}

func appendWindow(e *wire.Encoder, w *Window) {
	e.Time(w.Start)
	e.Uint(uint64(w.Revision))
	e.Bool(w.Closed)
	e.Bool(w.Changed)
	e.Int(w.Published)
	e.Counts(&w.Partial)
}

// decodeWindow reads a window of an entity whose packed form has size bytes.
func decodeWindow(d *wire.Decoder, of wire.Entity, size int) *Window {
	from := size - len(d.Rest())
	w := &Window{Partial: wire.Partial{Entity: of, Start: d.Time()}}
	w.Revision, w.Closed, w.Changed, w.Published = int32(d.Uint()), d.Bool(), d.Bool(), d.Int()
	d.Counts(&w.Partial)
	w.from, w.to = from, size-len(d.Rest())
	return w
}

// Decode reads what Append wrote. name is the entity's state key (wire.Entity.StateKey),
// which is the key of its record in the changelog. The Account of principals and pairs
// follows from their names, and is not set. A damaged value gives an error that wraps
// wire.ErrFrame.
func Decode(name string, value []byte) (*Entity, error) {
	of, err := ParseStateKey(name)
	if err != nil {
		return nil, err
	}
	return unpack(of, value)
}

func unpack(of wire.Entity, value []byte) (*Entity, error) {
	d := wire.NewDecoder(value)
	if err := d.Version(); err != nil {
		return nil, fmt.Errorf("cannot restore entity %q: %w", of.StateKey(), err)
	}
	ent := &Entity{Entity: of}
	decode(d, ent, len(value))
	if !d.Done() {
		return nil, fmt.Errorf("cannot restore entity %q: %w", of.StateKey(), wire.ErrFrame)
	}
	return ent, nil
}

func decode(d *wire.Decoder, ent *Entity, size int) {
	ent.Last = d.Time()
	windows, rollups := d.Count(), d.Count()
	if ent.Scope == wire.ScopeKey {
		ent.Account, ent.Due = d.Uint(), d.Time()
	}
	ent.Since, ent.Seen = d.Time(), d.Time()
	for i := range ent.High {
		ent.High[i] = int(d.Uint())
	}
	if d.Bool() {
		ent.Bound, ent.Used = &wire.Binding{Time: d.Int(), Key: d.String()}, d.Int()
	}
	decodeBaseline(d, &ent.Baseline)
	decodeHabits(d, &ent.Habits)
	if windows > 0 {
		ent.Windows = make([]*Window, 0, windows)
	}
	for ; windows > 0 && d.Err() == nil; windows-- {
		ent.Windows = append(ent.Windows, decodeWindow(d, ent.Entity, size))
	}
	for ; rollups > 0 && d.Err() == nil; rollups-- {
		length := d.Time()
		w := decodeWindow(d, ent.Entity, size)
		w.Size = length
		ent.Rollups = append(ent.Rollups, w)
	}
}

// packedAge reads only the beginning of a packed entity: when it was last named, and its
// numbers of windows and roll-ups. An entity without state counts as in use.
func packedAge(d *wire.Decoder) (last int64, windows int) {
	if d.Version() != nil {
		return 0, 1
	}
	return d.Time(), d.Count() + d.Count()
}

// ParseStateKey is the inverse of wire.Entity.StateKey. Any other text is an error.
func ParseStateKey(s string) (wire.Entity, error) {
	kind, rest, ok := strings.Cut(s, "\n")
	switch {
	case ok && kind == "k":
		return wire.Entity{Scope: wire.ScopeKey, Key: rest}, nil
	case ok && kind == "p":
		return wire.Entity{Scope: wire.ScopePrincipal, Principal: rest}, nil
	case ok && kind == "x":
		digits, both, _ := strings.Cut(rest, "\n")
		if n, err := strconv.Atoi(digits); err == nil && n >= 0 && n <= len(both) {
			return wire.Entity{Scope: wire.ScopePair, Key: both[:n], Principal: both[n:]}, nil
		}
	}
	return wire.Entity{}, fmt.Errorf("state key %q does not name an entity", s)
}
