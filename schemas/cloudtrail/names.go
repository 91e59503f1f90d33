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
	maxBranches = 8  // names that may follow one node; beyond, comparing costs more than reading
	maxPath     = 60 // names in one object, so that checking a new one stays cheap
	maxName     = 64 // bytes of a name
	maxLast     = 96 // bytes of a value that is remembered
)

// node is a name in an object, behind all the names before it.
type node struct {
	name   string
	quoted string // as it stands in the JSON
	field  field
	up     *node   // the name before it; nil at a root, which has no name
	next   []*node // the names that followed it, the usual one first
	length int     // names from the root to here

	// Many values repeat from record to record (the account, the region, the
	// version): last is one met here, with its quotes, to be compared with before
	// the string is read. misses and wait give a value up that changes.
	last   []byte
	misses uint8
	wait   uint8
}

// follow returns the child whose name stands at pos, or nil.
func (n *node) follow(data []byte, pos int) *node {
	rest := data[pos:]
	for i, c := range n.next {
		if len(rest) >= len(c.quoted) && string(rest[:len(c.quoted)]) == c.quoted {
			if i > 0 { // the usual one comes to the front in time
				n.next[i-1], n.next[i] = c, n.next[i-1]
			}
			return c
		}
	}
	return nil
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
	escaped := end-pos != len(name)+2 // then other bytes could be the same name
	if escaped || len(name) > maxName || len(n.next) == maxBranches || n.length == maxPath || d.nodes == maxNodes {
		return nil, true
	}
	d.nodes++
	quoted := string(s.data[pos:end]) // a copy: the tree outlives the data
	c := &node{name: quoted[1 : len(quoted)-1], quoted: quoted, up: n, length: n.length + 1}
	c.field = k.field(c.name)
	n.next = append(n.next, c)
	return c, true
}

// The numbers by which a changing value is given up: after this many misses,
// the next so many records do not compare.
const (
	maxMisses = 3
	pause     = 60
)

// again tells whether the string at pos is the one that n had last, and returns
// the place behind it.
func (n *node) again(data []byte, pos int) (end int, ok bool) {
	if n.wait > 0 {
		n.wait--
		return 0, false
	}
	end = pos + len(n.last)
	if len(n.last) > 0 && end <= len(data) && string(data[pos:end]) == string(n.last) {
		n.misses = 0
		return end, true
	}
	return 0, false
}

// remember keeps a string, quotes included, for again; it is called after again
// has said no.
func (n *node) remember(quoted []byte) {
	if n.wait > 0 {
		return
	}
	if n.misses++; n.misses > maxMisses {
		n.misses, n.wait = 0, pause
	}
	if n.last = n.last[:0]; len(quoted) <= maxLast {
		n.last = append(n.last, quoted...)
	}
}
