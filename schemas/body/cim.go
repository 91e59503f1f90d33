package body

import (
	"strings"

	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// cim is the body cim: the fields of Splunk's data models before the body json.
type cim struct {
	state
	lines [onAll][]line // by class
	// others are the names of the attributes below a field, such as user.id below user:
	// Splunk reads a point as the way to a member.
	others map[string]string
}

func newCIM() Encoder {
	e := &cim{others: map[string]string{}}
	for c := onCall; c <= onAnomaly; c <<= 1 {
		e.lines[c] = resolve(cimRows, c)
	}
	for _, r := range cimRows {
		for _, name := range attributes {
			if strings.HasPrefix(name, r.to+".") {
				e.others[name] = strings.ReplaceAll(name, ".", "_")
			}
		}
	}
	return e
}

// Append encodes r as one flat JSON object.
func (e *cim) Append(dst []byte, r *otellog.Record) ([]byte, error) {
	e.load(r)
	dst = append(dst, '{')
	for i := range e.lines[e.class] {
		l := &e.lines[e.class][i]
		before := len(dst)
		dst = appendName(dst, l.to)
		named := len(dst)
		if dst = appendJSON(dst, l.eval(&e.state)); len(dst) == named {
			dst = dst[:before]
		}
	}
	return append(appendMembers(dst, r, e.others), '}'), nil
}

// asCimAction is a value of action in the data model Change.
func asCimAction(s *state, _ *otellog.Attr) otellog.Attr {
	switch s.activity() {
	case ocsfCreate:
		return text("created")
	case ocsfUpdate:
		if c := s.operationClass(); c == kms.ClassGrant || c == kms.ClassPolicy {
			return text("acl_modified")
		}
		return text("modified")
	case ocsfDelete:
		return text("deleted")
	}
	return text("read")
}

// asCimCategory says what the object of a change is.
func asCimCategory(s *state, a *otellog.Attr) otellog.Attr {
	switch {
	case a != nil:
		return text("key")
	case s.get(semconv.AWSCloudTrailTrail) != nil:
		return text("trail")
	}
	return otellog.Attr{}
}
