package body

import (
	"strings"
	"unicode/utf8"

	"keytrail/schemas/otellog"
	"keytrail/schemas/view"
)

// headed is a body of one line of text: a header with bars between its fields, and an
// extension of pairs.
type headed struct {
	state
	begin     string // everything before the first field of a row
	end       string // between the header and the extension
	separator byte   // between the pairs of the extension
	header    func(dst []byte, s string) []byte
	value     func(dst []byte, s string) []byte
	heads     [onAll][]line
	pairs     [onAll][]line
	plain     []byte // memory of one value
}

func newHeaded(h headed, rows []row) *headed {
	for c := onCall; c <= onAnomaly; c <<= 1 {
		for _, l := range resolve(rows, c) {
			if strings.HasPrefix(l.to, "header.") {
				h.heads[c] = append(h.heads[c], l)
			} else {
				h.pairs[c] = append(h.pairs[c], l)
			}
		}
	}
	return &h
}

func newCEF() Encoder {
	return newHeaded(headed{
		begin: "CEF:0|Keytrail|Keytrail|" + otellog.SchemaVersion, end: "|", separator: ' ',
		header: appendCEFHeader, value: appendCEFValue,
	}, cefRows)
}

func newLEEF() Encoder {
	return newHeaded(headed{
		begin: "LEEF:2.0|Keytrail|Keytrail|" + otellog.SchemaVersion, end: "|x09|", separator: '\t',
		header: appendLEEFHeader, value: appendLEEFValue,
	}, leefRows)
}

// Append encodes r as one line.
func (h *headed) Append(dst []byte, r *otellog.Record) ([]byte, error) {
	h.load(r)
	dst = append(dst, h.begin...)
	for i := range h.heads[h.class] {
		dst = h.header(append(dst, '|'), h.eval(&h.heads[h.class][i]))
	}
	dst = append(dst, h.end...)
	begin := len(dst)
	for i := range h.pairs[h.class] {
		l := &h.pairs[h.class][i]
		value := h.eval(l)
		if value == "" {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, h.separator)
		}
		dst = h.value(append(append(dst, l.to...), '='), value)
		if l.label != "" {
			dst = append(append(append(dst, h.separator), l.to...), "Label="...)
			dst = h.value(dst, l.label)
		}
	}
	return dst, nil
}

// eval returns a line's value as text without blanks around it, valid until the next call.
func (h *headed) eval(l *line) string {
	v := l.eval(&h.state)
	if v.Kind == 0 {
		return ""
	}
	h.plain = appendText(h.plain[:0], &v)
	return strings.TrimFunc(view.String(h.plain), blank)
}

// blank reports whether r is white space or a control character: neither format can hold
// one at the end of a value.
func blank(r rune) bool {
	return r <= ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029
}

// appendCEFHeader escapes a field of a CEF header, which cannot hold a line break.
func appendCEFHeader(dst []byte, s string) []byte {
	return appendEscaped(dst, s, func(dst []byte, c byte) []byte {
		if c == '\\' || c == '|' {
			return append(dst, '\\', c)
		}
		return append(dst, oneByte(c))
	})
}

// appendCEFValue escapes a value of a CEF extension.
func appendCEFValue(dst []byte, s string) []byte {
	return appendEscaped(dst, s, func(dst []byte, c byte) []byte {
		switch c {
		case '\\', '=':
			return append(dst, '\\', c)
		case '\n':
			return append(dst, `\n`...)
		case '\r':
			return append(dst, `\r`...)
		}
		return append(dst, oneByte(c))
	})
}

// appendLEEFHeader and appendLEEFValue write what LEEF has no escape for as another
// character: a bar of the header as a slash, control characters as blanks.
func appendLEEFHeader(dst []byte, s string) []byte {
	return appendEscaped(dst, s, func(dst []byte, c byte) []byte {
		if c == '|' {
			c = '/'
		}
		return append(dst, oneByte(c))
	})
}

func appendLEEFValue(dst []byte, s string) []byte {
	return appendEscaped(dst, s, func(dst []byte, c byte) []byte { return append(dst, oneByte(c)) })
}

// oneByte is c, or a blank for a control character.
func oneByte(c byte) byte {
	if blank(rune(c)) {
		return ' '
	}
	return c
}

// appendEscaped appends s with its ASCII characters by escape. Bytes that are not UTF-8
// become U+FFFD. The control characters U+0080 to U+009F and the separators U+2028 and
// U+2029, at which some receivers end a line, become blanks.
func appendEscaped(dst []byte, s string, escape func(dst []byte, c byte) []byte) []byte {
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			dst = escape(dst, byte(r))
		case blank(r):
			dst = append(dst, ' ')
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}
