package chunk

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/tinylib/msgp/msgp"
)

// appendJSON appends the msgpack value at the start of b as JSON and returns
// what follows the value. depth is how many levels it may still nest.
//
// Integers keep every digit, floats the shortest form that reads back the
// same. Binary counts as text. Text is escaped where RFC 8259 demands it and is
// otherwise passed on byte for byte, well-formed UTF-8 or not: judging it is
// the decoder's part. What JSON cannot say (NaN, infinities, extensions, names
// that are not text) is an error.
func appendJSON(dst, b []byte, depth int) (_, rest []byte, err error) {
	if depth == 0 {
		return dst, b, fmt.Errorf("nests more than %d levels", MaxDepth)
	}
	switch t := msgp.NextType(b); t {
	case msgp.MapType:
		return appendObject(dst, b, depth)
	case msgp.ArrayType:
		return appendArray(dst, b, depth)
	case msgp.StrType, msgp.BinType:
		s, rest, err := msgp.ReadMapKeyZC(b)
		return appendString(dst, s), rest, err
	case msgp.NilType:
		rest, err := msgp.ReadNilBytes(b)
		return append(dst, "null"...), rest, err
	case msgp.BoolType:
		v, rest, err := msgp.ReadBoolBytes(b)
		return strconv.AppendBool(dst, v), rest, err
	case msgp.IntType:
		v, rest, err := msgp.ReadInt64Bytes(b)
		return strconv.AppendInt(dst, v, 10), rest, err
	case msgp.UintType:
		v, rest, err := msgp.ReadUint64Bytes(b)
		return strconv.AppendUint(dst, v, 10), rest, err
	case msgp.Float32Type:
		v, rest, err := msgp.ReadFloat32Bytes(b)
		return appendFloat(dst, float64(v), 32, rest, err)
	case msgp.Float64Type:
		v, rest, err := msgp.ReadFloat64Bytes(b)
		return appendFloat(dst, v, 64, rest, err)
	default:
		return dst, b, fmt.Errorf("holds %s, which JSON cannot say", kind(t))
	}
}

func appendFloat(dst []byte, v float64, bits int, rest []byte, err error) ([]byte, []byte, error) {
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = errors.New("holds a number that JSON cannot say (NaN or infinite)")
	}
	if err != nil {
		return dst, rest, err
	}
	return strconv.AppendFloat(dst, v, 'g', -1, bits), rest, nil
}

func appendObject(dst, b []byte, depth int) ([]byte, []byte, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return dst, b, err
	}
	dst = append(dst, '{')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if t := msgp.NextType(b); t != msgp.StrType && t != msgp.BinType {
			return dst, b, fmt.Errorf("has a name that is %s, want text", kind(t))
		}
		name, rest, err := msgp.ReadMapKeyZC(b)
		if err != nil {
			return dst, b, err
		}
		dst = append(appendString(dst, name), ':')
		if dst, b, err = appendJSON(dst, rest, depth-1); err != nil {
			return dst, b, err
		}
	}
	return append(dst, '}'), b, nil
}

func appendArray(dst, b []byte, depth int) ([]byte, []byte, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return dst, b, err
	}
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, b, err = appendJSON(dst, b, depth-1); err != nil {
			return dst, b, err
		}
	}
	return append(dst, ']'), b, nil
}

const hexDigits = "0123456789abcdef"

func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		if c < ' ' {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
	}
	return append(append(dst, s[start:]...), '"')
}
