package cloudtrail

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"keytrail/schemas/view"
)

// A caller makes many calls with the same credentials, and each of them repeats
// the whole userIdentity, a third of the record: in a published trail of 2,900
// records, 89 of 100 had one that stood in the same file before. So the decoder
// keeps the ones that it met last, as they stand in the JSON, with what it found
// in them; one that stands there again is compared instead of decoded.

// callers holds the userIdentity objects met last, in sets of two that their
// first bytes choose: a caller often calls in two ways, by itself and through a
// service. 512 of 1.8 kB are 0.9 MB for each decoder, if so many call, and 2.5 MB if
// each is as long as maxCaller.
type callers struct {
	known [CallerPlaces]caller
	// Comparing is given up for a while where it does not pay: where of the last
	// trial records less than a quarter were known.
	tried, hits, pause int
}

// CallerPlaces is the number of callers that a decoder keeps. Of the events of
// one decoder, those with other callers have other Event.Caller modulo this.
const CallerPlaces = 512

const (
	trial     = 256
	longPause = 4096
	maxCaller = 4 << 10 // bytes of one; longer ones are decoded each time
)

// caller is one userIdentity, or one tlsDetails.
type caller struct {
	raw    []byte
	found  []finding
	number uint64 // Event.Caller; of a connection unused
	older  bool   // of its set, the one to replace
}

// finding is a value in a caller: the place of its field in Event, and where its
// text stands, counted from the object's brace. truth is the value of a boolean.
type finding struct {
	at       uintptr
	from, to int32
	truth    Bool
}

// numbers makes the numbers of callers unique in the process. The lowest bits
// are the caller's place, so that what is kept by number finds a place as well.
var numbers atomic.Uint64

// isAt reports whether c stands at pos.
func (c *caller) isAt(data []byte, pos int) bool {
	end := pos + len(c.raw)
	return len(c.raw) > 0 && end <= len(data) && string(data[pos:end]) == string(c.raw)
}

// keep decodes the object at pos, of kind k, and keeps it in c.
func (d *Decoder) keep(c *caller, k kind, pos int, ev *Event) int {
	d.noting, d.found, d.noted = true, d.found[:0], pos
	end := d.object(k, pos, ev)
	c.raw = c.raw[:0]
	if d.noting && end != failed && end-pos <= maxCaller {
		if c.found == nil { // room for most, so that the next one here takes no more
			c.raw, c.found = make([]byte, 0, 1152), make([]finding, 0, 24)
		}
		c.raw = append(c.raw, d.s.data[pos:end]...)
		c.found = append(c.found[:0], d.found...)
	}
	d.noting = false
	return end
}

// identity decodes the userIdentity at pos.
func (d *Decoder) identity(pos int, ev *Event) int {
	data, at := d.s.data, d.callers.place(d.s.data, pos)
	if at < 0 {
		return d.object(kindIdentity, pos, ev)
	}
	a, b := &d.callers.known[at], &d.callers.known[at+1]
	if a.older {
		a, b, at = b, a, at+1
	}
	switch {
	case a.isAt(data, pos):
	case b.isAt(data, pos):
		a, b = b, a
	default:
		pos = d.keep(b, kindIdentity, pos, ev)
		b.number = numbers.Add(1)*CallerPlaces + uint64(at^1)
		a.older, b.older = true, false
		if len(b.raw) > 0 {
			ev.Caller = b.number
		}
		return pos
	}
	d.callers.hits++
	a.older, b.older = false, true
	ev.Caller = a.number
	return a.recall(data, pos, ev)
}

// connection decodes the tlsDetails at pos. An account's callers use a few kinds
// of connections, which the version and the cipher tell apart.
func (d *Decoder) connection(pos int, ev *Event) int {
	data := d.s.data
	if pos+56 > len(data) {
		return d.object(kindTLS, pos, ev)
	}
	h := load(data, pos+16)*0x9e3779b97f4a7c15 + load(data, pos+40)*0xbf58476d1ce4e5b9 +
		load(data, pos+48)*0x94d049bb133111eb
	c := &d.connections[h>>60]
	if c.isAt(data, pos) {
		return c.recall(data, pos, ev)
	}
	return d.keep(c, kindTLS, pos, ev)
}

// place returns where the set begins that may have the caller at pos, or -1 when
// it is not to be looked for. Its bytes from 24 to 72 hold the principal's id and
// the beginning of the session's name; each word counts by itself, so that the
// multiplications overlap.
func (t *callers) place(data []byte, pos int) int {
	if t.pause > 0 {
		t.pause--
		return -1
	}
	if pos+72 > len(data) {
		return -1
	}
	if t.tried++; t.tried == trial {
		if t.hits < trial/4 {
			t.pause = longPause
		}
		t.tried, t.hits = 0, 0
	}
	h := uint64(0)
	for i, odd := range [...]uint64{0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb,
		0xd6e8feb86659fd93, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9} {
		h += bits.RotateLeft64(load(data, pos+24+8*i)*odd, 11*i)
	}
	return int(h >> 32 % (CallerPlaces / 2) * 2)
}

// recall sets in ev what was found in c, which stands at pos again, and returns
// the place behind it.
func (c *caller) recall(data []byte, pos int, ev *Event) int {
	raw := data[pos : pos+len(c.raw)]
	for i := range c.found {
		f := &c.found[i]
		at := unsafe.Add(unsafe.Pointer(ev), f.at)
		if f.truth != Missing {
			*(*Bool)(at) = f.truth
		} else {
			*(*string)(at) = view.String(raw[f.from:f.to])
		}
	}
	return pos + len(raw)
}

// note adds what n's member said to the findings. A value that is not a piece
// of the input (a string with escapes) cannot be found again.
func (d *Decoder) note(n *node, ev *Event) {
	at := unsafe.Add(unsafe.Pointer(ev), n.field.at)
	switch n.field.act {
	case actText:
		v := *(*string)(at)
		if v == "" {
			return
		}
		from := uintptr(unsafe.Pointer(unsafe.StringData(v))) - uintptr(unsafe.Pointer(unsafe.SliceData(d.s.data)))
		if from >= uintptr(len(d.s.data)) {
			d.noting = false
			return
		}
		first := int(from) - d.noted
		d.found = append(d.found, finding{at: n.field.at, from: int32(first), to: int32(first + len(v))})
	case actBool:
		if v := *(*Bool)(at); v != Missing {
			d.found = append(d.found, finding{at: n.field.at, truth: v})
		}
	}
}
