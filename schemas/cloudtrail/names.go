package cloudtrail

// CloudTrail writes the names of a record in the same few orders millions of
// times. The decoder learns these orders as a tree: a node is a name together
// with the names before it in its object. Where a learned name follows, one
// comparison of its bytes replaces reading the string, finding the field, and
// the check for duplicates, because a path holds no name twice. What has not been
// learned goes the way of walk.go, with the same result.
//
// The idea is that of the hidden classes of the language Self (Chambers, Ungar
// and Lee, 1989), by which today's JSON.parse in browsers works too.

// Bounds of the tree, for input that keeps on inventing names: 4,096 nodes of
// about 250 bytes are 1 MB for each decoder. Real trails need 100 to 500.
const (
	maxNodes    = 4096
	maxBranches = 16 // names that may follow one node; beyond, comparing costs more than reading
	maxPath     = 60 // names in one object, so that checking a new one stays cheap
	maxName     = 64 // bytes of a name
	maxLast     = 96 // bytes of a value that is remembered
)

// node is a name in an object, behind all the names before it.
type node struct {
	// head is the beginning of the name as it stands in the JSON, quotes included,
	// and mask has a bit for each of its bits: most other names differ there.
	head, mask uint64
	quoted     string
	usual      *node   // the name that follows most often
	others     []*node // the other names that followed
	field      field
	up         *node // the name before it; nil at a root, which has no name
	name       string
	names      int // from the root to here

	// Many values repeat from record to record (the account, the region, the
	// version): last is the name with a value met here, as in the JSON, and value
	// the place of the value in it. trust says whether comparing with it pays.
	last  []byte
	value int
	truth Bool // of last, for actBool
	trust int8
	// Of the values that change, many have one length (ids, times): even counts how
	// often in a row, up to two, the length was that of the string before.
	length int
	even   uint8
}

// isAt tells whether n's name stands at pos.
func (n *node) isAt(data []byte, pos int) bool {
	return pos+8 <= len(data) && (load(data, pos)^n.head)&n.mask == 0 && n.ends(data, pos)
}

// follow returns the child whose name stands at pos, or nil.
func (n *node) follow(data []byte, pos int) *node {
	if n.usual == nil {
		return nil
	}
	if n.usual.isAt(data, pos) {
		return n.usual
	}
	for i, c := range n.others {
		if c.isAt(data, pos) {
			if i > 0 { // what is frequent comes to the front in time
				n.others[i-1], n.others[i] = c, n.others[i-1]
			} else {
				n.others[0], n.usual = n.usual, c
			}
			return c
		}
	}
	return nil
}

// ends tells whether the rest of n's name stands at pos as well, eight bytes at a
// time, the last eight of them perhaps once more. For names, which are short,
// this is faster than the comparison of the standard library.
func (n *node) ends(data []byte, pos int) bool {
	q := n.quoted
	last := len(q) - 8
	if last <= 0 {
		return true
	}
	if pos+len(q) > len(data) {
		return false
	}
	for i := 8; i < last; i += 8 {
		if load(data, pos+i) != loadString(q, i) {
			return false
		}
	}
	return load(data, pos+last) == loadString(q, last)
}

// learn adds the name whose quote is at pos to the tree, behind n. It returns nil
// for a name that can not be learned, and false when it is no name or stands twice.
func (d *Decoder) learn(k kind, n *node, pos int) (*node, bool) {
	s := &d.s
	name, end := s.str(pos)
	if end == failed {
		return nil, false
	}
	for p := n; p.up != nil; p = p.up {
		if p.name == name {
			s.twice(name)
			return nil, false
		}
	}
	if end-pos != len(name)+2 {
		return nil, true // with escapes: other bytes could be the same name
	}
	if n.usual != nil && n.usual.name == name {
		return n.usual, true // at the very end of the data, where isAt does not look
	}
	for _, c := range n.others {
		if c.name == name {
			return c, true
		}
	}
	if len(name) > maxName || len(n.others) == maxBranches || n.names == maxPath || d.nodes == maxNodes {
		return nil, true
	}
	d.nodes++
	quoted := string(s.data[pos:end]) // a copy: the tree outlives the data
	c := &node{name: quoted[1 : len(quoted)-1], quoted: quoted, up: n, names: n.names + 1}
	for i := range min(8, len(quoted)) {
		c.head |= uint64(quoted[i]) << (8 * i)
		c.mask |= 0xff << (8 * i)
	}
	c.field = k.field(c.name)
	if n.usual == nil {
		n.usual = c
	} else {
		n.others = append(n.others, c)
	}
	return c, true
}

// A comparison that fails costs more than it saves when it holds, because the
// processor expected the other. So a node must earn trust: it has from forgiven
// to most, gains one where the value is the last one again and loses costs where
// it is not; below none the next values are read without comparing.
const (
	most     = 8
	sure     = 2 // from here on name and value are compared as one
	none     = 0
	costs    = 4
	forgiven = -64
)

// same tells whether n's name and the value that it had last stand at pos.
func (n *node) same(data []byte, pos int) bool {
	end := pos + len(n.last)
	return end <= len(data) && string(data[pos:end]) == string(n.last)
}

// again tells whether the value at pos is the one that n had last, and returns
// the place behind it. It is asked when n has trust.
func (n *node) again(data []byte, pos int) (end int, ok bool) {
	last := n.last[n.value:]
	end = pos + len(last)
	if len(last) > 0 && end <= len(data) && string(data[pos:end]) == string(last) {
		n.trust = min(n.trust+1, most)
		return end, true
	}
	return 0, false
}

// remember keeps a value, as in the JSON, that is not known to be the last one.
func (n *node) remember(value []byte) {
	if n.trust < none {
		if n.trust++; n.trust < none {
			return
		}
	} else if n.trust -= costs; n.trust < none {
		n.trust = forgiven
	}
	n.last, n.value = n.last[:0], 0
	if len(value) <= maxLast {
		if n.last == nil { // once, for any value
			n.last = make([]byte, 0, len(n.quoted)+1+maxLast)
		}
		n.last = append(append(append(n.last, n.quoted...), ':'), value...)
		n.value = len(n.quoted) + 1
	}
}

// asLong tells whether the string at pos is as long as the last one and plain:
// its quote stands where it should, and nothing special before it. The loop runs
// as often as for the last string, which the processor predicts; looking for the
// quote ends somewhere new each time.
func (n *node) asLong(data []byte, pos int) (end int, ok bool) {
	start := pos + 1
	if end = start + n.length; n.length < 8 || end >= len(data) || data[end] != '"' {
		return 0, false
	}
	marks := special(load(data, end-8))
	for i := start; i < end-8; i += 8 {
		marks |= special(load(data, i))
	}
	return end + 1, marks == 0
}
