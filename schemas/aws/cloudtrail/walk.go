package cloudtrail

import (
	"keytrail/schemas/decoding"
	"keytrail/schemas/view"
)

// walk is the way through one object whose names are not known in advance. The
// names that CloudTrail repeats in every record go the faster way of names.go.
type walk struct {
	begun bool
	base  int                 // where this object's names begin in scanner.keys
	seen  uint64              // one bit for each hash of a name: most names need no comparison
	names map[string]struct{} // only in objects of more than manyNames members
}

// manyNames is the size from which on an object's names go into a map: below
// it comparing is cheaper, above it a hostile object would make it quadratic.
const manyNames = 64

// open moves into the object at pos.
func (s *scanner) open(w *walk, pos int) int {
	if !s.deeper() {
		return failed
	}
	*w = walk{base: len(s.keys)}
	return pos + 1
}

// next moves to the next member's value and returns its name; ok is false at
// the end of the object and when the position is failed.
func (s *scanner) next(w *walk, pos int) (name string, value int, ok bool) {
	pos, c := s.space(pos)
	if c == '}' {
		s.depth--
		s.keys = s.keys[:w.base]
		return "", pos + 1, false
	}
	if w.begun {
		if c != ',' {
			return "", s.unexpected(pos, "',' or '}'"), false
		}
		pos, c = s.space(pos + 1)
	}
	w.begun = true
	if c != '"' {
		return "", s.unexpected(pos, "a name in quotes"), false
	}
	from := pos
	s.lone = false
	if name, pos = s.str(pos); pos == failed {
		return "", failed, false
	}
	same := name
	if s.lone {
		same = s.exactly(from)
	}
	if pos, c = s.space(pos); c != ':' {
		return "", s.unexpected(pos, "':'"), false
	}
	if s.duplicate(w, same) {
		return "", s.twice(name), false
	}
	pos, _ = s.space(pos + 1)
	return name, pos, true
}

func (s *scanner) twice(name string) int {
	return s.fail(decoding.ReasonDuplicateKey, "the name "+quote(name)+" stands twice in one object")
}

// duplicate remembers name and reports whether its object had it before.
func (s *scanner) duplicate(w *walk, name string) bool {
	h := uint(len(name)) * 7
	if len(name) > 0 {
		h += uint(name[0])*31 + uint(name[len(name)-1])*17 + uint(name[len(name)/2])
	}
	bit := uint64(1) << (h & 63)
	if w.names != nil {
		if _, had := w.names[name]; had {
			return true
		}
		w.names[name] = struct{}{}
		return false
	}
	if w.seen&bit != 0 {
		for _, k := range s.keys[w.base:] {
			if k == name {
				return true
			}
		}
	}
	w.seen |= bit
	s.keys = append(s.keys, name)
	if len(s.keys)-w.base > manyNames {
		w.names = make(map[string]struct{}, 4*manyNames)
		for _, k := range s.keys[w.base:] {
			w.names[k] = struct{}{}
		}
	}
	return false
}

// skip moves over any value, validating it.
func (s *scanner) skip(pos int) int {
	pos, c := s.space(pos)
	switch c {
	case '"':
		_, pos = s.str(pos)
		return pos
	case '{':
		var w walk
		pos = s.open(&w, pos)
		for ok := true; pos != failed; pos = s.skip(pos) {
			if _, pos, ok = s.next(&w, pos); !ok {
				return pos
			}
		}
		return failed
	case '[':
		var a items
		pos = s.openArray(&a, pos)
		for ok := true; pos != failed; pos = s.skip(pos) {
			if pos, ok = s.item(&a, pos); !ok {
				return pos
			}
		}
		return failed
	}
	return s.scalar(pos, c)
}

// scalar moves over a number or a literal, which begins with c.
func (s *scanner) scalar(pos int, c byte) int {
	switch c {
	case 't':
		return s.literal(pos, "true")
	case 'f':
		return s.literal(pos, "false")
	case 'n':
		return s.literal(pos, "null")
	}
	if c == '-' || c-'0' <= 9 {
		return s.number(pos)
	}
	return s.unexpected(pos, "a value")
}

// items is the way through one array.
type items struct{ begun bool }

func (s *scanner) openArray(a *items, pos int) int {
	if !s.deeper() {
		return failed
	}
	*a = items{}
	return pos + 1
}

// item moves to the next item; ok is false at the end of the array and when the
// position is failed.
func (s *scanner) item(a *items, pos int) (value int, ok bool) {
	pos, c := s.space(pos)
	if c == ']' {
		s.depth--
		return pos + 1, false
	}
	if a.begun {
		if c != ',' {
			return s.unexpected(pos, "',' or ']'"), false
		}
		pos, _ = s.space(pos + 1)
	}
	a.begun = true
	return pos, true
}

// text reads a value that should be a string. null is ""; any other kind is its
// JSON text, so that numbers keep their digits.
func (s *scanner) text(pos int, dst *string) int {
	pos, c := s.space(pos)
	if c == '"' {
		*dst, pos = s.str(pos)
		return pos
	}
	return s.json(pos, dst)
}

// json reads a value as its JSON text; null is "".
func (s *scanner) json(pos int, dst *string) int {
	pos, c := s.space(pos)
	if c == 'n' {
		return s.literal(pos, "null")
	}
	end := s.skip(pos)
	if end != failed {
		*dst = view.String(s.data[pos:end])
	}
	return end
}
