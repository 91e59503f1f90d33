// Package syslog is the sink that sends syslog messages (RFC 5424) over UDP (RFC 5426), TCP
// (RFC 6587) or TLS (RFC 5425).
//
// A message has the record's time, its event name as MSGID, its ids as structured data
// (package ids), and the record in one of the text bodies.
//
// Syslog has no acknowledgement. Over TCP and TLS each batch therefore has its own
// connection: the sink closes its side of it, and waits for the receiver to close the other
// side. A receiver does that after it has read everything. If it closes earlier or ends,
// its kernel resets the connection or leaves bytes unacknowledged. After a good end the
// sink opens the connection for the next batch. If that is refused, the receiver has ended
// and may have lost what it had read. In all of these cases the batch is sent again, with
// the same ids. So records are lost only if the receiver loses them after it has read them
// and lives on for the time of a connection. A proxy on the way counts as the receiver.
//
// If the receiver never closes its side, its kernel's acknowledgement of all bytes has to
// be enough; the sink learns that from the first batch. If it sends anything, it does not
// speak syslog, and the sink is paused.
//
// UDP loses messages silently. Only a closed port is noticed, and the batch sent again.
package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"keytrail/processor/sink"
)

// Sink sends log records to one receiver. It is safe for concurrent use.
type Sink struct {
	c        Config
	dialer   dialer
	encoders sync.Pool   // of *encoder
	idle     chan *conn  // connections for the next batches
	closes   atomic.Bool // the receiver has closed a connection in good order
	deaf     atomic.Bool // the receiver does not close connections
}

// New returns a Sink for the receiver that c names. It reads the files of c.TLS and opens no
// connection.
func New(c *Config) (*Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make a syslog sink: %w", err)
	}
	secured, err := c.TLS.Config()
	if err != nil {
		return nil, err
	}
	secured.ClientSessionCache = tls.NewLRUClientSessionCache(1) // there is a handshake per batch
	s := &Sink{c: *c, idle: make(chan *conn, sink.MaxInFlight)}
	s.dialer.scheme, s.dialer.address = c.split()
	s.dialer.timeout, s.dialer.tls = c.Timeout, secured
	s.encoders.New = func() any { return newEncoder(&s.c) }
	return s, nil
}

// Close closes idle connections.
func (s *Sink) Close() error {
	for {
		select {
		case c := <-s.idle:
			_ = c.Close() // nothing is on its way
		default:
			return nil
		}
	}
}

// Deliver sends the batch and waits until the receiver has read it, as far as the transport
// allows. Records that cannot be encoded and messages over the limit are rejected.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Record) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cannot begin a batch: %w", err)
	}
	e := s.encoders.Get().(*encoder)
	defer s.encoders.Put(e)
	e.reset()
	invalid, large := &sink.Rejected{Reason: sink.ReasonInvalid}, &sink.Rejected{Reason: sink.ReasonTooLarge}
	for i, r := range batch {
		if err := e.add(r.Value, i); err != nil {
			bad := invalid
			if errors.As(err, new(errTooLarge)) {
				bad = large
			}
			bad.Records, bad.Err = append(bad.Records, i), err
		}
	}
	var err error
	switch {
	case len(e.at) == 0:
	case e.bare:
		err = s.datagrams(ctx, e, large)
	default:
		err = s.stream(ctx, e.buf)
	}
	var list []error
	for _, bad := range []*sink.Rejected{invalid, large} {
		if bad.Records != nil {
			list = append(list, bad)
		}
	}
	if err != nil && len(list) > 0 { // a pause is about all records of a call
		err = &sink.Throttled{Records: append([]int(nil), e.at...), Err: err}
	}
	if len(list) == 0 {
		return err
	}
	return errors.Join(append(list, err)...)
}

// stream sends messages over a connection and waits until the receiver has read them.
func (s *Sink) stream(ctx context.Context, messages []byte) error {
	c, err := s.connection(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	defer c.bound(ctx)()
	if err := c.send(messages, s.c.Timeout); err != nil {
		return s.failure(ctx, c, err)
	}
	if err := s.receipt(c); err != nil {
		return s.failure(ctx, c, err)
	}
	next, err := s.dialer.dial(ctx)
	if err != nil {
		return fmt.Errorf("the receiver closed the connection and may have ended: %w", err)
	}
	select {
	case s.idle <- next:
	default:
		_ = next.Close()
	}
	return nil
}

// connection returns an idle connection that the receiver has not closed, or a new one.
func (s *Sink) connection(ctx context.Context) (*conn, error) {
	for {
		select {
		case c := <-s.idle:
			if !c.hasEnded() {
				return c, nil
			}
			_ = c.Close()
		default:
			return s.dialer.dial(ctx)
		}
	}
}

// failure returns why a connection failed: what the receiver said last goes before what a
// write says.
func (s *Sink) failure(ctx context.Context, c *conn, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.hasEnded() && !errors.Is(c.err, io.EOF) {
		err = c.err
	}
	return s.dialer.failure(fmt.Errorf("cannot send to %q: %w", s.c.Endpoint, err))
}

// datagrams sends each message in a datagram. A port that is closed is noticed after some
// of them, so that all are sent again.
func (s *Sink) datagrams(ctx context.Context, e *encoder, large *sink.Rejected) error {
	c, err := s.dialer.dialUDP(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	from := 0
	for i, end := range e.ends {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := c.Write(e.buf[from:end])
		switch {
		case errors.Is(err, syscall.EMSGSIZE):
			large.Records = append(large.Records, e.at[i])
			large.Err = fmt.Errorf("the message has %d bytes, too large for a datagram here: %w; use tcp or tls",
				end-from, err)
		case err != nil:
			return fmt.Errorf("cannot send to %q: %w", s.c.Endpoint, err)
		}
		from = end
	}
	return refused(c, s.c.Endpoint)
}
