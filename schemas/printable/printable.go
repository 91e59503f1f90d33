// Package printable makes text from elsewhere safe to show: names of files, trails and
// rules, arguments and the answers of servers may hold what steers a terminal, breaks a
// line, or has a reader see other characters than there are.
//
// It is pure, keeps nothing, and is safe for concurrent use.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Unsafe reports whether r must not reach a terminal or a log as it is: controls (C0, DEL,
// C1), marks of direction, separators of lines and paragraphs, what has no width, spaces
// other than the plain one, and what Unicode has not assigned.
func Unsafe(r rune) bool {
	switch {
	case r < 0x20 || r == 0x7f:
		return true
	case r < 0x7f:
		return false
	}
	return !strconv.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Text returns s as one line: what is unsafe, and bytes that are not UTF-8, are written as
// in a string of Go (\x1b, \u202e). The rest stays as it is.
func Text(s string) string {
	if !strings.ContainsFunc(s, Unsafe) && utf8.ValidString(s) {
		return s
	}
	return string(appendText(nil, s, func(rune) bool { return false }))
}

// appendText appends s with all unsafe runes escaped, except allowed ones.
func appendText(dst []byte, s string, allowed func(rune) bool) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, '\\', 'x', hex[s[i]>>4], hex[s[i]&15])
		case !Unsafe(r) || allowed(r):
			dst = append(dst, s[i:i+n]...)
		default:
			dst = appendEscape(dst, r)
		}
		i += n
	}
	return dst
}

const hex = "0123456789abcdef"

// appendEscape appends r as in a string of Go.
func appendEscape(dst []byte, r rune) []byte {
	switch {
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\t':
		return append(dst, `\t`...)
	case r == '\r':
		return append(dst, `\r`...)
	case r < 0x80:
		return append(dst, '\\', 'x', hex[r>>4], hex[r&15])
	case r < 0x10000:
		return appendUnit(dst, r)
	}
	dst = append(dst, `\U`...)
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hex[r>>shift&15])
	}
	return dst
}

// appendUnit appends \u and four digits.
func appendUnit(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// AppendLines appends p with unsafe characters escaped, as Text does, except for tabs and
// the ends of lines. When p ends within a character, rest is that end, to be put
// before what follows.
func AppendLines(dst, p []byte) (out, rest []byte) {
	if whole := len(p) - partial(p); whole < len(p) {
		p, rest = p[:whole], p[whole:]
	}
	from := 0
	for i := 0; i < len(p); {
		if c := p[i]; c >= 0x20 && c < 0x7f || c == '\n' || c == '\t' {
			i++
			continue
		}
		r, n := utf8.DecodeRune(p[i:])
		if r != utf8.RuneError && !Unsafe(r) || r == utf8.RuneError && n > 1 {
			i += n
			continue
		}
		dst = append(dst, p[from:i]...)
		if r == utf8.RuneError {
			dst = append(dst, '\\', 'x', hex[p[i]>>4], hex[p[i]&15])
		} else {
			dst = appendEscape(dst, r)
		}
		i += n
		from = i
	}
	return append(dst, p[from:]...), rest
}

// partial returns how many bytes at the end of p begin a character that is not complete.
func partial(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if c := p[len(p)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(p[len(p)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// JSON returns an equivalent JSON text with unsafe characters escaped: these stand only
// within its strings, except for the white space between tokens. The
// text has to be valid, and is returned as it is when nothing in it is unsafe.
func JSON(text []byte) []byte {
	from, out := 0, []byte(nil)
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf && c != 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		if Unsafe(r) {
			out = AppendJSON(append(out, text[from:i]...), r)
			from = i + n
		}
		i += n
	}
	if from == 0 {
		return text
	}
	return append(out, text[from:]...)
}

// AppendJSON appends r as it is escaped in a JSON string: by UTF-16 units.
func AppendJSON(dst []byte, r rune) []byte {
	if r >= 0x10000 {
		r -= 0x10000
		dst = appendUnit(dst, 0xd800+r>>10)
		r = 0xdc00 + r&0x3ff
	}
	return appendUnit(dst, r)
}
