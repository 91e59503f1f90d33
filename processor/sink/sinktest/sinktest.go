// Package sinktest is the conformance suite of sinks: what package sink demands of every
// implementation, whatever it speaks.
//
// The tests of a sink call Run, about the content of what arrives, and Conform, about
// faults: once per type of all.Kinds, with the type's name as a literal, by which a test of
// package all finds the call. A type without such calls fails it.
//
//	sinktest.Conform(t, "webhook", sinktest.Door{
//		HTTP:    true,
//		Receive: func(t *testing.T) sinktest.Receiver { ... a stand-in that takes every record ... },
//		Open:    func(t *testing.T, to sinktest.Target) sink.Sink { ... a sink for to.URL() ... },
//	})
//
// Conform puts a TCP proxy between the sink and the receiver, and brings about each Case:
//
//	Status       every status of HTTP has the verdict of package httpsink, or of Door.Verdicts;
//	             a redirect is not followed
//	Credentials  refused credentials pause the sink; it goes on when they are accepted
//	Partial      a refused record goes to the dead letter with the receiver's words, alone
//	Huge         a record of 20 MiB arrives, or goes to the dead letter for its size, alone
//	Lost         the answer to a stored batch is lost: it is sent again, and if the receiver
//	             upserts, stored once
//	HalfOpen     a connection that swallows everything is given up at the time-out
//	Slow         a receiver that takes 256 bytes in a millisecond is not given up
//	Advance      a batch that a busy receiver takes in parts does not reach retry.max_attempts
//	Endless      an answer without end is neither kept in memory nor believed
//	Restart      a batch that meets a closed port arrives when the port is open again
//	Drain        a stop delivers what waits, and a silent receiver does not delay it
//	BadTLS       an unknown authority, another name, an expired certificate or TLS 1.1
//	             pauses the sink, and nothing arrives
//	Client       a missing or refused client certificate pauses the sink; a good one passes
//
// A door to which a case does not apply says why in Door.Except.
//
// Log records are made and read with the protobuf types that OpenTelemetry publishes, so
// that the suite shares no encoder with what it tests.
package sinktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
)

// idName is the attribute that holds a record's id (semantic conventions,
// "log.record.uid").
const idName = "log.record.uid"

// Subject is one sink under test and a look at what arrived behind it.
type Subject struct {
	Sink sink.Sink
	// Arrived returns the OTLP data that has arrived so far, in order.
	Arrived func(t *testing.T) []*logs.LogsData
}

// deliver sends a batch, in as many turns (sink.Turn) as a slow machine needs.
func deliver(t *testing.T, s sink.Sink, batch []sink.Record) {
	t.Helper()
	for {
		err := s.Deliver(t.Context(), batch)
		var unsent *sink.Unsent
		if errors.As(err, &unsent) && unsent.Records[0] > 0 {
			batch = batch[unsent.Records[0]:]
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
}

// Run runs the suite. open makes a fresh Subject; the suite closes its sink.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	t.Run("delivers every record in order", func(t *testing.T) {
		s := open(t)
		var want []string
		for i, n := range []int{1, 3, 500} {
			ids := ids(fmt.Sprint("batch", i), n)
			want = append(want, ids...)
			deliver(t, s.Sink, Batch(ids...))
		}
		s.check(t, want)
	})
	t.Run("keeps nothing of a batch", func(t *testing.T) {
		s := open(t)
		batch := Batch("first", "second")
		before := slices.Clone(batch)
		values := []string{string(batch[0].Value), string(batch[1].Value)}
		if err := s.Sink.Deliver(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		for i, r := range batch {
			if string(r.Value) != values[i] || &r.Value[0] != &before[i].Value[0] || r.Ref != before[i].Ref {
				t.Errorf("record %d was changed", i)
			}
			clear(r.Value)
		}
		if err := s.Sink.Deliver(t.Context(), Batch("third")); err != nil {
			t.Fatal(err)
		}
		s.check(t, []string{"first", "second", "third"})
	})
	t.Run("starts nothing once its context is done", func(t *testing.T) {
		s := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Sink.Deliver(ctx, Batch("late")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		s.check(t, nil)
	})
	t.Run("keeps a record whole", func(t *testing.T) { open(t).keepsWhole(t) })
}

// keepsWhole delivers a record with a value of each kind.
func (s Subject) keepsWhole(t *testing.T) {
	want := Data("whole")
	record := want.ResourceLogs[0].ScopeLogs[0].LogRecords[0]
	record.Body = text("{\"a\":\"\\u0000\u2028</script>\",\n\"n\":9007199254740993}")
	record.Attributes = append(record.Attributes,
		&common.KeyValue{Key: "int", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: -1 << 63}}},
		&common.KeyValue{Key: "bool", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}},
		&common.KeyValue{Key: "double", Value: &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: 0.1}}},
	)
	if err := s.Sink.Deliver(t.Context(), []sink.Record{{Value: encode(want)}}); err != nil {
		t.Fatal(err)
	}
	arrived := s.Arrived(t)
	if len(arrived) != 1 || !proto.Equal(arrived[0], want) {
		t.Errorf("arrived:\n%v\nwant:\n%v", arrived, want)
	}
	s.close(t)
}

// check closes the sink and compares the ids of all records that arrived.
func (s Subject) check(t *testing.T, want []string) {
	t.Helper()
	s.close(t)
	var got []string
	for _, data := range s.Arrived(t) {
		got = append(got, IDs(data)...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d records arrived: %s; want %d: %s", len(got), short(got), len(want), short(want))
	}
}

func (s Subject) close(t *testing.T) {
	t.Helper()
	if err := s.Sink.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// Batch returns records with the given ids, in new memory.
func Batch(ids ...string) []sink.Record {
	batch := make([]sink.Record, len(ids))
	for i, id := range ids {
		batch[i] = sink.Record{Value: encode(Data(id)), EventName: "aws.kms.api_call", Ref: id}
	}
	return batch
}

// Data returns a log record with the given id, shaped as Keytrail writes it.
func Data(id string) *logs.LogsData {
	return &logs.LogsData{ResourceLogs: []*logs.ResourceLogs{{
		SchemaUrl: otellog.SchemaURL,
		Resource: &resource.Resource{Attributes: []*common.KeyValue{
			{Key: "cloud.provider", Value: text("aws")},
			{Key: "cloud.account.id", Value: text("111122223333")},
		}},
		ScopeLogs: []*logs.ScopeLogs{{
			Scope: &common.InstrumentationScope{Name: otellog.ScopeName, Version: otellog.SchemaVersion},
			LogRecords: []*logs.LogRecord{{
				TimeUnixNano:         1_795_000_000_000_000_001,
				ObservedTimeUnixNano: 1_795_000_300_000_000_000,
				SeverityNumber:       logs.SeverityNumber_SEVERITY_NUMBER_INFO,
				SeverityText:         "INFO",
				EventName:            "aws.kms.api_call",
				Attributes:           []*common.KeyValue{{Key: idName, Value: text(id)}},
			}},
		}},
	}}}
}

// IDs returns the ids of the log records in data, in order.
func IDs(data *logs.LogsData) []string {
	var ids []string
	for _, r := range data.ResourceLogs {
		for _, s := range r.ScopeLogs {
			for _, l := range s.LogRecords {
				for _, a := range l.Attributes {
					if a.Key == idName {
						ids = append(ids, a.Value.GetStringValue())
					}
				}
			}
		}
	}
	return ids
}

// Sized returns the encoded record with the given id and a body of size bytes.
func Sized(id string, size int) []byte {
	data := Data(id)
	data.ResourceLogs[0].ScopeLogs[0].LogRecords[0].Body = text(strings.Repeat("x", size))
	return encode(data)
}

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

// encode returns the protobuf form of data. Its messages hold valid UTF-8 only,
// which is all that proto.Marshal can refuse.
func encode(data *logs.LogsData) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("BUG: cannot encode a test record: %v", err))
	}
	return b
}

func ids(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return list
}

func short(list []string) string {
	if len(list) > 10 {
		return strings.Join(list[:10], " ") + " ..."
	}
	return strings.Join(list, " ")
}
