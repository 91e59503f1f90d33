package body

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"keytrail/schemas/otellog"
)

// node is a place in a JSON document: a value, an object, or a list of the objects 0, 1
// and so on.
type node struct {
	name     string
	key      string // the name as JSON writes it before a value
	line     *line
	children []*node
	list     bool
}

// add puts a line at its path, such as "resources[0].owner.account.uid". It panics where
// a name would be a value and an object: the paths are the program's.
func (n *node) add(l *line) {
	at := n
	for _, part := range strings.Split(l.to, ".") {
		name, place, isList := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		at = at.child(name, l.to)
		if isList {
			at.list = true
			at = at.child(place, l.to)
		}
	}
	if at.line != nil || len(at.children) > 0 {
		panic(fmt.Sprintf("body: %q stands twice, or is a value and an object", l.to))
	}
	at.line = l
}

func (n *node) child(name, path string) *node {
	if n.line != nil {
		panic(fmt.Sprintf("body: a part of %q is a value", path))
	}
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	c := &node{name: name, key: string(appendName([]byte{'{'}, name)[1:])}
	n.children = append(n.children, c)
	return c
}

// append appends the node's value to dst, and nothing when it has none.
func (n *node) append(dst []byte, s *state) []byte {
	if n.line != nil {
		return appendJSON(dst, n.line.eval(s))
	}
	begin := len(dst)
	opens, closes := byte('{'), byte('}')
	if n.list {
		opens, closes = '[', ']'
	}
	dst = append(dst, opens)
	for _, c := range n.children {
		before := len(dst)
		if before > begin+1 {
			dst = append(dst, ',')
		}
		if !n.list {
			dst = append(dst, c.key...)
		}
		named := len(dst)
		if dst = c.append(dst, s); len(dst) == named {
			dst = dst[:before]
		}
	}
	if len(dst) == begin+1 {
		return dst[:begin]
	}
	return append(dst, closes)
}

// appendJSON appends a value as JSON, and nothing for one that JSON cannot write.
func appendJSON(dst []byte, v otellog.Attr) []byte {
	switch {
	case v.Kind == 0, v.Kind == otellog.KindDouble && (math.IsNaN(v.Num) || math.IsInf(v.Num, 0)):
		return dst
	case v.Kind == kindRaw:
		return append(dst, v.Str...)
	}
	return appendValue(dst, &v)
}

// document is a body of JSON objects that a mapping makes.
type document struct {
	state
	roots [onAll]*node // by class
	// flat puts attributes that the registry does not have at the end, by their names.
	flat bool
}

// newDocument returns the encoder of a mapping, whose rows name each attribute that it
// takes.
func newDocument(rows []row, flat bool) *document {
	d := &document{flat: flat}
	for c := onCall; c <= onAnomaly; c <<= 1 {
		lines := resolve(rows, c)
		d.roots[c] = &node{}
		for i := range lines {
			d.roots[c].add(&lines[i])
		}
	}
	return d
}

// Append encodes r as one JSON object.
func (d *document) Append(dst []byte, r *otellog.Record) ([]byte, error) {
	d.load(r)
	begin := len(dst)
	dst = d.roots[d.class].append(dst, &d.state)
	if len(dst) == begin {
		return dst, errors.New("the record has neither a time nor an attribute")
	}
	if d.flat {
		dst = append(d.unknown(dst[:len(dst)-1]), '}')
	}
	return dst, nil
}

// unknown appends the attributes that the registry does not have, such as those of the
// resource that the configuration adds.
func (s *state) unknown(dst []byte) []byte {
	for _, list := range [...][]otellog.Attr{s.rec.Resource, s.rec.Attrs} {
		for i := range list {
			if names.Find(list[i].Key) < 0 {
				dst = appendAttr(dst, &list[i])
			}
		}
	}
	return dst
}
