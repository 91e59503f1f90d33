package otellog

import (
	"math"
	"strconv"
	"unicode/utf8"

	"keytrail/schemas/printable"
)

// AppendJSON appends r as one LogsData object in OTLP/JSON, without a newline,
// and returns the extended slice. Integers and times are decimal strings, as
// the protobuf JSON mapping wants for 64-bit numbers.
func AppendJSON(dst []byte, r *Record) []byte {
	dst = append(dst, `{"resourceLogs":[{"resource":{"attributes":`...)
	dst = appendAttrsJSON(dst, r.Resource)
	dst = append(dst, `},"scopeLogs":[{"scope":{"name":"`+ScopeName+`","version":"`+SchemaVersion+`"},"logRecords":[{`...)
	if r.Time != 0 {
		dst = append(dst, `"timeUnixNano":"`...)
		dst = append(strconv.AppendUint(dst, uint64(r.Time), 10), `",`...)
	}
	if r.Observed != 0 {
		dst = append(dst, `"observedTimeUnixNano":"`...)
		dst = append(strconv.AppendUint(dst, uint64(r.Observed), 10), `",`...)
	}
	if r.Severity != 0 {
		dst = append(dst, `"severityNumber":`...)
		dst = append(strconv.AppendInt(dst, int64(r.Severity), 10), `,"severityText":"`...)
		dst = append(append(dst, r.Severity.Text()...), `",`...)
	}
	if r.EventName != "" {
		dst = append(dst, `"eventName":`...)
		dst = append(AppendString(dst, r.EventName), ',')
	}
	if r.Body != "" {
		dst = append(dst, `"body":{"stringValue":`...)
		dst = append(AppendString(dst, r.Body), `},`...)
	}
	dst = append(dst, `"attributes":`...)
	dst = appendAttrsJSON(dst, r.Attrs)
	return append(dst, `}]}],"schemaUrl":"`+SchemaURL+`"}]}`...)
}

func appendAttrsJSON(dst []byte, attrs []Attr) []byte {
	dst = append(dst, '[')
	for i := range attrs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"key":`...)
		dst = AppendString(dst, attrs[i].Key)
		dst = append(dst, `,"value":`...)
		dst = appendValueJSON(dst, &attrs[i])
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendValueJSON(dst []byte, a *Attr) []byte {
	switch a.Kind {
	case KindString:
		return append(AppendString(append(dst, `{"stringValue":`...), a.Str), '}')
	case KindBool:
		if a.Int != 0 {
			return append(dst, `{"boolValue":true}`...)
		}
		return append(dst, `{"boolValue":false}`...)
	case KindInt:
		return append(strconv.AppendInt(append(dst, `{"intValue":"`...), a.Int, 10), `"}`...)
	case KindDouble:
		return append(AppendDouble(append(dst, `{"doubleValue":`...), a.Num), '}')
	case KindStrings:
		dst = append(dst, `{"arrayValue":{"values":[`...)
		for i, s := range a.Strs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendString(append(dst, `{"stringValue":`...), s), '}')
		}
		return append(dst, `]}}`...)
	}
	return append(dst, `{}`...)
}

// AppendDouble appends f in the shortest form that reads back the same. The
// protobuf JSON mapping spells what JSON cannot as strings.
func AppendDouble(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// plain marks the bytes that need no escape inside a JSON string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != 0x7f
	}
	return t
}()

// AppendString appends s as a JSON string, quotes included. Characters that could steer a
// terminal or deceive a reader of the line are escaped. Bytes that are not UTF-8 become
// U+FFFD: Keytrail's own records have none, but a record decoded from elsewhere may.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
			case printable.Unsafe(r):
				dst = printable.AppendJSON(append(dst, s[from:i]...), r)
			default:
				i += n
				continue
			}
			i += n - 1
		} else {
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
