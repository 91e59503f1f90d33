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

// expr is a rule's condition after loading: selections, lists and modifiers are and, or,
// not, and tests of single fields.
type expr struct {
	op   op
	list []*expr // of opAnd, opOr, and the one of opNot
	test *test   // of opTest
}

// kind is the kind of a test.
type kind uint8

const (
	testNull    kind = iota // the path has no value, or a null
	testExists              // the path has a value, also a null
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

// test is one test of the values at one path. All kinds except null and exists are true
// if any value passes.
type test struct {
	kind  kind
	path  string // "" means all values of the event: a keyword
	slot  int    // of path, assigned when all rules are known
	line  int    // of its value
	cased bool   // of testSet and testField

	set     map[string]struct{}
	one     string // instead of a set of one
	pattern pattern
	re      *regexp.Regexp
	prefix  netip.Prefix
	number  number
	ref     string // the other field's path, of testField
	refSlot int
	// of testField: whether the other field's text may have text before and after it
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

// needs returns the lower-case texts, of which the value at path must be one for e to be
// true; nil if others may be.
func (e *expr) needs(path string) map[string]struct{} {
	switch e.op {
	case opTest:
		return e.test.needs(path)
	case opAnd: // the needs of any part hold for the whole: take the smallest
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
