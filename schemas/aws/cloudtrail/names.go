package cloudtrail

import "strings"

// CloudTrail writes the names of a record in the same few orders millions of
// times. The decoder learns these orders as a tree: a node is a name together
// with the names before it in its object. Where a learned name follows, one
// comparison of its bytes replaces reading the string, finding the field, and
// the check for duplicates, because a path holds no name twice. Unlearned
// names take the path of walk.go, with the same result.
//
// The idea is that of the hidden classes of the language Self (Chambers, Ungar
// and Lee, 1989), by which today's JSON.parse in browsers works too.

// Bounds of the tree, for input that keeps on inventing names: 4,096 nodes of
// about 250 bytes are 1 MB for each decoder. Real trails need 100 to 700.
const (
	maxNodes    = 4096
	maxBranches = 16 // names that may follow one node; beyond, comparing costs more than reading
	maxPath     = 60 // names in one object, so that checking a new one stays cheap
	maxName     = 64 // bytes of a name
)

// nameWords is how many words of eight bytes of a name are compared at once,
// without a loop; longer names are read each time.
const nameWords = 4

// node is a name in an object, behind all the names before it.
type node struct {
	// words are the name as it stands in the JSON, with its quotes and the colon,
	// and masks have a bit for each of its bits.
	words, masks [nameWords]uint64
	size         int // of that, or 0 when it is longer than the words
	field        field
	usual        *node   // the name that follows most often
	others       []*node // the other names that followed
	up           *node   // the name before it; nil at a root, which has no name
	name         string
	names        int // from the root to here
}

// isAt reports whether n's name stands at pos, colon included. The words are
// compared without a branch between them: names of other lengths would make it
// one that the processor cannot predict.
func (n *node) isAt(data []byte, pos int) bool {
	if pos+8*nameWords > len(data) || n.size == 0 {
		return false
	}
	return (load(data, pos)^n.words[0])&n.masks[0]|(load(data, pos+8)^n.words[1])&n.masks[1]|
		(load(data, pos+16)^n.words[2])&n.masks[2]|(load(data, pos+24)^n.words[3])&n.masks[3] == 0
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

// learn finds the name whose quote is at pos in the tree, behind n, or adds it. It
// returns nil for a name that cannot be learned, and false if it is not a name or
// is repeated.
func (d *Decoder) learn(k kind, n *node, pos int) (*node, bool) {
	s := &d.s
	s.lone = false
	name, end := s.str(pos)
	if end == failed {
		return nil, false
	}
	if s.lone {
		return nil, true // not the name that it is read as
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
	// Where isAt does not look: at the end of the data, before white space and a
	// colon, and at long names.
	if n.usual != nil && n.usual.name == name {
		return n.usual, true
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
	c := newNode(name, n)
	c.field = k.field(c.name)
	if n.usual == nil {
		n.usual = c
	} else {
		n.others = append(n.others, c)
	}
	return c, true
}

func newNode(name string, up *node) *node {
	c := &node{name: strings.Clone(name), up: up, names: up.names + 1} // the tree outlives the data
	text := `"` + name + `":`
	if len(text) > 8*nameWords {
		return c
	}
	c.size = len(text)
	for i := range len(text) {
		c.words[i/8] |= uint64(text[i]) << (i % 8 * 8)
		c.masks[i/8] |= 0xff << (i % 8 * 8)
	}
	return c
}
