package otellog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// ErrNoRecord says that a request holds no log record.
var ErrNoRecord = errors.New("the request holds no log record")

// errWire says that bytes are no protobuf message.
var errWire = errors.New("not a protobuf message")

// Decode reads the first log record of an ExportLogsServiceRequest into r,
// whose strings become views into b. Fields and attribute kinds that Record
// has no room for are passed over. The error is ErrNoRecord, or says where the
// bytes stop being protobuf; r is then undefined.
func (r *Record) Decode(b []byte) error {
	r.Reset()
	found := false
	err := fields(b, func(tag uint64, v []byte, _ uint64) error {
		if tag != tagResourceLogs || found {
			return nil
		}
		return fields(v, func(tag uint64, v []byte, _ uint64) error {
			switch tag {
			case tagResource:
				r.Resource = r.Resource[:0]
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
	return fields(b, func(tag uint64, v []byte, n uint64) error {
		switch tag {
		case tagTime:
			r.Time = int64(n)
		case tagObserved:
			r.Observed = int64(n)
		case tagSeverity:
			r.Severity = Severity(n)
		case tagEventName:
			r.EventName = view(v)
		case tagBody:
			return fields(v, func(tag uint64, v []byte, _ uint64) error {
				if tag == tagStringValue {
					r.Body = view(v)
				}
				return nil
			})
		case tagLogAttrs:
			return decodeAttr(&r.Attrs, v)
		}
		return nil
	})
}

// decodeAttr decodes a KeyValue and appends it, unless its kind has no room.
func decodeAttr(dst *[]Attr, b []byte) error {
	var a Attr
	err := fields(b, func(tag uint64, v []byte, _ uint64) error {
		switch tag {
		case tagKey:
			a.Key = view(v)
		case tagValue:
			return fields(v, a.decodeValue)
		}
		return nil
	})
	if err == nil && a.Kind != 0 {
		*dst = append(*dst, a)
	}
	return err
}

// decodeValue takes one field of an AnyValue.
func (a *Attr) decodeValue(tag uint64, v []byte, n uint64) error {
	switch tag {
	case tagStringValue:
		a.Kind, a.Str = KindString, view(v)
	case tagBoolValue:
		a.Kind, a.Int = KindBool, int64(n)
	case tagIntValue:
		a.Kind, a.Int = KindInt, int64(n)
	case tagDoubleValue:
		a.Kind, a.Num = KindDouble, math.Float64frombits(n)
	case tagArrayValue:
		a.Kind = KindStrings
		return fields(v, func(tag uint64, v []byte, _ uint64) error {
			if tag != tagItem {
				return nil
			}
			return fields(v, func(tag uint64, v []byte, _ uint64) error {
				if tag == tagStringValue {
					a.Strs = append(a.Strs, view(v))
				}
				return nil
			})
		})
	case tagMapValue:
		a.Kind = KindMap
		return fields(v, func(tag uint64, v []byte, _ uint64) error {
			if tag != tagItem {
				return nil
			}
			return decodeAttr(&a.Map, v)
		})
	}
	return nil
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// fields calls f for every field of the message b: with its bytes when it is
// length-delimited, else with its number.
func fields(b []byte, f func(tag uint64, v []byte, n uint64) error) error {
	for len(b) > 0 {
		tag, k := binary.Uvarint(b)
		if k <= 0 {
			return errWire
		}
		b = b[k:]
		var v []byte
		var n uint64
		switch tag & 7 {
		case 0:
			if n, k = binary.Uvarint(b); k <= 0 {
				return errWire
			}
			b = b[k:]
		case 1:
			if len(b) < 8 {
				return errWire
			}
			n, b = binary.LittleEndian.Uint64(b), b[8:]
		case 2:
			n, k = binary.Uvarint(b)
			if k <= 0 || n > uint64(len(b)-k) {
				return errWire
			}
			v, b = b[k:k+int(n)], b[k+int(n):]
		case 5:
			if len(b) < 4 {
				return errWire
			}
			n, b = uint64(binary.LittleEndian.Uint32(b)), b[4:]
		default:
			return errWire
		}
		if err := f(tag, v, n); err != nil {
			return err
		}
	}
	return nil
}
