package otellog_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"keytrail/schemas/otellog"
)

// fromProto gives the record that Decode should give of a request: the first
// one, with what Record has room for. ok is false when there is none.
func fromProto(req *collector.ExportLogsServiceRequest) (r otellog.Record, ok bool) {
	for _, rl := range req.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			if len(sl.LogRecords) == 0 {
				continue
			}
			rec := sl.LogRecords[0]
			r.Time, r.Observed, r.EventName = int64(rec.TimeUnixNano), int64(rec.ObservedTimeUnixNano), rec.EventName
			if n := rec.SeverityNumber; n >= 0 && n <= 24 {
				r.Severity = otellog.Severity(n)
			}
			r.Body = rec.Body.GetStringValue()
			r.Resource, r.Attrs = fromAttrs(rl.Resource.GetAttributes()), fromAttrs(rec.Attributes)
			return r, true
		}
	}
	return r, false
}

func fromAttrs(list []*common.KeyValue) (out []otellog.Attr) {
	for _, kv := range list {
		a := otellog.Attr{Key: kv.Key}
		switch v := kv.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			a.Kind, a.Str = otellog.KindString, v.StringValue
		case *common.AnyValue_BoolValue:
			if a.Kind = otellog.KindBool; v.BoolValue {
				a.Int = 1
			}
		case *common.AnyValue_IntValue:
			a.Kind, a.Int = otellog.KindInt, v.IntValue
		case *common.AnyValue_DoubleValue:
			a.Kind, a.Num = otellog.KindDouble, v.DoubleValue
		case *common.AnyValue_ArrayValue:
			a.Kind = otellog.KindStrings
			for _, item := range v.ArrayValue.GetValues() {
				if s, ok := item.GetValue().(*common.AnyValue_StringValue); ok {
					a.Strs = append(a.Strs, s.StringValue)
				}
			}
		}
		if a.Kind != 0 {
			out = append(out, a)
		}
	}
	return out
}

// message makes a length-delimited field of its parts.
func message(field protowire.Number, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), all)
}

func varint(field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), v)
}

// foreign are requests that Keytrail does not write and others may.
func foreign() map[string][]byte {
	str := func(s string) []byte { return message(1, []byte(s)) }
	record := func(parts ...[]byte) []byte { return message(1, message(2, message(2, parts...))) }
	attr := func(value ...[]byte) []byte { return message(6, str("k"), message(2, value...)) }
	return map[string][]byte{
		"nothing":               {},
		"no log record":         message(1, message(1, message(1, str("k"))), message(2)),
		"severity of two bytes": record(varint(2, 200)), "severity that wraps": record(varint(2, 256+9)),
		"bool of two bytes": record(attr(varint(2, 300))), "bool that wraps": record(attr(varint(2, 1<<32))),
		"kind twice":     record(attr(str("s"), varint(3, 5))),
		"list, then not": record(attr(message(5, message(1, str("a"))), str("s"))), "list in two parts": record(attr(message(5, message(1, str("a"))), message(5, message(1, str("b"))))),
		"list of all":                       record(attr(message(5, message(1, str("a")), message(1, varint(3, 1)), message(1), message(1, message(5, message(1, str("in"))))))),
		"map of all":                        record(attr(message(6, message(1, str("k"), message(2, str("v"))), message(1, str("n"), message(2, varint(3, 1))), message(1, str("m"), message(2, message(6)))))),
		"bytes":                             record(attr(message(7, []byte("b")))),
		"then bytes":                        record(attr(str("s"), message(7, []byte("b")))),
		"index":                             record(attr(str("s"), varint(8, 1))),
		"no value":                          record(message(6, str("k"))),
		"body of int":                       record(message(5, varint(3, 1))),
		"body changes":                      record(message(5, str("a")), message(5, varint(3, 1))),
		"resource of an empty one before":   append(message(1, message(1, message(1, str("k"), message(2, str("old"))))), record(varint(2, 9))...),
		"resource in two parts, one behind": message(1, message(1, message(1, str("a"), message(2, str("1")))), message(2, message(2)), message(1, message(1, str("b"), message(2, str("2"))))),
		"unknown fields":                    record(varint(99, 1), message(100, []byte("x")), protowire.AppendFixed32(protowire.AppendTag(nil, 8, protowire.Fixed32Type), 7)),
		"wrong wire types":                  record(varint(1, 5), varint(5, 1), message(2, []byte("x")), varint(6, 1)),
		"two records":                       message(1, message(2, message(2, varint(2, 9)), message(2, varint(2, 17)))),
	}
}

// agree says in what Decode and protobuf differ about data, or "".
func agree(data []byte) string {
	var r otellog.Record
	ours := r.Decode(data)
	var req collector.ExportLogsServiceRequest
	theirs := proto.Unmarshal(data, &req)
	want, ok := fromProto(&req)
	switch {
	case theirs != nil:
		return "" // Decode does not read everything, and does not check UTF-8
	case ours != nil && !errors.Is(ours, otellog.ErrNoRecord):
		if hasGroup(data) {
			return ""
		}
		return "protobuf reads it, Decode says " + ours.Error()
	case ok != (ours == nil):
		return "one of them finds no log record"
	case ok && !same(&r, &want):
		return "other records"
	}
	return ""
}

// hasGroup reports whether data may hold a group, a form of protobuf 2 that
// Decode refuses: any byte with one of its wire types.
func hasGroup(data []byte) bool {
	for _, b := range data {
		if t := b & 7; t == 3 || t == 4 {
			return true
		}
	}
	return false
}

func TestForeignRequests(t *testing.T) {
	for name, data := range foreign() {
		if err := proto.Unmarshal(data, new(collector.ExportLogsServiceRequest)); err != nil {
			t.Errorf("%s: the test's own bytes are wrong: %v", name, err)
		}
		if diff := agree(data); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		// A decoded record can be encoded again.
		var r, back otellog.Record
		if r.Decode(data) != nil {
			continue
		}
		if err := back.Decode(otellog.AppendRequest(nil, &r)); err != nil || !same(&r, &back) {
			t.Errorf("%s: %v\n%+v\n%+v", name, err, r, back)
		}
	}
}

// TestDeepNesting: no request makes Decode recurse. A value nested a million
// times is 10 to 20 MB, which an OTLP receiver takes; a decoder that follows it
// ends the process, for Go's stacks end at 1 GB.
func TestDeepNesting(t *testing.T) {
	for name, tags := range map[string]string{"lists": "\x0a\x2a", "maps": "\x12\x0a\x32"} { // innermost first
		var back []byte // the message from its end on
		for range 1_000_000 {
			for i := range len(tags) {
				size := protowire.AppendVarint(nil, uint64(len(back)))
				slices.Reverse(size)
				back = append(append(back, size...), tags[i])
			}
		}
		slices.Reverse(back)
		var r otellog.Record
		err := r.Decode(message(1, message(2, message(2, message(6, message(1, []byte("k")), message(2, back))))))
		if err != nil || name == "lists" && len(r.Attrs) != 1 {
			t.Errorf("%s: %v, %d attributes", name, err, len(r.Attrs))
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	whole := otellog.AppendRequest(nil, records()["full"])
	var r otellog.Record
	for k := 1; k < len(whole); k++ {
		if err := r.Decode(whole[:k]); err == nil || errors.Is(err, otellog.ErrNoRecord) {
			t.Fatalf("cut at %d: %v", k, err)
		}
	}
	if err := r.Decode(nil); !errors.Is(err, otellog.ErrNoRecord) {
		t.Errorf("nothing: %v", err)
	}
	for _, bad := range []string{"\x0a", "\x0a\x05a", "\x0f", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x80", "\x09\x00", "\x0d\x00", strings.Repeat("\xff", 11)} {
		if err := r.Decode([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "cannot decode log record: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range records() {
		f.Add(otellog.AppendRequest(nil, r))
	}
	for _, data := range foreign() {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if diff := agree(data); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("aws.kms.api_call", "body", "key", "value", int64(1), int64(2), 1.5, byte(9), true)
	f.Add("", "", "", "", int64(-1), int64(0), math.NaN(), byte(255), false)
	f.Fuzz(func(t *testing.T, name, body, key, value string, n, at int64, num float64, severity byte, yes bool) {
		r := otellog.Record{Time: at, Observed: n, Severity: otellog.Severity(severity % 25), EventName: name, Body: body}
		r.Resource = []otellog.Attr{{Key: key, Kind: otellog.KindString, Str: value}}
		r.String(key, value)
		r.Int(key, n)
		r.Bool(key, yes)
		r.Double(key, num)
		r.Strings(key, []string{value, body, ""})
		data := otellog.AppendRequest(nil, &r)
		var back otellog.Record
		if err := back.Decode(data); err != nil || !same(&back, &r) {
			t.Errorf("%v: %+v, want %+v", err, back, r)
		}
		if again := otellog.AppendRequest(nil, &back); string(again) != string(data) {
			t.Errorf("encoded again: %x, want %x", again, data)
		}
		if diff := agree(data); diff != "" {
			t.Error(diff)
		}
	})
}
