package cloud

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"

	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// Reader reads the events of one object after another, and makes log records of them. It
// reuses its memory and caches common names, so keep one for many objects. It is not safe
// for concurrent use.
//
// Origin, Call and Record concern the event that Next has read. Their strings and bytes
// are valid until the next call of Next or Reset.
type Reader interface {
	// Reset begins an object. Its name appears in records and errors.
	Reset(src io.Reader, object string)
	// Next reads the next event. It returns nil, a *decoding.BadRecord (the next call
	// goes on behind it), or io.EOF at the end of the object.
	Next() error
	// NotEvents returns how many known records of the object so far are about no call.
	NotEvents() int
	// Origin returns where the event came from.
	Origin() decoding.Origin
	// Call returns the event's call. The error is a *decoding.BadRecord for an event
	// without a usable time.
	Call() (decoding.Call, error)
	// Record fills rec from the event, unless it returns why the event becomes no log
	// record. observed is when the event was read, in nanoseconds since 1970. The error
	// is a *decoding.BadRecord.
	Record(observed int64, rec *otellog.Record) (decoding.Filter, error)
}

// Options are the users' settings of decoding and normalizing. The zero value is the
// default.
type Options struct {
	Limits decoding.Limits
	// OmitBody omits the record's body, which is the event byte for byte.
	OmitBody bool
	// SelfPrincipals are the collector's own users and roles.
	SelfPrincipals []string
	// Encoded makes records for otellog.AppendRequest only: their attributes are encoded
	// at once (see otellog.Record.Direct) and cannot be read.
	Encoded bool
}

// NewReader returns a Reader of the objects of all clouds.
func NewReader(o Options) Reader {
	if len(clouds) == 1 {
		return clouds[0].reader(o)
	}
	m := &mixed{}
	for i := range clouds {
		m.all = append(m.all, clouds[i].reader(o))
	}
	return m
}

// mixed reads each object with the Reader of its cloud.
type mixed struct {
	Reader          // of the object
	all    []Reader // by cloud
}

func (m *mixed) Reset(src io.Reader, object string) {
	start, whole := beginning(src)
	m.Reader = m.all[0]
	for i := 1; i < len(clouds); i++ {
		if clouds[i].reads(start) {
			m.Reader = m.all[i]
			break
		}
	}
	m.Reader.Reset(whole, object)
}

// beginningBytes is how much of an object its cloud must be recognized by.
const beginningBytes = 4096

// beginning returns the first bytes of an object, inflated where they are gzip, and the
// object as a whole. An error of src remains for its next reader.
func beginning(src io.Reader) ([]byte, io.Reader) {
	whole := bufio.NewReaderSize(src, beginningBytes)
	start, _ := whole.Peek(beginningBytes)
	z, err := gzip.NewReader(bytes.NewReader(start))
	if err != nil {
		return start, whole
	}
	inflated := make([]byte, beginningBytes)
	n, _ := io.ReadFull(z, inflated) // less where start ends
	return inflated[:n], whole
}
