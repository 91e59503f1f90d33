// Package otlphttp is the sink that speaks OTLP over HTTP with protobuf bodies, as every
// OpenTelemetry collector and most log stores do, or over gRPC.
//
// A request's message is the records' values end to end. That is correct because each value is
// an ExportLogsServiceRequest, whose only field is repeated, and concatenated protobuf
// messages merge by appending repeated fields (protobuf encoding guide, "Last One Wins").
// Nothing is decoded or encoded again.
//
// A 2xx accepts the batch if its body is an answer of OTLP, or if it has neither body nor
// type. A 2xx that is anything else, such as a login page, pauses the sink. Package
// httpsink judges every other answer, or its absence, and the codes of gRPC.
//
// Bounds: a request holds at most one batch (sink.Batch) and ends after Settings.Timeout; at
// most httpsink.MaxAnswer bytes of an answer are read.
//
// Source: OpenTelemetry protocol specification 1.9, sections OTLP/gRPC and OTLP/HTTP.
package otlphttp

import (
	"context"
	"fmt"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// logsPath and logsMethod are those of the logs signal (OTLP specification, "OTLP/HTTP
// Request"; service.proto).
const (
	logsPath   = "/v1/logs"
	logsMethod = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
)

// Sink sends log records to one OTLP receiver. It implements sink.Sink and is
// safe for concurrent use.
type Sink struct {
	client  *httpsink.Client
	grpc    bool
	metrics Metrics
}

// New returns a Sink for the receiver that c names. It reads the files of c.TLS and opens no
// connection.
func New(c *Config) (*Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make an OTLP sink: %w", err)
	}
	open, grpc := c.Settings.Open, c.Protocol == ProtocolGRPC
	if grpc {
		open = c.Settings.OpenGRPC
	}
	client, err := open()
	if err != nil {
		return nil, err
	}
	return &Sink{client: client, grpc: grpc, metrics: c.Metrics}, nil
}

// Deliver sends the batch in one request and waits for the answer.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Record) error {
	if s.metrics.Scope != "" {
		return s.deliverMetrics(ctx, batch)
	}
	message := make([][]byte, len(batch))
	for i, r := range batch {
		message[i] = r.Value
	}
	return s.send(ctx, logsPath, logsMethod, message, len(batch))
}

// send sends a message in pieces, and returns what the answer means for its n records or
// data points.
func (s *Sink) send(ctx context.Context, path, method string, message [][]byte, n int) error {
	if s.grpc {
		answer, err := s.client.Call(ctx, method, message)
		if err != nil {
			return err
		}
		return judgeGRPC(answer, n)
	}
	answer, err := s.client.Do(ctx, httpsink.Request{Path: path, Type: contentType, Body: message})
	if err != nil {
		return err
	}
	return judge(answer, n)
}

// Close closes idle connections.
func (s *Sink) Close() error { return s.client.Close() }
