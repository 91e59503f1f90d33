package cloudtrail

import (
	"bytes"
	"io"
	"strings"

	"keytrail/schemas/decoding"
)

// This file ends what reader.go begins: the object around a list, and the object that
// is read.

// tail moves over one piece of what follows the list inside its object.
func (r *Reader) tail(c byte) error {
	switch c {
	case '}':
		r.in.advance(1)
		if r.around--; r.around == 0 {
			r.mode = modeValues
		}
		return nil
	case ',':
		r.in.advance(1)
		return nil
	case '{', '[': // a bracket too many: the list goes on
		r.mode, r.lost = modeValues, true
		return nil
	}
	var name string
	var env envelope
	n, err := r.scan(func(data []byte) int {
		s := &r.dec.s
		s.reset(data, r.dec.lim.Depth)
		env = envelope{}
		pos, c := s.space(0)
		if c != '"' {
			return s.unexpected(pos, "'}' or a name in quotes")
		}
		if name, pos = s.str(pos); pos == failed {
			return failed
		}
		if pos, c = s.space(pos); c != ':' {
			return s.unexpected(pos, "':'")
		}
		if pos, c = s.space(pos + 1); carries(name) {
			return env.member(s, kindRecord.field(name).act, pos, c)
		}
		return s.skip(pos)
	})
	if err.bad() {
		return r.resync(err)
	}
	if isList(name) {
		return r.secondList(n)
	}
	// Additions of shippers about the list are an object without events.
	if len(env.carried) > 0 &&
		(env.carried[0].form != formObject || strings.Contains(env.carried[0].text, "eventSource")) {
		r.carried, r.read, r.childAt, r.envelope = append(r.carried[:0], env.carried...), 0, r.in.offset(), nil
	}
	r.in.advance(n)
	return nil
}

// secondList reports a second list of records in one object, in the n bytes at the
// input's position, and goes on with its records: nothing says which list counts.
func (r *Reader) secondList(n int) error {
	member := r.in.rest()[:n]
	bracket := bytes.IndexByte(member, '[')
	if bracket < 0 || bytes.IndexByte(member[:bracket], '{') >= 0 {
		bracket = n - 1
	} else {
		r.mode = modeList
	}
	bad := r.bad(decoding.ReasonDuplicateKey, "a second list of records in one object", member[:bracket+1])
	r.in.advance(bracket + 1)
	r.index++
	return bad
}

// end is called when the input has no more bytes. In the middle of something it
// reports what is missing, once.
func (r *Reader) end() error {
	inside := r.mode == modeList || r.mode == modeTail
	r.mode = modeDone
	if r.in.err != nil {
		return r.failure(r.in.rest())
	}
	if inside {
		return r.bad(decoding.ReasonTruncated, "the object ends before its list of records does", r.in.rest())
	}
	return io.EOF
}

// failure makes a BadRecord of what ended the input.
func (r *Reader) failure(raw []byte) *decoding.BadRecord {
	reason, detail := r.in.failure()
	b := r.bad(reason, detail, raw)
	if reason == decoding.ReasonRead {
		b.Err = r.in.cause()
	}
	return b
}

// foreign reports an object that is not text that may hold events, once.
func (r *Reader) foreign() error {
	r.mode = modeDone
	r.in.start = 0
	detail := "not CloudTrail's JSON but " + r.in.foreign
	r.in.foreign = ""
	return r.bad(decoding.ReasonEnvelope, detail, r.in.rest())
}

// bad makes a BadRecord at the input's position.
func (r *Reader) bad(reason decoding.Reason, detail string, raw []byte) *decoding.BadRecord {
	b := &decoding.BadRecord{Object: r.object, Index: r.index, Offset: r.in.offset(), Reason: reason, Detail: detail}
	b.Raw, b.Cut = decoding.Clip(raw)
	return b
}
