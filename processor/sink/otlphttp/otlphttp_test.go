package otlphttp

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/processor/sink/sinktest"
)

// receiver is an OTLP receiver over the protobuf types that OpenTelemetry
// publishes.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex // guards what follows
	arrived  []*logs.LogsData
	requests []*http.Request
	answer   http.HandlerFunc // nil: 200 and an empty protobuf message
	refused  string           // the id of a record that it does not take
}

func (r *receiver) refuse(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = id
}

// ids returns the ids of the records that have arrived, in order.
func (r *receiver) ids(*testing.T) (list []string) {
	for _, data := range r.data() {
		list = append(list, sinktest.IDs(data)...)
	}
	return list
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	data, err := decode(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	refused := r.refused != "" && slices.Contains(sinktest.IDs(data), r.refused)
	if !refused {
		r.arrived = append(r.arrived, data)
		r.requests = append(r.requests, req)
	}
	r.mu.Unlock()
	if refused {
		http.Error(w, "a record is not allowed here", http.StatusBadRequest)
		return
	}
	if r.answer != nil {
		r.answer(w, req)
		return
	}
	w.Header().Set("Content-Type", contentType)
}

func decode(req *http.Request) (*logs.LogsData, error) {
	if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/x-protobuf" {
		return nil, fmt.Errorf("%s with content type %q", req.Method, req.Header.Get("Content-Type"))
	}
	body := io.Reader(req.Body)
	switch coding := req.Header.Get("Content-Encoding"); coding {
	case "gzip":
		z, err := gzip.NewReader(req.Body)
		if err != nil {
			return nil, err
		}
		body = z
	case "":
	default:
		return nil, fmt.Errorf("content encoding %q", coding)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var request collector.ExportLogsServiceRequest
	if err := proto.Unmarshal(b, &request); err != nil {
		return nil, err
	}
	if len(request.ProtoReflect().GetUnknown()) > 0 {
		return nil, errors.New("unknown fields")
	}
	return &logs.LogsData{ResourceLogs: request.ResourceLogs}, nil
}

func (r *receiver) data() []*logs.LogsData {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.arrived)
}

func open(t *testing.T, endpoint string, change func(*Config)) *Sink {
	t.Helper()
	c := DefaultConfig()
	c.Endpoint = endpoint
	if change != nil {
		change(&c)
	}
	s, err := New(&c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	for _, c := range []httpsink.Compression{httpsink.CompressionGzip, httpsink.CompressionNone} {
		t.Run(string(c), func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Subject {
				r := newReceiver(t, nil)
				s := open(t, r.URL, func(cfg *Config) { cfg.Compression = c })
				return sinktest.Subject{Sink: s, Arrived: func(*testing.T) []*logs.LogsData { return r.data() }}
			})
		})
	}
}

func TestRequest(t *testing.T) {
	r := newReceiver(t, nil)
	s := open(t, r.URL+"/tenant/", func(c *Config) {
		c.Headers = map[string]setting.Secret{"authorization": setting.NewSecret("Bearer abc"), "X-Scope": setting.NewSecret("a\tb")}
	})
	if err := s.Deliver(t.Context(), sinktest.Batch("a")); err != nil {
		t.Fatal(err)
	}
	req := r.requests[0]
	f := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}
	f("path", req.URL.Path, "/tenant/v1/logs")
	f("authorization", req.Header.Get("Authorization"), "Bearer abc")
	f("x-scope", req.Header.Get("X-Scope"), "a\tb")
	f("content encoding", req.Header.Get("Content-Encoding"), "gzip")
	f("user agent", req.Header.Get("User-Agent"), "keytrail")
	if req.ContentLength <= 0 {
		t.Errorf("content length is %d, want the body's length", req.ContentLength)
	}
}

// TestFailures covers the ways not to get an answer. Each must ask for another
// attempt: an error of a type that package sink does not know.
func TestFailures(t *testing.T) {
	f := func(name string, s *Sink, want string) {
		t.Helper()
		err := s.Deliver(t.Context(), sinktest.Batch("a", "b"))
		var rejected *sink.Rejected
		var partial *sink.Partial
		var paused *sink.Paused
		if err == nil || errors.As(err, &rejected) || errors.As(err, &partial) || errors.As(err, &paused) {
			t.Errorf("%s: got %v, want an error to be retried", name, err)
			return
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, want it to say %q", name, err, want)
		}
	}
	// nobody listens; a port that was found free might be somebody else's by now
	f("refused", open(t, "http://127.0.0.1:1", nil), "refused")
	// the connection is closed instead of an answer
	hangUp := newReceiver(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	f("hang up", open(t, hangUp.URL, nil), "EOF")
	// no answer in time
	release := make(chan struct{})
	slow := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	f("slow", open(t, slow.URL, func(c *Config) { c.Timeout = 20 * time.Millisecond }), "no answer within 20ms")
	close(release)
	// a 200 whose body breaks off
	broken := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("x"))
	})
	f("broken answer", open(t, broken.URL, nil), "unexpected EOF")
	// headers without end
	flood := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Flood", strings.Repeat("x", 128<<10))
	})
	f("flood of headers", open(t, flood.URL, nil), "exceeded")
}

func TestTLS(t *testing.T) {
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(r)
	r.Config.ErrorLog = nil
	r.StartTLS()
	t.Cleanup(r.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	known := open(t, r.URL, func(c *Config) { c.TLS.CAFile = ca })
	if err := known.Deliver(t.Context(), sinktest.Batch("a")); err != nil {
		t.Errorf("with ca_file: %v", err)
	}
	unknown := open(t, r.URL, nil)
	if err := unknown.Deliver(t.Context(), sinktest.Batch("b")); kind(err) != "pause tls" || !strings.Contains(err.Error(), "set tls.ca_file") {
		t.Errorf("without ca_file: got %v, want a pause and what to set", err)
	}
	_, port, err := net.SplitHostPort(r.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// httptest's certificate is for 127.0.0.1 and example.com
	other := open(t, "https://localhost:"+port, func(c *Config) { c.TLS.CAFile = ca })
	if err := other.Deliver(t.Context(), sinktest.Batch("b")); kind(err) != "pause tls" || !strings.Contains(err.Error(), "use a name of the certificate") {
		t.Errorf("with another name: got %v, want a pause and what to do", err)
	}
	// plain HTTP to a port of TLS: Go's server answers 400, which is about no record
	plain := open(t, strings.Replace(r.URL, "https", "http", 1), nil)
	if err := plain.Deliver(t.Context(), sinktest.Batch("b")); kind(err) != "pause tls" || !strings.Contains(err.Error(), "use https") {
		t.Errorf("HTTP to an HTTPS port: got %v, want a pause and what to do", err)
	}
	// and the other way round
	clear := newReceiver(t, nil)
	mixed := open(t, strings.Replace(clear.URL, "http", "https", 1), nil)
	if err := mixed.Deliver(t.Context(), sinktest.Batch("b")); kind(err) != "pause tls" || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Errorf("HTTPS to an HTTP port: got %v, want a pause and what to do", err)
	}
	if n := len(r.data()); n != 1 {
		t.Errorf("%d requests arrived, want 1", n)
	}
}

func TestNewRefuses(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c := DefaultConfig()
		c.Endpoint = "http://127.0.0.1:4318"
		change(&c)
		_, err := New(&c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
	endpoint := func(url string) func(*Config) { return func(c *Config) { c.Endpoint = url } }
	header := func(name, text string) func(*Config) {
		return func(c *Config) { c.Headers = map[string]setting.Secret{name: setting.NewSecret(text)} }
	}
	f(endpoint(""), "endpoint: is missing")
	f(endpoint("127.0.0.1:4318"), "endpoint: is not a URL")
	f(endpoint("ftp://127.0.0.1"), "allowed: http, https")
	f(endpoint("http://"), "names no host")
	f(endpoint("http://me:hunter2@127.0.0.1"), "credentials into headers")
	f(endpoint("http://127.0.0.1:4318?token=hunter2"), "credentials into headers")
	f(endpoint("http://me:hunter2@127.0.0.1:port"), "is not a URL")
	f(endpoint("http://127.0.0.1:4318/v1/logs"), "leave it out")
	f(endpoint("http://siem.example:4318"), "set insecure: true")
	f(func(c *Config) { c.TLS.ServerName = "siem" }, "the sink does not use TLS")
	f(func(c *Config) { c.Endpoint, c.TLS.CertFile = "https://127.0.0.1", "x" }, "belong together")
	f(func(c *Config) { c.Endpoint, c.Insecure = "https://127.0.0.1", true }, "insecure: true does not apply")
	f(header("Content-Type", "hunter2"), "set by the sink")
	f(header("X Y", "hunter2"), "not the name of a header")
	f(header("X-Y", "hunter2\r\nX-Z: 1"), "control character")
	f(func(c *Config) { c.Compression = "gz" }, `"gz" is not allowed; allowed: gzip, none`)
	f(func(c *Config) { c.Timeout = 0 }, "timeout: 0s is out of range")
	f(func(c *Config) {
		c.Endpoint, c.TLS.CAFile = "https://127.0.0.1", filepath.Join(t.TempDir(), "none.pem")
	}, "cannot read ca_file")
	f(func(c *Config) { c.Endpoint, c.TLS.CAFile = "https://127.0.0.1", "config.go" }, "no certificate in PEM form")
}

// TestRunnerOverHTTP drives the sink through a Runner: a receiver that is
// throttling at first and then refuses bodies over its limit.
func TestRunnerOverHTTP(t *testing.T) {
	calls := 0 // the sink sends one request at a time
	var taken []string
	r := newReceiver(t, nil)
	r.answer = func(w http.ResponseWriter, req *http.Request) {
		calls++
		data := r.data()
		last := sinktest.IDs(data[len(data)-1])
		switch {
		case calls <= 2:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case len(last) > 4:
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case slices.Contains(last, "r5"):
			w.WriteHeader(http.StatusBadRequest)
		default:
			taken = append(taken, last...)
			w.WriteHeader(http.StatusNoContent)
		}
	}
	var dead []string
	runner, err := sink.NewRunner(sink.Options{
		Name: "siem", Sink: open(t, r.URL, nil), Batch: sink.DefaultBatch(),
		Retry:  sink.Retry{Base: time.Millisecond, Cap: time.Millisecond},
		Random: func() float64 { return 0 },
		DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, _ error) error {
			dead = append(dead, fmt.Sprint(rec.Ref, " ", reason))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	batch := sinktest.Batch("r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9")
	if err := runner.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if want := []string{"r0", "r1", "r2", "r3", "r4", "r6", "r7", "r8", "r9"}; !slices.Equal(taken, want) {
		t.Errorf("taken %v, want %v", taken, want)
	}
	if want := []string{"r5 invalid"}; !slices.Equal(dead, want) {
		t.Errorf("dead letters %v, want %v", dead, want)
	}
}
