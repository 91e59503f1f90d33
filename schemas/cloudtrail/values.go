package cloudtrail

// objState is the walk over one object's members.
type objState struct {
	begun bool
	base  int                 // where this object's names begin in scanner.keys
	seen  uint64              // one bit for each hash of a name: most names need no comparison
	names map[string]struct{} // only in objects of more than manyNames members
}

// manyNames is the size from which on an object's names go into a map: below
// it comparing is cheaper, above it a hostile object would make it quadratic.
const manyNames = 64

// open moves into the object at pos.
func (s *scanner) open(o *objState) scanErr {
	s.depth++
	if s.depth > s.maxDepth {
		return scanErr{reason: ReasonDepth, detail: "nested deeper than the limit"}
	}
	s.pos++
	*o = objState{base: len(s.keys)}
	return scanErr{}
}

// next moves to the next member's value and returns its name; ok is false at
// the end of the object.
func (s *scanner) next(o *objState) (name string, ok bool, err scanErr) {
	c := s.space()
	if c == '}' {
		s.pos++
		s.depth--
		s.keys = s.keys[:o.base]
		return "", false, scanErr{}
	}
	if o.begun {
		if c != ',' {
			return "", false, s.unexpected("',' or '}'")
		}
		s.pos++
		c = s.space()
	}
	o.begun = true
	if c != '"' {
		return "", false, s.unexpected("a name in quotes")
	}
	if name, err = s.str(); err.bad() {
		return "", false, err
	}
	if s.space() != ':' {
		return "", false, s.unexpected("':'")
	}
	s.pos++
	s.space()
	if s.duplicate(o, name) {
		return "", false, scanErr{reason: ReasonDuplicateKey, detail: "the name " + quote(name) + " stands twice in one object"}
	}
	return name, true, scanErr{}
}

// duplicate remembers name and tells whether its object had it before.
func (s *scanner) duplicate(o *objState, name string) bool {
	h := uint(len(name)) * 7
	if len(name) > 0 {
		h += uint(name[0])*31 + uint(name[len(name)-1])*17 + uint(name[len(name)/2])
	}
	bit := uint64(1) << (h & 63)
	if o.names != nil {
		if _, had := o.names[name]; had {
			return true
		}
		o.names[name] = struct{}{}
		return false
	}
	if o.seen&bit != 0 {
		for _, k := range s.keys[o.base:] {
			if k == name {
				return true
			}
		}
	}
	o.seen |= bit
	s.keys = append(s.keys, name)
	if len(s.keys)-o.base > manyNames {
		o.names = make(map[string]struct{}, 4*manyNames)
		for _, k := range s.keys[o.base:] {
			o.names[k] = struct{}{}
		}
	}
	return false
}

// skip moves over any value, validating it.
func (s *scanner) skip() scanErr {
	switch c := s.space(); c {
	case '"':
		_, err := s.str()
		return err
	case '{':
		var o objState
		if err := s.open(&o); err.bad() {
			return err
		}
		for {
			_, ok, err := s.next(&o)
			if err.bad() || !ok {
				return err
			}
			if err := s.skip(); err.bad() {
				return err
			}
		}
	case '[':
		var a arrState
		if err := s.openArray(&a); err.bad() {
			return err
		}
		for {
			ok, err := s.nextItem(&a)
			if err.bad() || !ok {
				return err
			}
			if err := s.skip(); err.bad() {
				return err
			}
		}
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		if c == '-' || c-'0' <= 9 {
			return s.number()
		}
		return s.unexpected("a value")
	}
}

// arrState is the walk over one array's items.
type arrState struct{ begun bool }

func (s *scanner) openArray(a *arrState) scanErr {
	s.depth++
	if s.depth > s.maxDepth {
		return scanErr{reason: ReasonDepth, detail: "nested deeper than the limit"}
	}
	s.pos++
	*a = arrState{}
	return scanErr{}
}

// nextItem moves to the next item; ok is false at the end of the array.
func (s *scanner) nextItem(a *arrState) (ok bool, err scanErr) {
	c := s.space()
	if c == ']' && !a.begun {
		s.pos++
		s.depth--
		return false, scanErr{}
	}
	if a.begun {
		if c == ']' {
			s.pos++
			s.depth--
			return false, scanErr{}
		}
		if c != ',' {
			return false, s.unexpected("',' or ']'")
		}
		s.pos++
		s.space()
	}
	a.begun = true
	return true, scanErr{}
}

// text reads a value that should be a string. null is ""; any other kind is its
// JSON text, so that numbers keep their digits.
func (s *scanner) text(dst *string) scanErr {
	switch s.space() {
	case '"':
		v, err := s.str()
		*dst = v
		return err
	case 'n':
		return s.literal("null")
	}
	from := s.pos
	if err := s.skip(); err.bad() {
		return err
	}
	*dst = view(s.data[from:s.pos])
	return scanErr{}
}

// json reads a value as its JSON text; null is "".
func (s *scanner) json(dst *string) scanErr {
	if s.space() == 'n' {
		return s.literal("null")
	}
	from := s.pos
	if err := s.skip(); err.bad() {
		return err
	}
	*dst = view(s.data[from:s.pos])
	return scanErr{}
}

// boolean reads true or false, bare or as a string; anything else is Missing.
func (s *scanner) boolean(dst *Bool) scanErr {
	var v string
	if err := s.text(&v); err.bad() {
		return err
	}
	switch v {
	case "true":
		*dst = True
	case "false":
		*dst = False
	}
	return scanErr{}
}

// strings appends the string items of an array to *dst; other values and empty
// strings are passed over.
func (s *scanner) strings(dst *[]string) scanErr {
	if s.space() != '[' {
		return s.skip()
	}
	var a arrState
	if err := s.openArray(&a); err.bad() {
		return err
	}
	for {
		ok, err := s.nextItem(&a)
		if err.bad() || !ok {
			return err
		}
		if s.space() != '"' {
			if err := s.skip(); err.bad() {
				return err
			}
			continue
		}
		v, err := s.str()
		if err.bad() {
			return err
		}
		if v != "" {
			*dst = append(*dst, v)
		}
	}
}

// pairs appends an object's members to *dst, each value as text.
func (s *scanner) pairs(dst *[]KV) scanErr {
	if s.space() != '{' {
		return s.skip()
	}
	var o objState
	if err := s.open(&o); err.bad() {
		return err
	}
	for {
		name, ok, err := s.next(&o)
		if err.bad() || !ok {
			return err
		}
		kv := KV{Key: name}
		if err := s.text(&kv.Value); err.bad() {
			return err
		}
		*dst = append(*dst, kv)
	}
}
