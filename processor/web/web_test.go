package web

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/store"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

const (
	key     = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	mallory = `arn:aws:iam::111122223333:user/<script>alert(1)</script>`
)

// history returns a history with one anomaly of a pair, its windows and its call.
func history(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "history.db"), store.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	add := func(event, scope, start, end string, fill func(*otellog.Record)) {
		r := &otellog.Record{EventName: event}
		r.String(semconv.KeytrailWindowScope, scope)
		r.String(semconv.KeytrailWindowStart, start)
		r.String(semconv.KeytrailWindowEnd, end)
		if scope != "principal" {
			r.String(semconv.AWSKMSKeyARN, key)
		}
		if scope != "key" {
			r.String(semconv.KeytrailPrincipalID, mallory)
		}
		fill(r)
		if err := s.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	for hour, calls := range []int64{2, 0, 41} {
		for _, scope := range []string{"key", "principal", "pair"} {
			if calls > 0 {
				add(semconv.EventKeytrailWindow, scope, fmt.Sprintf("2026-03-02T0%d:00:00Z", hour), fmt.Sprintf("2026-03-02T0%d:05:00Z", hour),
					func(r *otellog.Record) {
						r.Int(semconv.KeytrailWindowCallsTotal, calls)
						r.Int(semconv.KeytrailWindowCallsDecrypt, calls)
						r.Int(semconv.KeytrailWindowContextSecret, calls)
						r.String(semconv.KeytrailWindowState, "final")
					})
			}
		}
	}
	add(semconv.EventKeytrailAnomaly, "pair", "2026-03-02T02:00:00Z", "2026-03-02T02:05:00Z", func(r *otellog.Record) {
		r.String(semconv.KeytrailAnomalyID, "0123456789abcdef0123456789abcdef")
		r.String(semconv.KeytrailAnomalyKind, "rate")
		r.String(semconv.KeytrailAnomalyDetector, "rate")
		r.String(semconv.KeytrailAnomalySeverity, "critical")
		r.String(semconv.KeytrailAnomalyState, "open")
		r.Double(semconv.KeytrailAnomalyScore, 18.5)
		r.String(semconv.KeytrailAnomalyReason, mallory+": 41 calls in 5m where 0.83 are expected.")
		r.Strings(semconv.KeytrailAnomalyCalls, []string{"call-1", "call-gone"})
	})
	call := &otellog.Record{Time: time.Date(2026, 3, 2, 2, 1, 0, 0, time.UTC).UnixNano()}
	call.String(semconv.KeytrailCallID, "call-1")
	call.String(semconv.AWSKMSKeyARN, key)
	call.String(semconv.KeytrailPrincipalID, mallory)
	call.String(semconv.RPCMethod, "AWSKMS/Decrypt")
	if err := s.AddEvent(call, store.Place{Object: 3, Offset: 9}); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// serve starts a server of the history on the loopback interface.
func serve(t testing.TB, s *store.Store, change func(*Config)) string {
	t.Helper()
	cfg := Config{Store: s, Title: "a test", Log: slog.New(slog.DiscardHandler),
		Event: func(_ context.Context, at store.Place) (*otellog.Record, error) {
			if at != (store.Place{Object: 3, Offset: 9}) {
				return nil, errors.New("the file has changed")
			}
			return &otellog.Record{Body: `{"userAgent":"<script>"}`, EventName: "aws.kms.api_call"}, nil
		}}
	if change != nil {
		change(&cfg)
	}
	server, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// get sends a request and returns the answer's status, header and body.
func get(t testing.TB, method, url string, set func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if set != nil {
		set(r)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(body)
}

// paths are requests that succeed, one or more per path of the API.
var paths = []string{
	"/api/v1/overview", "/api/v1/overview?scope=pair&rows=1&columns=10&q=script&severity=high&kind=rate&newest=1",
	"/api/v1/overview?from=2026-03-02T00:00:00Z&until=2026-03-03T00:00:00Z", "/api/v1/overview?range=3600&scope=principal",
	"/api/v1/anomalies", "/api/v1/anomalies?limit=1", "/api/v1/anomalies/0123456789abcdef0123456789abcdef",
	"/api/v1/entity?key=" + key, "/api/v1/entity?scope=principal&principal=" + strings.ReplaceAll(mallory, "/", "%2F"),
	"/api/v1/entity?scope=pair&key=" + key + "&principal=" + mallory,
	"/api/v1/events", "/api/v1/events?operation=Decrypt&q=key&limit=5", "/api/v1/event?object=3&offset=9", "/api/v1/pipeline",
}

// TestAnswers: every answer is JSON without markup, has the policy, and is not sent again
// to a browser that has it.
func TestAnswers(t *testing.T) {
	url := serve(t, history(t), nil)
	for _, path := range paths {
		status, h, body := get(t, "GET", url+path, nil)
		if status != 200 || h.Get("Content-Type") != "application/json" || !json.Valid([]byte(body)) {
			t.Errorf("%s answers %d, %s: %s", path, status, h.Get("Content-Type"), body)
			continue
		}
		if strings.Contains(body, "<script") {
			t.Errorf("%s answers with markup: %s", path, body)
		}
		tag := h.Get("ETag")
		if status, _, again := get(t, "GET", url+path, func(r *http.Request) { r.Header.Set("If-None-Match", tag) }); status != 304 || again != "" {
			t.Errorf("%s answers %d to its own ETag %s", path, status, tag)
		}
	}
	for _, path := range append([]string{"/", "/nothing", "/api/v1/nothing", "/assets/nothing.js", "/anomaly?id=x"}, paths...) {
		_, h, _ := get(t, "GET", url+path, nil)
		p := h.Get("Content-Security-Policy")
		if !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s has the policy %q", path, p)
		}
	}
}

// TestContent holds what the views need.
func TestContent(t *testing.T) {
	url := serve(t, history(t), nil)
	f := func(path string, wants ...string) {
		t.Helper()
		_, _, body := get(t, "GET", url+path, nil)
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s has no %s: %s", path, want, body)
			}
		}
	}
	f("/api/v1/overview?columns=3&from=2026-03-02T00:00:00Z&until=2026-03-02T03:00:00Z", `"bucket_seconds":3600`,
		`"gaps":[[1,2]]`, `{"c":2,"s":18.5,"v":4,"n":1}`, `"count":1`)
	f("/api/v1/anomalies/0123456789abcdef0123456789abcdef", `"calls":41`, `"place":{"object":3,"offset":9}`, `{"call":"call-gone","events":[]}`,
		`"gaps":[[1,24]`)
	f("/api/v1/entity?key="+key, `"decrypt":43`, `"secret":43`, `"peers":[{"name":"arn:aws:iam::111122223333:user/\u003cscript`, `"calls":43`, `"gaps":[[1,`)
	f("/api/v1/events?principal="+mallory, `"matched":1`, `"operation":"Decrypt"`)
	f("/api/v1/event?object=3&offset=9", `"body":"{\"userAgent\":\"\u003cscript\u003e\"}"`)
}

// TestRefusals: a wrong request gets a problem with a code and a sentence.
func TestRefusals(t *testing.T) {
	panics := func(c *Config) { c.Pipeline = func() any { panic("x") } }
	url := serve(t, history(t), panics)
	f := func(method, path string, set func(*http.Request), status int, code, detail string) {
		t.Helper()
		got, h, body := get(t, method, url+path, set)
		var p struct {
			Status       int
			Code, Detail string
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil || got != status || p.Status != status || p.Code != code || !strings.Contains(p.Detail, detail) ||
			h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s answers %d %s, want %d %s %q", method, path, got, body, status, code, detail)
		}
	}
	f("GET", "/api/v1/overview?scope=all", nil, 400, "bad_request", `scope is "all", want one of`)
	f("GET", "/api/v1/overview?rows=100000", nil, 400, "bad_request", "from 1 to 200")
	f("GET", "/api/v1/overview?from=yesterday", nil, 400, "bad_request", `from is "yesterday"`)
	f("GET", "/api/v1/overview?from=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", nil, 400, "bad_request", "empty")
	f("GET", "/api/v1/overview?surprise=1", nil, 400, "bad_request", `"surprise" is unknown`)
	f("GET", "/api/v1/overview?q="+strings.Repeat("x", maxText+1), nil, 400, "bad_request", "at most 4096")
	f("GET", "/api/v1/anomalies?page=x", nil, 400, "bad_request", `page is "x"`)
	f("GET", "/api/v1/anomalies/none", nil, 404, "not_found", "does not have it")
	f("GET", "/api/v1/entity?key=none", nil, 404, "not_found", "does not have it")
	f("GET", "/api/v1/entity?scope=pair&key=none", nil, 400, "bad_request", "key or principal")
	f("GET", "/api/v1/event?object=4", nil, 404, "not_found", "the file has changed")
	f("GET", "/api/v1/nothing", nil, 404, "not_found", "")
	f("GET", "/api/v1/pipeline", nil, 500, "internal", "")
	f("POST", "/api/v1/overview", nil, 405, "method_not_allowed", "not POST")
	f("GET", "/", func(r *http.Request) { r.Host = "evil.example" }, 421, "wrong_host", "")
	f("GET", "/", func(r *http.Request) { r.Host = "evil.example" + strings.TrimPrefix(url, "http://127.0.0.1") }, 421, "wrong_host", "")
	f("GET", "/", func(r *http.Request) { r.Host = "127.0.0.1:1" }, 421, "wrong_host", "")
	f("GET", "/api/v1/overview", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, "cross_site", "")
	if status, _, _ := get(t, "GET", strings.Replace(url, "127.0.0.1", "localhost", 1), nil); status != 200 {
		t.Errorf("under localhost it answers %d", status)
	}
}

// TestListen: without access control the page is for this machine only.
func TestListen(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:80", "8321"} {
		if l, err := Listen(address); err == nil {
			l.Close()
			t.Errorf("it listens on %s", address)
		}
	}
}

// TestStream: a page learns of a commit, and of one that it has missed.
func TestStream(t *testing.T) {
	s := history(t)
	url := serve(t, s, nil)
	events := func(last string) func() string {
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/api/v1/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" {
			r.Header.Set("Last-Event-ID", last)
		}
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil || answer.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("the stream: %v", err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		lines := bufio.NewScanner(answer.Body)
		return func() (event string) {
			for lines.Scan() && lines.Text() != "" {
				event += lines.Text() + " "
			}
			return event
		}
	}
	next := events("")
	if got := next(); got != "event: hello id: 1 data: {} " {
		t.Errorf("the stream begins with %q", got)
	}
	call := &otellog.Record{}
	if err := s.AddEvent(call, store.Place{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "event: changed id: 2 data: {} " {
		t.Errorf("after a commit comes %q", got)
	}
	if got := events("1")(); got != "event: changed id: 2 data: {} " {
		t.Errorf("a page that missed a commit gets %q", got)
	}
	if got := events("2")(); got != "event: hello id: 2 data: {} " {
		t.Errorf("a page that missed none gets %q", got)
	}
}

// TestTooManyStreams: further pages work without updates.
func TestTooManyStreams(t *testing.T) {
	s, err := New(Config{Store: history(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for range maxStreams {
		s.streams <- struct{}{}
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/api/v1/stream", nil))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("stream number %d gets %d", maxStreams+1, w.Code)
	}
}

// TestBuilt: the committed files come from the committed sources, name only each other, and
// are small. "make page-test" also compares their bytes with a new build.
func TestBuilt(t *testing.T) {
	sum := sha256.New()
	names := []string{"build.mjs", "package-lock.json"}
	list, err := os.ReadDir("ui/src")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, "src/"+e.Name())
	}
	for _, name := range names {
		text, err := os.ReadFile("ui/" + name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%s\n%s\n", name, text)
	}
	want, err := os.ReadFile("ui/dist/sources.sha256")
	if err != nil || strings.TrimSpace(string(want)) != hex.EncodeToString(sum.Sum(nil)) {
		t.Errorf("ui/dist is not built from ui/src (%v): run make page", err)
	}
	a, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	total := len(a.index)
	for name, f := range a.files {
		total += len(f.zipped)
		if f.kind == "" || !strings.Contains(string(a.index), "/assets/"+name) {
			t.Errorf("%s has the type %q, or the page does not name it", name, f.kind)
		}
	}
	if total > 120_000 {
		t.Errorf("the page has %d bytes, more than 120 kB", total)
	}
	s, err := New(Config{Store: history(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range a.files {
		for _, encoding := range []string{"", "gzip"} {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "http://127.0.0.1/assets/"+name, nil)
			r.Header.Set("Accept-Encoding", encoding)
			s.handler.ServeHTTP(w, r)
			if w.Code != 200 || encoding == "" && w.Body.String() != string(f.plain) || encoding != "" && w.Header().Get("Content-Encoding") != "gzip" ||
				!strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
				t.Errorf("%s with the encoding %q: %d, %v", name, encoding, w.Code, w.Header())
			}
		}
	}
}
