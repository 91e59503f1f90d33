package chunk

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// Record is what in_kms emits for one event.
type Record struct {
	// Time is the event's time. Fluent Bit's time ends in 2038 and begins in
	// 1970; outside of that, and for the zero Time, Append writes the epoch.
	Time time.Time
	// Event is the event's JSON; it must be UTF-8.
	Event           []byte
	Account, Region string
	Object          string
	Index           int
	Offset          int64
	// Self reports whether the collector itself made the call.
	Self bool
	// Numbered leaves room for the number by which out_kms acknowledges the record:
	// SetNumber fills it.
	Numbered bool
}

// Append appends r as one Fluent Bit record with metadata that names in_kms,
// {"keytrail": "in_kms"}, and the record's number, {"ack": "…"}. The number stands in the
// body as well: there are filters and outputs that drop metadata. Append keeps nothing
// of r.
func Append(dst []byte, r *Record) []byte {
	var sec, nsec uint32
	if s := r.Time.Unix(); s >= 0 && s <= math.MaxInt32 {
		sec, nsec = uint32(s), uint32(r.Time.Nanosecond())
	}
	dst = append(dst, 0x92, 0x92) // [[time, metadata], body]
	dst = append(dst, 0xd7, 0x00) // the time: fixext 8 of type 0
	dst = binary.BigEndian.AppendUint32(dst, sec)
	dst = binary.BigEndian.AppendUint32(dst, nsec)
	meta, fields := uint32(1), uint32(6)
	if r.Numbered {
		meta, fields = meta+1, fields+1
	}
	if r.Self {
		fields++
	}
	dst = msgp.AppendMapHeader(dst, meta)
	dst = msgp.AppendString(dst, metaOrigin)
	dst = msgp.AppendString(dst, metaInKMS)
	if r.Numbered {
		dst = msgp.AppendString(dst, FieldAck)
		dst = msgp.AppendString(dst, noNumber)
	}
	dst = msgp.AppendMapHeader(dst, fields)
	if r.Numbered {
		dst = msgp.AppendString(dst, FieldAck)
		dst = msgp.AppendString(dst, noNumber)
	}
	if r.Self {
		dst = msgp.AppendString(dst, FieldSelf)
		dst = msgp.AppendBool(dst, true)
	}
	dst = msgp.AppendString(dst, FieldEvent)
	dst = msgp.AppendStringFromBytes(dst, r.Event)
	dst = msgp.AppendString(dst, FieldAccount)
	dst = msgp.AppendString(dst, r.Account)
	dst = msgp.AppendString(dst, FieldRegion)
	dst = msgp.AppendString(dst, r.Region)
	dst = msgp.AppendString(dst, FieldObject)
	dst = msgp.AppendString(dst, r.Object)
	dst = msgp.AppendString(dst, FieldIndex)
	dst = msgp.AppendInt(dst, r.Index)
	dst = msgp.AppendString(dst, FieldOffset)
	return msgp.AppendInt64(dst, r.Offset)
}
