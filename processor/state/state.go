// Package state encodes what the stages remember, for the changelog topics that
// they restore it from. It is pure: bytes in, bytes out.
//
// Every record begins with a version. A newer program reads older versions; an
// older one refuses newer ones with wire.ErrFrame.
package state

import (
	"fmt"
	"strconv"
	"strings"

	"keytrail/processor/detect"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// version is the version of all records of this package but those of entities.
const version = 1

// entityVersion is the version of entities. Version 1 had no bindings, version 2
// no roll-ups.
const entityVersion = 3

// AppendEntity appends an entity of stage detect: its baseline, what it has
// been seen to do, what it stands for, and its windows. e is used and emptied.
func AppendEntity(dst []byte, e *wire.Encoder, ent *detect.Entity) []byte {
	e.Reset()
	e.Uint(entityVersion)
	e.Int(ent.Since)
	e.Int(ent.Seen)
	e.Int(ent.Last)
	e.Bool(ent.Bound != nil)
	if ent.Bound != nil {
		e.Int(ent.Bound.Time)
		e.String(ent.Bound.ARN)
		e.Int(ent.Used)
	}
	for _, n := range ent.High {
		e.Uint(uint64(n))
	}
	b := &ent.Baseline
	e.Int(b.Since)
	if b.Since != 0 { // pairs, and entities before their first close, have none
		e.Int(b.Until)
		e.Float(b.MuSq)
		e.Float(b.Excess)
		for i := range b.Windows {
			e.Float(b.Windows[i])
			e.Float(b.Calls[i])
		}
	}
	e.Uint(uint64(len(ent.Windows)))
	for _, w := range ent.Windows {
		appendWindow(e, w)
	}
	e.Uint(uint64(len(ent.Rollups)))
	for _, w := range ent.Rollups {
		e.Int(w.Size)
		appendWindow(e, w)
	}
	return append(dst, e.B...)
}

func appendWindow(e *wire.Encoder, w *detect.Window) {
	e.Uint(uint64(w.Revision))
	e.Bool(w.Closed)
	e.Bool(w.Changed)
	e.Int(w.Published)
	e.Partial(&w.Partial)
}

func decodeWindow(d *wire.Decoder, entity wire.Entity) *detect.Window {
	w := &detect.Window{Revision: int32(d.Uint()), Closed: d.Bool(), Changed: d.Bool(), Published: d.Int()}
	w.Partial = d.Partial()
	w.Entity = entity
	return w
}

// DecodeEntity reads what AppendEntity wrote; name is the record's key, which
// AppendEntity leaves to the caller (wire.Entity.StateKey).
func DecodeEntity(name string, value []byte) (*detect.Entity, error) {
	entity, err := parseStateKey(name)
	if err != nil {
		return nil, err
	}
	d := wire.NewDecoder(value)
	v := d.Uint()
	if v < 1 || v > entityVersion {
		return nil, fmt.Errorf("cannot restore entity %q: %w: version %d, this program knows 1 to %d", name, wire.ErrFrame, v, entityVersion)
	}
	ent := &detect.Entity{Entity: entity, Since: d.Int(), Seen: d.Int(), Last: d.Int()}
	if v > 1 && d.Bool() {
		ent.Bound, ent.Used = &wire.Binding{Time: d.Int(), ARN: d.String()}, d.Int()
	}
	for i := range ent.High {
		ent.High[i] = int(d.Uint())
	}
	b := &ent.Baseline
	if b.Since = d.Int(); b.Since != 0 {
		b.Until, b.MuSq, b.Excess = d.Int(), d.Float(), d.Float()
		for i := range b.Windows {
			b.Windows[i], b.Calls[i] = d.Float(), d.Float()
		}
	}
	for n := d.Count(); n > 0 && d.Err() == nil; n-- {
		ent.Windows = append(ent.Windows, decodeWindow(d, entity))
	}
	if v > 2 {
		for n := d.Count(); n > 0 && d.Err() == nil; n-- {
			size := d.Int()
			w := decodeWindow(d, entity)
			w.Size = size
			ent.Rollups = append(ent.Rollups, w)
		}
	}
	if !d.Done() {
		return nil, fmt.Errorf("cannot restore entity %q: %w", name, wire.ErrFrame)
	}
	return ent, nil
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

// Applied is how far a stage detect partition has come with one source.
type Applied struct {
	Sequence  uint64
	To        int64
	Watermark int64
	Idle      bool
}

// Meta is what a partition of stage detect remembers beside its entities.
type Meta struct {
	Watermark int64
	Applied   map[int32]Applied // by source
	Sent      map[int32]uint64  // frames sent to other partitions
	Told      int64             // the watermark in the last of them
	Hold      int64             // as far as it the other partitions' notices have come
}

// metaVersion is the version of Meta. Version 1 had neither Told nor Hold.
const metaVersion = 2

// MetaKey is the state key of Meta; no entity has it.
const MetaKey = "meta"

// Append appends m to dst; e is used and emptied.
func (m *Meta) Append(dst []byte, e *wire.Encoder) []byte {
	e.Reset()
	e.Uint(metaVersion)
	e.Int(m.Told)
	e.Int(m.Hold)
	e.Int(m.Watermark)
	e.Uint(uint64(len(m.Applied)))
	for source, a := range m.Applied {
		e.Int(int64(source))
		e.Uint(a.Sequence)
		e.Int(a.To)
		e.Int(a.Watermark)
		e.Bool(a.Idle)
	}
	e.Uint(uint64(len(m.Sent)))
	for partition, n := range m.Sent {
		e.Int(int64(partition))
		e.Uint(n)
	}
	return append(dst, e.B...)
}

// DecodeMeta reads what Append wrote.
func DecodeMeta(value []byte) (Meta, error) {
	d := wire.NewDecoder(value)
	m := Meta{Applied: map[int32]Applied{}, Sent: map[int32]uint64{}, Told: eventtime.None, Hold: eventtime.None}
	v := d.Uint()
	switch {
	case v < 1 || v > metaVersion:
		return m, fmt.Errorf("cannot restore the progress: %w: version %d, this program knows 1 to %d", wire.ErrFrame, v, metaVersion)
	case v > 1:
		m.Told, m.Hold = d.Int(), d.Int()
	}
	m.Watermark = d.Int()
	if v == 1 { // nothing was held
		m.Hold = m.Watermark
	}
	for n := d.Count(); n > 0 && d.Err() == nil; n-- {
		source := int32(d.Int())
		m.Applied[source] = Applied{Sequence: d.Uint(), To: d.Int(), Watermark: d.Int(), Idle: d.Bool()}
	}
	for n := d.Count(); n > 0 && d.Err() == nil; n-- {
		m.Sent[int32(d.Int())] = d.Uint()
	}
	if !d.Done() {
		return m, fmt.Errorf("cannot restore the progress: %w", wire.ErrFrame)
	}
	return m, nil
}
