// Package state encodes the progress of the stages for the changelog topics that restore
// it; package entity encodes entities. It is pure: bytes in, bytes out.
//
// Every record begins with wire.FormatVersion; other versions are wire.ErrFrame, together
// with wire.ErrOlder or wire.ErrNewer.
package state

import (
	"fmt"

	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// Applied is the progress of a stage detect partition with one source.
type Applied struct {
	Sequence  uint64
	To        int64
	Watermark int64
	Late      int64 // see wire.Frame
}

// Meta is the state of a stage detect partition besides its entities.
type Meta struct {
	At        Position // position in kms.partials, also committed as the group's offset
	Settings  string   // that the counts depend on; see wire.Settings
	Watermark int64
	Late      int64             // windows that end by it accept no more calls
	Ended     int64             // the largest Quiet so far: windows have closed by it
	Applied   map[int32]Applied // by source
	Sent      map[int32]uint64  // frames sent to other partitions
	Told      int64             // the last Late that was sent to every partition
	Hold      int64             // windows that end by it get no more notices from other partitions
	Traffic   window.Traffic
}

// MetaKey is the state key of Meta; no entity has it.
const MetaKey = "meta"

// Append appends m to dst. It uses e and leaves it empty.
func (m *Meta) Append(dst []byte, e *wire.Encoder) []byte {
	e.Reset()
	e.Version()
	appendPosition(e, m.At)
	e.Raw(m.Settings)
	e.Int(m.Told)
	e.Int(m.Hold)
	e.Time(m.Traffic.Latest)
	e.Time(m.Traffic.Resumed)
	e.Bool(m.Traffic.Told)
	e.Int(m.Traffic.Listened)
	e.Int(m.Traffic.Swept)
	e.Int(m.Watermark)
	e.Int(m.Late)
	e.Int(m.Ended)
	e.Uint(uint64(len(m.Applied)))
	for source, a := range m.Applied {
		e.Int(int64(source))
		e.Uint(a.Sequence)
		e.Int(a.To)
		e.Int(a.Watermark)
		e.Int(a.Late)
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
	if err := d.Version(); err != nil {
		return Meta{}, fmt.Errorf("cannot restore the progress: %w", err)
	}
	m := Meta{Applied: map[int32]Applied{}, Sent: map[int32]uint64{}}
	m.At, m.Settings = position(d), d.Raw()
	m.Told, m.Hold = d.Int(), d.Int()
	m.Traffic = window.Traffic{Latest: d.Time(), Resumed: d.Time(), Told: d.Bool(), Listened: d.Int(), Swept: d.Int()}
	m.Watermark, m.Late, m.Ended = d.Int(), d.Int(), d.Int()
	for n := d.Count(); n > 0 && d.Err() == nil; n-- {
		source := int32(d.Int())
		m.Applied[source] = Applied{Sequence: d.Uint(), To: d.Int(), Watermark: d.Int(), Late: d.Int()}
	}
	for n := d.Count(); n > 0 && d.Err() == nil; n-- {
		m.Sent[int32(d.Int())] = d.Uint()
	}
	if !d.Done() {
		return m, fmt.Errorf("cannot restore the progress: %w", wire.ErrFrame)
	}
	return m, nil
}
