package cloudtrail

import (
	"fmt"

	"keytrail/schemas/view"
)

// Walker walks over the JSON of one event that has been decoded before, to read
// fields which Event does not have. It checks only what it needs to find its way:
// that the event is JSON and says nothing twice was the Decoder's question. On
// other input it returns errors or nonsense, and never panics.
//
// Places are offsets in the data. A method that returns the place -1 has failed, and
// Err says why. Strings are views into the data or into the Walker's memory, valid
// until Reset. The zero value is ready; not safe for concurrent use.
type Walker struct {
	s scanner
}

// Reset makes w walk over data, which it does not change. Values nest at most
// depth deep, where they are entered.
func (w *Walker) Reset(data []byte, depth int) { w.s.reset(data, depth) }

// Err returns why the last walk failed, or nil.
func (w *Walker) Err() error {
	if !w.s.why.bad() {
		return nil
	}
	return fmt.Errorf("%s: %s", w.s.why.reason, w.s.why.detail)
}

// At returns the place of the first byte at or behind pos that is not white space,
// and the byte; 0 at the end of the data.
func (w *Walker) At(pos int) (int, byte) { return w.s.space(pos) }

// String reads the string whose opening quote is at pos.
func (w *Walker) String(pos int) (text string, end int) { return w.s.str(pos) }

// Raw returns the bytes from one place to another as a view.
func (w *Walker) Raw(from, to int) string { return view.String(w.s.data[from:to]) }

// Enter moves into the object or the array whose bracket is at pos.
func (w *Walker) Enter(pos int) int {
	if !w.s.deeper() {
		return failed
	}
	return pos + 1
}

// Member moves to the next member of the object that was entered: its name and the
// place of its value. At the end of the object more is false, and value the place
// behind it.
func (w *Walker) Member(pos int) (name string, value int, more bool) {
	s := &w.s
	pos, c := s.space(pos)
	if c == ',' {
		pos, c = s.space(pos + 1)
	}
	if c == '}' {
		s.depth--
		return "", pos + 1, false
	}
	if c != '"' {
		return "", s.unexpected(pos, "a name in quotes"), false
	}
	if name, pos = s.str(pos); pos == failed {
		return "", failed, false
	}
	if pos, c = s.space(pos); c != ':' {
		return "", s.unexpected(pos, "':'"), false
	}
	pos, _ = s.space(pos + 1)
	return name, pos, true
}

// Item moves to the next item of the array that was entered. At the end of the array
// more is false, and value the place behind it.
func (w *Walker) Item(pos int) (value int, more bool) {
	s := &w.s
	pos, c := s.space(pos)
	if c == ',' {
		pos, c = s.space(pos + 1)
	}
	if c == ']' {
		s.depth--
		return pos + 1, false
	}
	if c == 0 {
		return s.more(), false
	}
	return pos, true
}

// Over returns the place behind the value at pos. Only quotes and brackets are
// looked at, and no stack is kept: most of an event is passed over.
func (w *Walker) Over(pos int) int {
	s := &w.s
	pos, c := s.space(pos)
	if c != '{' && c != '[' && c != '"' {
		return w.overScalar(pos)
	}
	d := s.data
	for depth := 0; pos < len(d); {
		switch d[pos] {
		case '"':
			if pos = w.overString(pos + 1); pos == failed {
				return failed
			}
		case '{', '[':
			depth++
			pos++
		case '}', ']':
			depth--
			pos++
		default:
			pos++
			continue
		}
		if depth <= 0 {
			return pos
		}
	}
	return s.more()
}

// overString returns the place behind the string whose characters begin at i.
func (w *Walker) overString(i int) int {
	s := &w.s
	for i = s.plain(i); i < len(s.data); i = s.plain(i) {
		switch s.data[i] {
		case '"':
			return i + 1
		case '\\':
			i++ // what follows it is not the end
		}
		i++
	}
	return s.more()
}

// overScalar returns the place behind a number or a literal.
func (w *Walker) overScalar(pos int) int {
	s := &w.s
	from := pos
	for ; pos < len(s.data); pos++ {
		if c := s.data[pos]; c == ',' || c == '}' || c == ']' || c <= ' ' {
			break
		}
	}
	if pos == from {
		return s.unexpected(pos, "a value")
	}
	return pos
}
