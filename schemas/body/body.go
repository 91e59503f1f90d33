// Package body encodes log records for receivers that do not take OTLP. A body
// is the form of one record; the protocol that carries it is the sink's.
//
// A body never takes a name from the data: member names are the schema's or the
// body's own. A value keeps its meaning
// whatever bytes it holds, or the body's comment says what it loses.
package body

import (
	"fmt"
	"slices"
	"strings"

	"keytrail/schemas/otellog"
)

// Encoder encodes records in one body. It keeps memory between records: each
// goroutine needs its own.
type Encoder interface {
	// Append appends the body of r to dst and returns the extended slice. A body
	// has no newline at its end, and text bodies have none within. The error says
	// why the body cannot hold the record; dst is then returned as it was.
	//
	// Append changes neither r nor the strings in it and keeps none of them.
	Append(dst []byte, r *otellog.Record) ([]byte, error)
}

// format is what the package knows of one body.
type format struct {
	name, contentType string
	encoder           func() Encoder
}

// formats are all bodies, in the order of the documentation.
var formats = []format{
	{"otlp", "application/x-protobuf", always(otellog.AppendRequest)},
	{"otlp_json", jsonType, always(otellog.AppendJSON)},
	{"json", jsonType, always(appendFlat)},
	{"ecs", jsonType, newECS},
	{"ocsf", jsonType, newOCSF},
	{"cim", jsonType, newCIM},
	{"cef", textType, newCEF},
	{"leef", textType, newLEEF},
}

const (
	jsonType = "application/json"
	textType = "text/plain; charset=utf-8"
)

// stateless is an encoder that neither fails nor keeps memory.
type stateless func(dst []byte, r *otellog.Record) []byte

func always(f stateless) func() Encoder { return func() Encoder { return f } }

func (f stateless) Append(dst []byte, r *otellog.Record) ([]byte, error) { return f(dst, r), nil }

// Names returns the names of all bodies.
func Names() []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return names
}

// New returns an encoder of the named body. The error lists the names.
func New(name string) (Encoder, error) {
	f, err := find(name)
	if err != nil {
		return nil, err
	}
	return f.encoder(), nil
}

// ContentType returns the media type of the named body, such as
// "application/json", or "" when there is no such body. A JSON body is one
// object on one line: lines of them are application/x-ndjson.
func ContentType(name string) string {
	f, _ := find(name)
	return f.contentType
}

func find(name string) (format, error) {
	for _, f := range formats {
		if f.name == name {
			return f, nil
		}
	}
	return format{}, fmt.Errorf("%q is not a body; the bodies are %s", name, strings.Join(Names(), ", "))
}

// Taken returns the name of an attribute or a member of a body that leaves no room for a
// further attribute called name, or "". It is the same name, or one of the two would be a
// value and an object.
func Taken(name string) string {
	taken := slices.Clone(attributes[:])
	for _, rows := range [...][]row{ecsRows, cimRows} {
		for _, r := range rows {
			taken = append(taken, r.to)
		}
	}
	for _, t := range taken {
		if t == name || strings.HasPrefix(t, name+".") || strings.HasPrefix(name, t+".") {
			return t
		}
	}
	return ""
}

// AppendMember adds a member with a string value to the JSON object at the end
// of dst, such as one that Append has just written. The object must not have the
// member yet.
func AppendMember(dst []byte, name, value string) []byte {
	dst = dst[:len(dst)-1]
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(otellog.AppendString(dst, name), ':')
	return append(otellog.AppendString(dst, value), '}')
}
