package cloudtrail

// place is a place behind a damage at which a record may begin.
type place struct {
	at     int64 // in the inflated object
	floor  int   // brackets around it; a bracket that closes one of these ends its standing
	stage  stage
	around int  // objects around its list that are open
	below  bool // outside the damaged record for certain: none of that one's brackets is open
	items  int  // values that stand at the floor
}

// stage is how far the brackets around a place have been closed.
type stage uint8

const (
	nothing  stage = iota // not a place
	anywhere              // at the top, or in a list that was lost sight of
	inList                // among records, up to the bracket of their list
	inTail                // behind that bracket, inside the object that has the list
	atTop                 // outside of everything: only objects and lists may follow
)

// balance walks over brackets and strings behind a damage. The damage may have cost
// a quote, so that strings and what is between them change places: both readings are
// followed, one in which the first byte stands outside of strings and one in which it
// stands inside. A bracket or a comma counts in the one reading that has it outside.
type balance struct {
	quoted  bool  // the next byte stands in a string of the first reading
	escaped bool  // it follows a backslash
	begin   stage // in what the damaged record stands
	around  int   // objects around the list of records
	inside  bool  // the damage is a member of an object
	of      [2]reading
}

// reading is what one of the two readings has seen.
type reading struct {
	open   bitStack // the brackets that are open, true for '['
	closed int      // brackets closed that were opened before
	places []place  // that are still possible, by floor
}

// maxPlaces bounds the places that are possible at a time. A record begins at a
// lower floor than what is inside it, so the places that do not fit are not records
// of the list.
const maxPlaces = 64

// maxOpen bounds the brackets whose kinds are remembered: 33 million are 4 MiB, as much
// as a longest record. Deeper ones are counted, and close nothing.
const maxOpen = 1 << 25

// bitStack is a stack of bits.
type bitStack struct {
	words []uint64
	n     int
}

func (b *bitStack) push(v bool) {
	if b.n >= maxOpen {
		b.n++
		return
	}
	if b.n>>6 == len(b.words) {
		b.words = append(b.words, 0)
	}
	b.words[b.n>>6] &^= 1 << (b.n & 63)
	if v {
		b.words[b.n>>6] |= 1 << (b.n & 63)
	}
	b.n++
}

// pop takes the last bit off and reports whether it is v.
func (b *bitStack) pop(v bool) bool {
	b.n--
	return b.n < maxOpen && b.words[b.n>>6]>>(b.n&63)&1 == 1 == v
}

// reset starts over, in the memory of b.
func (b *balance) reset(begin stage, around int, inside bool) {
	b.quoted, b.escaped, b.begin, b.around, b.inside = false, false, begin, around, inside
	for k := range b.of {
		r := &b.of[k]
		r.open.n, r.closed, r.places = 0, 0, r.places[:0]
	}
}

func (r *reading) level() int { return r.open.n - r.closed }

// outside returns the reading in which the next byte stands outside of strings.
func (b *balance) outside() *reading {
	if b.quoted {
		return &b.of[1]
	}
	return &b.of[0]
}

// step moves over the byte c. It reports false when the bracket c does not close
// the bracket that is open in its reading.
func (b *balance) step(c byte) (fits bool) {
	if b.escaped {
		b.escaped = false
		if c == '"' || c == '\\' {
			return true
		}
	}
	switch c {
	case '\\':
		b.escaped = true
	case ' ', '\t', '\r', '\n':
	case '"':
		b.outside().other(c)
		b.quoted = !b.quoted
	case '{', '[':
		r := b.outside()
		if n := len(r.places); n > 0 && r.places[n-1].floor == r.level() {
			r.begin()
		}
		r.open.push(c == '[')
	case '}', ']':
		return b.outside().shut(c == ']')
	default:
		b.outside().other(c)
	}
	return true
}

// begin notes that a value begins at the level of places.
func (r *reading) begin() {
	for i := range r.places {
		if p := &r.places[i]; p.floor == r.level() {
			p.items++
		}
	}
}

// other moves over a byte that is neither a bracket nor white space. At the top
// none may stand, and in a list of records no colon.
func (r *reading) other(c byte) {
	for n := len(r.places); n > 0; n-- {
		p := &r.places[n-1]
		switch {
		case p.floor != r.level(), p.stage == inTail, p.stage == inList && c != ':':
			return
		case p.stage == anywhere && c == ',':
			p.stage = inList
			return
		}
		r.places = r.places[:n-1]
	}
}

// shut moves over a closing bracket.
func (r *reading) shut(list bool) (fits bool) {
	level := r.level()
	fits = r.open.n == 0 || r.open.pop(list)
	if r.level() == level { // nothing was open
		r.closed++
	}
	if n := len(r.places); n == 0 || fits && r.places[n-1].floor < level {
		return fits
	}
	kept := r.places[:0]
	for _, p := range r.places {
		if p.floor < level && fits || p.floor == level && p.shut(list) {
			kept = append(kept, p)
		}
	}
	r.places = kept
	return fits
}

// shut moves p behind the bracket that closes what is around it. It reports false
// when that cannot be.
func (p *place) shut(list bool) bool {
	switch {
	case p.stage <= inList && list:
		p.stage = inTail
	case p.stage == inTail && !list:
		p.around--
	default:
		return false
	}
	if p.around == 0 {
		p.stage = atTop
	}
	p.floor--
	return true
}

// add notes that a record may begin at the next byte, a brace, and in what it stands.
func (b *balance) add(at int64, begin stage) {
	r, p := b.outside(), place{at: at, stage: begin, around: b.around}
	p.floor, p.below = r.level(), r == &b.of[0] && (r.level() < 0 || r.level() == 0 && !b.inside)
	n := len(r.places)
	// Of two at one floor the first is possible as long as the second.
	if n == maxPlaces || n > 0 && r.places[n-1].floor == p.floor && r.places[n-1].stage == p.stage {
		return
	}
	r.places = append(r.places, p)
}

// first returns the first place that is possible.
func (b *balance) first() (first place, ok bool) {
	for k := range b.of {
		for _, p := range b.of[k].places {
			if !ok || p.at < first.at {
				first, ok = p, true
			}
		}
	}
	return first, ok
}

// drop takes the place at out.
func (b *balance) drop(at int64) {
	for k := range b.of {
		r := &b.of[k]
		kept := r.places[:0]
		for _, p := range r.places {
			if p.at != at {
				kept = append(kept, p)
			}
		}
		r.places = kept
	}
}

// ended returns the first place from which the brackets have stayed balanced, now
// that the object has ended: to the end of the list and of what is around it, or,
// without a list, to the object's end.
func (b *balance) ended() (first place, ok bool) {
	for k := range b.of {
		r := &b.of[k]
		if r != b.outside() || b.escaped {
			continue // inside a string
		}
		for _, p := range r.places {
			done := (p.stage == atTop || p.stage == anywhere) && p.floor == r.level()
			if done && (b.begin == inList || p.alone()) && (!ok || p.at < first.at) {
				first, ok = p, true
			}
		}
	}
	return first, ok
}

// alone reports whether p, outside of lists, does not stand inside the damaged record.
// A place inside has a comma or a bracket behind it, not another value. If the record is
// cut right behind it, the two cannot be told apart.
func (p *place) alone() bool { return p.below || p.items > 1 || p.stage == inList }
