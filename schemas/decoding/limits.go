// Package decoding says what every decoder of input has in common, whichever cloud wrote
// it: the bounds of one object, why a record becomes a dead letter, and why an event
// becomes no log record.
package decoding

// Limits bounds what one object may cost. Over a limit is a BadRecord, never a
// crash. The zero value of a field means its default.
type Limits struct {
	// CompressedBytes bounds what is read of one compressed object (default 1 GiB:
	// InflatedBytes at the lowest ratio of records, 4). Objects are read as a
	// stream, so it is a bound on time.
	CompressedBytes int64
	// InflatedBytes bounds one object after inflating (default 4 GiB). A file of a
	// trail has about 50 MB inflated; the default leaves room for trails joined into
	// one file. Objects are read as a stream, so this is a bound on time, not on
	// memory.
	InflatedBytes int64
	// Ratio bounds inflated over compressed bytes once RatioFloor bytes have come
	// out (default 250). Files of a trail inflate 8 to 20 times, records that differ
	// in their ids only at most 40 times; deflate can reach 1,032.
	Ratio int64
	// RecordBytes bounds one record, and with it the reader's buffer (default
	// 4 MiB). The parts of the largest known record add up to less than 260 KiB:
	// 100 KB request, 100 KB service details, 28 KB additional data, 1 KB texts.
	RecordBytes int
	// FieldBytes bounds the value of one field that Keytrail reads (default 128 KiB:
	// more than the 100 KB to which all request parameters together are
	// cut). Such a value becomes an attribute, which every receiver must hold.
	// RecordBytes bounds the other fields.
	FieldBytes int
	// Records bounds the records of one object (default 100 million).
	Records int
	// Depth bounds the nesting inside a record (default 128).
	Depth int
}

// LeastLimits and MostLimits are the smallest and largest values that users can set.
var (
	LeastLimits = Limits{
		CompressedBytes: 64 << 10, InflatedBytes: 1 << 20, Ratio: 1, RecordBytes: 64 << 10, FieldBytes: 1 << 10,
		Records: 1, Depth: 8,
	}
	MostLimits = Limits{
		CompressedBytes: 1 << 50, InflatedBytes: 1 << 50,
		Ratio: 2000, // deflate reaches 1,032
		// A reader's buffer has this size, and there is one for each object being read.
		RecordBytes: 64 << 20, FieldBytes: 64 << 20,
		Records: 1_000_000_000_000, Depth: 10_000,
	}
)

// RatioFloor is the number of inflated bytes from which on Limits.Ratio holds:
// 16 MiB. Smaller objects do no harm, whatever their ratio.
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
