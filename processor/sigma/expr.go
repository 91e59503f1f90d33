package sigma

import (
	"net/netip"
	"regexp"
)

// op is what an expr does.
type op uint8

const (
	opTest op = iota
	opAnd
	opOr
	opNot
)

// expr is a rule's condition after loading: selections, lists and modifiers have
// become and, or, not, and tests of single fields.
type expr struct {
	op   op
	list []*expr // of opAnd, opOr, and the one of opNot
	test *test   // of opTest
}

// kind is what a test asks of a field's values.
type kind uint8

const (
	testNull    kind = iota // the path leads to nothing, or to a null
	testExists              // the path leads to something, also to a null
	testSet                 // the text is one of many
	testPattern             // the text fits a pattern
	testRegexp
	testCIDR
	testEqual // a number
	testGreater
	testGreaterEqual
	testLess
	testLessEqual
	testField // the text equals, begins with, ends with or contains that of another field
)

// test asks one question of the values at one path. All kinds but null and exists are
// true when they are for any of the values.
type test struct {
	kind  kind
	path  string // "" is all values of the event: a keyword
	slot  int    // of path, given when all rules are known
	line  int    // where its value stands
	cased bool   // of testSet and testField

	set     map[string]struct{}
	one     string // instead of set, when it would hold one
	pattern pattern
	re      *regexp.Regexp
	prefix  netip.Prefix
	number  number
	ref     string // the other field's path, of testField
	refSlot int
	// of testField: whether the other field's text may go on in front and behind
	front, back bool
}

func single(t *test) *expr { return &expr{op: opTest, test: t} }

// join makes one expr of several; of one, that one.
func join(o op, list []*expr) *expr {
	if len(list) == 1 {
		return list[0]
	}
	return &expr{op: o, list: list}
}

func not(e *expr) *expr { return &expr{op: opNot, list: []*expr{e}} }

// tests calls f for every test in e.
func (e *expr) tests(f func(*test)) {
	if e.op == opTest {
		f(e.test)
	}
	for _, x := range e.list {
		x.tests(f)
	}
}

// paths returns the fields that e asks for.
func (e *expr) paths() (list []string) {
	e.tests(func(t *test) {
		if list = append(list, t.path); t.kind == testField {
			list = append(list, t.ref)
		}
	})
	return list
}

// needs returns the texts in lower case of which the value at path must be one for e
// to be true; nil when others do as well.
func (e *expr) needs(path string) map[string]struct{} {
	switch e.op {
	case opTest:
		return e.test.needs(path)
	case opAnd: // any of the parts' needs is one of the whole: take the smallest
		var best map[string]struct{}
		for _, x := range e.list {
			if n := x.needs(path); n != nil && (best == nil || len(n) < len(best)) {
				best = n
			}
		}
		return best
	case opOr:
		all := map[string]struct{}{}
		for _, x := range e.list {
			n := x.needs(path)
			if n == nil {
				return nil
			}
			for text := range n {
				all[text] = struct{}{}
			}
		}
		return all
	}
	return nil
}

func (t *test) needs(path string) map[string]struct{} {
	if t.path != path || t.kind != testSet {
		return nil
	}
	low := map[string]struct{}{}
	if t.set == nil {
		low[string(appendLower(nil, t.one))] = struct{}{}
	}
	for text := range t.set {
		low[string(appendLower(nil, text))] = struct{}{}
	}
	return low
}
