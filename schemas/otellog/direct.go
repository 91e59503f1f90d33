package otellog

import (
	"slices"
	"unsafe"
)

// Encoder encodes the attributes of a record as they are added, for callers that need only
// the record's encoding. It is reused for record after record, and is not safe for
// concurrent use.
type Encoder struct {
	wire  []byte // the attributes of the current record, as LogRecord fields
	names [256]framedName

	resource []byte // the attributes of a record's resource, as Resource fields
	stale    bool   // it is an earlier record's
}

// framedName is an attribute's name as it is encoded: its tag and length, the name, and the
// tag of the value. A few moves copy its fixed size, while a text of any length takes a call
// that branches on the length.
type framedName struct {
	name  *byte // of the text that was framed; texts are compared by their address
	size  int   // of it in frame
	frame [64]byte
}

// Direct makes r encode attributes into e as they are added, until r is reset: Attrs and
// Resource, and methods that read them, do not have them. Names must be constants, because e
// compares their addresses. AppendRequest of r is valid until e is used for the next record.
func (r *Record) Direct(e *Encoder) {
	e.wire, e.stale = e.wire[:0], true
	r.enc = e
}

// SameResource gives r the resource of the record for which e was used before. Most events
// happened in the same account and Region as the one before. r must be direct.
func (r *Record) SameResource() { r.enc.stale = false }

// where appends a string to the resource.
func (e *Encoder) where(key, value string) {
	if e.stale {
		e.resource, e.stale = e.resource[:0], false
	}
	e.resource = appendAttr(e.resource, tagAttributes, &Attr{Key: key, Kind: KindString, Str: value})
}

func (e *Encoder) appendResource(dst []byte) []byte {
	if e.stale {
		return appendLen(dst, tagResource, 0)
	}
	return append(appendLen(dst, tagResource, len(e.resource)), e.resource...)
}

// frame returns how key is framed, or nil when it is too long to be.
func (e *Encoder) frame(key string) *framedName {
	p := unsafe.StringData(key)
	f := &e.names[uint64(uintptr(unsafe.Pointer(p)))*0x9e3779b97f4a7c15>>56]
	if f.name == p && f.size == len(key)+3 {
		return f
	}
	if len(key)+3 > len(f.frame) {
		return nil
	}
	f.name, f.size = p, len(key)+3
	f.frame[0], f.frame[1] = tagKey, byte(len(key))
	copy(f.frame[2:], key)
	f.frame[2+len(key)] = tagValue
	return f
}

// begin appends an attribute's tag, length and name, with a value of n bytes to
// come, and leaves room for it. It returns where the value begins. The name's
// frame and the value together must be shorter than 16 KiB.
func (e *Encoder) begin(f *framedName, n int) int {
	i := len(e.wire)
	if cap(e.wire)-i < n+4+len(f.frame) {
		e.wire = slices.Grow(e.wire, n+4+len(f.frame)+1<<10)
	}
	w := e.wire[:i+n+4+len(f.frame)]
	size := f.size + 1 + n
	w[i], w[i+1] = tagLogAttrs, byte(size)
	i += 2
	if size >= 1<<7 {
		w[i-1], w[i] = byte(size)|0x80, byte(size>>7)
		i++
	}
	*(*[64]byte)(w[i:]) = f.frame
	i += f.size
	w[i] = byte(n)
	e.wire = w[:i+1+n]
	return i + 1
}

// str appends a string attribute.
func (e *Encoder) str(key, value string) {
	f := e.frame(key)
	if f == nil || len(value) >= 1<<7-2 {
		e.attr(&Attr{Key: key, Kind: KindString, Str: value})
		return
	}
	i := e.begin(f, len(value)+2)
	w := e.wire[i:]
	w[0], w[1] = tagStringValue, byte(len(value))
	copy(w[2:], value)
}

// boolean appends a boolean attribute.
func (e *Encoder) boolean(key string, value byte) {
	f := e.frame(key)
	if f == nil {
		e.attr(&Attr{Key: key, Kind: KindBool, Int: int64(value)})
		return
	}
	i := e.begin(f, 2)
	e.wire[i], e.wire[i+1] = tagBoolValue, value
}

// integer appends an integer attribute.
func (e *Encoder) integer(key string, value int64) {
	f := e.frame(key)
	if f == nil || uint64(value) >= 1<<14 {
		e.attr(&Attr{Key: key, Kind: KindInt, Int: value})
		return
	}
	n := 2 + b2i(value >= 1<<7)
	i := e.begin(f, n)
	e.wire[i], e.wire[i+1] = tagIntValue, byte(value)
	if n == 3 {
		e.wire[i+1], e.wire[i+2] = byte(value)|0x80, byte(value>>7)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// attr appends an attribute of any kind.
func (e *Encoder) attr(a *Attr) { e.wire = appendAttr(e.wire, tagLogAttrs, a) }

// Run is the beginning of a run of attributes that a Block will keep.
type Run int

// Run returns where the attributes added next will stand. r must be direct.
func (r *Record) Run() Run { return Run(len(r.enc.wire)) }

// Block is the encoding of a run of attributes that many records have in common.
// It owns its memory.
type Block struct{ wire []byte }

// Keep makes b a copy of the attributes added to r since from. r must be direct.
func (r *Record) Keep(b *Block, from Run) {
	if b.wire == nil { // room for most, so that keeping another takes no more
		b.wire = make([]byte, 0, 640)
	}
	b.wire = append(b.wire[:0], r.enc.wire[from:]...)
}

// Block appends the attributes of b. r must be direct.
func (r *Record) Block(b *Block) { r.enc.wire = append(r.enc.wire, b.wire...) }
