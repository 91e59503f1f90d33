// Package otellog holds one OpenTelemetry log record in the shape that
// Keytrail writes: one resource, one scope, one record, with flat attributes.
// It encodes the record as OTLP (protobuf and JSON) and decodes the protobuf
// form again.
//
// The package knows only the parts of OTLP that Keytrail writes: strings, booleans,
// integers, doubles and lists of strings. It skips attributes of other kinds when it
// decodes. It has no maps, whose names would be chosen by callers: a free map is one
// string of JSON. The general types are those of go.opentelemetry.io/proto/otlp, and tests
// compare the two.
//
// Source: OpenTelemetry protocol specification 1.9,
// opentelemetry/proto/collector/logs/v1/logs_service.proto.
package otellog

import "slices"

// Kind is the type of an attribute's value, and determines the field of Attr that holds it.
type Kind uint8

// The kinds of attribute values, by the OTLP AnyValue field that carries them.
const (
	KindString  Kind = iota + 1 // Attr.Str
	KindBool                    // Attr.Int, 0 or 1
	KindInt                     // Attr.Int
	KindDouble                  // Attr.Num
	KindStrings                 // Attr.Strs, an array_value of string_value
)

// Severity is an OTLP severity number, 1 to 24; 0 means unspecified.
type Severity uint8

// The severities that Keytrail writes (OTLP SeverityNumber). The registry's events say
// what each means.
const (
	SeverityInfo   Severity = 9
	SeverityWarn   Severity = 13
	SeverityWarn2  Severity = 14
	SeverityWarn3  Severity = 15
	SeverityWarn4  Severity = 16
	SeverityError  Severity = 17
	SeverityError2 Severity = 18
)

// Severities returns the severities that Keytrail writes, in order.
func Severities() []Severity {
	return []Severity{
		SeverityInfo, SeverityWarn, SeverityWarn2, SeverityWarn3, SeverityWarn4, SeverityError, SeverityError2,
	}
}

// severityTexts are the short names of the severities.
//
// Source: OpenTelemetry logs data model, "Displaying Severity".
var severityTexts = [maxSeverity + 1]string{
	"", "TRACE", "TRACE2", "TRACE3", "TRACE4", "DEBUG", "DEBUG2", "DEBUG3", "DEBUG4", "INFO", "INFO2", "INFO3", "INFO4",
	"WARN", "WARN2", "WARN3", "WARN4", "ERROR", "ERROR2", "ERROR3", "ERROR4", "FATAL", "FATAL2", "FATAL3", "FATAL4",
}

// Text returns the severity's short name in the logs data model, such as "WARN2". It
// returns "" for a severity outside 1 to 24.
func (s Severity) Text() string {
	if s > maxSeverity {
		return ""
	}
	return severityTexts[s]
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
}

// Scope identifies the instrumentation scope of every record that Keytrail
// writes.
const (
	ScopeName = "keytrail"
	// SchemaURL identifies the version of the semantic conventions that the resource and
	// the names of origin otel in schemas/registry follow.
	SchemaURL = "https://opentelemetry.io/schemas/1.44.0"
	// SchemaVersion is the version of the attribute registry in schemas/registry.
	SchemaVersion = "0.2.0"
)

// Record is one log record with its resource.
//
// A Record is reused: Reset empties it and keeps its memory. Every string in it may be a
// view into a buffer of the code that filled it, such as the decoder's input, and is valid
// until that buffer changes. A Record is not safe for concurrent use.
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
	// Attrs are the record's attributes. Their order has no meaning, and no name is
	// repeated.
	Attrs []Attr

	// CallID is keytrail.call.id in records that package normalize made. Callers need it
	// beside the encoding.
	CallID string

	enc *Encoder // see Direct
}

// Reset empties r and keeps its memory for the next record.
func (r *Record) Reset() {
	*r = Record{Resource: r.Resource[:0], Attrs: r.Attrs[:0]}
}

// grow adds an attribute to list and returns it, to be filled. It reuses the memory behind
// the list's end, which may hold an attribute of an earlier record. Writing the few words
// that change takes a third of the time of copying a whole Attr, and a record has fifty. An
// old attribute has only the field of its kind set, and grow clears that.
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
