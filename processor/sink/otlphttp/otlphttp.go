// Package otlphttp is the sink that speaks OTLP over HTTP with protobuf bodies,
// as every OpenTelemetry collector and most log stores do.
//
// A request's body is the records' values end to end. That is correct because
// each value is an ExportLogsServiceRequest, whose only field is repeated, and
// concatenated protobuf messages merge by appending repeated fields (protobuf
// encoding guide, "Last One Wins"). Nothing is decoded or encoded again.
//
// Guarantees: a 2xx whose body is an answer of OTLP, or that has no body and no type,
// accepts the batch; what any other answer, or none, means is said in package httpsink.
// A 2xx that is anything else, such as a login page, pauses the sink.
//
// Bounds: a request holds at most one batch (sink.Batch); of an answer at most
// httpsink.MaxAnswer is read, and one request ends after Config.Timeout.
//
// Source: OpenTelemetry protocol specification 1.9, section OTLP/HTTP.
package otlphttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// logsPath is the path of the logs signal (OTLP specification, "OTLP/HTTP
// Request").
const logsPath = "/v1/logs"

// Sink sends log records to one OTLP receiver. It implements sink.Sink and is
// safe for concurrent use.
type Sink struct {
	url    string
	header http.Header // not changed after New
	gzip   bool
	limit  time.Duration
	client *http.Client
}

// New returns a Sink for the receiver that c names. It reads c.CAFile and opens
// no connection.
func New(c Config) (*Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make an OTLP sink: %w", err)
	}
	client, err := httpsink.NewClient(c.CAFile, c.Timeout)
	if err != nil {
		return nil, err
	}
	s := &Sink{
		url:    strings.TrimRight(c.Endpoint, "/") + logsPath,
		header: http.Header{},
		gzip:   c.Compression == CompressionGzip,
		limit:  c.Timeout,
		client: client,
	}
	s.header.Set("User-Agent", "keytrail")
	for name, secret := range c.Headers {
		s.header.Set(name, secret.Reveal())
	}
	s.header.Set("Content-Type", contentType)
	if s.gzip {
		s.header.Set("Content-Encoding", "gzip")
	}
	return s, nil
}

// Open is New as sink.Config has it.
func (c *Config) Open() (sink.Sink, error) {
	s, err := New(*c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Output returns "": the sink writes no file.
func (*Config) Output() string { return "" }

// Deliver sends the batch in one request and waits for the answer.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Record) error {
	body, err := s.encode(batch)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("no answer within %v", s.limit))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot make a request to %q: %w", s.url, err)
	}
	request.Header = s.header.Clone()
	answer, err := s.client.Do(request)
	if err != nil {
		return s.failure(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	said, whole, err := httpsink.ReadAnswer(answer.Body)
	if err != nil && answer.StatusCode/100 != 2 {
		said = nil // the status says enough
	} else if err != nil {
		// The status line of a 2xx came and its body did not: whether the far end
		// finished is not known.
		return s.failure(ctx, err)
	}
	return judge(answer, said, whole, len(batch), time.Now())
}

// failure says that there was no answer, and names the time limit if it was that.
func (s *Sink) failure(ctx context.Context, err error) error {
	var of *url.Error // repeats the URL
	if errors.As(err, &of) {
		err = of.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(err, context.Cause(ctx))
	}
	return httpsink.Failure(fmt.Errorf("cannot post to %q: %w", s.url, err))
}

// encode returns the body of a request. The buffer is new each time: net/http
// may read a body even after its request has returned.
func (s *Sink) encode(batch []sink.Record) ([]byte, error) {
	size := 0
	for _, r := range batch {
		size += len(r.Value)
	}
	if !s.gzip {
		body := make([]byte, 0, size)
		for _, r := range batch {
			body = append(body, r.Value...)
		}
		return body, nil
	}
	// CloudTrail events deflate to a fifth or less.
	body := bytes.NewBuffer(make([]byte, 0, size/4+1024))
	z, err := gzip.NewWriterLevel(body, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("cannot compress a batch: %w", err)
	}
	for _, r := range batch {
		if _, err := z.Write(r.Value); err != nil {
			return nil, fmt.Errorf("cannot compress a batch: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("cannot compress a batch: %w", err)
	}
	return body.Bytes(), nil
}

// Close closes idle connections.
func (s *Sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}
