package search

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	place "go.opentelemetry.io/proto/otlp/resource/v1"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Subject {
		s := newStandIn(t)
		return sinktest.Subject{Sink: connect(t, s.URL, nil), Arrived: func(t *testing.T) (list []*logs.LogsData) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, at := range s.order {
				list = append(list, dataOf(t, s.docs[at].source))
			}
			return list
		}}
	})
}

func TestConform(t *testing.T) {
	door := sinktest.Door{
		HTTP: true, Upserts: true,
		Receive: func(t *testing.T) sinktest.Receiver {
			s := newStandIn(t)
			s.limit = 100 << 20
			return sinktest.Receiver{Address: s.Listener.Addr().String(), Stored: s.ids, Refuse: func(id string) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.refused = id
			}, Busy: func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.busy = true
			}}
		},
		Open: func(t *testing.T, to sinktest.Target) sink.Sink {
			return connect(t, to.URL(), func(c *Settings) { c.Timeout, c.TLS = to.Timeout, to.TLS })
		},
	}
	sinktest.Conform(t, "opensearch", door)
	sinktest.Conform(t, "elasticsearch", door)
}

// dataOf returns the log record that a document of the body json was made of. The document
// holds all of it but the scope and the schema's URL.
func dataOf(t *testing.T, doc []byte) *logs.LogsData {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		t.Fatal(err)
	}
	rec := &logs.LogRecord{}
	where := &place.Resource{}
	for _, name := range namesOf(t, doc) {
		v := members[name]
		switch name {
		case "@timestamp":
			rec.TimeUnixNano = nanoseconds(t, v)
		case "observed_timestamp":
			rec.ObservedTimeUnixNano = nanoseconds(t, v)
		case "severity_number":
			n, err := v.(json.Number).Int64()
			if err != nil {
				t.Fatal(err)
			}
			rec.SeverityNumber = logs.SeverityNumber(n)
		case "severity_text":
			rec.SeverityText = v.(string)
		case "event_name":
			rec.EventName = v.(string)
		case "body":
			rec.Body = value(t, v)
		case "cloud.provider", "cloud.account.id":
			where.Attributes = append(where.Attributes, &common.KeyValue{Key: name, Value: value(t, v)})
		default:
			rec.Attributes = append(rec.Attributes, &common.KeyValue{Key: name, Value: value(t, v)})
		}
	}
	data := sinktest.Data("")
	data.ResourceLogs[0].Resource, data.ResourceLogs[0].ScopeLogs[0].LogRecords = where, []*logs.LogRecord{rec}
	return data
}

// namesOf returns the names of an object's members in their order.
func namesOf(t *testing.T, doc []byte) (names []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(names, name.(string)) {
			t.Errorf("%s stands twice in %s", name, doc)
		}
		names = append(names, name.(string))
	}
	return names
}

func nanoseconds(t *testing.T, v any) uint64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return uint64(at.UnixNano())
}

func value(t *testing.T, v any) *common.AnyValue {
	t.Helper()
	switch v := v.(type) {
	case string:
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}
	case bool:
		return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: v}}
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			f, err := v.Float64()
			if err != nil {
				t.Fatal(err)
			}
			return &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: f}}
		}
		n, err := v.Int64()
		if err != nil {
			t.Fatal(err)
		}
		return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}}
	}
	t.Fatalf("a value of type %T", v)
	return nil
}

// TestTurn: each request is one Deliver if the turn is over.
func TestTurn(t *testing.T) {
	s := newStandIn(t)
	to := connect(t, s.URL, nil)
	to.turn = 0
	var ids []string
	for i := range 2*requestItems + 1 {
		ids = append(ids, fmt.Sprint("id-", i))
	}
	sinktest.Turns(t, to, ids, func() []string { return s.ids(t) })
}
