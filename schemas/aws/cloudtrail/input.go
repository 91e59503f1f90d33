package cloudtrail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"keytrail/schemas/decoding"
)

// input is the window over an object's inflated bytes that the Reader decodes
// from. It inflates, counts and bounds.
type input struct {
	src    io.Reader
	origin source // below src: the object as it is stored
	zipped bool   // it is stored as gzip
	sniff  bool   // the first bytes have not been looked at yet
	buf    []byte
	start  int
	base   int64 // offset of buf[0] in the inflated object
	eof    bool  // no more bytes will come, be it the end or a failure
	err    error // the failure, if it was one
	lim    decoding.Limits
	line   bool   // the byte that peek found begins a line, except for white space
	isText bool   // buf is somebody's string
	spare  []byte // the buffer while it is

	packed  bool   // what src gives was in memory, in base64
	foreign string // what the object is when it is not text that may hold events

	layers []*layer // kept from object to object
}

// chunk is how much is read at once. A record that is cut at a chunk's end is
// decoded twice; at 256 KiB and 1.4 kB a record that is one in 180.
const chunk = 256 << 10

// keep bounds the buffer that is kept for the next object; only long records
// make it grow beyond.
const keep = 1 << 20

// errTooBig is the failure of an object that inflates over its bounds.
var errTooBig = errors.New("the object inflates over the limit")

// errTooLong is the failure of an object that is too long before inflating.
var errTooLong = errors.New("the compressed object is longer than the limit")

// maxEmptyReads is how often a source may give neither bytes nor an error
// before it is given up, as in package bufio.
const maxEmptyReads = 100

// source counts what an object's source gives and keeps its failure, so that a
// source that fails is told from a gzip stream that is damaged.
type source struct {
	r   io.Reader
	n   int64
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// reset begins with another object, in the memory that in has.
func (in *input) reset(r io.Reader) {
	buf := in.spare
	if !in.isText {
		buf = in.buf
	}
	if cap(buf) > keep {
		buf = nil
	}
	*in = input{origin: source{r: r}, sniff: true, lim: in.lim, buf: buf[:0], layers: in.layers}
}

// resetText begins with text that is in memory already. The text must not change
// while the input is in use, nor does the input change it.
func (in *input) resetText(text string) {
	spare := in.spare
	if !in.isText {
		spare = in.buf
	}
	*in = input{buf: unsafe.Slice(unsafe.StringData(text), len(text)), isText: true, eof: true, lim: in.lim,
		spare: spare, layers: in.layers}
}

// maxZips bounds gzip inside gzip, which shippers make that compress what is
// compressed: three are one more than has been seen.
const maxZips = 3

// open looks at how the object begins: it puts gzip in between where that says so
// (RFC 1952: 0x1f 0x8b), again and again, then UTF-16, and names what is not text.
func (in *input) open() {
	in.sniff = false
	var from io.Reader = &in.origin
	for zips := 0; ; zips++ {
		l := in.layer(zips)
		l.buffered.Reset(from)
		head, err := l.buffered.Peek(headBytes)
		if len(head) < 2 && err != nil && err != io.EOF {
			in.fail(err)
			return
		}
		if !bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
			if order, wide := utf16Order(head); wide {
				l = in.layer(zips + 1)
				l.buffered.Reset(transform.NewReader(in.layers[zips].buffered, unicode.UTF16(order, unicode.UseBOM).NewDecoder()))
				head, _ = l.buffered.Peek(headBytes)
			}
			in.src, in.foreign = l.buffered, foreign(head)
			return
		}
		in.zipped = true
		if zips == maxZips {
			in.src, in.foreign = l.buffered, "gzip inside gzip, again and again: unpack it first"
			return
		}
		if l.zip == nil {
			l.zip = new(gzip.Reader)
		}
		if err := l.zip.Reset(l.buffered); err != nil {
			in.fail(err)
			return
		}
		from = &inner{r: l.zip, in: in}
	}
}

// layer is one level of gzip, or the text inside.
type layer struct {
	buffered *bufio.Reader
	zip      *gzip.Reader // of what buffered has
}

// layer returns the layer n, of those that are kept from object to object.
func (in *input) layer(n int) *layer {
	if len(in.layers) == n {
		in.layers = append(in.layers, &layer{buffered: bufio.NewReaderSize(nil, 64<<10)})
	}
	return in.layers[n]
}

// inner is what came out of one level of gzip. It bounds it as input.bound does what
// comes out of the last: what is inside may be gzip that inflates to nothing.
type inner struct {
	r  io.Reader
	in *input
	n  int64
}

func (i *inner) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	i.n += int64(n)
	if lim := &i.in.lim; i.n > lim.InflatedBytes+chunk || i.n > decoding.RatioFloor && i.n > lim.Ratio*i.in.origin.n {
		return n, errTooBig
	}
	return n, err
}

func (in *input) fail(err error) { in.eof, in.err = true, err }

// rest is what is buffered and not consumed.
func (in *input) rest() []byte { return in.buf[in.start:] }

// offset is rest's first byte in the inflated object.
func (in *input) offset() int64 { return in.base + int64(in.start) }

// advance consumes n bytes. They stay where they are until the next fill.
func (in *input) advance(n int) { in.start += n }

// full tells that no more bytes fit, because one record fills the buffer.
func (in *input) full() bool { return len(in.rest()) >= in.lim.RecordBytes }

// fill reads more bytes behind rest and reports whether any came. Views into the
// buffer are no longer valid after it.
func (in *input) fill() bool {
	if in.sniff {
		in.open()
	}
	if in.eof || in.full() {
		return false
	}
	if in.start > 0 {
		n := copy(in.buf, in.rest())
		in.base += int64(in.start)
		in.buf, in.start = in.buf[:n], 0
	}
	have := len(in.buf)
	// Twice as much each time: a long record is decoded again for every fill,
	// and doubling keeps that linear in its length.
	want := max(have+chunk, 2*have)
	if want > cap(in.buf) {
		grown := make([]byte, have, want)
		copy(grown, in.buf)
		in.buf = grown
	}
	for empty := 0; len(in.buf) < want && !in.eof; {
		n, err := in.src.Read(in.buf[len(in.buf):want])
		in.buf = in.buf[:len(in.buf)+n]
		if empty++; n > 0 {
			empty = 0
		}
		switch {
		case err == io.EOF:
			in.eof = true
		case err != nil:
			in.fail(err)
		case empty == maxEmptyReads:
			in.fail(io.ErrNoProgress)
		}
		in.bound()
	}
	return len(in.buf) > have
}

// bound stops an object that inflates to too much, and drops the bytes behind
// the limit.
func (in *input) bound() {
	out := in.base + int64(len(in.buf))
	switch over := out - in.lim.InflatedBytes; {
	case over > 0:
		in.buf = in.buf[:len(in.buf)-int(over)]
		in.fail(errTooBig)
	case in.err == nil && in.zipped && in.origin.n > in.lim.CompressedBytes:
		in.fail(errTooLong)
	case in.err == nil && in.zipped && out > decoding.RatioFloor && out > in.lim.Ratio*in.origin.n:
		in.fail(errTooBig)
	}
}

// failure names the cause of in.err.
func (in *input) failure() (decoding.Reason, string) {
	switch {
	case errors.Is(in.err, errTooBig):
		if in.zipped {
			out := in.base + int64(len(in.buf))
			return decoding.ReasonInflatedSize,
				fmt.Sprintf("%d compressed bytes inflate to more than %d; the limits are %d bytes and %d times",
					in.origin.n, out, in.lim.InflatedBytes, in.lim.Ratio)
		}
		return decoding.ReasonInflatedSize, fmt.Sprintf("the object is longer than %d bytes", in.lim.InflatedBytes)
	case errors.Is(in.err, errTooLong):
		return decoding.ReasonInflatedSize,
			fmt.Sprintf("the compressed object is longer than %d bytes", in.lim.CompressedBytes)
	case in.packed && in.origin.err != nil:
		return decoding.ReasonSyntax, "base64 is expected: " + in.origin.err.Error()
	case !in.zipped, in.origin.err != nil, errors.Is(in.err, io.ErrNoProgress):
		return decoding.ReasonRead, in.err.Error()
	case errors.Is(in.err, io.ErrUnexpectedEOF):
		return decoding.ReasonTruncated, "the gzip stream is cut; the records before the cut were read"
	}
	return decoding.ReasonGzip, in.err.Error()
}

// cause is the source's own error where it failed, else in.err.
func (in *input) cause() error {
	if in.origin.err != nil {
		return in.origin.err
	}
	return in.err
}

// mark is the byte order mark that some editors set before a text.
const mark = "\ufeff"

// peek moves over white space and byte order marks to the next byte; ok is false
// when there is none.
func (in *input) peek() (c byte, ok bool) {
	in.line = in.offset() == 0
	for {
		for in.start < len(in.buf) {
			switch c := in.buf[in.start]; {
			case c == '\n':
				in.line = true
				in.start++
			case c == ' ', c == '\t', c == '\r':
				in.start++
			case c == mark[0] && bytes.HasPrefix(in.rest(), []byte(mark)):
				in.start += len(mark)
			case c == mark[0] && len(in.rest()) < len(mark) && in.fill():
			default:
				return c, true
			}
		}
		if !in.fill() {
			return 0, false
		}
	}
}
