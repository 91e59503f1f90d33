// Package chunk reads and writes the msgpack that Fluent Bit passes between its
// plugins: records one after the other, each [time, body] or, since Fluent Bit
// 2.1, [[time, metadata], body].
//
// A Walker takes the JSON of CloudTrail events out of such a chunk, whichever
// input wrote it; Append writes the flat record that in_kms emits. Neither
// uses reflection, and neither knows what an event means.
//
// Limits. A chunk is as large as Fluent Bit makes it: 2 MB by its own count,
// and more when one input hands over more at once. A Walker holds one chunk
// and one scratch buffer for records that must be turned into JSON: at most six
// times the record (a control character of one byte becomes \u0001). Records
// may nest MaxDepth levels.
// Anything else is reported as an Entry that is Bad, with its bytes: a damaged
// record never takes the others with it, except that no record can be found
// behind bytes that are not msgpack.
//
// Source: Fluent Bit 5.1, the event format of its log event encoder, and the
// msgpack specification.
package chunk

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/tinylib/msgp/msgp"

	"keytrail/plugins/internal/ack"
)

// The fields of in_kms's record body. Event is CloudTrail's JSON, byte for
// byte; Object, Index and Offset are the event's place as in cloudtrail.Event.
const (
	FieldEvent   = "event"
	FieldAccount = "account"
	FieldRegion  = "region"
	FieldObject  = "object"
	FieldIndex   = "index"
	FieldOffset  = "offset"
	FieldSelf    = "self" // true in the records of the collector's own calls, absent in others
	FieldAck     = "ack"  // the number of a record that is to be acknowledged, as ack.AppendID writes it
)

// The metadata that identifies records of in_kms. FieldAck is there, too.
const (
	metaOrigin = "keytrail"
	metaInKMS  = "in_kms"
)

// MaxDepth bounds the nesting of a record that is turned into JSON. CloudTrail
// nests about ten levels; the decoder's own bound is 128.
const MaxDepth = 128

// Entry is one record of a chunk. Its slices and strings are views into the
// chunk or into the Walker; they are valid until the next call of Next.
type Entry struct {
	// JSON is the text to decode: one event, or an envelope of several.
	JSON []byte
	// Placed reports whether in_kms wrote the record: JSON is then one event, and
	// Object, Index and Offset are its place. They are zero otherwise.
	Placed bool
	Object string
	Index  int
	Offset int64
	Self   bool // in_kms says that the event is the collector's own doing
	// Numbered reports whether in_kms waits for the record to be acknowledged: as
	// Number of Run.
	Numbered bool
	Run      ack.Run
	Number   uint64
	// Bad is why the record gave no JSON, "" for a good one; then Raw are the
	// record's bytes, as msgpack.
	Bad string
	Raw []byte
}

// Walker goes through the records of one chunk. It never writes to the chunk.
// It is not safe for concurrent use.
type Walker struct {
	// EventKey names a body field that holds the event and is looked at before
	// all others; "" for none.
	EventKey string

	chunk   []byte
	pos     int
	scratch []byte
}

// keepScratch is the largest scratch buffer that outlives its chunk: an event
// of 260 KiB, the largest that CloudTrail writes, at the worst growth of six.
const keepScratch = 6 * 260 << 10

// Reset begins with chunk at the byte pos, which must be 0 or a value that Pos
// returned for the same chunk. The Walker keeps chunk until the next Reset;
// Reset(nil, 0) lets go of it.
func (w *Walker) Reset(chunk []byte, pos int) {
	w.chunk, w.pos = chunk, pos
	if cap(w.scratch) > keepScratch {
		w.scratch = nil
	}
}

// Pos is the number of bytes of the chunk that Next has passed.
func (w *Walker) Pos() int { return w.pos }

// Next fills e with the next record and reports whether there was one. Markers
// that open and close a group of records are passed over.
func (w *Walker) Next(e *Entry) bool {
	for w.pos < len(w.chunk) {
		b := w.chunk[w.pos:]
		*e = Entry{}
		rest, err := msgp.Skip(b)
		if err != nil {
			// The length of what is here is unknown, so is where the next begins.
			w.pos = len(w.chunk)
			e.Bad, e.Raw = fmt.Sprintf("not msgpack from here to the chunk's end (%d bytes): %v", len(b), err), b
			return true
		}
		raw := b[:len(b)-len(rest)]
		w.pos += len(raw)
		if group, bad := w.record(raw, e); bad != "" {
			*e = Entry{Bad: bad, Raw: raw, Numbered: e.Numbered, Run: e.Run, Number: e.Number}
		} else if group {
			continue
		}
		return true
	}
	return false
}

// record reads one well-formed msgpack value. It returns whether it is a group
// marker, or what is wrong with it.
func (w *Walker) record(b []byte, e *Entry) (group bool, bad string) {
	body, group, bad := head(b, e)
	if group || bad != "" {
		return group, bad
	}
	return false, w.body(body, e)
}

// head reads a record up to its body, which it returns: the time, and the number in the
// metadata.
func head(b []byte, e *Entry) (body []byte, group bool, bad string) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || n != 2 {
		return nil, false, "a record must be an array of a header and a body"
	}
	if msgp.NextType(b) == msgp.ArrayType {
		n, head, err := msgp.ReadArrayHeaderBytes(b)
		if err != nil || n != 2 {
			return nil, false, "a record's header must hold a time and metadata"
		}
		if group, bad = header(head); bad != "" {
			return nil, false, bad
		}
		if !group {
			metadata(head, e)
		}
	} else if group, bad = header(b); bad != "" {
		return nil, false, bad
	}
	if group {
		return nil, true, ""
	}
	if body, err = msgp.Skip(b); err != nil {
		return nil, false, "a record must have a body"
	}
	return body, false, ""
}

// The seconds that mark the begin and the end of a group, -1 and -2.
const (
	groupStart = math.MaxUint32
	groupEnd   = math.MaxUint32 - 1
)

// header checks the time at the start of b: an extension of type 0 with eight
// bytes (seconds and nanoseconds, big endian), an integer or a float. The
// time itself is not used: the event carries its own.
func header(b []byte) (group bool, bad string) {
	switch t := msgp.NextType(b); t {
	case msgp.IntType, msgp.UintType, msgp.Float64Type, msgp.Float32Type:
		return false, ""
	case msgp.ExtensionType:
		var sec []byte
		switch {
		case len(b) >= 10 && b[0] == 0xd7 && b[1] == 0: // fixext 8
			sec = b[2:]
		case len(b) >= 11 && b[0] == 0xc7 && b[1] == 8 && b[2] == 0: // ext 8
			sec = b[3:]
		default:
			return false, "a record's time must be an extension of type 0 with 8 bytes"
		}
		s := binary.BigEndian.Uint32(sec)
		return s == groupStart || s == groupEnd, ""
	default:
		return false, fmt.Sprintf("a record's time must be a number or an extension, not %s", kind(t))
	}
}

// fields are the values of the body's fields that a record may have its event
// in, as msgpack, by rank, and the place.
type fields struct {
	key, event, log, message, payload []byte
	object, ack                       []byte
	index, offset                     int64
	placed                            int // how many of object, index and offset are there
	self                              bool
}

// body finds the event. The order is: EventKey, in_kms's own field, the fields
// that Fluent Bit's inputs use for a line, and last the body itself.
func (w *Walker) body(b []byte, e *Entry) (bad string) {
	if msgp.NextType(b) != msgp.MapType {
		return fmt.Sprintf("a record's body must be a map, not %s", kind(msgp.NextType(b)))
	}
	f, err := w.fields(b)
	if err != nil {
		return err.Error()
	}
	if !e.Numbered && f.ack != nil {
		e.number(f.ack) // a filter or another host has dropped the metadata
	}
	name, value := "", b
	switch {
	case f.key != nil:
		name, value = w.EventKey, f.key
	case f.event != nil:
		name, value = FieldEvent, f.event
		if f.placed == 3 {
			e.Placed, e.Index, e.Offset, e.Self = true, int(f.index), f.offset, f.self
			e.Object = unsafe.String(unsafe.SliceData(f.object), len(f.object))
		}
	case f.log != nil:
		name, value = "log", f.log
	case f.message != nil:
		name, value = "message", f.message
	case f.payload != nil:
		name, value = "payload", f.payload
	}
	e.JSON, err = w.text(value)
	if err != nil {
		if name == "" {
			return fmt.Sprintf("the body %v", err)
		}
		return fmt.Sprintf("field %q %v", name, err)
	}
	return ""
}

// fields picks the known fields of the map at the start of b. The last of several
// fields of one name counts.
func (w *Walker) fields(b []byte) (f fields, err error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return f, err
	}
	for ; n > 0; n-- {
		var name, value []byte
		if t := msgp.NextType(b); t == msgp.StrType || t == msgp.BinType {
			name, b, err = msgp.ReadMapKeyZC(b)
		} else {
			b, err = msgp.Skip(b)
		}
		if err != nil {
			return f, err
		}
		rest, err := msgp.Skip(b)
		if err != nil {
			return f, err
		}
		value, b = b[:len(b)-len(rest)], rest
		if msgp.IsNil(value) {
			continue
		}
		f.set(name, value, w.EventKey)
	}
	return f, nil
}

func (f *fields) set(name, value []byte, eventKey string) {
	if eventKey != "" && string(name) == eventKey {
		f.key = value
		return
	}
	var err error
	switch string(name) {
	case FieldEvent:
		f.event = value
	case "log":
		f.log = value
	case "message":
		f.message = value
	case "payload": // of the input kafka, text or, with its format json, a map
		f.payload = value
	case FieldObject:
		f.object, _, err = msgp.ReadStringZC(value)
		f.placed++
	case FieldIndex:
		f.index, _, err = msgp.ReadInt64Bytes(value)
		f.placed++
	case FieldOffset:
		f.offset, _, err = msgp.ReadInt64Bytes(value)
		f.placed++
	case FieldSelf:
		f.self, _, err = msgp.ReadBoolBytes(value)
	case FieldAck:
		f.ack = value
	}
	if err != nil {
		f.placed = math.MinInt32 // not in_kms's
	}
}

// text returns the JSON that one msgpack value holds: a string or binary as it
// is, a map or an array turned into JSON.
func (w *Walker) text(value []byte) ([]byte, error) {
	switch t := msgp.NextType(value); t {
	case msgp.StrType:
		s, _, err := msgp.ReadStringZC(value)
		return s, err
	case msgp.BinType:
		s, _, err := msgp.ReadBytesZC(value)
		return s, err
	case msgp.MapType, msgp.ArrayType:
		var err error
		w.scratch, _, err = appendJSON(w.scratch[:0], value, MaxDepth)
		return w.scratch, err
	default:
		return nil, fmt.Errorf("holds %s, want text or a map", kind(t))
	}
}

// kind names a msgpack type for error messages. The library calls types that it does not
// know, such as a byte of the format's reserved range, "<invalid>".
func kind(t msgp.Type) string {
	switch t {
	case msgp.IntType, msgp.UintType, msgp.Float32Type, msgp.Float64Type, msgp.DurationType, msgp.NumberType:
		return "a number"
	case msgp.BoolType:
		return "true or false"
	case msgp.StrType, msgp.BinType:
		return "text"
	case msgp.MapType:
		return "a map"
	case msgp.ArrayType:
		return "a list"
	case msgp.NilType:
		return "null"
	case msgp.ExtensionType, msgp.TimeType, msgp.Complex64Type, msgp.Complex128Type:
		return "an extension"
	}
	return "a type that msgpack does not define"
}
