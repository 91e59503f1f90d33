package wire

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"strings"
)

// Sample is the id of a call as windows keep it. Nearly all ids are UUIDs, which it holds as
// numbers: counting compares a window's samples with every call, and every commit writes and
// reads them. As texts they took a tenth of the time of counting and judging. The zero value
// is the UUID of zeros.
type Sample struct {
	hi, lo uint64  // a UUID in lower case, as AWS writes them
	text   *string // any other id
}

// SampleOf returns the sample of an id. It may retain id: see Clone.
func SampleOf(id string) Sample {
	if hi, lo, ok := ParseUUID(id); ok {
		return Sample{hi: hi, lo: lo}
	}
	return otherSample(id)
}

// otherSample is a separate function so that ids that are UUIDs do not escape to the heap.
func otherSample(id string) Sample { return Sample{text: &id} }

// Clone returns s with a copy of its text.
func (s Sample) Clone() Sample {
	if s.text == nil {
		return s
	}
	return otherSample(strings.Clone(*s.text))
}

// String returns the id.
func (s Sample) String() string {
	if s.text != nil {
		return *s.text
	}
	return string(AppendUUID(nil, s.hi, s.lo))
}

// Compare orders samples like their ids: hexadecimal digits in lower case are in the order
// of their values.
func (s Sample) Compare(t Sample) int {
	if s.text != nil || t.text != nil {
		return strings.Compare(s.String(), t.String())
	}
	if s.hi != t.hi {
		return cmp.Compare(s.hi, t.hi)
	}
	return cmp.Compare(s.lo, t.lo)
}

// sample appends a call's id: a UUID takes 17 bytes instead of 36.
func (e *Encoder) sample(s Sample) {
	if s.text == nil {
		e.B = append(e.B, 0)
		e.B = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(e.B, s.hi), s.lo)
		return
	}
	e.Uint(uint64(len(*s.text)) + 1)
	e.B = append(e.B, *s.text...)
}

func (d *Decoder) sample() Sample {
	n := d.Uint()
	if n > 0 {
		return otherSample(d.take(n - 1))
	}
	if len(d.b) < 16 {
		d.fail()
		return Sample{}
	}
	s := Sample{hi: binary.BigEndian.Uint64(d.b), lo: binary.BigEndian.Uint64(d.b[8:])}
	d.b = d.b[16:]
	return s
}

// uuidText is the length of "8-4-4-4-12".
const uuidText = 36

// ParseUUID reads a UUID in lower case, as the 128-bit number hi, lo; false for every
// other text. Eight digits at a time: one is read for each call.
func ParseUUID(s string) (hi, lo uint64, ok bool) {
	if len(s) != uuidText || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return 0, 0, false
	}
	b := []byte(s) // which copies nothing
	four := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(b[at:])) }
	v1, bad1 := digits(binary.LittleEndian.Uint64(b))
	v2, bad2 := digits(four(9) | four(14)<<32)
	v3, bad3 := digits(four(19) | four(24)<<32)
	v4, bad4 := digits(binary.LittleEndian.Uint64(b[28:]))
	return v1<<32 | v2, v3<<32 | v4, bad1|bad2|bad3|bad4 == 0
}

// AppendUUID appends the UUID that is the 128-bit number hi, lo, in lower case.
func AppendUUID(dst []byte, hi, lo uint64) []byte {
	var u [16]byte
	binary.BigEndian.PutUint64(u[:8], hi)
	binary.BigEndian.PutUint64(u[8:], lo)
	var b [uuidText]byte
	hex.Encode(b[:8], u[:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:], u[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return append(dst, b[:]...)
}

// digits returns the value of eight hexadecimal digits in lower case, of which the first
// is the lowest byte of x; bad is not 0 when there is anything else among them.
func digits(x uint64) (v, bad uint64) {
	const each = 0x0101010101010101
	letters := x >> 6 & each // a digit is 0x30 to 0x39, a letter 0x61 to 0x66
	v = x&(0x0f*each) + 9*letters
	bad = x&(0xf0*each) ^ (0x30*each + 0x30*letters) // neither 3x nor 6x
	bad |= v & (0xf0 * each)                         // above f
	bad |= (v+6*each)&(0x10*each) ^ letters<<4       // a digit above 9, or what is before a
	// Two digits to a byte, two bytes to sixteen bits, and those to 32.
	v = (v<<4 | v>>8) & 0x00ff00ff00ff00ff
	v = (v | v>>8) & 0x0000ffff0000ffff
	return uint64(bits.ReverseBytes32(uint32(v | v>>16))), bad
}
