package otlphttp

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
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
	metrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // the server inflates
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/processor/sink/sinktest"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// service is an OTLP receiver over grpc-go, an implementation that is independent of ours.
type service struct {
	collector.UnimplementedLogsServiceServer
	address string

	mu      sync.Mutex // guards what follows
	arrived []*logs.LogsData
	headers []metadata.MD
	refused string
	denied  bool
	// answer replaces the answer; nil for none.
	answer func(n int) (*collector.ExportLogsServiceResponse, error)
}

func newService(t *testing.T, options ...grpc.ServerOption) *service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{address: l.Addr().String()}
	server := grpc.NewServer(append([]grpc.ServerOption{grpc.MaxRecvMsgSize(64 << 20)}, options...)...)
	collector.RegisterLogsServiceServer(server, s)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return s
}

func (s *service) Export(ctx context.Context, r *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := &logs.LogsData{ResourceLogs: r.ResourceLogs}
	md, _ := metadata.FromIncomingContext(ctx)
	s.headers = append(s.headers, md)
	ids := sinktest.IDs(data)
	switch {
	case s.denied:
		return nil, status.Error(codes.Unauthenticated, "no such token")
	case s.refused != "" && slices.Contains(ids, s.refused):
		return nil, status.Error(codes.InvalidArgument, "a record is not allowed here: 100% né")
	case s.answer != nil:
		if answer, err := s.answer(len(ids)); answer != nil || err != nil {
			return answer, err
		}
	}
	s.arrived = append(s.arrived, data)
	return &collector.ExportLogsServiceResponse{}, nil
}

func (s *service) data() []*logs.LogsData {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrived)
}

func (s *service) ids(*testing.T) (list []string) {
	for _, data := range s.data() {
		list = append(list, sinktest.IDs(data)...)
	}
	return list
}

// set changes the service.
func (s *service) set(f func(*service)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// call opens a sink that speaks gRPC.
func call(t *testing.T, endpoint string, change func(*Config)) *Sink {
	t.Helper()
	return open(t, endpoint, func(c *Config) {
		c.Protocol, c.Timeout = ProtocolGRPC, time.Minute
		if change != nil {
			change(c)
		}
	})
}

func TestConformGRPC(t *testing.T) {
	for _, packed := range []httpsink.Compression{httpsink.CompressionGzip, httpsink.CompressionNone} {
		t.Run(string(packed), func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Subject {
				s := newService(t)
				return sinktest.Subject{Sink: call(t, "http://"+s.address, func(c *Config) { c.Compression = packed }),
					Arrived: func(*testing.T) []*logs.LogsData { return s.data() }}
			})
		})
	}
	sinktest.Conform(t, "otlp", sinktest.Door{
		ALPN: []string{"h2"},
		Receive: func(t *testing.T) sinktest.Receiver {
			s := newService(t)
			return sinktest.Receiver{Address: s.address, Stored: s.ids,
				Refuse: func(id string) { s.set(func(s *service) { s.refused = id }) },
				Deny:   func(denied bool) { s.set(func(s *service) { s.denied = denied }) }}
		},
		Open: func(t *testing.T, to sinktest.Target) sink.Sink {
			return call(t, to.URL(), func(c *Config) { c.Timeout, c.TLS = to.Timeout, to.TLS })
		},
		Except: map[sinktest.Case]string{sinktest.Status: "gRPC has codes, see TestEveryCode",
			sinktest.Advance: "a batch is one request"},
	})
}

// TestEveryCode: each code of gRPC has the verdict of the OTLP specification's table, and
// one that the specification has clients drop keeps the records.
func TestEveryCode(t *testing.T) {
	want := map[codes.Code]string{
		codes.Canceled: "again", codes.DeadlineExceeded: "again", codes.Aborted: "again", codes.OutOfRange: "again",
		codes.Unavailable: "again", codes.DataLoss: "again", codes.Unknown: "again", codes.Internal: "again",
		codes.InvalidArgument: "halved invalid", codes.Unauthenticated: "paused credentials",
		codes.PermissionDenied: "paused credentials", codes.Unimplemented: "paused protocol", codes.NotFound: "paused address",
		codes.ResourceExhausted: "paused target", codes.AlreadyExists: "paused target", codes.FailedPrecondition: "paused target",
		17: "paused protocol", 4096: "paused protocol",
	}
	s := newService(t)
	to := call(t, "http://"+s.address, nil)
	for code, verdict := range want {
		for _, delay := range []time.Duration{-1, 0, 1500 * time.Millisecond} {
			said := status.New(code, "words")
			if delay >= 0 {
				with, err := said.WithDetails(&errdetails.DebugInfo{Detail: "x"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
				if err != nil {
					t.Fatal(err)
				}
				said = with
			}
			s.set(func(s *service) {
				s.answer = func(int) (*collector.ExportLogsServiceResponse, error) { return nil, said.Err() }
			})
			if code == codes.ResourceExhausted && delay >= 0 {
				verdict = "again"
			}
			err := to.Deliver(t.Context(), sinktest.Batch("a", "b"))
			if got := sinktest.Verdict(err); got != verdict || !strings.Contains(err.Error(), "words") {
				t.Errorf("%v, RetryInfo %v: got %q (%v), want %q", code, delay, got, err, verdict)
			}
			var throttled *sink.Throttled
			var paused *sink.Paused
			after := time.Duration(0)
			if errors.As(err, &throttled) {
				after = throttled.After
			} else if errors.As(err, &paused) {
				after = paused.After
			}
			if code != codes.InvalidArgument && after != max(delay, 0) {
				t.Errorf("%v, RetryInfo %v: a pause of %v", code, delay, after)
			}
		}
	}
}

// TestGRPCPartial: a partial success is not sent again.
func TestGRPCPartial(t *testing.T) {
	s := newService(t)
	to := call(t, "http://"+s.address, nil)
	for lost, want := range map[int64]string{0: "lost 0 old", 2: "lost 2 old", 3: "reject partial_success"} {
		s.set(func(s *service) {
			s.answer = func(int) (*collector.ExportLogsServiceResponse, error) {
				return &collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{
					RejectedLogRecords: lost, ErrorMessage: "old"}}, nil
			}
		})
		if err := to.Deliver(t.Context(), sinktest.Batch("a", "b", "c")); kind(err) != want {
			t.Errorf("%d lost: got %v, want %q", lost, err, want)
		}
	}
}

// TestGRPCMessageSize: a message over the receiver's limit is halved until it fits, and a
// record that does not fit alone goes to the dead letter.
func TestGRPCMessageSize(t *testing.T) {
	s := newService(t, grpc.MaxRecvMsgSize(4<<10))
	batch := sinktest.Batch("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t")
	large := &otellog.Record{Time: 1, Body: strings.Repeat("x", 5<<10)}
	large.String(semconv.LogRecordUID, "large")
	batch = append(batch, sink.Record{Value: otellog.AppendRequest(nil, large), Ref: "large"})
	var dead []string
	runner, err := sink.NewRunner(sink.Options{Name: "siem", Sink: call(t, "http://"+s.address, nil), Batch: sink.DefaultBatch(),
		Retry: sink.DefaultRetry(), Log: quiet(),
		DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, why error) error {
			dead = append(dead, fmt.Sprint(rec.Ref, " ", reason, " ", why))
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if len(dead) != 1 || !strings.HasPrefix(dead[0], "large too_large gRPC status RESOURCE_EXHAUSTED") || len(s.ids(t)) != 20 {
		t.Errorf("dead letters %q, %d records arrived", dead, len(s.ids(t)))
	}
}

// TestGRPCHeaders: configured headers are metadata, and the receiver knows the time limit.
func TestGRPCHeaders(t *testing.T) {
	s := newService(t)
	to := call(t, "http://"+s.address, func(c *Config) {
		c.Headers = map[string]setting.Secret{"X-Scope-OrgID": setting.NewSecret("tenant 1")}
	})
	if err := to.Deliver(t.Context(), sinktest.Batch("a")); err != nil {
		t.Fatal(err)
	}
	if got := s.headers[0]; !slices.Equal(got["x-scope-orgid"], []string{"tenant 1"}) || len(got["user-agent"]) != 1 {
		t.Errorf("metadata %v", got)
	}
	f := func(change func(*Config), want string) {
		t.Helper()
		c := DefaultConfig()
		c.Endpoint, c.Protocol = "http://127.0.0.1:4317", ProtocolGRPC
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	f(func(c *Config) { c.Headers = map[string]setting.Secret{"Grpc-Timeout": setting.NewSecret("1S")} }, "set by the sink")
	f(func(c *Config) { c.Endpoint += "/v1/logs" }, "has a path, which gRPC does not use")
	f(func(c *Config) { c.Protocol = "grpcs" }, `protocol: "grpcs"`)
}

// sums is a receiver of metrics.
type sums struct {
	metrics.UnimplementedMetricsServiceServer
	points int
}

func (s *sums) Export(_ context.Context, r *metrics.ExportMetricsServiceRequest) (*metrics.ExportMetricsServiceResponse, error) {
	for _, rm := range r.ResourceMetrics {
		s.points += len(rm.ScopeMetrics[0].Metrics[0].GetSum().DataPoints)
	}
	return &metrics.ExportMetricsServiceResponse{PartialSuccess: &metrics.ExportMetricsPartialSuccess{RejectedDataPoints: 1}}, nil
}

// TestGRPCMetrics: metrics travel over gRPC too.
func TestGRPCMetrics(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, got := grpc.NewServer(), &sums{}
	metrics.RegisterMetricsServiceServer(server, got)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	to := call(t, "http://"+l.Addr().String(), func(c *Config) { c.Metrics.Scope = "key" })
	window := func(calls int64) sink.Record {
		r := &otellog.Record{EventName: semconv.EventKeytrailWindow, Time: 1}
		r.String(semconv.KeytrailWindowScope, "key")
		r.String(semconv.KeytrailWindowState, "final")
		r.Int(semconv.KeytrailWindowRevision, 1)
		r.String(semconv.KeytrailWindowStart, "2026-03-02T09:10:00Z")
		r.String(semconv.KeytrailWindowEnd, "2026-03-02T09:15:00Z")
		r.String(semconv.AWSKMSKeyARN, "k")
		r.Int(semconv.KeytrailWindowCallsTotal, calls)
		return sink.Record{Value: otellog.AppendRequest(nil, r), EventName: r.EventName}
	}
	if err := to.Deliver(t.Context(), []sink.Record{window(3), window(4)}); sinktest.Verdict(err) != "lost" || got.points != 2 {
		t.Errorf("got %v, %d data points, want a partial success with 2", err, got.points)
	}
	// This receiver has no service for logs.
	to = call(t, "http://"+l.Addr().String(), nil)
	if err := to.Deliver(t.Context(), sinktest.Batch("a")); kind(err) != "pause protocol" || !strings.Contains(err.Error(), "no such service") {
		t.Errorf("a receiver of metrics only: %v", err)
	}
}

// TestNotGRPC: whatever answers that is not a receiver of gRPC keeps the records.
func TestNotGRPC(t *testing.T) {
	answer := func(w http.ResponseWriter, _ *http.Request) {}
	both := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	both.Config.Protocols = new(http.Protocols)
	both.Config.Protocols.SetUnencryptedHTTP2(true)
	both.Start()
	defer both.Close()
	to := call(t, both.URL, nil)
	f := func(name string, say http.HandlerFunc, want string) {
		t.Helper()
		answer = say
		if err := to.Deliver(t.Context(), sinktest.Batch("a", "b")); sinktest.Verdict(err) != want {
			t.Errorf("%s: got %q (%v), want %q", name, sinktest.Verdict(err), err, want)
		}
	}
	say := func(code int, kind, body, grpcStatus string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Trailer", "Grpc-Status")
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
			if grpcStatus != "" {
				w.Header().Set("Grpc-Status", grpcStatus)
			}
		}
	}
	const rpc = "application/grpc"
	f("success", say(200, rpc, "\x00\x00\x00\x00\x00", "0"), "accepted")
	f("no status", say(200, rpc, "\x00\x00\x00\x00\x00", ""), "again")
	f("a status that is not a number", say(200, rpc, "\x00\x00\x00\x00\x00", "ok"), "again")
	f("no message", say(200, rpc, "", "0"), "paused protocol")
	f("half a message", say(200, rpc, "\x00\x00\x00\x00\x02a", "0"), "paused protocol")
	f("a compressed message", say(200, rpc, "\x01\x00\x00\x00\x00", "0"), "paused protocol")
	f("another message", say(200, rpc, "\x00\x00\x00\x00\x01\xff", "0"), "paused protocol")
	f("a login page", say(200, "text/html", "<html>", ""), "paused protocol")
	f("400", say(400, "text/html", "<html>", ""), "paused protocol")
	f("401", say(401, "text/html", "", ""), "paused credentials")
	f("404", say(404, "text/html", "", ""), "paused address")
	f("413", say(413, "text/html", "", ""), "halved too_large")
	f("302", say(302, "text/html", "", ""), "paused redirect")
	f("503", say(503, "text/html", "", ""), "again")

	old := httptest.NewServer(http.NotFoundHandler())
	defer old.Close()
	secured := httptest.NewTLSServer(http.NotFoundHandler())
	defer secured.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: secured.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, words := range map[string]string{old.URL: "HTTP/2", secured.URL: "does not speak HTTP/2"} {
		to := call(t, url, func(c *Config) {
			if url == secured.URL {
				c.TLS.CAFile = ca
			}
		})
		var err error
		for range 10 { // a server that closes before it has answered breaks the pipe; an attempt soon after tells more
			if err = to.Deliver(t.Context(), sinktest.Batch("a")); err == nil || strings.Contains(err.Error(), words) {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("a server of HTTP/1.1 at %s: %v", url, err)
		}
	}
}
