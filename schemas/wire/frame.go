package wire

import (
	"encoding/binary"
	"errors"
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
	// Ledger are deltas of the ledgers of KMS keys, as keyledger.Batch makes them, of all
	// records of the source: also of copies of known calls, and of late ones.
	Ledger []string
}

// ErrFrame says that bytes are not a frame, or not one of FormatVersion.
var ErrFrame = errors.New("not a frame of a known version")

// maxFramePartials bounds the partials of one frame, its panes, its hits and its deltas. A commit of 20,000 calls
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
	p := part{n: len(f.Partials), panes: len(f.Panes), hits: len(f.Hits), deltas: len(f.Ledger)}
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
	p.end = len(e.B)
	for _, delta := range f.Ledger {
		e.Raw(delta)
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
	head.B = append(head.B, p.data[p.to:p.end]...)
	head.Uint(uint64(p.deltas))
	return append(head.B, p.data[p.end:]...)
}

// Batch collects partials, panes, hits and deltas for one partition in the form of frames, so that
// they are not copied before they are written. The zero value is ready. It is not safe for
// concurrent use.
type Batch struct {
	enc   Encoder
	parts []part
	now   part // without its data, which the encoder has
}

// part is the encoded content of one frame: partials, then panes, then hits, then deltas.
type part struct {
	n, panes, hits, deltas int
	at, to, end            int // where the panes begin and end, and the hits end
	data                   []byte
}

// Add appends a partial to the current frame. If that has most bytes or more, or something
// that comes behind partials, Add begins another one.
func (b *Batch) Add(p *Partial, most int) {
	if len(b.enc.B) >= most || b.now.panes+b.now.hits+b.now.deltas > 0 {
		b.cut()
	}
	b.enc.Partial(p)
	b.now.n, b.now.at, b.now.to, b.now.end = b.now.n+1, len(b.enc.B), len(b.enc.B), len(b.enc.B)
}

// AddPane appends a pane, as Add does a partial.
func (b *Batch) AddPane(p *Pane, most int) {
	if len(b.enc.B) >= most || b.now.hits+b.now.deltas > 0 {
		b.cut()
	}
	b.enc.Pane(p)
	b.now.panes, b.now.to, b.now.end = b.now.panes+1, len(b.enc.B), len(b.enc.B)
}

// AddHit appends the log record of an anomaly of a rule, as Add does a partial.
func (b *Batch) AddHit(record string, most int) {
	if len(b.enc.B) >= most || b.now.deltas > 0 {
		b.cut()
	}
	b.enc.Raw(record)
	b.now.hits, b.now.end = b.now.hits+1, len(b.enc.B)
}

// AddDelta appends a delta of a key's ledger, as Add does a partial.
func (b *Batch) AddDelta(delta []byte, most int) {
	if len(b.enc.B) >= most {
		b.cut()
	}
	b.enc.Uint(uint64(len(delta)))
	b.enc.B = append(b.enc.B, delta...)
	b.now.deltas++
}

func (b *Batch) cut() {
	if b.now.n+b.now.panes+b.now.hits+b.now.deltas > 0 {
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
