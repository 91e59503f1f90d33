package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// dialer opens connections to one receiver. It is safe for concurrent use.
type dialer struct {
	scheme, address string
	timeout         time.Duration
	tls             *tls.Config
}

// conn is a connection on which the receiver sends nothing. A goroutine waits for its end,
// which comes with Close at the latest.
type conn struct {
	net.Conn
	raw   *net.TCPConn
	ended chan struct{}
	err   error // why it ended, io.EOF for a good end; valid once ended is closed
}

// dial opens a connection. The handshake is part of it.
func (d *dialer) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, fmt.Errorf("no connection within %v", d.timeout))
	defer cancel()
	plain, err := new(net.Dialer).DialContext(ctx, "tcp", d.address)
	if err != nil {
		return nil, d.failure(fmt.Errorf("cannot connect to %s://%s: %w", d.scheme, d.address, err))
	}
	c := &conn{Conn: plain, raw: plain.(*net.TCPConn), ended: make(chan struct{})}
	if d.scheme == schemeTLS {
		config := d.tls.Clone()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(d.address)
		}
		secured := tls.Client(plain, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = plain.Close()
			return nil, d.failure(fmt.Errorf("cannot connect to %s://%s: %w", d.scheme, d.address, err))
		}
		c.Conn = secured
	}
	go c.watch()
	return c, nil
}

func (d *dialer) dialUDP(ctx context.Context) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: d.timeout}).DialContext(ctx, "udp", d.address)
	if err != nil {
		return nil, d.failure(fmt.Errorf("cannot send to %s://%s: %w", d.scheme, d.address, err))
	}
	return c, nil
}

// failure returns what an error of a connection means.
func (d *dialer) failure(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return &sink.Paused{Cause: sink.CauseTLS,
			Err: fmt.Errorf("%w; the receiver does not speak TLS on this port: use tcp:// in endpoint, or its other port", err)}
	}
	return httpsink.Failure(err)
}

// watch waits for the end of the connection.
func (c *conn) watch() {
	var b [64]byte
	n, err := c.Read(b[:])
	if n > 0 {
		hint := ""
		if b[0] == 21 { // an alert of TLS
			hint = "; it speaks TLS: use tls:// in endpoint"
		}
		err = &sink.Paused{Cause: sink.CauseProtocol, Err: fmt.Errorf("the receiver sent %q, and syslog receivers "+
			"send nothing; check endpoint%s", httpsink.Clean(string(b[:n])), hint)}
	}
	c.err = err
	close(c.ended)
}

// hasEnded reports whether the receiver has closed its side.
func (c *conn) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// bound ends all waiting on the connection once ctx is done, until the function that it
// returns is called.
func (c *conn) bound(ctx context.Context) func() {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	return func() { stop() }
}

// send writes messages and closes this side of the connection.
func (c *conn) send(messages []byte, timeout time.Duration) error {
	const piece = 64 << 10
	for len(messages) > 0 {
		if c.hasEnded() {
			return errEarly
		}
		if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		n, err := c.Write(messages[:min(piece, len(messages))])
		if err != nil {
			return err
		}
		messages = messages[n:]
	}
	if c.hasEnded() {
		return errEarly
	}
	// The end of a TLS stream is a message in it. The end of the TCP stream behind it could
	// come after the receiver has closed, and would then not be acknowledged.
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// errEarly says that a receiver has not read everything.
var errEarly = errors.New("the receiver closed the connection before the end of the batch")

// receipt waits until the receiver has closed its side, which proves that it has read
// everything.
func (s *Sink) receipt(c *conn) error {
	limit := time.NewTimer(s.c.Timeout)
	defer limit.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-c.ended:
			switch {
			case !errors.Is(c.err, io.EOF):
				return c.err
			case unacknowledged(c.raw) != 0:
				return errEarly
			}
			s.closes.Store(true)
			return nil
		case <-look.C:
			if s.deaf.Load() && unacknowledged(c.raw) == 0 {
				return nil
			}
		case <-limit.C:
			left := unacknowledged(c.raw)
			if left == 0 && !s.closes.Load() {
				s.deaf.Store(true)
				return nil
			}
			return fmt.Errorf("the receiver did not read everything within %v", s.c.Timeout)
		}
	}
}

// refused returns an error if the receiver's machine has answered datagrams with the message
// that the port is closed. It waits for that only shortly.
func refused(c net.Conn, endpoint string) error {
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		return err
	}
	var b [1]byte
	if _, err := c.Read(b[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("cannot send to %q: %w", endpoint, err)
	}
	return nil
}
