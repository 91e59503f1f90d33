package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Decoder reads what an Encoder wrote. After the first error, which Err returns, every
// method returns zero values. Strings are copies: they outlive the input.
type Decoder struct {
	b    []byte
	dict []string
	err  error

	many     bool // many partials are read, which live equally long
	counters []Counter
	values   []HashCount
	samples  []Sample
}

// NewDecoder returns a Decoder over b.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err returns the first error.
func (d *Decoder) Err() error { return d.err }

// Done reports whether all bytes have been read without error.
func (d *Decoder) Done() bool { return d.err == nil && len(d.b) == 0 }

func (d *Decoder) fail() {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %d bytes before its end", ErrFrame, len(d.b))
	}
	d.b = nil
}

// Uint reads an unsigned integer.
func (d *Decoder) Uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// Int reads a signed integer.
func (d *Decoder) Int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// Rest returns the bytes that have not been read.
func (d *Decoder) Rest() []byte { return d.b }

// Count reads the length of a list whose items take at least one byte each. A damaged length
// therefore cannot make a reader allocate more than the input's own size.
func (d *Decoder) Count() int { return d.within(d.Uint()) }

// Fixed reads eight bytes.
func (d *Decoder) Fixed() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// Bytes reads n bytes, as a view.
func (d *Decoder) Bytes(n int) []byte {
	if n > len(d.b) {
		d.fail()
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// Float reads a 32-bit floating-point number.
func (d *Decoder) Float() float32 {
	if len(d.b) < 4 {
		d.fail()
		return 0
	}
	v := math.Float32frombits(binary.LittleEndian.Uint32(d.b))
	d.b = d.b[4:]
	return v
}

// Bool reads a boolean.
func (d *Decoder) Bool() bool { return d.Uint() == 1 }

// String reads a string.
func (d *Decoder) String() string {
	i := d.Uint()
	if i == 0 {
		s := d.Raw()
		if d.err == nil {
			d.dict = append(d.dict, s)
		}
		return s
	}
	if i > uint64(len(d.dict)) {
		d.fail()
		return ""
	}
	return d.dict[i-1]
}

// Raw reads what Encoder.Raw wrote.
func (d *Decoder) Raw() string {
	n := d.Count()
	if d.err != nil {
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// Partial reads a partial.
func (d *Decoder) Partial() (p Partial) {
	p.Scope = d.scope(d.Uint())
	p.Key, p.Principal, p.Start = d.String(), d.String(), d.Time()
	if p.Scope == ScopeKey {
		p.Account, p.Principal = p.Principal, ""
	}
	d.Counts(&p)
	return p
}

func (d *Decoder) scope(v uint64) Scope {
	if v < uint64(ScopeKey) || v > uint64(ScopePair) {
		d.fail()
		return 0
	}
	return Scope(v)
}

// Frame reads a frame; a frame of another version (see Version), or one with bytes left
// over, is ErrFrame.
func (d *Decoder) Frame() (Frame, error) {
	if err := d.Version(); err != nil {
		return Frame{}, err
	}
	d.many = true
	f := Frame{
		Source: int32(d.Uint()), Sequence: d.Uint(), From: d.Int(), To: d.Int(),
		Watermark: d.Int(), Late: d.Int(), Quiet: d.Int(), Idle: d.Bool(), Lost: d.Uint(), Settings: d.Raw(),
	}
	n := d.Count()
	if n > maxFramePartials {
		d.fail()
	}
	if d.err == nil && n > 0 {
		f.Partials = make([]Partial, 0, min(n, len(d.b)/32)) // most take some hundred bytes
	}
	for i := 0; i < n && d.err == nil; i++ {
		f.Partials = append(f.Partials, d.Partial())
	}
	if n = d.Count(); n > maxFramePartials {
		d.fail()
	}
	for ; n > 0 && d.err == nil; n-- {
		f.Panes = append(f.Panes, d.Pane())
	}
	if n = d.Count(); n > maxFramePartials {
		d.fail()
	}
	for ; n > 0 && d.err == nil; n-- {
		f.Hits = append(f.Hits, d.Raw())
	}
	if n = d.Count(); n > maxFramePartials {
		d.fail()
	}
	for ; n > 0 && d.err == nil; n-- {
		f.Ledger = append(f.Ledger, d.Raw())
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail()
	}
	return f, d.err
}
