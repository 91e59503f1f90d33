package chunk

import (
	"github.com/tinylib/msgp/msgp"

	"keytrail/plugins/internal/ack"
)

// The parts that SetNumber overwrites: the header up to the metadata's second value, and the
// body's first value. Both have fixed places.
const (
	beforeMeta = 2 + 10 + 1 + 1 + len(metaOrigin) + 1 + len(metaInKMS) + 1 + len(FieldAck) + 2
	beforeBody = beforeMeta + ack.IDSize + 1 + 1 + len(FieldAck) + 2
)

// SetNumber makes n the number, in run, of the record at the start of b, which Append
// wrote with room for it. Until then run and number are zero, which no record has.
func SetNumber(b []byte, run *ack.Run, n uint64) {
	ack.PutID(b[beforeMeta:], run, n)
	copy(b[beforeBody:beforeBody+ack.IDSize], b[beforeMeta:])
}

// noNumber is number 0 of the run of zeros.
const noNumber = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// Numbers passes the number of each record of a chunk to f, in the order of the chunk:
// the numbers that Next finds, without the work of reading the events. A record
// without one is passed over.
func (w *Walker) Numbers(chunk []byte, f func(run ack.Run, n uint64)) {
	for len(chunk) > 0 {
		var e Entry
		body, group, bad := head(chunk, &e)
		whole := group || bad != ""
		if whole {
			body = chunk
		}
		rest, err := msgp.Skip(body)
		if err != nil {
			return
		}
		if !whole && !e.Numbered && msgp.NextType(body) == msgp.MapType {
			if fields, err := w.fields(body); err == nil && fields.ack != nil {
				e.number(fields.ack)
			}
		}
		if e.Numbered {
			f(e.Run, e.Number)
		}
		chunk = rest
	}
}

// metadata looks for a number behind the time at the start of b. It passes over metadata of
// other plugins, whatever is in it.
func metadata(b []byte, e *Entry) {
	b, err := msgp.Skip(b)
	if err != nil || msgp.NextType(b) != msgp.MapType {
		return
	}
	n, b, err := msgp.ReadMapHeaderBytes(b)
	for ; err == nil && n > 0; n-- {
		var name []byte
		if t := msgp.NextType(b); t != msgp.StrType && t != msgp.BinType {
			return
		}
		if name, b, err = msgp.ReadMapKeyZC(b); err != nil {
			return
		}
		if string(name) == FieldAck {
			e.number(b)
			return
		}
		b, err = msgp.Skip(b)
	}
}

// number takes the record's number from a value, unless it is not one.
func (e *Entry) number(value []byte) {
	if t := msgp.NextType(value); t != msgp.StrType && t != msgp.BinType {
		return
	}
	text, _, err := msgp.ReadMapKeyZC(value)
	if err != nil {
		return
	}
	if run, n, ok := ack.ParseID(text); ok && run != (ack.Run{}) {
		e.Run, e.Number, e.Numbered = run, n, true
	}
}
