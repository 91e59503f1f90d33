package notification

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// object is a JSON object: its members' names, exactly as written, and texts.
// It is no Go struct because package json matches the names of structs without
// regard to case and takes the last of equal ones: two readers could then see
// two different buckets in one message.
type object map[string]json.RawMessage

// members reads one object's members. raw is valid JSON and begins with '{'.
func members(raw []byte) (object, *fault) {
	m := object{}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil { // the brace
		return nil, &fault{ReasonSyntax, err.Error()}
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, &fault{ReasonSyntax, err.Error()}
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, &fault{ReasonSyntax, err.Error()}
		}
		s, _ := name.(string)
		if _, had := m[s]; had {
			return nil, &fault{ReasonDuplicateKey, "the name " + clip(s) + " stands twice in one object"}
		}
		m[s] = value
	}
	return m, nil
}

// items gives the items of an array one after another. raw is valid JSON and
// begins with '['.
func items(raw []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		dec := json.NewDecoder(bytes.NewReader(raw))
		if _, err := dec.Token(); err != nil {
			return
		}
		for dec.More() {
			var item json.RawMessage
			if dec.Decode(&item) != nil || !yield(item) {
				return
			}
		}
	}
}

// kind returns the first byte of a member's value, which tells its type; 0 for
// one that is absent or null.
func (m object) kind(name string) byte {
	if raw := m[name]; len(raw) > 0 && raw[0] != 'n' {
		return raw[0]
	}
	return 0
}

// names lists some of the members' names for a person.
func (m object) names() string {
	names := slices.Sorted(maps.Keys(m))
	more := ""
	if len(names) > 8 {
		names, more = names[:8], fmt.Sprintf(" and %d more", len(names)-8)
	}
	for i, n := range names {
		names[i] = clip(n)
	}
	return strings.Join(names, ", ") + more
}

// reader reads members and keeps the first fault; what it returns after one
// does not matter.
type reader struct{ fault *fault }

func (r *reader) fail(reason Reason, detail string) {
	if r.fault == nil {
		r.fault = &fault{reason, detail}
	}
}

// object returns the object that has to stand under name.
func (r *reader) object(m object, name string) object {
	if m.kind(name) != '{' {
		r.fail(ReasonPart, "expected an object under "+clip(name)+", found "+describe(m.kind(name)))
		return nil
	}
	inner, why := members(m[name])
	if why != nil {
		r.fail(why.reason, why.detail)
	}
	return inner
}

// text returns the string that has to stand under name.
func (r *reader) text(m object, name string) string {
	if m.kind(name) != '"' {
		r.fail(ReasonPart, "expected a string under "+clip(name)+", found "+describe(m.kind(name)))
		return ""
	}
	return r.str(m[name])
}

// optional returns the string under name, or "" when no string stands there.
func (r *reader) optional(m object, name string) string {
	if m.kind(name) != '"' {
		return ""
	}
	return r.str(m[name])
}

// size returns the number of bytes under name, or -1.
func (r *reader) size(m object, name string) int64 {
	if n, err := strconv.ParseInt(string(m[name]), 10, 64); err == nil && n >= 0 {
		return n
	}
	return -1
}

// str decodes a JSON string. Package json would put U+FFFD for a lone surrogate,
// and so name another key.
func (r *reader) str(raw []byte) string {
	if loneSurrogate(raw) {
		r.fail(ReasonUTF8, "a string has half of a UTF-16 pair")
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		r.fail(ReasonSyntax, err.Error())
	}
	return s
}

// loneSurrogate reports whether a valid JSON string has a \u escape of one half of
// a UTF-16 pair without the other (RFC 8259, section 8.2).
func loneSurrogate(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++ // on the escape's letter, which is not a backslash that begins another
		first := escaped(raw[i:])
		if first < 0xD800 || first > 0xDFFF {
			continue
		}
		i += 5 // behind the escape
		second := rune(0)
		if i+1 < len(raw) && raw[i] == '\\' {
			second = escaped(raw[i+1:])
		}
		if first > 0xDBFF || second < 0xDC00 || second > 0xDFFF {
			return true
		}
	} // i stands on the second's backslash, and moves over it
	return false
}

// escaped returns the code unit of an escape uXXXX, or -1.
func escaped(s []byte) rune {
	if len(s) < 5 || s[0] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(s[1:5]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// describe names the type of the value that begins with c.
func describe(c byte) string {
	switch c {
	case 0:
		return "nothing"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}
