// Package otlphttp is the sink that speaks OTLP over HTTP with protobuf bodies, as every
// OpenTelemetry collector and most log stores do.
//
// A request's body is the records' values end to end. That is correct because each value is
// an ExportLogsServiceRequest, whose only field is repeated, and concatenated protobuf
// messages merge by appending repeated fields (protobuf encoding guide, "Last One Wins").
// Nothing is decoded or encoded again.
//
// A 2xx accepts the batch if its body is an answer of OTLP, or if it has neither body nor
// type. A 2xx that is anything else, such as a login page, pauses the sink. Package
// httpsink judges every other answer, or its absence.
//
// Bounds: a request holds at most one batch (sink.Batch) and ends after Settings.Timeout; at
// most httpsink.MaxAnswer bytes of an answer are read.
//
// Source: OpenTelemetry protocol specification 1.9, section OTLP/HTTP.
package otlphttp

import (
	"context"
	"fmt"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// logsPath is the path of the logs signal (OTLP specification, "OTLP/HTTP
// Request").
const logsPath = "/v1/logs"

// Sink sends log records to one OTLP receiver. It implements sink.Sink and is
// safe for concurrent use.
type Sink struct {
	client  *httpsink.Client
	metrics Metrics
}

// New returns a Sink for the receiver that c names. It reads the files of c.TLS and opens no
// connection.
func New(c *Config) (*Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make an OTLP sink: %w", err)
	}
	client, err := c.Settings.Open()
	if err != nil {
		return nil, err
	}
	return &Sink{client: client, metrics: c.Metrics}, nil
}

// Deliver sends the batch in one request and waits for the answer.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Record) error {
	if s.metrics.Scope != "" {
		return s.deliverMetrics(ctx, batch)
	}
	request := httpsink.Request{Path: logsPath, Type: contentType, Body: make([][]byte, len(batch))}
	for i, r := range batch {
		request.Body[i] = r.Value
	}
	answer, err := s.client.Do(ctx, request)
	if err != nil {
		return err
	}
	return judge(answer, len(batch))
}

// Close closes idle connections.
func (s *Sink) Close() error { return s.client.Close() }
