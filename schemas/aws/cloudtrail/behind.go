package cloudtrail

import "bytes"

// behind checks the text behind ev, a value of n bytes.
//
// A name and a colon there belong to a record that closed too early: with a
// brace too many its first half is an object as well, and would pass for the
// whole. Unless it is the first name of all, which ev has: then the next record
// lost its brace. Behind a value that is not an object, anything that cannot
// follow it makes both one piece of damage. It returns n, or failed.
func (r *Reader) behind(n int, ev *Event) int {
	behind := r.in.rest()[n:]
	rest := skipSpace(behind)
	object := ev.Raw[0] == '{'
	if object && r.mode == modeList && r.lines == oneLine && len(rest) > 0 && rest[0] == '}' {
		return r.dec.s.syntax("the line goes on behind the record, and closes more than was open")
	}
	sameLine := len(rest) > 0 && bytes.IndexByte(behind[:len(behind)-len(rest)], '\n') < 0
	lines := r.mode == modeValues && !r.hadList && (!r.lost || r.lines == oneLine)
	if object && sameLine && lines && !r.even(rest) {
		return failed
	}
	if object && len(rest) > 0 && rest[0] == ',' {
		rest = skipSpace(rest[1:])
	}
	if object && len(rest) > 0 {
		if rest[0] != '"' || ev.Version != "" && bytes.HasPrefix(rest, []byte(`"eventVersion"`)) {
			return n
		}
		_, rest, _ = bytes.Cut(rest[1:], []byte{'"'})
		rest = skipSpace(rest)
	}
	switch {
	case len(rest) == 0 && !r.in.eof && !r.in.full():
		return r.dec.s.more()
	case object && len(rest) > 0 && rest[0] == ':':
		return r.dec.s.syntax("a brace too many: the record goes on behind its end")
	case !object && r.mode == modeValues && bytes.IndexByte(behind[:len(behind)-len(rest)], '\n') >= 0:
	case !object && len(rest) > 0 && bytes.IndexByte([]byte(",]}[{"), rest[0]) < 0:
		return r.dec.s.syntax("expected a record, found a value and " + quoteByte(rest[0]))
	}
	return n
}

func skipSpace(b []byte) []byte {
	for i, c := range b {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return b[i:]
		}
	}
	return nil
}

// even reports whether what stands behind a record on its line, outside of lists, can
// stand there. A long line that was split has its second piece at the start of a line;
// where that begins with a part of the record, the brackets around the part close behind
// it. Otherwise it fails with a reason, or with a wish for more.
func (r *Reader) even(rest []byte) bool {
	at := r.in.offset() + int64(len(r.in.rest())-len(rest))
	if c := rest[0]; c != ',' && c != '}' && c != ']' || at < r.evenTo {
		return true
	}
	var n nesting
	for i, c := range rest {
		if c == '\n' && !n.escaped {
			return r.evenAt(at+int64(i), n.even())
		}
		if n.step(c) && n.open < 0 {
			return r.evenAt(at, false)
		}
	}
	if !r.in.eof && !r.in.full() {
		r.dec.s.more()
		return false
	}
	return r.evenAt(at+int64(len(rest)), !r.in.eof || n.even())
}

// nesting follows the brackets and strings of a text.
type nesting struct {
	open            int // brackets that are open
	quoted, escaped bool
}

// step takes the next byte and reports whether it closes a bracket.
func (n *nesting) step(c byte) (closes bool) {
	switch {
	case n.escaped:
		n.escaped = false
	case c == '\\':
		n.escaped = true
	case c == '"':
		n.quoted = !n.quoted
	case n.quoted:
	case c == '{', c == '[':
		n.open++
	case c == '}', c == ']':
		n.open--
		return true
	}
	return false
}

// even reports whether every bracket and string is closed.
func (n *nesting) even() bool { return n.open == 0 && !n.quoted }

// whole reports whether the object at the input's position, which holds a list, ends with
// its line or with the text: a piece of a line may begin with such an object, too. One that
// is longer than a record is not a piece.
func (r *Reader) whole() bool {
	var n nesting
	for i := 0; ; i++ {
		rest := r.in.rest()
		for i >= len(rest) {
			if !r.in.fill() {
				return true
			}
			rest = r.in.rest()
		}
		if !n.step(rest[i]) || n.open > 0 {
			continue
		}
		behind := bytes.TrimLeft(rest[i+1:], " \t\r,")
		if r.prefixed {
			line, _, _ := bytes.Cut(behind, []byte{'\n'})
			return !bytes.ContainsAny(line, `"{}[]`)
		}
		return len(behind) == 0 || behind[0] == '\n' || behind[0] == '{' || behind[0] == '['
	}
}

// evenAt notes up to where the line has been looked at.
func (r *Reader) evenAt(at int64, ok bool) bool {
	if !ok {
		r.dec.s.syntax("the line goes on behind the record, and closes more than was open")
		return false
	}
	r.evenTo = at
	return true
}
