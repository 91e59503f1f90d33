package cloudtrail

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"

	"keytrail/schemas/decoding"
)

// This file reads what stands inside envelopes: each level has its own
// Reader, the child of the one around it.

// accept takes the decoded value of n bytes: an event, an envelope or neither.
func (r *Reader) accept(ev *Event, n int) (bool, error) {
	env := &ev.env
	r.stands(ev.Raw)
	switch inner := env.inner(); {
	case ev.Raw[0] != '{':
		return r.row(ev, n)
	case env.split:
		return false, r.unknown("a piece of a line that Docker split: join the pieces", n)
	case ev.isEvent():
	case env.custom():
		return false, r.unknown("an EventBridge event of the custom source "+quote(env.source)+
			": only events of AWS's own sources count", n)
	case env.native():
		fillNative(ev)
		if len(ev.Service.KeyID) > r.dec.lim.FieldBytes {
			r.dec.s.fail(decoding.ReasonFieldSize, "a field is longer than the limit")
			return false, r.resync(r.dec.s.why)
		}
	case len(inner) > 0 && r.nested < maxNested:
		// A copy: ev's memory is for what the child reads.
		r.carried, r.read, r.childAt, r.envelope = append(r.carried[:0], inner...), 0, r.in.offset(), ev.Raw
		r.in.advance(n)
		return false, nil
	case env.silent():
		r.NotEvents++
		r.in.advance(n)
		return false, nil
	case env.names:
		return false, r.unknown("it names objects and carries no events: read the objects that it names", n)
	default:
		return false, r.unknown(r.dec.shapeOf(ev.Raw), n)
	}
	r.in.advance(n)
	r.index++
	return true, nil
}

// unknown reports a value of n bytes from which no event comes. Where records stand
// one a line, the rest of its line goes with it.
func (r *Reader) unknown(detail string, n int) error {
	if r.lines == oneLine && r.goesOn(n) {
		return r.resyncLine(scanErr{reason: decoding.ReasonEnvelope, detail: detail})
	}
	err := r.bad(decoding.ReasonEnvelope, detail, r.in.rest()[:n])
	r.in.advance(n)
	r.index++
	return err
}

// stands notes how a record stands.
func (r *Reader) stands(raw []byte) {
	switch {
	case r.lines == scattered:
	case !r.beginsLine(), bytes.IndexByte(raw, '\n') >= 0:
		r.lines = scattered
	default:
		r.lines = oneLine
	}
}

// beginsLine reports whether the record at the input's position begins a line, except
// for white space and the bracket of its list.
func (r *Reader) beginsLine() bool { return r.in.line || r.in.offset() == r.opened }

// goesOn reports whether the line of a record of n bytes goes on behind it.
func (r *Reader) goesOn(n int) bool {
	rest := bytes.TrimLeft(r.in.rest()[n:], " \t\r")
	if len(rest) > 0 && rest[0] == ',' {
		if r.mode == modeList {
			return false
		}
		rest = bytes.TrimLeft(rest[1:], " \t\r")
	}
	return len(rest) > 0 && rest[0] != '\n' && rest[0] != ']'
}

// descend begins to read what the envelope carries next, before anything else.
// Neither the input nor the decoder is used meanwhile, so the texts stay what
// they are.
func (r *Reader) descend() {
	next := r.carried[r.read]
	r.read++
	if r.child == nil {
		r.child = &Reader{dec: NewDecoder(r.dec.lim), nested: r.nested + 1}
	}
	c := r.child
	// All that is packed in an object, at any depth, and the object itself together
	// may be as large as an object.
	c.in.lim, c.spent = r.in.lim, 0
	c.in.lim.InflatedBytes = max(1, r.in.lim.InflatedBytes-r.in.base-int64(len(r.in.buf))-r.spent)
	if next.form == formPacked {
		c.in.reset(base64.NewDecoder(base64.StdEncoding, strings.NewReader(next.text)))
		c.in.packed = true
	} else {
		c.in.lim.InflatedBytes += int64(len(next.text)) // which has been counted
		c.in.resetText(next.text)
	}
	c.begin(r.object)
	r.inChild, r.packed = true, next.form == formPacked
}

// ascend takes note of what the child has read to its end.
func (r *Reader) ascend() {
	r.NotEvents += r.child.NotEvents
	r.spent += r.child.spent
	if r.packed {
		r.spent += r.child.in.offset()
	}
	r.inChild = false
}

// fromChild gives what a child read the place of its envelope.
func (r *Reader) fromChild(ev *Event, err error) error {
	var bad *decoding.BadRecord
	if errors.As(err, &bad) {
		bad.Index, bad.Offset = r.index, r.childAt
		// An object inside the envelope that is not an event: neither is the envelope.
		if bad.Reason == decoding.ReasonEnvelope && r.carried[r.read-1].form == formObject && r.envelope != nil {
			if shape := r.child.dec.shapeOf(r.envelope); shape != unknownShape {
				bad.Detail = shape
			}
			bad.Raw, bad.Cut = decoding.Clip(r.envelope)
		}
	}
	ev.Index, ev.Offset = r.index, r.childAt
	r.index++
	return err
}
