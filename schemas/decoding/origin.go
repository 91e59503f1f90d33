package decoding

// Origin is where an event came from, and its bytes. Its strings and bytes are valid until
// the next call on the reader.
type Origin struct {
	Object string // file, S3 object, or Kafka record
	Index  int    // the event's number in Object, from 0
	Offset int64  // of its first byte in the inflated object
	ID     string // of the event, as its source gave it
	Raw    []byte // the event
}

// Bad returns a BadRecord in this place, for an event that decoded and still cannot be
// used. It shares the bytes of o.
func (o *Origin) Bad(reason Reason, detail string) *BadRecord {
	b := &BadRecord{Object: o.Object, Index: o.Index, Offset: o.Offset, Reason: reason, Detail: detail}
	b.Raw, b.Cut = Clip(o.Raw)
	return b
}

// Clip returns at most MaxRawBytes of raw, and reports whether there are more.
func Clip(raw []byte) (head []byte, cut bool) {
	if len(raw) > MaxRawBytes {
		return raw[:MaxRawBytes], true
	}
	return raw, false
}

// Call is what every event shows of its call, even one that becomes no log record.
type Call struct {
	ID     string // which all records of the call share; valid until the next call on the reader
	Time   int64  // nanoseconds since 1970
	Filter Filter // why the event becomes no log record, or Kept
}
