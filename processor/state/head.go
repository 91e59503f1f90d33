package state

import (
	"encoding/binary"
	"fmt"

	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Head is stage count's progress with one source partition. Each of its commits writes it
// again, under HeadKey, and nothing deletes it. Together with the Counted records that it
// accounts for, it is the partition's whole state.
type Head struct {
	At        Position // position in the source, also committed as the group's offset
	Settings  string   // that the counts depend on; see wire.Settings
	Sequence  uint64   // of the last frame; 0 before the first
	Framed    int64    // frames contain all source offsets below it
	Watermark int64    // of the last frame
	Late      int64    // of the last frame; see wire.Frame
	Ended     int64    // the largest Quiet of any frame; see wire.Frame
	// Progress is event time after the records below At, and the hold that applies to the
	// next one.
	Progress eventtime.Saved
	// Forgotten is an event time, in ns: ids of earlier calls have been dropped. It is
	// before Late, so such a call is late, whatever the lateness is now.
	Forgotten int64
	Live      Live
}

// Live identifies a set of Counted records by their number and a sum of their names: two
// different sets are equal with a chance of 2^-64. The zero value is the empty set.
type Live struct{ N, Sum uint64 }

// Add adds the record with a name.
func (l *Live) Add(n CountedName) { l.N, l.Sum = l.N+1, l.Sum+n.mixed() }

// Remove removes the record with a name.
func (l *Live) Remove(n CountedName) { l.N, l.Sum = l.N-1, l.Sum-n.mixed() }

// HeadKey is the key of Head in the dedup topic; no CountedName has it.
const HeadKey = "head"

// CountedName names one Counted record: a commit whose last frame has Sequence writes one
// or several.
type CountedName struct {
	Sequence uint64
	Part     uint32
}

// Key returns the key of the record in the dedup topic: 12 bytes.
func (n CountedName) Key() []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(make([]byte, 0, 12), n.Sequence), n.Part)
}

// ParseCountedName is the inverse of Key. It returns wire.ErrFrame for other keys.
func ParseCountedName(key []byte) (CountedName, error) {
	if len(key) != 12 {
		return CountedName{}, fmt.Errorf("cannot restore counted calls: %w: the key %q", wire.ErrFrame, key)
	}
	return CountedName{binary.BigEndian.Uint64(key), binary.BigEndian.Uint32(key[8:])}, nil
}

// Known checks by its value that a record of the dedup topic has this version: it returns
// wire.ErrOlder or wire.ErrNewer otherwise, and wire.ErrFrame for damage. Call it before
// parsing the key, whose form may have changed as well. The value of a tombstone is nil.
func Known(value []byte) error {
	if value == nil {
		return nil
	}
	if err := wire.NewDecoder(value).Version(); err != nil {
		return fmt.Errorf("cannot restore counted calls: %w", err)
	}
	return nil
}

// mixed spreads a name over 64 bits (the finalizer of splitmix64).
func (n CountedName) mixed() uint64 {
	h := n.Sequence*0x9e3779b97f4a7c15 + uint64(n.Part)*0xd6e8feb86659fd93
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// Append appends h to dst. It uses e and leaves it empty.
func (h *Head) Append(dst []byte, e *wire.Encoder) []byte {
	e.Reset()
	e.Version()
	appendPosition(e, h.At)
	e.Raw(h.Settings)
	e.Uint(h.Sequence)
	e.Int(h.Framed)
	e.Int(h.Watermark)
	e.Int(h.Late)
	e.Int(h.Ended)
	for _, at := range [...]int64{h.Progress.Front, h.Progress.LateMark, h.Progress.Clock, h.Progress.Hold} {
		e.Int(at)
	}
	e.Int(h.Forgotten)
	e.Uint(h.Live.N)
	e.Fixed(h.Live.Sum)
	return append(dst, e.B...)
}

// DecodeHead reads what Append wrote.
func DecodeHead(value []byte) (Head, error) {
	d := wire.NewDecoder(value)
	if err := d.Version(); err != nil {
		return Head{}, fmt.Errorf("cannot restore the progress of counting: %w", err)
	}
	h := Head{At: position(d), Settings: d.Raw(), Sequence: d.Uint(), Framed: d.Int(), Watermark: d.Int(),
		Late: d.Int(), Ended: d.Int(),
		Progress:  eventtime.Saved{Front: d.Int(), LateMark: d.Int(), Clock: d.Int(), Hold: d.Int()},
		Forgotten: d.Int(), Live: Live{d.Uint(), d.Fixed()}}
	if !d.Done() {
		return Head{}, fmt.Errorf("cannot restore the progress of counting: %w", wire.ErrFrame)
	}
	return h, nil
}

// Position is where reading of a partition continues.
type Position struct {
	Offset int64    // of the next record
	Epoch  int32    // leader epoch of the previous record; -1: unknown
	Topic  [16]byte // id of the topic; zero: unknown
}

func appendPosition(e *wire.Encoder, at Position) {
	e.Int(at.Offset)
	e.Int(int64(at.Epoch))
	e.B = append(e.B, at.Topic[:]...)
}

func position(d *wire.Decoder) Position {
	at := Position{Offset: d.Int(), Epoch: int32(d.Int())}
	binary.LittleEndian.PutUint64(at.Topic[:8], d.Fixed())
	binary.LittleEndian.PutUint64(at.Topic[8:], d.Fixed())
	return at
}
