// Package otellog holds one OpenTelemetry log record in the shape that
// Keytrail writes: one resource, one scope, one record, with flat attributes.
// It encodes the record as OTLP (protobuf and JSON) and decodes the protobuf
// form again.
//
// The package deliberately knows only the parts of OTLP that Keytrail writes:
// strings, booleans, integers, doubles, lists of strings and maps of strings.
// Attributes of other kinds, met while decoding, are passed over. The general
// types stand in go.opentelemetry.io/proto/otlp, and tests hold the two equal.
//
// Source: OpenTelemetry protocol specification 1.9,
// opentelemetry/proto/collector/logs/v1/logs_service.proto.
package otellog

import "slices"

// Kind says which field of an Attr holds its value.
type Kind uint8

// The kinds of attribute values, by the OTLP AnyValue field that carries them.
const (
	KindString  Kind = iota + 1 // Attr.Str
	KindBool                    // Attr.Int, 0 or 1
	KindInt                     // Attr.Int
	KindDouble                  // Attr.Num
	KindStrings                 // Attr.Strs, an array_value of string_value
	KindMap                     // Attr.Map, a kvlist_value whose values are KindString
)

// Severity is an OTLP severity number. Keytrail uses three of the twenty-four.
type Severity uint8

// The severities that Keytrail writes (OTLP SeverityNumber).
const (
	SeverityInfo  Severity = 9
	SeverityWarn  Severity = 13
	SeverityError Severity = 17
)

// Text returns the severity's short name as the logs data model spells it
// ("INFO", "WARN", "ERROR"), or "" for a severity that Keytrail does not write.
func (s Severity) Text() string {
	switch s {
	case SeverityInfo:
		return "INFO"
	case SeverityWarn:
		return "WARN"
	case SeverityError:
		return "ERROR"
	}
	return ""
}

// Attr is one attribute: a name and a typed value. Strings may point into a
// buffer that the record's producer owns; see Record.
type Attr struct {
	Key  string
	Kind Kind
	Str  string
	Int  int64
	Num  float64
	Strs []string
	Map  []Attr
}

// Scope identifies the instrumentation scope of every record that Keytrail
// writes.
const (
	ScopeName = "keytrail"
	// SchemaVersion is the version of the attribute registry in schemas/registry.
	SchemaVersion = "0.1.0"
)

// Record is one log record with its resource.
//
// A Record is made to be reused: Reset empties it and keeps its memory. Every
// string in it may be a view into a buffer owned by whoever filled it (the
// decoder's input); it is valid until that buffer changes. A Record is not safe
// for concurrent use.
type Record struct {
	// Resource describes where the event happened: cloud.provider,
	// cloud.account.id, cloud.region.
	Resource []Attr
	// Time is the event time and Observed the time of reading, both in
	// nanoseconds since 1970-01-01 UTC; 0 means unknown.
	Time, Observed int64
	Severity       Severity
	// EventName is the LogRecord field event_name, such as "aws.kms.api_call".
	EventName string
	// Body is the original event, byte for byte; empty when not kept.
	Body string
	// Attrs are the record's attributes. Their order means nothing; no name stands
	// twice.
	Attrs []Attr

	// CallID is keytrail.call.id, where normalize made the record: it is needed
	// beside the encoding.
	CallID string

	enc *Encoder // see Direct

	pairs  []Attr // memory of DecodeOnly for one map
	mapped bool   // it is in use
}

// Reset empties r and keeps its memory for the next record.
func (r *Record) Reset() {
	*r = Record{Resource: r.Resource[:0], Attrs: r.Attrs[:0], pairs: r.pairs}
}

// grow adds an attribute to list and returns it, to be filled. It reuses the
// memory behind the list's end, where an attribute of an earlier record may
// stand: writing the few words that change takes a third of the time of copying
// a whole Attr, and a record has fifty. Of its old fields only the one that its
// kind names is set, and this clears it.
func grow(list *[]Attr, key string, kind Kind) *Attr {
	n := len(*list)
	if n == cap(*list) {
		*list = slices.Grow(*list, max(n, 8))
	}
	*list = (*list)[:n+1]
	a := &(*list)[n]
	if a.Kind > KindInt {
		*a = Attr{}
	}
	a.Key, a.Kind = key, kind
	return a
}

// String appends a string attribute. An empty value is not appended: absent
// and empty are the same to a reader of the log record, and the body keeps
// the difference.
func (r *Record) String(key, value string) {
	if value != "" {
		r.text(key, value)
	}
}

func (r *Record) text(key, value string) {
	if r.enc != nil {
		r.enc.str(key, value)
		return
	}
	a := grow(&r.Attrs, key, KindString)
	a.Str, a.Int = value, 0
}

// Where appends a string to the resource, unless it is empty.
func (r *Record) Where(key, value string) {
	if value == "" {
		return
	}
	if r.enc != nil {
		r.enc.where(key, value)
		return
	}
	a := grow(&r.Resource, key, KindString)
	a.Str, a.Int = value, 0
}

// Bool appends a boolean attribute.
func (r *Record) Bool(key string, value bool) {
	n := int64(0)
	if value {
		n = 1
	}
	if r.enc != nil {
		r.enc.boolean(key, byte(n))
		return
	}
	a := grow(&r.Attrs, key, KindBool)
	a.Str, a.Int = "", n
}

// Int appends an integer attribute.
func (r *Record) Int(key string, value int64) {
	if r.enc != nil {
		r.enc.integer(key, value)
		return
	}
	a := grow(&r.Attrs, key, KindInt)
	a.Str, a.Int = "", value
}

// Double appends a floating-point attribute.
func (r *Record) Double(key string, value float64) {
	if r.enc != nil {
		r.enc.attr(&Attr{Key: key, Kind: KindDouble, Num: value})
		return
	}
	a := grow(&r.Attrs, key, KindDouble)
	a.Str, a.Int, a.Num = "", 0, value
}

// Strings appends a list of strings, which r keeps without copying it. An
// empty list is not appended.
func (r *Record) Strings(key string, values []string) {
	if len(values) > 0 {
		if r.enc != nil {
			r.enc.attr(&Attr{Key: key, Kind: KindStrings, Strs: values})
			return
		}
		a := grow(&r.Attrs, key, KindStrings)
		a.Str, a.Int, a.Strs = "", 0, values
	}
}

// AppendPair appends an entry of a map of strings to list. It reuses the memory
// behind the list's end, in which only attributes may stand.
func AppendPair(list []Attr, key, value string) []Attr {
	a := grow(&list, key, KindString)
	a.Str, a.Int = value, 0
	return list
}

// Map appends a map of strings, which r keeps without copying it; entries must
// be KindString. An empty map is not appended.
func (r *Record) Map(key string, entries []Attr) {
	if len(entries) > 0 {
		if r.enc != nil {
			r.enc.pairs(key, entries)
			return
		}
		a := grow(&r.Attrs, key, KindMap)
		a.Str, a.Int, a.Map = "", 0, entries
	}
}

// Get returns the attribute named key, or nil. It walks the attributes: a
// record has about forty, and the walk costs less than a map would.
func (r *Record) Get(key string) *Attr {
	for i := range r.Attrs {
		if r.Attrs[i].Key == key {
			return &r.Attrs[i]
		}
	}
	return nil
}

// Str returns the string attribute named key, or "" when there is none.
func (r *Record) Str(key string) string {
	if a := r.Get(key); a != nil && a.Kind == KindString {
		return a.Str
	}
	return ""
}
