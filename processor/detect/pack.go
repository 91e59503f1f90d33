package detect

import (
	"fmt"
	"strconv"
	"strings"

	"keytrail/processor/baseline"
	"keytrail/schemas/wire"
)

// AppendEntity appends ent in its packed form, without its name: what the changelog
// holds, and what memory does of an entity that is not at work. e is used and emptied.
func AppendEntity(dst []byte, e *wire.Encoder, ent *Entity) []byte {
	e.Reset()
	encodeEntity(e, ent, nil)
	return append(dst, e.B...)
}

// encodeEntity encodes ent behind nothing else in e. What its windows took last, when
// they have not changed since, is copied from last, which is ent's packed form, and
// where they are now is noted in them; not so when last is nil.
func encodeEntity(e *wire.Encoder, ent *Entity, last []byte) {
	e.Version()
	e.Time(ent.Last)
	e.Uint(uint64(len(ent.Windows)))
	e.Uint(uint64(len(ent.Rollups)))
	if ent.Scope == wire.ScopeKey { // of the others the name tells it
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
		e.String(ent.Bound.ARN)
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

// keepWindow appends w, most of which did not change since they were packed last: of a
// dozen windows that an entity has, calls come for two or three.
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

// appendBaseline leaves out slots without calls: most entities are young, or have
// their hours.
func appendBaseline(e *wire.Encoder, b *baseline.State) {
	e.Time(b.Since)
	if b.Since == 0 { // pairs, and entities before their first close, have none
		return
	}
	e.Time(b.Until)
	e.Float(b.MuSq)
	e.Float(b.Excess)
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
func decodeWindow(d *wire.Decoder, entity wire.Entity, size int) *Window {
	from := size - len(d.Rest())
	w := &Window{Partial: wire.Partial{Entity: entity, Start: d.Time()}, Revision: int32(d.Uint()), Closed: d.Bool(), Changed: d.Bool(), Published: d.Int()}
	d.Counts(&w.Partial)
	w.from, w.to = from, size-len(d.Rest())
	return w
}

// DecodeEntity reads what AppendEntity wrote, or returns wire.ErrFrame; name is the entity's (wire.Entity.StateKey), the key of its record
// in the changelog.
func DecodeEntity(name string, value []byte) (*Entity, error) {
	entity, err := parseStateKey(name)
	if err != nil {
		return nil, err
	}
	return unpack(entity, value)
}

func unpack(entity wire.Entity, value []byte) (*Entity, error) {
	d := wire.NewDecoder(value)
	if err := d.Version(); err != nil {
		return nil, fmt.Errorf("cannot restore entity %q: %w", entity.StateKey(), err)
	}
	ent := &Entity{Entity: entity}
	decodeEntity(d, ent, len(value))
	if !d.Done() {
		return nil, fmt.Errorf("cannot restore entity %q: %w", entity.StateKey(), wire.ErrFrame)
	}
	return ent, nil
}

func decodeEntity(d *wire.Decoder, ent *Entity, size int) {
	ent.Last = d.Time()
	windows, rollups := d.Count(), d.Count()
	if ent.Account = payer(&wire.Partial{Entity: ent.Entity}); ent.Scope == wire.ScopeKey {
		ent.Account, ent.Due = d.Uint(), d.Time()
	}
	ent.Since, ent.Seen = d.Time(), d.Time()
	for i := range ent.High {
		ent.High[i] = int(d.Uint())
	}
	if d.Bool() {
		ent.Bound, ent.Used = &wire.Binding{Time: d.Int(), ARN: d.String()}, d.Int()
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

// packedAge reads only the beginning of a packed entity: when it was last named, and
// how many windows and roll-ups it has. One that has no state yet is as if it were in use.
func packedAge(d *wire.Decoder) (last int64, windows int) {
	if d.Version() != nil {
		return 0, 1
	}
	return d.Time(), d.Count() + d.Count()
}

// parseStateKey is the inverse of wire.Entity.StateKey.
func parseStateKey(s string) (wire.Entity, error) {
	kind, rest, ok := strings.Cut(s, "\n")
	switch {
	case ok && kind == "k":
		return wire.Entity{Scope: wire.ScopeKey, KeyARN: rest}, nil
	case ok && kind == "p":
		return wire.Entity{Scope: wire.ScopePrincipal, Principal: rest}, nil
	case ok && kind == "x":
		digits, both, _ := strings.Cut(rest, "\n")
		if n, err := strconv.Atoi(digits); err == nil && n >= 0 && n <= len(both) {
			return wire.Entity{Scope: wire.ScopePair, KeyARN: both[:n], Principal: both[n:]}, nil
		}
	}
	return wire.Entity{}, fmt.Errorf("state key %q names no entity", s)
}
