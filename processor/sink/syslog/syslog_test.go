package syslog

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

var transports = []struct {
	scheme string
	octet  bool
}{{schemeUDP, false}, {schemeTCP, true}, {schemeTCP, false}, {schemeTLS, true}, {schemeTLS, false}}

func TestConformance(t *testing.T) {
	for _, c := range transports {
		t.Run(fmt.Sprint(c.scheme, c.octet), func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Subject {
				r := newStandIn(t, c.scheme, c.octet)
				return sinktest.Subject{Sink: r.open(t, nil), Arrived: r.arrived}
			})
		})
	}
}

// kind is the part of a verdict that tests compare.
func kind(err error) string {
	var rejected *sink.Rejected
	var paused *sink.Paused
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &paused):
		return "pause " + string(paused.Cause)
	case errors.As(err, &rejected):
		return fmt.Sprint("rejected ", rejected.Reason, rejected.Records)
	}
	return "retry"
}

// reset closes a connection as the kernel does for a process that ends with unread data.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// TestFaults: a batch counts as delivered only if the receiver has read all of it.
func TestFaults(t *testing.T) {
	for name, fault := range map[string]func(r *standIn, c net.Conn) bool{
		"closes at once":    func(*standIn, net.Conn) bool { return true },
		"resets at once":    func(_ *standIn, c net.Conn) bool { reset(c); return true },
		"reads one message": func(r *standIn, c net.Conn) bool { _ = r.read(bufio.NewReaderSize(c, 16), 1); return true },
		"resets at the end": func(r *standIn, c net.Conn) bool {
			_ = r.read(bufio.NewReader(c), 1<<30)
			reset(c)
			return true
		},
		"ends after the batch": func(r *standIn, c net.Conn) bool {
			_ = r.read(bufio.NewReader(c), 1<<30)
			r.stop()
			return true
		},
		"reads nothing": func(_ *standIn, c net.Conn) bool { time.Sleep(300 * time.Millisecond); return true },
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // who closes first is a race
				r := newStandIn(t, schemeTCP, true)
				s := r.open(t, func(c *Config) { c.Timeout = 200 * time.Millisecond })
				s.closes.Store(true)
				r.misbehave(func(_ int, c net.Conn) bool { return fault(r, c) })
				if err := s.Deliver(t.Context(), sinktest.Batch("a", "b", "c")); kind(err) != "retry" {
					t.Fatalf("got %v", err)
				}
				if name == "reads nothing" {
					break
				}
			}
		})
	}
}

// TestEarlyEnd: the end of a receiver that has not read everything does not count, also if
// the sink learns of it only after its own end.
func TestEarlyEnd(t *testing.T) {
	r := newStandIn(t, schemeTCP, true)
	r.misbehave(func(int, net.Conn) bool { return true })
	s := r.open(t, nil)
	c, err := s.dialer.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-c.ended
	_, _ = c.Write([]byte("1 x")) // as if it had not ended yet
	_ = c.raw.CloseWrite()
	if err := s.receipt(c); !errors.Is(err, errEarly) || s.closes.Load() {
		t.Errorf("got %v", err)
	}
}

// TestPaused: what concerns the operator pauses the sink.
func TestPaused(t *testing.T) {
	closed := newStandIn(t, schemeTCP, true)
	closed.stop()
	secured := newStandIn(t, schemeTLS, true)
	mutual := newStandIn(t, schemeTLS, true)
	mutual.tls.ClientAuth = tls.RequireAnyClientCert
	alert := newStandIn(t, schemeTCP, true)
	alert.misbehave(func(_ int, c net.Conn) bool {
		_, _ = io.WriteString(c, "\x15\x03\x01\x00\x02\x02\x0a")
		_, _ = io.Copy(io.Discard, c)
		return true
	})
	chatty := newStandIn(t, schemeTCP, true)
	chatty.misbehave(func(_ int, c net.Conn) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n")
		_, _ = io.Copy(io.Discard, c)
		return true
	})
	for _, c := range []struct {
		name, want, text string
		to               *standIn
		change           func(*Config)
	}{
		{"closed port", "retry", "connection refused", closed, nil},
		{"unknown authority", "pause tls", "tls.ca_file", secured, func(c *Config) { c.TLS.CAFile = "" }},
		{"other name", "pause tls", "tls.server_name", secured, func(c *Config) { c.TLS.ServerName = "siem.test" }},
		{"client certificate", "pause tls", "tls.cert_file", mutual, nil},
		{"tls to another protocol", "pause tls", "tcp:// in endpoint", chatty, func(c *Config) {
			c.Endpoint = "tls://" + chatty.address
		}},
		{"plain to a tls port", "pause protocol", "tls:// in endpoint", alert, nil},
		{"another protocol", "pause protocol", "HTTP/1.1 400", chatty, nil},
	} {
		s := c.to.open(t, c.change)
		err := s.Deliver(t.Context(), sinktest.Batch("a"))
		// In TLS 1.3 a receiver refuses the client after the handshake. Its reset may destroy
		// the alert that says why, and the next attempt tells.
		for i := 0; i < 100 && c.to == mutual && kind(err) == "retry"; i++ {
			err = s.Deliver(t.Context(), sinktest.Batch("a"))
		}
		if kind(err) != c.want || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %q (%v), want %q with %q", c.name, kind(err), err, c.want, c.text)
		}
	}
}

// TestDeaf: a receiver that never closes its side costs the wait once. Its kernel's
// acknowledgement is enough from then on, and not before.
func TestDeaf(t *testing.T) {
	r := newStandIn(t, schemeTCP, true)
	r.misbehave(func(_ int, c net.Conn) bool {
		_ = r.read(bufio.NewReader(c), 1<<30)
		<-t.Context().Done()
		return true
	})
	s := r.open(t, func(c *Config) { c.Timeout = 200 * time.Millisecond })
	for _, id := range []string{"a", "b"} {
		if err := s.Deliver(t.Context(), sinktest.Batch(id)); err != nil || !s.deaf.Load() {
			t.Errorf("%s: %v, deaf %v", id, err, s.deaf.Load())
		}
	}
	if got := r.ids(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q arrived", got)
	}
	// A receiver that has closed before is not deaf, but hangs.
	s.deaf.Store(false)
	s.closes.Store(true)
	if err := s.Deliver(t.Context(), sinktest.Batch("c")); kind(err) != "retry" {
		t.Errorf("got %v", err)
	}
}

// TestIdle: the connection for the next batch is not used if the receiver has closed it.
func TestIdle(t *testing.T) {
	r := newStandIn(t, schemeTCP, false)
	r.misbehave(func(n int, c net.Conn) bool { return n == 2 })
	s := r.open(t, nil)
	for _, id := range []string{"a", "b", "c"} {
		if err := s.Deliver(t.Context(), sinktest.Batch(id)); err != nil {
			t.Fatal(err)
		}
		for c := <-s.idle; ; {
			if s.idle <- c; id == "a" {
				<-c.ended
			}
			break
		}
	}
	if got := r.ids(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q arrived", got)
	}
	for conns := 0; conns != 5; time.Sleep(time.Millisecond) { // the last one may not be accepted yet
		r.mu.Lock()
		conns = r.conns
		r.mu.Unlock()
	}
}

// TestStop: the end of the context ends the waiting.
func TestStop(t *testing.T) {
	r := newStandIn(t, schemeTCP, true)
	r.misbehave(func(int, net.Conn) bool { <-t.Context().Done(); return true })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.open(t, nil).Deliver(ctx, sinktest.Batch("a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestBounds: a message over the bound goes to the dead letter, which names both sizes, and
// the others are sent.
func TestBounds(t *testing.T) {
	for _, c := range transports {
		r := newStandIn(t, c.scheme, c.octet)
		batch := sinktest.Batch("a", strings.Repeat("b", 1<<16), "c", "d")
		batch[2].Value = []byte("\x0a\xff\xff\xff\x7f")
		err := r.open(t, nil).Deliver(t.Context(), batch)
		for _, want := range []string{"refused 1 records (too_large)", "refused 1 records (invalid)", "max_message"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v lacks %q", r, err, want)
			}
		}
		if got := r.ids(); !slices.Equal(got, []string{"a", "d"}) {
			t.Errorf("%v: %q arrived", r, got)
		}
	}
}

// TestDatagrams: a datagram that the kernel does not send is refused, and a closed port is
// noticed.
func TestDatagrams(t *testing.T) {
	r := newStandIn(t, schemeUDP, false)
	s := r.open(t, func(c *Config) { c.MaxMessage = maxDatagram })
	err := s.Deliver(t.Context(), sinktest.Batch("a", strings.Repeat("b", 32<<10), "c"))
	if err != nil { // the id stands twice: 64 KiB and a little, if the kernel allows it
		if kind(err) != "rejected too_large[1]" {
			t.Errorf("got %v", err)
		}
	}
	if got := r.ids(); got[0] != "a" || got[len(got)-1] != "c" {
		t.Errorf("%d messages arrived", len(got))
	}
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.LocalAddr().String()
	_ = l.Close()
	for _, batch := range [][]sink.Record{sinktest.Batch("a"), sinktest.Batch("a", "b", "c")} {
		if err := r.open(t, nil).Deliver(t.Context(), batch); !errors.Is(err, syscall.ECONNREFUSED) || kind(err) != "retry" {
			t.Errorf("got %v", err)
		}
	}
}

// TestNothingLost drives a Runner against a receiver with random faults, which also ends and
// starts again. Every record that counts as delivered has been read, and those of batches
// without a fault once.
func TestNothingLost(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 2))
		r := newStandIn(t, schemeTCP, seed%2 == 0)
		r.misbehave(func(_ int, c net.Conn) bool {
			r.mu.Lock()
			kind, n := random.IntN(8), random.IntN(40)
			r.mu.Unlock()
			switch kind {
			case 0:
				return true
			case 1:
				reset(c)
				return true
			case 2:
				_ = r.read(bufio.NewReaderSize(c, 16), n)
				return true
			case 3:
				_ = r.read(bufio.NewReader(c), 1<<30)
				reset(c)
				return true
			case 4: // the process ends and starts again
				r.stop()
				_ = r.read(bufio.NewReaderSize(c, 16), n)
				reset(c)
				if l, err := net.Listen("tcp", r.address); err == nil {
					r.serve(l)
				}
				return true
			}
			return false
		})
		s := r.open(t, nil)
		runner, err := sink.NewRunner(sink.Options{
			Name: "siem", Sink: s, Batch: sink.Batch{Records: 30, Bytes: 1 << 20}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Retry: sink.Retry{Base: time.Millisecond, Cap: time.Millisecond},
			DeadLetter: func(_ context.Context, rec sink.Record, _ sink.Reason, err error) error {
				return fmt.Errorf("record %v: %w", rec.Ref, err)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range 300 {
			want = append(want, fmt.Sprint("record-", i))
		}
		if err := runner.Deliver(t.Context(), sinktest.Batch(want...)); err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, id := range r.ids() {
			got[id] = true
		}
		for _, id := range want {
			if !got[id] {
				t.Errorf("seed %d: %s is lost", seed, id)
			}
		}
	}
}
