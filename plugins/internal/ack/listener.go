package ack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"keytrail/processor/lockfile"
)

const (
	// maxPeers bounds the connections to one Listener: far more than a Fluent Bit has
	// outputs. A connection costs a frame and a goroutine, 100 KB.
	maxPeers = 64
	// heartbeat is the longest time between two messages of an output.
	heartbeat = time.Second
	// patience is how long either end waits for a message of the other before it
	// closes the connection.
	patience = 10 * heartbeat
)

// Handlers are what a Listener calls, each from the goroutine of one connection.
type Handlers struct {
	// Acks notes that the output of that name has delivered the numbers of list, and
	// its health. list belongs to the Listener and is valid during the call. After an
	// error the Listener closes the connection.
	Acks func(peer int, name string, h Health, list []Range) error
	// Gone notes that a connection has ended.
	Gone func(peer int, name string)
	// Say takes a line for the log.
	Say func(format string, args ...any)
}

// Listener takes the acknowledgements of one run.
type Listener struct {
	path string
	run  Run
	call Handlers
	lock io.Closer
	l    *net.UnixListener

	mu     sync.Mutex // guards the following
	peers  map[int]net.Conn
	next   int
	closed bool
	ended  sync.WaitGroup
}

// Listen begins to listen at path for the acknowledgements of run. It replaces a socket
// whose process has ended; a socket in use is an error, and so is anything that is not a
// socket. The Listener holds a lock on the file path + ".lock" while it lives, which shows
// whether the socket is in use.
func Listen(path string, run Run, call Handlers) (*Listener, error) {
	if err := CheckPath(path); err != nil {
		return nil, fmt.Errorf("cannot listen at %q: want %w", path, err)
	}
	lock, err := lockfile.Take(path + ".lock")
	if errors.Is(err, lockfile.ErrTaken) {
		return nil, fmt.Errorf("%w: another in_kms uses this ack_path; give each in_kms its own", err)
	}
	if err != nil {
		return nil, err
	}
	l, err := bind(path)
	if err != nil {
		lock.Close()
		return nil, err
	}
	a := &Listener{path: path, run: run, call: call, lock: lock, l: l, peers: map[int]net.Conn{}}
	a.ended.Go(a.accept)
	return a, nil
}

// bind makes the socket with the mode 0600 from its first moment on: the mode of the
// descriptor is that of the file which bind creates.
func bind(path string) (*net.UnixListener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("cannot listen at %q: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("cannot listen at %q: it is not a socket; remove it or choose another ack_path", path)
	default: // the lock is ours: the process that made this socket has ended
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot replace the socket of a process that has ended: %w", err)
		}
	}
	cfg := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}
	l, err := cfg.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %q: %w", path, err)
	}
	return l.(*net.UnixListener), nil
}

// Close ends all connections and removes the socket. No handler runs afterwards.
func (a *Listener) Close() error {
	err := a.l.Close() // it removes the socket
	a.mu.Lock()
	a.closed = true
	for _, c := range a.peers {
		c.Close()
	}
	a.mu.Unlock()
	a.ended.Wait()
	return errors.Join(err, a.lock.Close())
}

func (a *Listener) accept() {
	for {
		c, err := a.l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as too many open files: it may pass
			a.call.Say("cannot take a connection at %q: %v", a.path, err)
			time.Sleep(heartbeat)
			continue
		}
		if id, ok := a.enter(c); ok {
			a.ended.Go(func() { a.serve(c, id) })
		}
	}
}

// enter registers a connection, unless there are too many or the Listener is closed.
func (a *Listener) enter(c *net.UnixConn) (id int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || len(a.peers) >= maxPeers {
		c.Close()
		return 0, false
	}
	a.next++
	a.peers[a.next] = c
	return a.next, true
}

func (a *Listener) leave(c *net.UnixConn, id int) {
	c.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.peers, id)
}

// serve speaks with one output until it ends or breaks the protocol.
func (a *Listener) serve(c *net.UnixConn, id int) {
	defer a.leave(c, id)
	if err := sameUser(c); err != nil {
		a.call.Say("refused a connection at %q: %v", a.path, err)
		return
	}
	p := peer{conn: c, r: bufio.NewReaderSize(c, 4096)}
	if err := p.receive(); err != nil || p.f.kind != kindHello {
		a.refuse(&p, err)
		return
	}
	name := p.f.name
	if p.send(&frame{kind: kindWelcome, run: a.run}) != nil {
		return
	}
	defer a.call.Gone(id, name)
	for {
		err := p.receive()
		if err == nil && p.f.kind != kindAcks {
			err = fmt.Errorf("a message of the kind %d", p.f.kind)
		}
		if err == nil && p.f.run == a.run {
			err = a.call.Acks(id, name, p.f.health, p.f.ranges)
		}
		if err == nil {
			err = p.send(&frame{kind: kindConfirm, number: p.f.number})
		}
		if err != nil {
			a.mu.Lock()
			closed := a.closed
			a.mu.Unlock()
			if !closed && !errors.Is(err, io.EOF) {
				a.call.Say("the connection of output %q ends: %v", name, err)
			}
			return
		}
	}
}

// refuse tells an output that greets wrongly why it is not served.
func (a *Listener) refuse(p *peer, err error) {
	if err == nil {
		err = errors.New("it does not begin with its name")
	}
	if errors.Is(err, io.EOF) {
		return
	}
	a.call.Say("refused a connection at %q: %v", a.path, err)
	p.send(&frame{kind: kindRefuse, text: err.Error()}) // as far as it can still be told
}

// peer is one end of a connection: it sends and receives whole frames.
type peer struct {
	conn net.Conn
	r    *bufio.Reader
	f    frame // the last that was received
	in   []byte
	out  []byte
}

func (p *peer) receive() error {
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	var err error
	p.in, err = p.f.read(p.r, p.in)
	return err
}

func (p *peer) send(f *frame) error {
	if err := p.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	p.out = f.append(p.out[:0])
	_, err := p.conn.Write(p.out)
	return err
}
