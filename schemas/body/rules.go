package body

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/view"
)

// The rules that several bodies use. A rule without an attribute makes no value.

func asSame(_ *state, a *otellog.Attr) otellog.Attr {
	if a == nil {
		return otellog.Attr{}
	}
	return *a
}

// asTime writes a record's time in RFC 3339 and UTC, to the nanosecond.
func asTime(s *state, a *otellog.Attr) otellog.Attr {
	if a == nil {
		return otellog.Attr{}
	}
	from := len(s.buf)
	s.buf = time.Unix(0, a.Int).UTC().AppendFormat(s.buf, time.RFC3339Nano)
	return text(view.String(s.buf[from:]))
}

// asMs gives a record's time in milliseconds since 1970.
func asMs(_ *state, a *otellog.Attr) otellog.Attr {
	if a == nil {
		return otellog.Attr{}
	}
	return integer(a.Int / int64(time.Millisecond))
}

// instant reads a time that an attribute holds as RFC 3339, in ns since 1970.
func instant(a *otellog.Attr) (ns int64, ok bool) {
	if a == nil {
		return 0, false
	}
	t, err := time.Parse(time.RFC3339, a.Str)
	return t.UnixNano(), err == nil
}

// asTextMs gives the time that an attribute holds as RFC 3339 in milliseconds since 1970.
func asTextMs(_ *state, a *otellog.Attr) otellog.Attr {
	ns, ok := instant(a)
	if !ok {
		return otellog.Attr{}
	}
	return integer(ns / int64(time.Millisecond))
}

// asDurationNs gives the length of the window that ends at a.
func asDurationNs(s *state, a *otellog.Attr) otellog.Attr {
	end, ok := instant(a)
	start, also := instant(s.get(semconv.KeytrailWindowStart))
	if !ok || !also || end < start {
		return otellog.Attr{}
	}
	return integer(end - start)
}

func asDurationMs(s *state, a *otellog.Attr) otellog.Attr {
	v := asDurationNs(s, a)
	v.Int /= int64(time.Millisecond)
	return v
}

// asOperation and asService are the two parts of rpc.method.
func asOperation(_ *state, a *otellog.Attr) otellog.Attr {
	_, operation := method(a)
	return text(operation)
}

func asService(_ *state, a *otellog.Attr) otellog.Attr {
	service, _ := method(a)
	return text(service)
}

// asServiceShort gives "kms" for a method of kms.amazonaws.com.
func asServiceShort(_ *state, a *otellog.Attr) otellog.Attr {
	service, _ := method(a)
	short, _, _ := strings.Cut(service, ".")
	return text(short)
}

func method(a *otellog.Attr) (service, operation string) {
	if a == nil {
		return "", ""
	}
	service, operation, ok := strings.Cut(a.Str, "/")
	if !ok {
		return "", service
	}
	return service, operation
}

// asLevel writes a severity in small letters and without its number: "warn" of WARN2.
func asLevel(s *state, a *otellog.Attr) otellog.Attr {
	if a == nil {
		return otellog.Attr{}
	}
	from := len(s.buf)
	for i := range len(a.Str) {
		if c := a.Str[i] | 0x20; 'a' <= c && c <= 'z' {
			s.buf = append(s.buf, c)
		}
	}
	return text(view.String(s.buf[from:]))
}

// asOneItem makes a list of one text.
func asOneItem(s *state, a *otellog.Attr) otellog.Attr {
	if a == nil || a.Str == "" {
		return otellog.Attr{}
	}
	from := len(s.items)
	s.items = append(s.items, a.Str)
	return s.since(from)
}

// since is the list of the items from a place on, or no value.
func (s *state) since(from int) otellog.Attr {
	if from == len(s.items) {
		return otellog.Attr{}
	}
	return otellog.Attr{Kind: otellog.KindStrings, Strs: s.items[from:len(s.items):len(s.items)]}
}

// class returns what the call does with the KMS key.
func (s *state) operationClass() kms.Class {
	return kms.ParseClass(s.str(semconv.KeytrailOperationClass))
}

// outcome returns how the call went.
func (s *state) outcome() kms.Outcome { return kms.ParseOutcome(s.str(semconv.KeytrailOutcome)) }

// asEcsOutcome says "success" or "failure"; a call without an outcome succeeded.
func asEcsOutcome(s *state, _ *otellog.Attr) otellog.Attr {
	if s.outcome() == kms.OutcomeOK {
		return text("success")
	}
	return text("failure")
}

// asTitle is a short name for an anomaly, such as "KMS anomaly: key_probing", or an incident,
// named by its strongest anomaly.
func asTitle(s *state, a *otellog.Attr) otellog.Attr {
	what, from := "KMS anomaly", len(s.buf)
	if s.get(semconv.KeytrailIncidentID) != nil {
		what, a = "KMS incident", s.get(semconv.SecurityRuleName)
	}
	if a == nil {
		return text(what)
	}
	s.buf = append(append(append(s.buf, what...), ": "...), a.Str...)
	return text(view.String(s.buf[from:]))
}

// level is how much a record matters, from 0 for information to 4 for critical: an
// anomaly by its own severity, others by that of the log record.
func (s *state) level() int {
	if s.class == onAnomaly {
		for i, name := range [...]string{"low", "medium", "high", "critical"} {
			if s.str(semconv.KeytrailAnomalySeverity) == name || s.str(semconv.KeytrailIncidentSeverity) == name {
				return i + 1
			}
		}
	}
	switch n := s.rec.Severity; {
	case n < otellog.SeverityWarn:
		return 0
	case n < otellog.SeverityWarn+2:
		return 1
	case n == otellog.SeverityWarn+3:
		return 3
	}
	return 2
}

// asCefSeverity is the level from 0 to 10.
func asCefSeverity(s *state, _ *otellog.Attr) otellog.Attr {
	return integer([...]int64{1, 3, 5, 8, 10}[s.level()])
}

// asLeefSeverity is the level from 1 to 10.
func asLeefSeverity(s *state, a *otellog.Attr) otellog.Attr { return asCefSeverity(s, a) }

// asIpv4 and asIpv6 take an address of their kind only.
func asIpv4(_ *state, a *otellog.Attr) otellog.Attr { return address(a, true) }

func asIpv6(_ *state, a *otellog.Attr) otellog.Attr { return address(a, false) }

func address(a *otellog.Attr, four bool) otellog.Attr {
	if a == nil {
		return otellog.Attr{}
	}
	if ip, err := netip.ParseAddr(a.Str); err != nil || ip.Is4() != four {
		return otellog.Attr{}
	}
	return text(a.Str)
}

// appendText appends a value as plain text; items of a list have a comma between them.
func appendText(dst []byte, v *otellog.Attr) []byte {
	switch v.Kind {
	case otellog.KindBool:
		return strconv.AppendBool(dst, v.Int != 0)
	case otellog.KindInt:
		return strconv.AppendInt(dst, v.Int, 10)
	case otellog.KindDouble:
		return otellog.AppendDouble(dst, v.Num)
	case otellog.KindStrings:
		for i, item := range v.Strs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, item...)
		}
		return dst
	}
	return append(dst, v.Str...)
}
