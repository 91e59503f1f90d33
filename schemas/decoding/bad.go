package decoding

import "fmt"

// Reason is the bounded set of causes for which a record becomes a dead letter.
type Reason string

// The reasons.
const (
	ReasonSyntax       Reason = "bad_json"       // not JSON by RFC 8259
	ReasonUTF8         Reason = "bad_utf8"       // a string is not UTF-8
	ReasonDuplicateKey Reason = "duplicate_key"  // one object has a name twice
	ReasonDepth        Reason = "too_deep"       // over Limits.Depth
	ReasonRecordSize   Reason = "record_too_big" // over Limits.RecordBytes
	ReasonFieldSize    Reason = "field_too_big"  // over Limits.FieldBytes
	ReasonInflatedSize Reason = "object_too_big" // over Limits.CompressedBytes, InflatedBytes or Ratio
	ReasonRecords      Reason = "too_many"       // over Limits.Records
	ReasonTruncated    Reason = "truncated"      // the object ends inside a record or inside its gzip stream
	ReasonGzip         Reason = "bad_gzip"       // the gzip stream is damaged
	ReasonEnvelope     Reason = "unknown_shape"  // JSON, but no shape that carries events
	ReasonTime         Reason = "bad_time"       // the event's time is absent or not a time
	ReasonRead         Reason = "cannot_read"    // the source failed while reading
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{ReasonSyntax, ReasonUTF8, ReasonDuplicateKey, ReasonDepth, ReasonRecordSize, ReasonFieldSize,
		ReasonInflatedSize, ReasonRecords, ReasonTruncated, ReasonGzip, ReasonEnvelope, ReasonTime, ReasonRead}
}

// BadRecord is an error that reports input that could not become an event, with its
// place and its bytes. It costs this record only: the reader goes on with the next one.
type BadRecord struct {
	Object string
	Index  int   // the record's number in its object, from 0
	Offset int64 // of Raw's first byte in the inflated object
	Reason Reason
	Detail string // what was expected and found, for a person
	// Raw is the record's bytes, at most MaxRawBytes of them, valid until the next
	// call on the reader. Cut tells that there were more.
	Raw []byte
	Cut bool
	// Err is the source's error where Reason is ReasonRead, else nil. Its kind tells a
	// caller to read again or to give up.
	Err error
}

// MaxRawBytes bounds the bytes that a BadRecord carries: 512 KiB, twice the
// largest known event and half of Kafka's usual message bound.
const MaxRawBytes = 512 << 10

// Unwrap returns the source's error where Reason is ReasonRead.
func (b *BadRecord) Unwrap() error { return b.Err }

// Error names the place, the reason and the detail.
func (b *BadRecord) Error() string {
	return fmt.Sprintf("%s: record %d at byte %d: %s: %s", b.Object, b.Index, b.Offset, b.Reason, b.Detail)
}
