package sigma

import "strings"

// paths are the fields of the rules as a tree. Each has a slot, its number in a Matcher.
type paths struct {
	root   *branch        // child i is the event's top-level member number i
	bySlot []int          // by slot, its top-level member
	slots  map[string]int // by path
	tops   [][]int        // slots by top-level member
}

// everything is the slot of the path "": all values of the event.
const everything = 0

// branch is one name of a path. Children are found by a hash of the name's length and
// three of its bytes, which distinguish the names of events; most names of an event are
// not children at all.
type branch struct {
	slot     int // -1 if no path ends here
	top      int
	children []*branch
	names    []string
	table    []uint16 // index+1 into children, by hash, with linear probing
}

func hash(name string) uint {
	n := uint(len(name))
	if n == 0 {
		return 0
	}
	return n*7 + uint(name[0])*31 + uint(name[n-1])*17 + uint(name[n/2])*5
}

// child returns the branch of a member name, or nil.
func (b *branch) child(name string) *branch {
	if len(b.table) == 0 {
		return nil
	}
	mask := uint(len(b.table) - 1)
	for h := hash(name) & mask; ; h = (h + 1) & mask {
		i := b.table[h]
		if i == 0 {
			return nil
		}
		if b.names[i-1] == name {
			return b.children[i-1]
		}
	}
}

// add returns the child with a name, creating it if necessary. seal makes the table.
func (b *branch) add(name string) *branch {
	for i, n := range b.names {
		if n == name {
			return b.children[i]
		}
	}
	c := &branch{slot: -1, top: b.top}
	b.names, b.children = append(b.names, name), append(b.children, c)
	return c
}

// seal makes the tables, at most a quarter full, so that a miss ends at once.
func (b *branch) seal() {
	size := 8
	for size < 4*len(b.names) {
		size *= 2
	}
	if len(b.names) == 0 {
		return
	}
	b.table = make([]uint16, size)
	for i, name := range b.names {
		h := hash(name) & uint(size-1)
		for b.table[h] != 0 {
			h = (h + 1) & uint(size-1)
		}
		b.table[h] = uint16(i + 1)
		b.children[i].seal()
	}
}

// slot returns the slot of a path, assigning one if necessary.
func (p *paths) slot(path string) int {
	if slot, had := p.slots[path]; had {
		return slot
	}
	b := p.root
	for part := range strings.SplitSeq(path, ".") {
		parent := b
		if b = parent.add(part); parent == p.root && b.top < 0 {
			b.top = len(p.tops)
			p.tops = append(p.tops, nil)
		}
	}
	b.slot = len(p.bySlot)
	p.slots[path] = b.slot
	p.bySlot = append(p.bySlot, b.top)
	p.tops[b.top] = append(p.tops[b.top], b.slot)
	return b.slot
}

// compile assigns slots to all paths of the rules, and makes the index.
func (r *Rules) compile() {
	p := &r.paths
	p.root = &branch{slot: -1, top: -1}
	p.slots, p.bySlot = map[string]int{"": everything}, []int{-1}
	nameSlot, sourceSlot := p.slot(pathName), p.slot(pathSource)
	for _, rule := range r.List {
		rule.expr.tests(func(t *test) {
			if t.slot = p.slot(t.path); t.kind == testField {
				t.refSlot = p.slot(t.ref)
			}
		})
		for i := range rule.uses {
			u := &rule.uses[i]
			for _, path := range u.groupPaths {
				u.group = append(u.group, p.slot(path))
			}
			for _, path := range u.valuePaths {
				u.value = append(u.value, p.slot(path))
			}
		}
	}
	p.root.seal()
	r.index = newIndex(r.List)
	r.index.nameTop, r.index.sourceTop = p.bySlot[nameSlot], p.bySlot[sourceSlot]
}
