package cloudtrail

import (
	"encoding/binary"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"keytrail/schemas/decoding"
	"keytrail/schemas/view"
)

// scanErr is what the scanner found wrong. It is a value, not an error with a
// text, because most of them only say "read more".
type scanErr struct {
	reason decoding.Reason // "" means no error
	detail string
	more   bool // the input ended inside a value: with more bytes it may be right
}

func (e scanErr) bad() bool { return e.reason != "" }

// scanner walks one JSON value in data and validates it fully against RFC 8259:
// grammar, UTF-8, control characters, and that no object has a name twice. It
// never copies a string without escapes: strings are views into data.
//
// Its methods take the position to begin at and return the one behind what they
// read, or failed, and then why says what is wrong. Positions travel in registers:
// kept in the scanner, each would be a load that waits for the store before it,
// and a record has some three hundred.
//
// Why not a library: the decoder's share of the work per event is most of the
// product, and the fastest parser measured costs twice as much (bench/README.md);
// the fuzz tests hold this scanner equal to encoding/json.
type scanner struct {
	data     []byte
	depth    int
	maxDepth int
	why      scanErr
	// keys is a stack of the names of the objects that are open, for the
	// duplicate check of a walk; each object's part begins at its walk.base.
	keys []string
	// marks has a bit for each byte of the part of data that is marked; see mark.
	marks []uint64
	// scratch holds unescaped strings of the current record. When it grows, the
	// old memory stays alive through the strings that point to it.
	scratch []byte
	lone    bool // the last string with escapes had half of a surrogate pair
	exact   bool // such halves are kept: see exactly
}

// reached returns about how many bytes of the data have been looked at: those that
// are marked.
func (s *scanner) reached() int { return min(64*len(s.marks), len(s.data)) }

// failed is the position that says: why has the reason.
const failed = -1

func (s *scanner) reset(data []byte, maxDepth int) {
	s.data, s.marks, s.depth, s.maxDepth, s.why = data, s.marks[:0], 0, maxDepth, scanErr{}
	s.keys, s.scratch = s.keys[:0], s.scratch[:0]
}

// space returns the place of the next byte that is not white space and the byte,
// or 0 at the end of the data (a NUL byte in the data is no JSON either way).
func (s *scanner) space(pos int) (int, byte) {
	if pos < len(s.data) && s.data[pos] > ' ' {
		return pos, s.data[pos] // what CloudTrail writes has no white space
	}
	return s.spaces(pos)
}

func (s *scanner) spaces(pos int) (int, byte) {
	for ; pos < len(s.data); pos++ {
		if c := s.data[pos]; c > ' ' || (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
			return pos, c
		}
	}
	return pos, 0
}

func (s *scanner) fail(reason decoding.Reason, detail string) int {
	s.why = scanErr{reason: reason, detail: detail}
	return failed
}

func (s *scanner) syntax(detail string) int { return s.fail(decoding.ReasonSyntax, detail) }

// more fails because the data ends: with more of it the value may be right.
func (s *scanner) more() int {
	s.why = scanErr{reason: decoding.ReasonTruncated, detail: "the input ends inside a value", more: true}
	return failed
}

// unexpected reports the byte at pos, or asks for more data when there is none.
func (s *scanner) unexpected(pos int, want string) int {
	if pos >= len(s.data) {
		return s.more()
	}
	return s.syntax("expected " + want + ", found " + quoteByte(s.data[pos]))
}

// deeper counts the nesting; leaving is s.depth--.
func (s *scanner) deeper() bool {
	s.depth++
	if s.depth > s.maxDepth {
		s.fail(decoding.ReasonDepth, "nested deeper than the limit")
		return false
	}
	return true
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

// load returns the eight bytes at i, the first one lowest. The caller has made
// sure that they exist: the compiler does not see it and would check again.
func load(data []byte, i int) uint64 {
	p := (*[8]byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(data)), i))
	return binary.LittleEndian.Uint64(p[:])
}

// str reads the string whose opening quote is at pos.
func (s *scanner) str(pos int) (string, int) {
	start := pos + 1
	i := s.plain(start)
	if i < len(s.data) && s.data[i] == '"' {
		return view.String(s.data[start:i]), i + 1
	}
	return s.unusual(start, i)
}

// unusual goes on with a string whose plain ASCII characters end at i with
// something else than its quote.
func (s *scanner) unusual(start, i int) (string, int) {
	for ascii := true; i < len(s.data); i = s.plain(i + 1) {
		switch c := s.data[i]; {
		case c == '"':
			raw := s.data[start:i]
			if !ascii && !utf8.Valid(raw) {
				return "", s.fail(decoding.ReasonUTF8, "a string is not UTF-8")
			}
			return view.String(raw), i + 1
		case c == '\\':
			return s.escaped(start, i)
		case c < 0x20:
			return "", s.syntax("control character " + quoteByte(c) + " inside a string")
		}
		ascii = false
	}
	return "", s.more()
}

// escaped reads the rest of a string from the first backslash at i on, and
// unescapes it into scratch. A lone surrogate becomes U+FFFD, as encoding/json
// does it; the event's body keeps what was written.
func (s *scanner) escaped(start, i int) (string, int) {
	at := len(s.scratch)
	s.scratch = append(s.scratch, s.data[start:i]...)
	for i < len(s.data) {
		// The run up to the next escape in one piece: policies are long strings with
		// an escape at every quote.
		from := i
		for i = s.plain(i); i < len(s.data) && s.data[i] >= 0x80; {
			i = s.plain(i + 1)
		}
		s.scratch = append(s.scratch, s.data[from:i]...)
		if i == len(s.data) {
			break
		}
		switch c := s.data[i]; c {
		case '"':
			raw := s.scratch[at:]
			if !s.exact && !utf8.Valid(raw) {
				return "", s.fail(decoding.ReasonUTF8, "a string is not UTF-8")
			}
			return view.String(raw), i + 1
		case '\\':
			if i = s.escape(i); i == failed {
				return "", failed
			}
		default:
			return "", s.syntax("control character " + quoteByte(c) + " inside a string")
		}
	}
	return "", s.more()
}

// escape appends the value of the escape sequence at i and returns the place
// behind it.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.data) {
		return s.more()
	}
	if c := s.data[i+1]; c != 'u' {
		v := unescapes[c]
		if v == 0 {
			return s.syntax("unknown escape: backslash and " + quoteByte(c))
		}
		s.scratch = append(s.scratch, v)
		return i + 2
	}
	r, ok := s.hex4(i + 2)
	if !ok {
		return failed
	}
	if !utf16.IsSurrogate(r) {
		s.scratch = utf8.AppendRune(s.scratch, r)
		return i + 6
	}
	if i+6 >= len(s.data) || (s.data[i+6] == '\\' && i+7 >= len(s.data)) {
		return s.more()
	}
	if s.data[i+6] == '\\' && s.data[i+7] == 'u' {
		low, ok := s.hex4(i + 8)
		if !ok {
			return failed
		}
		if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
			s.scratch = utf8.AppendRune(s.scratch, both)
			return i + 12
		}
	}
	s.lone = true
	if s.exact {
		s.scratch = append(s.scratch, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
	} else {
		s.scratch = utf8.AppendRune(s.scratch, utf8.RuneError)
	}
	return i + 6
}

// exactly returns the string whose quote is at pos, which has been read before,
// with each half of a surrogate pair as three bytes that no UTF-8 has. Where halves
// differ, the strings do, and none is the string with U+FFFD.
func (s *scanner) exactly(pos int) string {
	s.exact = true
	text, _ := s.str(pos)
	s.exact = false
	return text
}

var unescapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

func (s *scanner) hex4(i int) (rune, bool) {
	if i+4 > len(s.data) {
		s.more()
		return 0, false
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
			s.syntax("\\u is not followed by four hexadecimal digits")
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number moves over a number, by the grammar of RFC 8259 section 6. A number at
// the very end of the data asks for more: it may go on.
func (s *scanner) number(i int) int {
	d := s.data
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
	if at() == '-' {
		i++
	}
	if at() == '0' {
		i++
	} else if !digits() {
		return s.unexpected(i, "a digit")
	}
	if at() == '.' {
		i++
		if !digits() {
			return s.unexpected(i, "a digit")
		}
	}
	if c := at(); c == 'e' || c == 'E' {
		i++
		if c := at(); c == '+' || c == '-' {
			i++
		}
		if !digits() {
			return s.unexpected(i, "a digit")
		}
	}
	if i >= len(d) {
		return s.more()
	}
	return i
}

func (s *scanner) literal(pos int, word string) int {
	rest := s.data[pos:]
	switch {
	case len(rest) >= len(word) && string(rest[:len(word)]) == word:
		return pos + len(word)
	case len(rest) < len(word) && string(rest) == word[:len(rest)]:
		return s.more()
	}
	return s.syntax("expected " + word)
}
