package otellog

import (
	"errors"
	"fmt"
	"math"

	"keytrail/schemas/view"
)

// ErrNoRecord says that a request holds no log record.
var ErrNoRecord = errors.New("the request holds no log record")

// errWire is the error for bytes that are not a protobuf message.
var errWire = errors.New("not a protobuf message")

// Decode reads the first log record of an ExportLogsServiceRequest into r, whose strings
// become views into b. It skips fields and attribute kinds that Record does not have, and
// reads lists one level deep, so no input makes it recurse. The error is ErrNoRecord, or
// says that the bytes are not a protobuf message; r is then undefined.
func (r *Record) Decode(b []byte) error {
	r.Reset()
	found := false
	err := fields(b, func(tag uint64, v []byte, _ uint64) error {
		if tag != tagResourceLogs || found {
			return nil
		}
		r.Resource = r.Resource[:0] // one without log records may stand before
		return fields(v, func(tag uint64, v []byte, _ uint64) error {
			switch tag {
			case tagResource:
				return fields(v, func(tag uint64, v []byte, _ uint64) error {
					if tag != tagAttributes {
						return nil
					}
					return decodeAttr(&r.Resource, v)
				})
			case tagScopeLogs:
				return fields(v, func(tag uint64, v []byte, _ uint64) error {
					if tag != tagLogRecords || found {
						return nil
					}
					found = true
					return r.decodeFields(v)
				})
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("cannot decode log record: %w", err)
	}
	if !found {
		return ErrNoRecord
	}
	return nil
}

func (r *Record) decodeFields(b []byte) error {
	var body Attr
	err := fields(b, func(tag uint64, v []byte, n uint64) error {
		switch tag {
		case tagTime:
			r.Time = int64(n)
		case tagObserved:
			r.Observed = int64(n)
		case tagSeverity:
			if r.Severity = 0; n <= maxSeverity {
				r.Severity = Severity(n)
			}
		case tagEventName:
			r.EventName = view.String(v)
		case tagBody:
			return body.decodeValue(v, true)
		case tagLogAttrs:
			return decodeAttr(&r.Attrs, v)
		}
		return nil
	})
	if body.Kind == KindString {
		r.Body = body.Str
	}
	return err
}

// maxSeverity is the highest severity number of the logs data model.
const maxSeverity = 24

// decodeAttr decodes a KeyValue and appends it if its value is of a kind of Attr.
func decodeAttr(dst *[]Attr, b []byte) error {
	var a Attr
	err := fields(b, func(tag uint64, v []byte, _ uint64) error {
		switch tag {
		case tagKey:
			a.Key = view.String(v)
		case tagValue:
			return a.decodeValue(v, false)
		}
		return nil
	})
	if err == nil && a.Kind != 0 {
		*dst = append(*dst, a)
	}
	return err
}

// become empties a's value if it was of another kind. An AnyValue has one value, and the
// last one on the wire counts.
func (a *Attr) become(kind Kind) {
	if a.Kind != kind {
		*a = Attr{Key: a.Key, Kind: kind}
	}
}

// decodeValue decodes an AnyValue. It reads only the kind of an inner value, and its string.
func (a *Attr) decodeValue(b []byte, inner bool) error {
	return fields(b, func(tag uint64, v []byte, n uint64) error {
		switch tag {
		case tagStringValue:
			a.become(KindString)
			a.Str = view.String(v)
		case tagBoolValue:
			a.become(KindBool)
			a.Int = int64(min(n, 1))
		case tagIntValue:
			a.become(KindInt)
			a.Int = int64(n)
		case tagDoubleValue:
			a.become(KindDouble)
			a.Num = math.Float64frombits(n)
		case tagArrayValue:
			a.become(KindStrings)
			if !inner {
				return a.decodeItems(v)
			}
		case tagMapValue, tagBytesValue, tagIndexValue:
			a.become(0)
		}
		return nil
	})
}

// decodeItems appends the strings of an ArrayValue.
func (a *Attr) decodeItems(b []byte) error {
	return fields(b, func(tag uint64, v []byte, _ uint64) error {
		if tag != tagItem {
			return nil
		}
		var item Attr
		err := item.decodeValue(v, true)
		if err == nil && item.Kind == KindString {
			a.Strs = append(a.Strs, item.Str)
		}
		return err
	})
}

// fields calls f for every field of the message b: with its bytes when it is
// length-delimited, else with its number.
func fields(b []byte, f func(tag uint64, v []byte, n uint64) error) error {
	for len(b) > 0 {
		tag, v, n, rest, err := field(b)
		if err == nil {
			err = f(tag, v, n)
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}
