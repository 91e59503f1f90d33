package sigma

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// pattern is a string of a rule with its wildcards: * for any characters, also none,
// and ? for one character. Unless it is cased it is written in lower case, and
// compared with values in lower case. Source: Sigma rules specification 2.1, "String
// Wildcard" and "Escape Character".
type pattern struct {
	cased bool
	// parts are what stands between the asterisks, at least one. The first begins the
	// value and the last ends it; both are empty where an asterisk stands.
	parts []part
}

// part is a text without asterisks; where wild has true a question mark replaces
// the rune.
type part struct {
	text   string
	runes  []rune // nil without question marks
	single []bool
}

// parsePattern reads a value. Behind a backslash *, ? and \ are plain characters;
// before anything else it is one itself.
func parsePattern(value string, cased bool) pattern {
	p := pattern{cased: cased}
	var runes []rune
	var single []bool
	wild := false
	flush := func() {
		t := part{text: string(runes)}
		if wild {
			t = part{runes: runes, single: single}
		}
		p.parts = append(p.parts, t)
		runes, single, wild = nil, nil, false
	}
	add := func(r rune, any bool) {
		if !cased && !any {
			r = unicode.ToLower(r)
		}
		runes, single, wild = append(runes, r), append(single, any), wild || any
	}
	escaped := false
	for _, r := range value {
		switch {
		case escaped:
			if escaped = false; r != '*' && r != '?' && r != '\\' {
				add('\\', false)
			}
			add(r, false)
		case r == '\\':
			escaped = true
		case r == '*':
			flush()
		case r == '?':
			add('?', true)
		default:
			add(r, false)
		}
	}
	if escaped {
		add('\\', false)
	}
	flush()
	return p
}

// open puts asterisks at the ends, as the modifiers contains, startswith and
// endswith do.
func (p pattern) open(front, back bool) pattern {
	parts := p.parts
	if front {
		parts = append([]part{{}}, parts...)
	}
	if back {
		parts = append(parts[:len(parts):len(parts)], part{})
	}
	p.parts = parts
	return p
}

// plain returns the text of a pattern without wildcards.
func (p *pattern) plain() (string, bool) {
	if len(p.parts) != 1 || p.parts[0].runes != nil {
		return "", false
	}
	return p.parts[0].text, true
}

// match reports whether the whole of text fits; text is in lower case unless p is
// cased. Each part is looked for at the first place behind the one before it, which
// is right because only the ends are bound to a place.
func (p *pattern) match(text string) bool {
	first := &p.parts[0]
	if len(p.parts) == 1 {
		n := first.prefix(text)
		return n == len(text)
	}
	n := first.prefix(text)
	if n < 0 {
		return false
	}
	text = text[n:]
	last := &p.parts[len(p.parts)-1]
	for i := 1; i < len(p.parts)-1; i++ {
		if n = p.parts[i].find(text); n < 0 {
			return false
		}
		text = text[n:]
	}
	return last.suffix(text)
}

// prefix returns the length of the part at the start of text, or -1.
func (t *part) prefix(text string) int {
	if t.runes == nil {
		if strings.HasPrefix(text, t.text) {
			return len(t.text)
		}
		return -1
	}
	n := 0
	for i, want := range t.runes {
		r, size := utf8.DecodeRuneInString(text[n:])
		if size == 0 || !t.single[i] && r != want {
			return -1
		}
		n += size
	}
	return n
}

// find returns the place behind the first occurrence in text, or -1.
func (t *part) find(text string) int {
	if t.runes == nil {
		i := strings.Index(text, t.text)
		if i < 0 {
			return -1
		}
		return i + len(t.text)
	}
	for i := 0; i < len(text); {
		if n := t.prefix(text[i:]); n >= 0 {
			return i + n
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		i += size
	}
	return -1
}

// suffix reports whether text ends with the part.
func (t *part) suffix(text string) bool {
	if t.runes == nil {
		return strings.HasSuffix(text, t.text)
	}
	from := len(text)
	for range t.runes {
		if from == 0 {
			return false
		}
		_, size := utf8.DecodeLastRuneInString(text[:from])
		from -= size
	}
	return t.prefix(text[from:]) == len(text)-from
}

// appendLower appends text in lower case, rune by rune: the same as strings.ToLower
// without its allocation.
func appendLower(dst []byte, text string) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= utf8.RuneSelf {
			return appendLowerRunes(dst, text[i:])
		}
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func appendLowerRunes(dst []byte, text string) []byte {
	for _, r := range text {
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
	}
	return dst
}
