package cloudtrail

import "fmt"

// Limits bounds what one object may cost. Over a limit is a BadRecord, never a
// crash. The zero value of a field means its default.
type Limits struct {
	// CompressedBytes bounds what is read of one compressed object (default 1 GiB:
	// InflatedBytes at the least ratio that records have, 4). Objects are read as a
	// stream, so it is a bound on time.
	CompressedBytes int64
	// InflatedBytes bounds one object after inflating (default 4 GiB). CloudTrail
	// cuts its files at about 50 MB inflated; the default leaves room for trails
	// joined into one file. Objects are read as a stream, so this is a bound on
	// time, not on memory.
	InflatedBytes int64
	// Ratio bounds inflated over compressed bytes once RatioFloor bytes have come
	// out (default 250). CloudTrail files inflate 8 to 20 times, records alike but
	// for their ids at most 40 times; deflate can reach 1,032.
	Ratio int64
	// RecordBytes bounds one record, and with it the reader's buffer (default
	// 4 MiB). CloudTrail's own parts add up to less than 260 KiB: 100 KB request,
	// 100 KB service details, 28 KB additional data, 1 KB texts.
	RecordBytes int
	// FieldBytes bounds the value of one field that Keytrail reads (default 128 KiB:
	// more than the 100 KB to which CloudTrail cuts all request parameters
	// together). Such a value becomes an attribute, which every receiver must hold.
	// What stands in other fields is bounded by RecordBytes.
	FieldBytes int
	// Records bounds the records of one object (default 100 million).
	Records int
	// Depth bounds the nesting inside a record (default 128).
	Depth int
}

// RatioFloor is the number of inflated bytes from which on Limits.Ratio holds:
// 16 MiB. Smaller objects can do no harm, whatever their ratio.
const RatioFloor = 16 << 20

// WithDefaults returns l with every zero field replaced by its default.
func (l Limits) WithDefaults() Limits {
	if l.CompressedBytes == 0 {
		l.CompressedBytes = 1 << 30
	}
	if l.FieldBytes == 0 {
		l.FieldBytes = 128 << 10
	}
	if l.InflatedBytes == 0 {
		l.InflatedBytes = 4 << 30
	}
	if l.Ratio == 0 {
		l.Ratio = 250
	}
	if l.RecordBytes == 0 {
		l.RecordBytes = 4 << 20
	}
	if l.Records == 0 {
		l.Records = 100_000_000
	}
	if l.Depth == 0 {
		l.Depth = 128
	}
	return l
}

// Reason is the bounded set of causes for which a record becomes a dead letter.
type Reason string

// The reasons of this package.
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
	ReasonEnvelope     Reason = "unknown_shape"  // JSON, but no shape that carries CloudTrail events
	ReasonTime         Reason = "bad_time"       // eventTime is absent or no time
	ReasonRead         Reason = "cannot_read"    // the source failed while reading
)

// Reasons returns all reasons of this package.
func Reasons() []Reason {
	return []Reason{ReasonSyntax, ReasonUTF8, ReasonDuplicateKey, ReasonDepth, ReasonRecordSize, ReasonFieldSize, ReasonInflatedSize,
		ReasonRecords, ReasonTruncated, ReasonGzip, ReasonEnvelope, ReasonTime, ReasonRead}
}

// BadRecord reports input that could not become an event: what is wrong, where,
// and the bytes. It is an error that costs this record only; the Reader goes on
// with the next one.
type BadRecord struct {
	Object string
	Index  int   // the record's number in its object, from 0
	Offset int64 // of Raw's first byte in the inflated object
	Reason Reason
	Detail string // what was expected and found, for a person
	// Raw is the record's bytes, at most MaxRawBytes of them, valid like an
	// Event's strings until the next call on the Reader. Cut tells that there
	// were more.
	Raw []byte
	Cut bool
	// Err is the source's error where Reason is ReasonRead, else nil. It says
	// whether reading again may help.
	Err error
}

// MaxRawBytes bounds the bytes that a BadRecord carries: 512 KiB, twice the
// largest event that CloudTrail writes and half of Kafka's usual message bound.
const MaxRawBytes = 512 << 10

// Unwrap returns the source's error where Reason is ReasonRead.
func (b *BadRecord) Unwrap() error { return b.Err }

// Error says what is wrong and where.
func (b *BadRecord) Error() string {
	return fmt.Sprintf("%s: record %d at byte %d: %s: %s", b.Object, b.Index, b.Offset, b.Reason, b.Detail)
}
