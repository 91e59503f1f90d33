package sigma

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// pattern is a string of a rule with wildcards: * for any number of characters, and ? for
// one. Unless cased, it is in lower case, and compared with values in lower case. Source:
// Sigma rules specification 2.1, "String Wildcard" and "Escape Character".
type pattern struct {
	cased bool
	// parts are the texts between the asterisks, at least one. The first begins the value
	// and the last ends it; either is empty next to an asterisk at the end.
	parts []part
}

// part is a text without asterisks; a true in wild replaces the rune by a question mark.
type part struct {
	text   string
	runes  []rune // nil without question marks
	single []bool
}

// parsePattern parses a value. After a backslash *, ? and \ are literal; before anything
// else a backslash is literal.
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

// open adds asterisks at the ends, for the modifiers contains, startswith and endswith.
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

// match reports whether the whole text matches; text is in lower case unless p is cased.
// Each part is searched from the end of the previous one. The first match suffices,
// because only the ends are anchored.
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

// prefix returns the length of the part if text begins with it, or -1.
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

// find returns the position after the first occurrence in text, or -1.
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

// appendLower appends text in lower case, rune by rune: strings.ToLower without its
// allocation.
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
