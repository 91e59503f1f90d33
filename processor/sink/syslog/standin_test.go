package syslog

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// standIn is a syslog receiver that misbehaves as tests ask. The tests of real receivers
// are in real_test.go.
type standIn struct {
	scheme  string
	address string
	octet   bool

	mu       sync.Mutex
	messages []string
	conns    int
	// fault is asked for each connection; nil reads it to its end.
	fault func(n int, c net.Conn) (handled bool)

	listener net.Listener
	tls      *tls.Config
	ca       string // the file with the certificate
}

func newStandIn(t *testing.T, scheme string, octet bool) *standIn {
	t.Helper()
	r := &standIn{scheme: scheme, octet: octet}
	if scheme == schemeUDP {
		r.listenUDP(t)
		return r
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.Addr().String()
	if scheme == schemeTLS {
		server := httptest.NewTLSServer(nil) // for its certificate
		r.tls = &tls.Config{Certificates: server.TLS.Certificates}
		r.ca = filepath.Join(t.TempDir(), "ca.pem")
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		server.Close()
		if err := os.WriteFile(r.ca, block, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.serve(l)
	t.Cleanup(r.stop)
	return r
}

// misbehave sets fault.
func (r *standIn) misbehave(fault func(n int, c net.Conn) (handled bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// stop closes the port.
func (r *standIn) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.listener.Close()
}

// open returns a sink that sends to the receiver.
func (r *standIn) open(t *testing.T, change func(*Config)) *Sink {
	t.Helper()
	c := DefaultConfig()
	c.Endpoint, c.Body, c.Hostname = r.scheme+"://"+r.address, "otlp_json", "h"
	c.TLS.CAFile = r.ca
	if r.scheme != schemeUDP {
		c.Framing = map[bool]Framing{true: FramingOctet, false: FramingLF}[r.octet]
	}
	if change != nil {
		change(&c)
	}
	s, err := New(&c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (r *standIn) listenUDP(t *testing.T) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadBuffer(8 << 20)
	r.address = c.LocalAddr().String()
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.messages = append(r.messages, string(b[:n]))
			r.mu.Unlock()
		}
	}()
}

func (r *standIn) serve(l net.Listener) {
	r.mu.Lock()
	r.listener = l
	r.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns++
			n, fault := r.conns, r.fault
			r.mu.Unlock()
			go func() {
				defer c.Close()
				if fault != nil && fault(n, c) {
					return
				}
				if r.tls != nil {
					c = tls.Server(c, r.tls)
					defer c.Close()
				}
				_ = r.read(bufio.NewReader(c), 1<<30)
			}()
		}
	}()
}

// read reads up to most messages, up to the end of the stream.
func (r *standIn) read(b *bufio.Reader, most int) error {
	for range most {
		m, err := r.next(b)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.messages = append(r.messages, m)
		r.mu.Unlock()
	}
	return nil
}

func (r *standIn) next(b *bufio.Reader) (string, error) {
	if !r.octet {
		line, err := b.ReadString('\n')
		return strings.TrimSuffix(line, "\n"), err
	}
	text, err := b.ReadString(' ')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(text, " "))
	if err != nil {
		return "", err
	}
	m := make([]byte, n)
	_, err = io.ReadFull(b, m)
	return string(m), err
}

// all returns the messages so far. Of UDP it waits for more until none comes.
func (r *standIn) all() []string {
	for n := -1; r.scheme == schemeUDP; time.Sleep(20 * time.Millisecond) {
		r.mu.Lock()
		same := n == len(r.messages)
		n = len(r.messages)
		r.mu.Unlock()
		if same {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.messages...)
}

// arrived returns the log records of the messages, which have the body otlp_json.
func (r *standIn) arrived(t *testing.T) (list []*logs.LogsData) {
	t.Helper()
	for _, m := range r.all() {
		_, text, ok := strings.Cut(m, `"] `)
		data := &logs.LogsData{}
		if err := protojson.Unmarshal([]byte(text), data); err != nil || !ok {
			t.Fatalf("%v: %s", err, m)
		}
		list = append(list, data)
	}
	return list
}

// ids returns the ids in the structured data of the messages, in order.
func (r *standIn) ids() (list []string) {
	for _, m := range r.all() {
		_, id, _ := strings.Cut(m, `event_id="`)
		id, _, _ = strings.Cut(id, `"`)
		list = append(list, id)
	}
	return list
}

func (r *standIn) String() string { return fmt.Sprint(r.scheme, " octet counting ", r.octet) }
