// Package ndjson is the sink that writes log records to a file or to standard
// output: OTLP/JSON, one LogsData object a line (OTLP specification, "File
// exporter": the form that the OpenTelemetry collector's file exporter writes
// and its otlpjsonfile receiver reads).
//
// Guarantees: a batch is one write, after which it is on the disk (Config.Fsync). Only
// files that the disk has are moved, and none is deleted before the log has named it.
// A write that fails is undone, so that a batch that comes again stands in the
// file once. A process that dies in the middle of a write can leave whole lines
// that come again, and one torn line, which the next start cuts off: it was not
// acknowledged. A value that is not a log record is refused; the others are written.
//
// Limits: one process writes one path (it locks PATH.lock), and it alone rotates the file;
// the sink does not notice that somebody else renamed it. Standard output can neither be
// rotated nor undone. Memory holds one batch as JSON, about twice its size as
// protobuf.
package ndjson

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"keytrail/processor/lockfile"
	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
)

// keepBuffer bounds the memory that stays between batches: 16 MiB, a batch of
// the default 4 MiB with room for the escapes of JSON in JSON.
const keepBuffer = 16 << 20

// output takes whole batches.
type output interface {
	write(batch []byte) error
	close() error
}

// Sink writes log records to one file. It implements sink.Sink and is not safe
// for concurrent use.
type Sink struct {
	out    output
	buf    []byte
	record otellog.Record
}

// New returns a Sink that appends to c.Path. It opens the file, so that a path that cannot be
// written fails here. While another process writes the file, Deliver pauses the sink.
// log receives a line per deleted file; nil means slog.Default.
func New(c Config, log *slog.Logger) (*Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make a file sink: %w", err)
	}
	if c.Path == sink.Stdout {
		return &Sink{out: stream{os.Stdout}}, nil
	}
	if log == nil {
		log = slog.Default()
	}
	f := &file{path: c.Path, limit: int64(c.RotateBytes), every: c.RotateEvery, keep: c.Keep, gzip: c.Gzip,
		fsync: c.Fsync, log: log, now: time.Now}
	if err := f.open(); err != nil && !errors.Is(err, lockfile.ErrTaken) {
		return nil, err
	}
	return &Sink{out: f}, nil
}

// Open is New as sink.Config has it.
func (c *Config) Open(id sink.Identity) (sink.Sink, error) {
	s, err := New(*c, id.Log)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Output returns the path of the file.
func (c *Config) Output() string { return c.Path }

// Deliver writes the batch. Records that cannot be decoded are rejected.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Record) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cannot begin a batch: %w", err)
	}
	if cap(s.buf) > keepBuffer {
		s.buf = nil
	}
	s.buf = s.buf[:0]
	var bad sink.Rejected
	for i, r := range batch {
		s.record.Reset()
		if err := s.record.Decode(r.Value); err != nil {
			bad.Records = append(bad.Records, i)
			bad.Err = fmt.Errorf("cannot decode record %d of the batch: %w", i, err)
			continue
		}
		s.buf = append(otellog.AppendJSON(s.buf, &s.record), '\n')
	}
	if len(s.buf) > 0 {
		if err := s.out.write(s.buf); err != nil {
			return err
		}
	}
	if bad.Records != nil {
		bad.Reason = sink.ReasonInvalid
		return &bad
	}
	return nil
}

// Close closes the file; standard output stays open.
func (s *Sink) Close() error { return s.out.close() }

// stream is an output that can only be written to.
type stream struct{ to *os.File }

func (s stream) write(batch []byte) error {
	if _, err := s.to.Write(batch); err != nil {
		return fmt.Errorf("cannot write to standard output: %w", err)
	}
	return nil
}

func (s stream) close() error { return nil }
