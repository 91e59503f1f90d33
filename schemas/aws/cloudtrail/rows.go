package cloudtrail

import (
	"bytes"
	"strings"
)

// This file reads rows and strings at the places of records: what queries return
// (CloudWatch Logs Insights, CloudTrail Lake) and what jq and the AWS CLI's --query
// make of events.

// flat reports whether the bracket at the input's position opens a row of values, and
// not a list of records inside the list.
func (r *Reader) flat() bool {
	if r.rows {
		return true
	}
	for n := 1; ; {
		rest := r.in.rest()
		for ; n < len(rest); n++ {
			switch rest[n] {
			case ' ', '\t', '\r', '\n':
				continue
			case '{', '[', ']':
				return false
			}
			return true
		}
		if !r.in.fill() {
			return false
		}
	}
}

// carriedBy returns the texts that a row or a string carries; raw is valid JSON that is
// not an object. The texts are views into it, or into the decoder's memory.
func (r *Reader) carriedBy(raw []byte) []carried {
	s := &r.dec.s
	s.reset(raw, r.dec.lim.Depth)
	var env envelope
	switch raw[0] {
	case '"':
		var text string
		s.text(0, &text)
		env.string(text, strings.HasPrefix(text, packedStart))
	case '[':
		var a items
		pos := s.openArray(&a, 0)
		for ok := true; pos != failed; {
			if pos, ok = s.item(&a, pos); !ok {
				break
			}
			pos = r.cell(&env, pos)
		}
	}
	return env.carried
}

// packedStart is how gzip begins in base64.
const packedStart = "H4sI"

// cell reads one value of a row: {"field":"@message","value":...} of Insights,
// {"eventJson":...} of Lake, or a bare value.
func (r *Reader) cell(env *envelope, pos int) int {
	s := &r.dec.s
	pos, c := s.space(pos)
	switch c {
	case '"':
		var text string
		pos = s.text(pos, &text)
		env.string(text, false)
		return pos
	case '{':
	default:
		return s.skip(pos)
	}
	var w walk
	var field, value, json string
	pos = s.open(&w, pos)
	for pos != failed {
		name, at, ok := s.next(&w, pos)
		if !ok {
			pos = at
			break
		}
		switch name {
		case "field":
			pos = s.text(at, &field)
		case "value":
			pos = s.text(at, &value)
		case "eventJson":
			pos = s.text(at, &json)
		default:
			pos = s.skip(at)
		}
	}
	if field == "@message" {
		json = value
	}
	env.string(json, false)
	return pos
}

// row takes a value of n bytes that is not an object.
func (r *Reader) row(ev *Event, n int) (bool, error) {
	list := r.carriedBy(ev.Raw)
	r.strung = r.strung || ev.Raw[0] == '"'
	detail := unknownShape
	switch {
	case len(list) == 1 && r.nested < maxNested:
		r.carried, r.read, r.childAt, r.envelope = append(r.carried[:0], list...), 0, r.in.offset(), nil
		r.in.advance(n)
		return false, nil
	case len(list) > 1:
		detail = "a row with more than one text that may be an event"
	case r.rows:
		detail = "a row of a query's results without the original event: select eventJson in CloudTrail Lake, " +
			"@message in CloudWatch Logs Insights"
	case ev.Raw[0] == '"':
		detail = "a string that holds no event: it begins with " +
			quote(string(bytes.Trim(ev.Raw[:min(len(ev.Raw), 24)], `"`)))
	}
	return false, r.unknown(detail, n)
}
