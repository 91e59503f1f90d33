package otellog

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Field tags of the messages that Keytrail writes: field number << 3 | wire
// type (protobuf encoding specification).
const (
	tagResourceLogs = 1<<3 | 2 // ExportLogsServiceRequest.resource_logs
	tagResource     = 1<<3 | 2 // ResourceLogs.resource
	tagScopeLogs    = 2<<3 | 2 // ResourceLogs.scope_logs
	tagAttributes   = 1<<3 | 2 // Resource.attributes
	tagScope        = 1<<3 | 2 // ScopeLogs.scope
	tagLogRecords   = 2<<3 | 2 // ScopeLogs.log_records
	tagScopeName    = 1<<3 | 2 // InstrumentationScope.name
	tagScopeVersion = 2<<3 | 2 // InstrumentationScope.version
	tagTime         = 1<<3 | 1 // LogRecord.time_unix_nano
	tagSeverity     = 2<<3 | 0 // LogRecord.severity_number
	tagSeverityText = 3<<3 | 2 // LogRecord.severity_text
	tagBody         = 5<<3 | 2 // LogRecord.body
	tagLogAttrs     = 6<<3 | 2 // LogRecord.attributes
	tagObserved     = 11<<3 | 1
	tagEventName    = 12<<3 | 2
	tagKey          = 1<<3 | 2 // KeyValue.key
	tagValue        = 2<<3 | 2 // KeyValue.value
	tagStringValue  = 1<<3 | 2 // AnyValue.string_value
	tagBoolValue    = 2<<3 | 0
	tagIntValue     = 3<<3 | 0
	tagDoubleValue  = 4<<3 | 1
	tagArrayValue   = 5<<3 | 2
	tagMapValue     = 6<<3 | 2
	tagBytesValue   = 7<<3 | 2 // only met, never written, like the next
	tagIndexValue   = 8<<3 | 0
	tagItem         = 1<<3 | 2 // ArrayValue.values, KeyValueList.values
)

// AppendRequest appends r as an ExportLogsServiceRequest (which has the wire
// form of LogsData) holding one log record, and returns the extended slice.
// Requests that stand end to end are one valid request with all their records,
// because protobuf merges repeated fields: a batch needs no other encoding.
//
// The lengths are worked out first, so the output is the canonical encoding
// and nothing is allocated when dst has room.
func AppendRequest(dst []byte, r *Record) []byte {
	resource := attrsSize(r.Resource)
	scope := lenSize(len(ScopeName)) + lenSize(len(SchemaVersion))
	record := r.size()
	scopeLogs := lenSize(scope) + lenSize(record)
	resourceLogs := lenSize(resource) + lenSize(scopeLogs)

	dst = appendLen(dst, tagResourceLogs, resourceLogs)
	dst = appendLen(dst, tagResource, resource)
	for i := range r.Resource {
		dst = appendAttr(dst, tagAttributes, &r.Resource[i])
	}
	dst = appendLen(dst, tagScopeLogs, scopeLogs)
	dst = appendLen(dst, tagScope, scope)
	dst = appendText(dst, tagScopeName, ScopeName)
	dst = appendText(dst, tagScopeVersion, SchemaVersion)
	dst = appendLen(dst, tagLogRecords, record)
	return r.appendFields(dst)
}

// size is the length of r's LogRecord message. All its tags but those of
// fields above 15 take one byte; none here is above.
func (r *Record) size() int {
	n := attrsSize(r.Attrs)
	if r.Time != 0 {
		n += 9
	}
	if r.Observed != 0 {
		n += 9
	}
	if r.Severity != 0 {
		n += 1 + varintSize(uint64(r.Severity))
		if t := r.Severity.Text(); t != "" {
			n += lenSize(len(t))
		}
	}
	if r.Body != "" {
		n += lenSize(lenSize(len(r.Body)))
	}
	if r.EventName != "" {
		n += lenSize(len(r.EventName))
	}
	return n
}

func (r *Record) appendFields(dst []byte) []byte {
	if r.Time != 0 {
		dst = binary.LittleEndian.AppendUint64(append(dst, tagTime), uint64(r.Time))
	}
	if r.Severity != 0 {
		dst = binary.AppendUvarint(append(dst, tagSeverity), uint64(r.Severity))
		if t := r.Severity.Text(); t != "" {
			dst = appendText(dst, tagSeverityText, t)
		}
	}
	if r.Body != "" {
		dst = appendLen(dst, tagBody, lenSize(len(r.Body)))
		dst = appendText(dst, tagStringValue, r.Body)
	}
	for i := range r.Attrs {
		dst = appendAttr(dst, tagLogAttrs, &r.Attrs[i])
	}
	if r.Observed != 0 {
		dst = binary.LittleEndian.AppendUint64(append(dst, tagObserved), uint64(r.Observed))
	}
	if r.EventName != "" {
		dst = appendText(dst, tagEventName, r.EventName)
	}
	return dst
}

// varintSize is the length of v as a varint.
func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// lenSize is the length of a length-delimited field of n bytes, with its
// one-byte tag.
func lenSize(n int) int { return 1 + varintSize(uint64(n)) + n }

func attrsSize(attrs []Attr) int {
	n := 0
	for i := range attrs {
		n += lenSize(attrs[i].size())
	}
	return n
}

// size is the length of a's KeyValue message.
func (a *Attr) size() int { return lenSize(len(a.Key)) + lenSize(a.valueSize()) }

// valueSize is the length of a's AnyValue message.
func (a *Attr) valueSize() int {
	switch a.Kind {
	case KindString:
		return lenSize(len(a.Str))
	case KindBool:
		return 2
	case KindInt:
		return 1 + varintSize(uint64(a.Int))
	case KindDouble:
		return 9
	case KindStrings:
		return lenSize(stringsSize(a.Strs))
	case KindMap:
		return lenSize(attrsSize(a.Map))
	}
	return 0
}

func stringsSize(list []string) int {
	n := 0
	for _, s := range list {
		n += lenSize(lenSize(len(s)))
	}
	return n
}

func appendLen(dst []byte, tag byte, n int) []byte {
	return binary.AppendUvarint(append(dst, tag), uint64(n))
}

func appendText(dst []byte, tag byte, s string) []byte {
	return append(appendLen(dst, tag, len(s)), s...)
}

func appendAttr(dst []byte, tag byte, a *Attr) []byte {
	dst = appendLen(dst, tag, a.size())
	dst = appendText(dst, tagKey, a.Key)
	dst = appendLen(dst, tagValue, a.valueSize())
	switch a.Kind {
	case KindString:
		dst = appendText(dst, tagStringValue, a.Str)
	case KindBool:
		dst = append(dst, tagBoolValue, 0)
		if a.Int != 0 {
			dst[len(dst)-1] = 1
		}
	case KindInt:
		dst = binary.AppendUvarint(append(dst, tagIntValue), uint64(a.Int))
	case KindDouble:
		dst = binary.LittleEndian.AppendUint64(append(dst, tagDoubleValue), math.Float64bits(a.Num))
	case KindStrings:
		dst = appendLen(dst, tagArrayValue, stringsSize(a.Strs))
		for _, s := range a.Strs {
			dst = appendLen(dst, tagItem, lenSize(len(s)))
			dst = appendText(dst, tagStringValue, s)
		}
	case KindMap:
		dst = appendLen(dst, tagMapValue, attrsSize(a.Map))
		for i := range a.Map {
			dst = appendAttr(dst, tagItem, &a.Map[i])
		}
	}
	return dst
}
