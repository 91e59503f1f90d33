package otellog

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// Field tags of the messages that Keytrail writes: field number << 3 | wire
// type (protobuf encoding specification).
const (
	tagResourceLogs = 1<<3 | 2 // ExportLogsServiceRequest.resource_logs
	tagResource     = 1<<3 | 2 // ResourceLogs.resource
	tagScopeLogs    = 2<<3 | 2 // ResourceLogs.scope_logs
	tagSchemaURL    = 3<<3 | 2 // ResourceLogs.schema_url
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
	tagMapValue     = 6<<3 | 2 // met, never written, like the next two
	tagBytesValue   = 7<<3 | 2
	tagIndexValue   = 8<<3 | 0
	tagItem         = 1<<3 | 2 // ArrayValue.values
)

// scopeField is ScopeLogs.scope, the same in every record.
var scopeField = func() []byte {
	b := appendLen(nil, tagScope, lenSize(len(ScopeName))+lenSize(len(SchemaVersion)))
	return appendText(appendText(b, tagScopeName, ScopeName), tagScopeVersion, SchemaVersion)
}()

// schemaField is ResourceLogs.schema_url, the same in every record.
var schemaField = appendText(nil, tagSchemaURL, SchemaURL)

// AppendRequest appends r as an ExportLogsServiceRequest (which has the wire
// form of LogsData) holding one log record, and returns the extended slice.
// Requests that stand end to end are one valid request with all their records,
// because protobuf merges repeated fields: a batch needs no other encoding.
//
// The output is the canonical encoding, and nothing is allocated when dst has
// room.
func AppendRequest(dst []byte, r *Record) []byte {
	var logs, scope, record int
	dst = slices.Grow(dst, r.roughSize()) // once, where a caller has no room yet
	dst, logs = begin(dst, tagResourceLogs)
	if r.enc != nil {
		dst = r.enc.appendResource(dst)
	} else {
		dst = appendResource(dst, r.Resource)
	}
	dst, scope = begin(dst, tagScopeLogs)
	dst = append(dst, scopeField...)
	dst, record = begin(dst, tagLogRecords)
	dst = r.appendFields(dst)
	dst = end(end(dst, record), scope)
	return end(append(dst, schemaField...), logs)
}

// roughSize is about the length of r's encoding, rather more than less.
func (r *Record) roughSize() int {
	n := 512 + len(r.Body) + 64*len(r.Attrs)
	if r.enc != nil {
		n += len(r.enc.wire)
	}
	return n
}

func appendResource(dst []byte, attrs []Attr) []byte {
	dst = appendLen(dst, tagResource, attrsSize(attrs))
	for i := range attrs {
		dst = appendAttr(dst, tagAttributes, &attrs[i])
	}
	return dst
}

// begin opens a message whose length is not known yet and returns where it begins. It
// reserves two bytes for the length, which almost every record needs. Computing the lengths
// first would go through all attributes twice.
func begin(dst []byte, tag byte) ([]byte, int) {
	dst = append(dst, tag, 0, 0)
	return dst, len(dst)
}

// end sets the length of the message that begins at from, the last one in dst. The message
// moves if its length does not take two bytes.
func end(dst []byte, from int) []byte {
	n := len(dst) - from
	if n >= 1<<7 && n < 1<<14 {
		dst[from-2], dst[from-1] = byte(n)|0x80, byte(n>>7)
		return dst
	}
	size := varintSize(uint64(n))
	if size > 2 {
		dst = append(dst, make([]byte, size-2)...)
	}
	copy(dst[from-2+size:], dst[from:from+n])
	binary.PutUvarint(dst[from-2:], uint64(n))
	return dst[:from-2+size+n]
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
	if r.enc != nil {
		dst = append(dst, r.enc.wire...)
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
func (a *Attr) size() int { return lenSize(len(a.Key)) + lenSize(a.valueSize(a.innerSize())) }

// innerSize is the length of the list that a is, else 0.
func (a *Attr) innerSize() int {
	if a.Kind == KindStrings {
		return stringsSize(a.Strs)
	}
	return 0
}

// valueSize is the length of a's AnyValue message.
func (a *Attr) valueSize(inner int) int {
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
		return lenSize(inner)
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
	switch {
	case a.Kind == KindString && len(a.Key) < 1<<7 && len(a.Str) < 1<<7-2:
		return appendShort(dst, tag, a.Key, a.Str)
	case a.Kind == KindBool && len(a.Key) < 1<<7-6:
		dst = append(dst, tag, byte(len(a.Key)+6), tagKey, byte(len(a.Key)))
		dst = append(dst, a.Key...)
		return append(dst, tagValue, 2, tagBoolValue, byte(a.Int))
	}
	return appendLong(dst, tag, a)
}

// appendShort appends a string attribute whose lengths except the outermost take one byte,
// as nearly all do. It checks the capacity once and then only stores.
func appendShort(dst []byte, tag byte, key, value string) []byte {
	const framing = 9 // the tags and lengths around key and value, at most
	from := len(dst)
	if cap(dst)-from < len(key)+len(value)+framing {
		dst = slices.Grow(dst, len(key)+len(value)+framing)
	}
	b := dst[from : from+len(key)+len(value)+framing]
	n := len(key) + len(value) + 6
	i := 2
	b[0], b[1] = tag, byte(n)
	if n >= 1<<7 {
		b[1], b[2] = byte(n)|0x80, byte(n>>7)
		i = 3
	}
	b[i], b[i+1] = tagKey, byte(len(key))
	i += 2 + copy(b[i+2:], key)
	b[i], b[i+1], b[i+2], b[i+3] = tagValue, byte(len(value)+2), tagStringValue, byte(len(value))
	i += 4 + copy(b[i+4:], value)
	return dst[:from+i]
}

func appendLong(dst []byte, tag byte, a *Attr) []byte {
	inner := a.innerSize()
	value := a.valueSize(inner)
	dst = appendLen(dst, tag, lenSize(len(a.Key))+lenSize(value))
	dst = appendText(dst, tagKey, a.Key)
	dst = appendLen(dst, tagValue, value)
	switch a.Kind {
	case KindString:
		dst = appendText(dst, tagStringValue, a.Str)
	case KindBool:
		dst = append(dst, tagBoolValue, byte(a.Int))
	case KindInt:
		dst = binary.AppendUvarint(append(dst, tagIntValue), uint64(a.Int))
	case KindDouble:
		dst = binary.LittleEndian.AppendUint64(append(dst, tagDoubleValue), math.Float64bits(a.Num))
	case KindStrings:
		dst = appendLen(dst, tagArrayValue, inner)
		for _, s := range a.Strs {
			dst = appendLen(dst, tagItem, lenSize(len(s)))
			dst = appendText(dst, tagStringValue, s)
		}
	}
	return dst
}
