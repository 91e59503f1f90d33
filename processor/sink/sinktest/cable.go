package sinktest

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// fault is what a cable does to the bytes that pass.
type fault int

const (
	noFault fault = iota
	silent        // swallows everything: the other end is gone, and nothing says so
	mute          // swallows what the receiver says: it has stored the batch, and nobody knows
	slow          // passes on 256 bytes in a millisecond
	endless       // answers new connections with bytes without end
)

// cable is a TCP proxy between a sink and its receiver. With tls it ends the encryption.
type cable struct {
	address, to string
	tls         *tls.Config

	done chan struct{} // closed at the end of the test

	mu       sync.Mutex // guards what follows
	fault    fault
	listener net.Listener
	conns    map[net.Conn]bool
}

// lay connects a new address with a receiver.
func lay(t *testing.T, to string, secured *tls.Config) *cable {
	t.Helper()
	c := &cable{address: "127.0.0.1:0", to: to, tls: secured, done: make(chan struct{}), conns: map[net.Conn]bool{}}
	c.start(t)
	t.Cleanup(func() {
		c.stop()
		close(c.done)
	})
	return c
}

// start opens the port.
func (c *cable) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.address, c.listener = l.Addr().String(), l
	c.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.connect(conn)
		}
	}()
}

// stop closes the port and all connections.
func (c *cable) stop() {
	c.mu.Lock()
	_ = c.listener.Close()
	c.mu.Unlock()
	c.cut()
}

// cut closes all connections.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

// set sets the fault, of open connections too. A connection that has lost bytes stays as it
// is when the fault ends.
func (c *cable) set(f fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
}

func (c *cable) now() fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

// own notes a connection, to be closed by cut, until the function that it returns is called.
func (c *cable) own(conn net.Conn) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[conn] = true
	return func() {
		_ = conn.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.conns, conn)
	}
}

func (c *cable) connect(from net.Conn) {
	defer c.own(from)()
	if c.tls != nil {
		from = tls.Server(from, c.tls)
	}
	if c.now() == endless {
		go func() { _, _ = io.Copy(io.Discard, from) }()
		for b := make([]byte, 64<<10); ; {
			if _, err := from.Write(b); err != nil {
				return
			}
		}
	}
	if c.tls != nil && from.(*tls.Conn).Handshake() != nil {
		return
	}
	to, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer c.own(to)()
	var both sync.WaitGroup
	both.Go(func() { c.copy(to, from, silent) })
	both.Go(func() { c.copy(from, to, mute) })
	both.Wait()
}

// copy passes bytes on in one direction, and then the end of the stream.
func (c *cable) copy(to, from net.Conn, swallow fault) {
	b := make([]byte, 32<<10)
	lost := false
	for {
		piece := b
		if c.now() == slow {
			piece = b[:256]
		}
		n, err := from.Read(piece)
		f := c.now()
		if lost = lost || f == swallow || f == silent; !lost {
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			break
		}
		if f == slow {
			time.Sleep(time.Millisecond)
		}
	}
	if lost {
		<-c.done // the connection stays open
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
