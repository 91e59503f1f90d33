package otellog_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"keytrail/schemas/otellog"
)

// records are records of every form, the awkward ones too.
func records() map[string]*otellog.Record {
	full := &otellog.Record{
		Time: 1772442764000000000, Observed: 1772443000123456789, Severity: otellog.SeverityWarn,
		EventName: "aws.kms.api_call", Body: `{"eventName":"Decrypt","x":"é\n"}`,
		Resource: []otellog.Attr{{Key: "cloud.provider", Kind: otellog.KindString, Str: "aws"}, {Key: "cloud.region", Kind: otellog.KindString, Str: "eu-central-1"}},
	}
	full.String("s", "text")
	full.Bool("yes", true)
	full.Bool("no", false)
	full.Int("int", 42)
	full.Int("negative", -1)
	full.Int("zero", 0)
	full.Double("double", 3.5)
	full.Strings("list", []string{"a", "", "c"})
	all := map[string]*otellog.Record{"empty": {}, "full": full}
	for _, f := range []float64{0, math.Copysign(0, -1), 1e21, 1e-9, 5e-324, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 0.1, 1 << 60} {
		r := &otellog.Record{Time: 1}
		r.Double("f", f)
		all[fmt.Sprint("double ", f)] = r
	}
	for _, n := range []int64{math.MinInt64, math.MaxInt64, 127, 128, 1 << 53} {
		r := &otellog.Record{Time: n, Observed: n}
		r.Int("n", n)
		all[fmt.Sprint("int ", n)] = r
	}
	for _, s := range []string{"\x00\x1f\x7f\"\\/", "\u2028<>&", "\ufffd", "😀", strings.Repeat("x", 127), strings.Repeat("x", 128), strings.Repeat("é", 20_000)} {
		r := &otellog.Record{Time: 1, Body: s, EventName: s}
		r.String(s, s)
		r.Strings(s, []string{s})
		all[fmt.Sprintf("string %.20q of %d", s, len(s))] = r
	}
	for _, severity := range []otellog.Severity{1, 9, 13, 17, 24, 127, 128, 255} {
		all[fmt.Sprint("severity ", severity)] = &otellog.Record{Severity: severity}
	}
	return all
}

// toProto says with the general types what a record is.
func toProto(r *otellog.Record) *collector.ExportLogsServiceRequest {
	rec := &logs.LogRecord{
		TimeUnixNano: uint64(r.Time), ObservedTimeUnixNano: uint64(r.Observed), SeverityNumber: logs.SeverityNumber(r.Severity),
		SeverityText: r.Severity.Text(), EventName: r.EventName, Attributes: attrs(r.Attrs),
	}
	if r.Body != "" {
		rec.Body = text(r.Body)
	}
	req := &collector.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{ScopeLogs: []*logs.ScopeLogs{{LogRecords: []*logs.LogRecord{rec}}}}}}
	rl := req.ResourceLogs[0]
	rl.Resource, rl.SchemaUrl = &resource.Resource{Attributes: attrs(r.Resource)}, otellog.SchemaURL
	rl.ScopeLogs[0].Scope = &common.InstrumentationScope{Name: otellog.ScopeName, Version: otellog.SchemaVersion}
	return req
}

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func attrs(list []otellog.Attr) []*common.KeyValue {
	var out []*common.KeyValue
	for i := range list {
		a, v := &list[i], &common.AnyValue{}
		switch a.Kind {
		case otellog.KindString:
			v = text(a.Str)
		case otellog.KindBool:
			v.Value = &common.AnyValue_BoolValue{BoolValue: a.Int != 0}
		case otellog.KindInt:
			v.Value = &common.AnyValue_IntValue{IntValue: a.Int}
		case otellog.KindDouble:
			v.Value = &common.AnyValue_DoubleValue{DoubleValue: a.Num}
		case otellog.KindStrings:
			items := &common.ArrayValue{}
			for _, s := range a.Strs {
				items.Values = append(items.Values, text(s))
			}
			v.Value = &common.AnyValue_ArrayValue{ArrayValue: items}
		}
		out = append(out, &common.KeyValue{Key: a.Key, Value: v})
	}
	return out
}

// TestRequestIsCanonical: the bytes are those that protobuf itself writes for
// the same record, and protobuf reads the same record from them.
func TestRequestIsCanonical(t *testing.T) {
	for name, r := range records() {
		got := otellog.AppendRequest([]byte("before"), r)
		if !bytes.HasPrefix(got, []byte("before")) {
			t.Fatalf("%s: what stood before is gone", name)
		}
		got = got[len("before"):]
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(toProto(r))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var back collector.ExportLogsServiceRequest
		if err := proto.Unmarshal(got, &back); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !proto.Equal(&back, toProto(r)) {
			t.Errorf("%s: protobuf reads\n%v\nwant\n%v", name, &back, toProto(r))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: bytes\n%x\nwant\n%x", name, got, want)
		}
	}
}

// TestJSON: protojson reads from the JSON form what protobuf reads from the
// binary form.
func TestJSON(t *testing.T) {
	for name, r := range records() {
		line := otellog.AppendJSON([]byte("before"), r)[len("before"):]
		if bytes.ContainsAny(line, "\n\r") {
			t.Errorf("%s: more than one line", name)
		}
		var fromJSON, fromProto logs.LogsData
		if err := protojson.Unmarshal(line, &fromJSON); err != nil {
			t.Errorf("%s: %v\n%.300s", name, err, line)
			continue
		}
		if err := proto.Unmarshal(otellog.AppendRequest(nil, r), &fromProto); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !proto.Equal(&fromJSON, &fromProto) {
			t.Errorf("%s: JSON\n%v\nprotobuf\n%v", name, &fromJSON, &fromProto)
		}
	}
}

// TestJSONInvalidUTF8: what is no UTF-8 becomes U+FFFD, byte by byte.
func TestJSONInvalidUTF8(t *testing.T) {
	r := &otellog.Record{Body: "a\xffb\xc3\xe2\x82c"}
	var data logs.LogsData
	if err := protojson.Unmarshal(otellog.AppendJSON(nil, r), &data); err != nil {
		t.Fatal(err)
	}
	if got := data.ResourceLogs[0].ScopeLogs[0].LogRecords[0].Body.GetStringValue(); got != "a\ufffdb\ufffd\ufffd\ufffdc" {
		t.Errorf("body %q", got)
	}
}

// same compares records; NaN equals NaN.
func same(a, b *otellog.Record) bool {
	return a.Time == b.Time && a.Observed == b.Observed && a.Severity == b.Severity && a.EventName == b.EventName && a.Body == b.Body &&
		sameAttrs(a.Resource, b.Resource) && sameAttrs(a.Attrs, b.Attrs)
}

func sameAttrs(a, b []otellog.Attr) bool {
	return slices.EqualFunc(a, b, func(x, y otellog.Attr) bool {
		return x.Key == y.Key && x.Kind == y.Kind && x.Str == y.Str && x.Int == y.Int && math.Float64bits(x.Num) == math.Float64bits(y.Num) &&
			slices.Equal(x.Strs, y.Strs)
	})
}

func TestDecode(t *testing.T) {
	var back otellog.Record
	for name, r := range records() {
		want := *r
		if want.Severity > 24 { // no severity of the data model
			want.Severity = 0
		}
		if err := back.Decode(otellog.AppendRequest(nil, r)); err != nil || !same(&back, &want) {
			t.Errorf("%s: %v\n%+v\nwant\n%+v", name, err, back, want)
		}
	}
}

// TestRequestsConcatenate: requests end to end are one request.
func TestRequestsConcatenate(t *testing.T) {
	var batch []byte
	want := &collector.ExportLogsServiceRequest{}
	var first *otellog.Record
	for _, r := range records() {
		batch = otellog.AppendRequest(batch, r)
		want.ResourceLogs = append(want.ResourceLogs, toProto(r).ResourceLogs...)
		if first == nil {
			first = r
		}
	}
	var got collector.ExportLogsServiceRequest
	if err := proto.Unmarshal(batch, &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("%v; %d records, want %d", err, len(got.ResourceLogs), len(want.ResourceLogs))
	}
	var back otellog.Record
	if err := back.Decode(batch); err != nil || back.Body != first.Body || back.Time != first.Time || len(back.Attrs) != len(first.Attrs) {
		t.Errorf("Decode gives another record than the first: %v", err)
	}
}

func TestAllocations(t *testing.T) {
	r := records()["full"]
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = otellog.AppendRequest(buf[:0], r) }); n != 0 {
		t.Errorf("AppendRequest: %v allocations, want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() { buf = otellog.AppendJSON(buf[:0], r) }); n != 0 {
		t.Errorf("AppendJSON: %v allocations, want 0", n)
	}
	flat := &otellog.Record{Time: 1, Body: "b"}
	flat.String("a", "b")
	flat.Int("n", 7)
	var back otellog.Record
	buf = otellog.AppendRequest(buf[:0], flat)
	if n := testing.AllocsPerRun(100, func() {
		if err := back.Decode(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Decode: %v allocations, want 0", n)
	}
}

// TestRecord holds the small methods to what their comments say.
func TestRecord(t *testing.T) {
	var r otellog.Record
	r.String("empty", "")
	r.Strings("empty", nil)
	if len(r.Attrs) != 0 {
		t.Errorf("empty values were appended: %+v", r.Attrs)
	}
	r.String("s", "v")
	r.Int("n", 1)
	if r.Str("s") != "v" || r.Str("n") != "" || r.Str("none") != "" || r.Get("none") != nil || r.Get("n").Int != 1 {
		t.Errorf("Get, Str: %+v", r.Attrs)
	}
	r.Time, r.Body, r.EventName, r.Severity, r.Observed = 1, "b", "e", 9, 2
	r.Resource = append(r.Resource, otellog.Attr{Key: "k"})
	r.Reset()
	if !same(&r, &otellog.Record{}) || cap(r.Attrs) == 0 || cap(r.Resource) == 0 {
		t.Errorf("Reset leaves %+v, room %d", r, cap(r.Attrs))
	}
}
