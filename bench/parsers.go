package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unsafe"

	"github.com/bytedance/sonic/ast"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fastjson"

	"keytrail/schemas/aws/cloudtrail"
)

// The readers in this file use a parser by hand, as fast as possible: texts stay views if
// the parser allows it.

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// textReader reads the tokens of jsontext, which validates everything, including UTF-8
// and duplicate names.
type textReader struct {
	fields
	dec  *jsontext.Decoder
	buf  bytes.Buffer
	text []byte // texts that had escapes
}

func withJSONText() decoder {
	r := &textReader{dec: jsontext.NewDecoder(bytes.NewReader(nil))}
	return decoder{"go-json-experiment jsontext, by hand", r.read, func(_ []byte, f *fields) { copyFields(f, &r.fields) }}
}

func (r *textReader) read(raw []byte) error {
	r.reset()
	r.buf = *bytes.NewBuffer(raw)
	r.dec.Reset(&r.buf)
	r.text = r.text[:0]
	return r.object(top)
}

// object reads the next object.
func (r *textReader) object(in node) error {
	if r.dec.PeekKind() != '{' {
		return r.dec.SkipValue()
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for r.dec.PeekKind() != '}' {
		value, err := r.dec.ReadValue()
		if err != nil {
			return err
		}
		name := r.unquote(value)
		l, child := member(in, name)
		switch {
		case l != noLeaf:
			err = r.leaf(l, name)
		case child == targets:
			err = r.list()
		case child != other:
			err = r.object(child)
		default:
			err = r.dec.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return err
}

// leaf reads a text, or a flag as its text.
func (r *textReader) leaf(l leaf, name string) error {
	value, err := r.dec.ReadValue()
	switch {
	case err != nil:
		return err
	case value[0] == '"':
		r.set(l, name, r.unquote(value))
	case value[0] != 'n':
		r.set(l, name, view(value))
	}
	return nil
}

func (r *textReader) unquote(value jsontext.Value) string {
	if bytes.IndexByte(value, '\\') < 0 {
		return view(value[1 : len(value)-1])
	}
	from := len(r.text)
	r.text, _ = jsontext.AppendUnquote(r.text, value)
	return view(r.text[from:])
}

// list reads resources.
func (r *textReader) list() error {
	if r.dec.PeekKind() != '[' {
		return r.dec.SkipValue()
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for r.dec.PeekKind() != ']' {
		r.targets = append(r.targets, cloudtrail.Target{})
		if err := r.object(target); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return err
}

// treeReader walks the tree that fastjson builds.
type treeReader struct {
	fields
	parser fastjson.Parser
	visits [tls + 1]func(name []byte, v *fastjson.Value) // made once, so that a visit does not allocate
}

func withFastJSON() decoder {
	r := &treeReader{}
	for in := range r.visits {
		r.visits[in] = func(name []byte, v *fastjson.Value) { r.member(node(in), name, v) }
	}
	read := func(raw []byte) error {
		r.reset()
		v, err := r.parser.ParseBytes(raw)
		if err != nil {
			return err
		}
		o, err := v.Object()
		if err != nil {
			return err
		}
		o.Visit(r.visits[top])
		return nil
	}
	return decoder{"valyala/fastjson, tree", read, func(_ []byte, f *fields) { copyFields(f, &r.fields) }}
}

func (r *treeReader) member(in node, name []byte, v *fastjson.Value) {
	l, child := member(in, view(name))
	switch {
	case l != noLeaf && v.Type() == fastjson.TypeString:
		text, _ := v.StringBytes()
		r.set(l, view(name), view(text))
	case l != noLeaf && v.Type() == fastjson.TypeTrue:
		r.set(l, view(name), "true")
	case l != noLeaf && v.Type() == fastjson.TypeFalse:
		r.set(l, view(name), "false")
	case child == targets:
		list, _ := v.Array()
		for _, item := range list {
			if o, err := item.Object(); err == nil {
				r.targets = append(r.targets, cloudtrail.Target{})
				o.Visit(r.visits[target])
			}
		}
	case child != other:
		if o, err := v.Object(); err == nil {
			o.Visit(r.visits[child])
		}
	}
}

// eventReader receives sonic's events, in the order of the text.
type eventReader struct {
	fields
	in   node
	up   []node // the surrounding nodes
	name string
	leaf leaf
	next node
}

func withPreorder() decoder {
	r := &eventReader{}
	options := &ast.VisitorOptions{OnlyNumber: true}
	read := func(raw []byte) error {
		r.reset()
		r.in, r.up, r.leaf, r.next = other, r.up[:0], noLeaf, top
		return ast.Preorder(view(raw), r, options)
	}
	return decoder{"sonic ast.Preorder, by hand", read, func(_ []byte, f *fields) { copyFields(f, &r.fields) }}
}

func (r *eventReader) open() {
	r.up = append(r.up, r.in)
	r.in, r.leaf, r.next = r.next, noLeaf, other
	if r.in == targets {
		r.next = target
	}
}

func (r *eventReader) close() error {
	if len(r.up) == 0 {
		return errors.New("an end without a beginning")
	}
	r.in, r.up = r.up[len(r.up)-1], r.up[:len(r.up)-1]
	if r.next = other; r.in == targets {
		r.next = target
	}
	return nil
}

// OnObjectBegin and the following methods implement ast.Visitor.
func (r *eventReader) OnObjectBegin(int) error {
	if r.next == target {
		r.targets = append(r.targets, cloudtrail.Target{})
	}
	r.open()
	return nil
}

func (r *eventReader) OnObjectKey(name string) error {
	r.name = name
	r.leaf, r.next = member(r.in, name)
	return nil
}

func (r *eventReader) OnString(v string) error {
	if r.leaf != noLeaf {
		r.set(r.leaf, r.name, v)
	}
	return nil
}

func (r *eventReader) OnBool(v bool) error {
	if r.leaf != noLeaf {
		r.set(r.leaf, r.name, strconv.FormatBool(v))
	}
	return nil
}

func (r *eventReader) OnNull() error                        { return nil }
func (r *eventReader) OnInt64(int64, json.Number) error     { return nil }
func (r *eventReader) OnFloat64(float64, json.Number) error { return nil }
func (r *eventReader) OnObjectEnd() error                   { return r.close() }
func (r *eventReader) OnArrayBegin(int) error               { r.open(); return nil }
func (r *eventReader) OnArrayEnd() error                    { return r.close() }

// copyFields gives dst its own slices, which same may sort.
func copyFields(dst, src *fields) {
	dst.reset()
	dst.text = src.text
	dst.context = append(dst.context, src.context...)
	dst.targets = append(dst.targets, src.targets...)
}
