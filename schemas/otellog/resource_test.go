package otellog_test

import (
	"bytes"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/schemas/otellog"
)

// TestAppendWithResource: each request has the further attributes behind its own, and
// nothing else changes.
func TestAppendWithResource(t *testing.T) {
	more := []otellog.Attr{
		{Key: "service.name", Kind: otellog.KindString, Str: "keytrail"},
		{Key: "deployment.environment.name", Kind: otellog.KindString, Str: "production"},
	}
	encoded := otellog.EncodeResource(more)
	var all []byte
	want := &collector.ExportLogsServiceRequest{}
	for name, r := range records() {
		request := otellog.AppendRequest(nil, r)
		all = append(all, request...)
		one := toProto(r)
		one.ResourceLogs[0].Resource.Attributes = append(one.ResourceLogs[0].Resource.Attributes, attrs(more)...)
		want.ResourceLogs = append(want.ResourceLogs, one.ResourceLogs...)
		var got collector.ExportLogsServiceRequest
		if err := proto.Unmarshal(otellog.AppendWithResource(nil, request, encoded), &got); err != nil || !proto.Equal(&got, one) {
			t.Errorf("%s: %v\n%v\nwant\n%v", name, err, &got, one)
		}
	}
	var got collector.ExportLogsServiceRequest
	if err := proto.Unmarshal(otellog.AppendWithResource(nil, all, encoded), &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("requests end to end: %v", err)
	}
	if again := otellog.AppendWithResource(nil, all, nil); !bytes.Equal(again, all) {
		t.Error("without further attributes the bytes change")
	}
}

// FuzzAppendWithResource: bytes that are not requests stay as they are.
func FuzzAppendWithResource(f *testing.F) {
	for _, data := range foreign() {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := otellog.AppendWithResource([]byte("before"), data, otellog.EncodeResource([]otellog.Attr{{Key: "a.b", Kind: otellog.KindString, Str: "c"}}))
		if !bytes.HasPrefix(got, []byte("before")) || len(got) < len("before")+len(data)-8 {
			t.Errorf("%q became %q", data, got)
		}
	})
}
