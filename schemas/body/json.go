package body

import (
	"bytes"
	"math"
	"strconv"
	"time"

	"keytrail/schemas/otellog"
)

// appendFlat is the body json: one flat object with the schema's names. The
// fields of the log record have the names that Elastic and OpenSearch give them.
// Resource attributes stand beside the others.
func appendFlat(dst []byte, r *otellog.Record) []byte {
	return append(appendMembers(append(dst, '{'), r, nil), '}')
}

// appendMembers appends the members of the body json. others are the names of the
// attributes that have another name there.
func appendMembers(dst []byte, r *otellog.Record, others map[string]string) []byte {
	dst = appendFields(dst, r)
	for i := range r.Resource {
		dst = appendAttr(dst, &r.Resource[i])
	}
	for i := range r.Attrs {
		if other, is := others[r.Attrs[i].Key]; is {
			a := r.Attrs[i]
			a.Key = other
			dst = appendAttr(dst, &a)
			continue
		}
		dst = appendAttr(dst, &r.Attrs[i])
	}
	if r.Body != "" {
		dst = otellog.AppendString(appendName(dst, "body"), r.Body)
	}
	return dst
}

// appendFields appends the record's own fields, without its body.
func appendFields(dst []byte, r *otellog.Record) []byte {
	if r.Time != 0 {
		dst = appendTime(appendName(dst, "@timestamp"), r.Time)
	}
	if r.Observed != 0 {
		dst = appendTime(appendName(dst, "observed_timestamp"), r.Observed)
	}
	if r.Severity != 0 {
		dst = strconv.AppendInt(appendName(dst, "severity_number"), int64(r.Severity), 10)
	}
	if text := r.Severity.Text(); text != "" {
		dst = otellog.AppendString(appendName(dst, "severity_text"), text)
	}
	if r.EventName != "" {
		dst = otellog.AppendString(appendName(dst, "event_name"), r.EventName)
	}
	return dst
}

// appendName appends a member's name and, unless it is the object's first, the
// comma before it.
func appendName(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(otellog.AppendString(dst, name), ':')
}

// appendAttr appends an attribute as a member. A double that JSON cannot write
// is left out.
func appendAttr(dst []byte, a *otellog.Attr) []byte {
	if a.Kind == otellog.KindDouble && (math.IsNaN(a.Num) || math.IsInf(a.Num, 0)) {
		return dst
	}
	return appendValue(appendName(dst, a.Key), a)
}

// appendValue appends an attribute's value.
func appendValue(dst []byte, a *otellog.Attr) []byte {
	switch a.Kind {
	case otellog.KindBool:
		return strconv.AppendBool(dst, a.Int != 0)
	case otellog.KindInt:
		return strconv.AppendInt(dst, a.Int, 10)
	case otellog.KindDouble:
		return appendDouble(dst, a.Num)
	case otellog.KindStrings:
		dst = append(dst, '[')
		for i, s := range a.Strs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = otellog.AppendString(dst, s)
		}
		return append(dst, ']')
	}
	return otellog.AppendString(dst, a.Str)
}

// appendDouble appends a double with a point or an exponent. Elasticsearch maps a field by
// its first value, and would map a double that begins with 7 as an integer.
func appendDouble(dst []byte, x float64) []byte {
	from := len(dst)
	if dst = otellog.AppendDouble(dst, x); bytes.ContainsAny(dst[from:], ".e") {
		return dst
	}
	return append(dst, ".0"...)
}

// appendTime appends a time in RFC 3339 and UTC, to the nanosecond.
func appendTime(dst []byte, ns int64) []byte {
	dst = time.Unix(0, ns).UTC().AppendFormat(append(dst, '"'), time.RFC3339Nano)
	return append(dst, '"')
}
