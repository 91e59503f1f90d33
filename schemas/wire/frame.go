package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Frame is the message of one commit of stage count to one partition of stage detect: the
// part of the source that it has counted, the event time up to which the source is complete,
// and the counts. An empty frame carries the watermark.
//
// Stage count alone decides which calls are late. No frame has a partial of a window that
// ends by the Late of an earlier frame of the same source.
type Frame struct {
	Source    int32  // partition of the events topic
	Sequence  uint64 // counts the frames of Source, without gap
	From, To  int64  // the source's offsets [From, To) that this frame covers
	Watermark int64  // event time up to which the source is complete, ns since 1970
	Late      int64  // windows that end by it get no more calls from the source; never above Watermark
	Quiet     int64  // how far the clock has come while nothing is delivered; see eventtime.Mark
	// Idle says that the source has been silent: its watermark follows other sources or the
	// clock. Lost is the number of offsets that were deleted unread. No stage reads either.
	// They are for examining frames: the simulation and the chaos test look for idle sources
	// and account for every offset.
	Idle     bool
	Lost     uint64
	Settings string // of the process that made it, as Settings.String returns them
	Partials []Partial
	Panes    []Pane // of the user's correlations
	// Hits are the anomalies of rules that stage count has published with the frame, as OTLP
	// log records: stage detect ends them.
	Hits []string
}

// ErrFrame says that bytes are not a frame, or not one of FormatVersion.
var ErrFrame = errors.New("not a frame of a known version")

// maxFramePartials bounds the partials of one frame, its panes and its hits. A commit of 20,000 calls
// has three to five partials per call; a number above 2^20 is a damaged frame.
const maxFramePartials = 1 << 20

// Encoder appends values in the binary form of frames and changelog records.
// Strings go through a dictionary: the first use writes the string, later uses
// its number, because ARNs repeat in almost every partial.
type Encoder struct {
	B    []byte
	dict map[string]uint64
}

// Reset empties the encoder and keeps its memory.
func (e *Encoder) Reset() {
	e.B = e.B[:0]
	clear(e.dict)
}

// Uint appends an unsigned integer.
func (e *Encoder) Uint(v uint64) { e.B = binary.AppendUvarint(e.B, v) }

// Int appends a signed integer.
func (e *Encoder) Int(v int64) { e.B = binary.AppendVarint(e.B, v) }

// Float appends a 32-bit floating-point number.
func (e *Encoder) Float(v float32) { e.B = binary.LittleEndian.AppendUint32(e.B, math.Float32bits(v)) }

// Bool appends a boolean.
func (e *Encoder) Bool(v bool) {
	if v {
		e.Uint(1)
	} else {
		e.Uint(0)
	}
}

// String appends a string.
func (e *Encoder) String(s string) {
	if e.dict == nil {
		e.dict = make(map[string]uint64)
	}
	if i, ok := e.dict[s]; ok {
		e.Uint(i + 1)
		return
	}
	e.dict[s] = uint64(len(e.dict))
	e.Uint(0)
	e.Raw(s)
}

// Raw appends a string without the dictionary.
func (e *Encoder) Raw(s string) {
	e.Uint(uint64(len(s)))
	e.B = append(e.B, s...)
}

// Partial appends a partial.
func (e *Encoder) Partial(p *Partial) {
	e.Uint(uint64(p.Scope))
	e.String(p.Key)
	if p.Scope == ScopeKey { // it has no principal
		e.String(p.Account)
	} else {
		e.String(p.Principal)
	}
	e.Time(p.Start)
	e.Counts(p)
}

// AppendFrame appends f to dst, which it may grow, through e (whose memory is
// used and emptied).
func AppendFrame(dst []byte, e *Encoder, f *Frame) []byte {
	e.Reset()
	p := part{n: len(f.Partials), panes: len(f.Panes), hits: len(f.Hits)}
	for i := range f.Partials {
		e.Partial(&f.Partials[i])
	}
	p.at = len(e.B)
	for i := range f.Panes {
		e.Pane(&f.Panes[i])
	}
	p.to = len(e.B)
	for _, hit := range f.Hits {
		e.Raw(hit)
	}
	p.data = e.B
	return f.append(dst, &p)
}

// append appends f with the content of p.
func (f *Frame) append(dst []byte, p *part) []byte {
	head := Encoder{B: slices.Grow(dst, len(p.data)+64)}
	head.Version()
	head.Uint(uint64(uint32(f.Source)))
	head.Uint(f.Sequence)
	head.Int(f.From)
	head.Int(f.To)
	head.Int(f.Watermark)
	head.Int(f.Late)
	head.Int(f.Quiet)
	head.Bool(f.Idle)
	head.Uint(f.Lost)
	head.Raw(f.Settings)
	head.Uint(uint64(p.n))
	head.B = append(head.B, p.data[:p.at]...)
	head.Uint(uint64(p.panes))
	head.B = append(head.B, p.data[p.at:p.to]...)
	head.Uint(uint64(p.hits))
	return append(head.B, p.data[p.to:]...)
}

// Batch collects partials, panes and hits for one partition in the form of frames, so that
// they are not copied before they are written. The zero value is ready. It is not safe for
// concurrent use.
type Batch struct {
	enc   Encoder
	parts []part
	now   part // without its data, which the encoder has
}

// part is the encoded content of one frame: partials, then panes, then hits.
type part struct {
	n, panes, hits int
	at, to         int // where the panes begin and end
	data           []byte
}

// Add appends a partial to the current frame. If that has most bytes or more, or panes or
// hits, Add begins another one.
func (b *Batch) Add(p *Partial, most int) {
	if len(b.enc.B) >= most || b.now.panes+b.now.hits > 0 {
		b.cut()
	}
	b.enc.Partial(p)
	b.now.n, b.now.at, b.now.to = b.now.n+1, len(b.enc.B), len(b.enc.B)
}

// AddPane appends a pane, as Add does a partial.
func (b *Batch) AddPane(p *Pane, most int) {
	if len(b.enc.B) >= most || b.now.hits > 0 {
		b.cut()
	}
	b.enc.Pane(p)
	b.now.panes, b.now.to = b.now.panes+1, len(b.enc.B)
}

// AddHit appends the log record of an anomaly of a rule, as Add does a partial.
func (b *Batch) AddHit(record string, most int) {
	if len(b.enc.B) >= most {
		b.cut()
	}
	b.enc.Raw(record)
	b.now.hits++
}

func (b *Batch) cut() {
	if b.now.n+b.now.panes+b.now.hits > 0 {
		b.now.data = slices.Clone(b.enc.B)
		b.parts = append(b.parts, b.now)
		b.enc.Reset()
		b.now = part{}
	}
}

// Frames returns the number of frames that the content needs.
func (b *Batch) Frames() int {
	b.cut()
	return len(b.parts)
}

// AppendFrame appends the frame f with the content of the k-th frame, or without any when
// there are fewer frames.
func (b *Batch) AppendFrame(dst []byte, f *Frame, k int) []byte {
	if k >= b.Frames() {
		return f.append(dst, &part{})
	}
	return f.append(dst, &b.parts[k])
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.enc.Reset()
	clear(b.parts)
	b.parts, b.now = b.parts[:0], part{}
}

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
	if d.err == nil && len(d.b) > 0 {
		d.fail()
	}
	return f, d.err
}
