package cloudtrail

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// scanErr is what the scanner found wrong. It is a value, not an error with a
// text, because on the hot path most of them only say "read more".
type scanErr struct {
	reason Reason // "" is no error
	detail string
	more   bool // the input ended inside a value: with more bytes it may be right
}

func (e scanErr) bad() bool { return e.reason != "" }

var errMore = scanErr{reason: ReasonTruncated, detail: "the input ends inside a value", more: true}

func syntax(detail string) scanErr { return scanErr{reason: ReasonSyntax, detail: detail} }

// scanner walks one JSON value in data and validates it fully against RFC 8259:
// grammar, UTF-8, control characters, and that no object has a name twice. It
// never copies a string without escapes: strings are views into data.
//
// Why not a library: the decoder's share of the work per event is most of the
// product, and the measured parsers cost 1.6 to 3 times as much; the fuzz tests
// hold this scanner equal to encoding/json.
type scanner struct {
	data     []byte
	pos      int
	depth    int
	maxDepth int
	// keys is a stack of the names of the objects that are open, for the
	// duplicate check; each object's part begins at its objState.base.
	keys []string
	// scratch holds unescaped strings of the current record. When it grows, the
	// old memory stays alive through the strings that point to it.
	scratch []byte
}

func (s *scanner) reset(data []byte, maxDepth int) {
	s.data, s.pos, s.depth, s.maxDepth = data, 0, 0, maxDepth
	s.keys, s.scratch = s.keys[:0], s.scratch[:0]
}

// view returns b as a string without copying it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// space moves to the next byte that is not white space and returns it, or 0 at
// the end of the data (a NUL byte in the data is no JSON either way).
func (s *scanner) space() byte {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		if c > ' ' || (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
			return c
		}
		s.pos++
	}
	return 0
}

// unexpected reports the byte at pos, or asks for more data when there is none.
func (s *scanner) unexpected(want string) scanErr {
	if s.pos >= len(s.data) {
		return errMore
	}
	return syntax("expected " + want + ", found " + quoteByte(s.data[s.pos]))
}

func quoteByte(c byte) string {
	if c >= 0x20 && c < 0x7f {
		return "'" + string(rune(c)) + "'"
	}
	const hex = "0123456789abcdef"
	return "byte 0x" + string([]byte{hex[c>>4], hex[c&15]})
}

// quote puts text of the input into a detail: at most 64 bytes of it, because
// details travel as Kafka headers.
func quote(text string) string {
	if len(text) > 64 {
		return strconv.Quote(text[:64]) + "..."
	}
	return strconv.Quote(text)
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special returns a mask whose high bits mark the bytes of x that end a run of
// plain string characters: quote, backslash, control, non-ASCII. Bits above the
// first marked byte may be wrong (borrows); the lowest one is exact.
func special(x uint64) uint64 {
	quote := x ^ (ones * '"')
	slash := x ^ (ones * '\\')
	return ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*0x20)&^x | x) & highs
}

// str reads a string whose opening quote is at pos and returns its value.
func (s *scanner) str() (string, scanErr) {
	s.pos++
	start, i := s.pos, s.pos
	ascii := true
	for {
		// Eight bytes at a time: CloudTrail's strings are mostly 10 to 80 plain
		// ASCII characters, and a byte loop costs three times as much.
		for i+8 <= len(s.data) {
			m := special(binary.LittleEndian.Uint64(s.data[i:]))
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(s.data) {
			return "", errMore
		}
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			raw := s.data[start:i]
			if !ascii && !utf8.Valid(raw) {
				return "", scanErr{reason: ReasonUTF8, detail: "a string is not UTF-8"}
			}
			return view(raw), scanErr{}
		case c == '\\':
			return s.escaped(start, i)
		case c < 0x20:
			s.pos = i
			return "", syntax("control character " + quoteByte(c) + " inside a string")
		case c >= 0x80:
			ascii = false
			i++
		default:
			i++ // the tail of the data, shorter than eight bytes
		}
	}
}

// escaped reads the rest of a string from the first backslash at i on, and
// unescapes it into scratch. A lone surrogate becomes U+FFFD, as encoding/json
// does it; the event's body keeps what was written.
func (s *scanner) escaped(start, i int) (string, scanErr) {
	at := len(s.scratch)
	s.scratch = append(s.scratch, s.data[start:i]...)
	for {
		if i >= len(s.data) {
			return "", errMore
		}
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			raw := s.scratch[at:]
			if !utf8.Valid(raw) {
				return "", scanErr{reason: ReasonUTF8, detail: "a string is not UTF-8"}
			}
			return view(raw), scanErr{}
		case c < 0x20:
			s.pos = i
			return "", syntax("control character " + quoteByte(c) + " inside a string")
		case c != '\\':
			s.scratch = append(s.scratch, c)
			i++
		default:
			n, err := s.escape(i)
			if err.bad() {
				return "", err
			}
			i += n
		}
	}
}

// escape appends the value of the escape sequence at i and returns its length.
func (s *scanner) escape(i int) (int, scanErr) {
	if i+1 >= len(s.data) {
		return 0, errMore
	}
	if c := s.data[i+1]; c != 'u' {
		v := unescapes[c]
		if v == 0 {
			s.pos = i
			return 0, syntax("unknown escape: backslash and " + quoteByte(c))
		}
		s.scratch = append(s.scratch, v)
		return 2, scanErr{}
	}
	r, err := s.hex4(i + 2)
	if err.bad() {
		return 0, err
	}
	if !utf16.IsSurrogate(r) {
		s.scratch = utf8.AppendRune(s.scratch, r)
		return 6, scanErr{}
	}
	if i+6 >= len(s.data) || (s.data[i+6] == '\\' && i+7 >= len(s.data)) {
		return 0, errMore
	}
	if s.data[i+6] == '\\' && s.data[i+7] == 'u' {
		low, err := s.hex4(i + 8)
		if err.bad() {
			return 0, err
		}
		if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
			s.scratch = utf8.AppendRune(s.scratch, both)
			return 12, scanErr{}
		}
	}
	s.scratch = utf8.AppendRune(s.scratch, utf8.RuneError)
	return 6, scanErr{}
}

var unescapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

func (s *scanner) hex4(i int) (rune, scanErr) {
	if i+4 > len(s.data) {
		return 0, errMore
	}
	var r rune
	for _, c := range s.data[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			s.pos = i
			return 0, syntax("\\u is not followed by four hexadecimal digits")
		}
		r = r<<4 | rune(c)
	}
	return r, scanErr{}
}

// number moves over a number, by the grammar of RFC 8259 section 6. A number at
// the very end of the data asks for more: it may go on.
func (s *scanner) number() scanErr {
	i, d := s.pos, s.data
	at := func() byte {
		if i < len(d) {
			return d[i]
		}
		return 0
	}
	digits := func() bool {
		from := i
		for i < len(d) && d[i]-'0' <= 9 {
			i++
		}
		return i > from
	}
	fail := func() scanErr { s.pos = i; return s.unexpected("a digit") }
	if at() == '-' {
		i++
	}
	if at() == '0' {
		i++
	} else if !digits() {
		return fail()
	}
	if at() == '.' {
		i++
		if !digits() {
			return fail()
		}
	}
	if c := at(); c == 'e' || c == 'E' {
		i++
		if c := at(); c == '+' || c == '-' {
			i++
		}
		if !digits() {
			return fail()
		}
	}
	s.pos = i
	if i >= len(d) {
		return errMore
	}
	return scanErr{}
}

func (s *scanner) literal(word string) scanErr {
	rest := s.data[s.pos:]
	if len(rest) < len(word) {
		if string(rest) == word[:len(rest)] {
			return errMore
		}
		return syntax("expected " + word)
	}
	if string(rest[:len(word)]) != word {
		return syntax("expected " + word)
	}
	s.pos += len(word)
	return scanErr{}
}
