package cloudtrail

import (
	"bytes"
	"errors"
	"io"
)

// Reader reads the CloudTrail events of one object, whatever envelope holds
// them: a CloudTrail file {"Records":[...]}, an array, one event, events line
// by line or end to end, LookupEvents output, CloudWatch Logs subscription
// data, EventBridge events, SNS and SQS bodies, Fluent Bit records; plain or
// gzip, told apart by content.
//
// It reads as a stream: memory is two times Limits.RecordBytes at the most,
// whatever the object's size. A bad record costs that record only. A Reader is
// not safe for concurrent use.
type Reader struct {
	in       *input
	dec      *Decoder
	object   string
	index    int
	mode     mode
	inObject bool    // the list stands inside an object, which goes on behind it
	child    *Reader // reads the text inside an envelope
	childAt  int64   // the envelope's offset
	nested   int
	// NotEvents counts objects that are known and carry no events: CloudTrail's
	// digest files.
	NotEvents int
}

// mode is where in the object the Reader stands.
type mode uint8

const (
	modeValues mode = iota // between top-level values
	modeList               // inside the array that holds the records
	modeTail               // behind that array, inside its object
	modeDone
)

// maxNested bounds envelopes inside envelopes: an SQS body, an SNS message, an
// EventBridge detail and a Fluent Bit record around them are four.
const maxNested = 5

// NewReader returns a Reader over r. object names it in events and errors.
func NewReader(r io.Reader, object string, lim Limits) *Reader {
	lim = lim.WithDefaults()
	return &Reader{in: newInput(r, lim), dec: NewDecoder(lim), object: object}
}

// Next reads the next event into ev. It returns nil, or a *BadRecord (the next
// call goes on behind it), or io.EOF at the end.
func (r *Reader) Next(ev *Event) error {
	for {
		if r.child != nil {
			err := r.child.Next(ev)
			if err != io.EOF {
				return r.fromChild(ev, err)
			}
			r.NotEvents += r.child.NotEvents
			r.child = nil
		}
		if r.mode == modeDone {
			return io.EOF
		}
		if found, err := r.step(ev); err != nil || found {
			return err
		}
	}
}

// fromChild gives what a child read the place of its envelope.
func (r *Reader) fromChild(ev *Event, err error) error {
	var bad *BadRecord
	if errors.As(err, &bad) {
		bad.Index, bad.Offset = r.index, r.childAt
	}
	ev.Index, ev.Offset = r.index, r.childAt
	r.index++
	return err
}

// step moves over one separator or one value.
func (r *Reader) step(ev *Event) (found bool, err error) {
	c, ok := r.in.peek()
	switch {
	case !ok:
		return false, r.end()
	case r.mode == modeTail:
		return false, r.tail(c)
	case r.mode == modeList && c == ',':
		r.in.advance(1)
		return false, nil
	case r.mode == modeList && c == ']':
		r.in.advance(1)
		r.mode = modeValues
		if r.inObject {
			r.mode = modeTail
		}
		return false, nil
	case r.mode == modeValues:
		if n, inObject := r.in.listStart(); n > 0 {
			r.in.advance(n)
			r.mode, r.inObject = modeList, inObject
			return false, nil
		}
	}
	return r.record(ev)
}

// scan runs f over the buffered bytes, and again with more of them while f
// asks for more and there are any.
func (r *Reader) scan(f func(data []byte) (int, scanErr)) (int, scanErr) {
	for {
		n, err := f(r.in.rest())
		if !err.more || !r.in.fill() {
			return n, err
		}
	}
}

// record decodes the value at the input's position.
func (r *Reader) record(ev *Event) (bool, error) {
	if r.index >= r.dec.lim.Records {
		r.mode = modeDone
		return false, r.bad(ReasonRecords, "more records in one object than the limit", nil)
	}
	ev.Object = r.object
	n, err := r.scan(func(data []byte) (int, scanErr) { return r.dec.value(data, ev) })
	if err.more && r.in.full() {
		err = scanErr{reason: ReasonRecordSize, detail: "the record is longer than the limit"}
	}
	ev.Index, ev.Offset = r.index, r.in.offset()
	if err.bad() {
		return false, r.resync(err)
	}
	return r.accept(ev, n)
}

// accept takes the decoded value of n bytes: an event, an envelope or neither.
func (r *Reader) accept(ev *Event, n int) (bool, error) {
	env := &r.dec.env
	inner := env.inner()
	switch {
	case ev.isEvent():
	case env.native():
		env.fillNative(ev)
	case env.digest:
		r.NotEvents++
		r.in.advance(n)
		return false, nil
	case inner != "" && r.nested < maxNested:
		r.child = &Reader{in: newText(inner, r.dec.lim), dec: NewDecoder(r.dec.lim), object: r.object, nested: r.nested + 1}
		r.childAt = r.in.offset()
		r.in.advance(n)
		return false, nil
	default:
		err := r.bad(ReasonEnvelope, "JSON of no shape that carries CloudTrail events", r.in.rest()[:n])
		r.in.advance(n)
		r.index++
		return false, err
	}
	r.in.advance(n)
	r.index++
	return true, nil
}

// tail moves over one piece of what follows the list inside its object.
func (r *Reader) tail(c byte) error {
	switch c {
	case '}':
		r.in.advance(1)
		r.mode = modeValues
		return nil
	case ',':
		r.in.advance(1)
		return nil
	}
	var name string
	n, err := r.scan(func(data []byte) (int, scanErr) {
		s := &r.dec.s
		s.reset(data, r.dec.lim.Depth)
		if s.space() != '"' {
			return 0, s.unexpected("'}' or a name in quotes")
		}
		var err scanErr
		if name, err = s.str(); err.bad() {
			return 0, err
		}
		if s.space() != ':' {
			return 0, s.unexpected("':'")
		}
		s.pos++
		err = s.skip()
		return s.pos, err
	})
	if !err.bad() && (name == "Records" || name == "Events" || name == "logEvents") {
		err = scanErr{reason: ReasonDuplicateKey, detail: "a second list of records in one object"}
	}
	if err.bad() {
		r.mode = modeValues
		return r.resync(err)
	}
	r.in.advance(n)
	return nil
}

// end is called when the input has no more bytes. In the middle of something it
// reports what is missing, once.
func (r *Reader) end() error {
	inside := r.mode == modeList || r.mode == modeTail
	r.mode = modeDone
	if r.in.err != nil {
		reason, detail := r.in.failure()
		return r.bad(reason, detail, r.in.rest())
	}
	if inside {
		return r.bad(ReasonTruncated, "the object ends before its list of records does", r.in.rest())
	}
	return io.EOF
}

// bad makes a BadRecord at the input's position.
func (r *Reader) bad(reason Reason, detail string, raw []byte) *BadRecord {
	b := &BadRecord{Object: r.object, Index: r.index, Offset: r.in.offset(), Reason: reason, Detail: detail}
	b.Raw, b.Cut = clip(raw)
	return b
}

// resync reports the record at the input's position as bad and moves to the
// next place where a record begins. When the object itself fails before one is
// found, that failure is reported instead: one cause, one report.
func (r *Reader) resync(why scanErr) error {
	bad := r.bad(why.reason, why.detail, nil)
	from := 1
	for {
		rest := r.in.rest()
		if n := nextRecord(rest, from, r.mode); n > 0 {
			if bad.Raw == nil {
				bad.Raw, bad.Cut = clip(bytes.TrimRight(rest[:n], ", \t\r\n"))
			}
			r.in.advance(n)
			r.index++
			return bad
		}
		from = max(1, len(rest)-maxStart)
		if r.in.fill() {
			continue
		}
		if r.in.full() { // too long to hold: keep its head, let the rest go by
			if bad.Raw == nil {
				bad.Raw, bad.Cut = bytes.Clone(rest[:min(len(rest), MaxRawBytes)]), true
			}
			r.in.advance(from)
			from = 1
			continue
		}
		if r.in.err != nil {
			bad.Reason, bad.Detail = r.in.failure()
		}
		if bad.Raw == nil {
			bad.Raw, bad.Cut = clip(rest)
		}
		r.in.advance(len(rest))
		r.mode = modeDone
		return bad
	}
}

// maxStart is how many bytes the start of a record takes at the most: a brace,
// white space and its first name.
const maxStart = 256

// nextRecord finds, at from or later, where a record begins: an object whose
// first name is one that only records have or, between top-level values, any
// object or array at the start of a line. It returns 0 when there is none. Such
// text inside a JSON string does not match: its quotes are escaped there.
func nextRecord(data []byte, from int, m mode) int {
	for i := from; i < len(data); i++ {
		n := bytes.IndexByte(data[i:], '{')
		if m != modeList {
			n = bytes.IndexAny(data[i:], "{[")
		}
		if n < 0 {
			return 0
		}
		i += n
		if m != modeList && data[i-1] == '\n' {
			return i
		}
		name := bytes.TrimLeft(data[i+1:], " \t\r\n")
		if len(name) == 0 || name[0] != '"' || data[i] != '{' {
			continue
		}
		if end := bytes.IndexByte(name[1:], '"'); end > 0 && onlyInRecords[string(name[1:1+end])] {
			return i
		}
	}
	return 0
}

// onlyInRecords holds the names that stand at a record's top level and nowhere
// inside one, of events and of LookupEvents items.
var onlyInRecords = map[string]bool{
	"eventVersion": true, "userIdentity": true, "eventTime": true, "eventSource": true, "eventName": true,
	"awsRegion": true, "sourceIPAddress": true, "eventID": true, "requestID": true, "eventType": true,
	"eventCategory": true, "recipientAccountId": true, "additionalEventData": true, "managementEvent": true,
	"readOnly": true, "sharedEventID": true, "EventId": true, "CloudTrailEvent": true, "Records": true,
}
