package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/internal/apitest"
	"keytrail/processor/status"
)

var now = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

// full returns a table of processes in which every field has a value somewhere.
func full() *status.Table {
	table := status.NewTable(now.Add(-time.Hour))
	trouble := []status.Trouble{{Condition: "failing", Detail: "status 503\n\x1b[31m", Since: now}}
	flow := status.Flow{Received: 5, Delivered: 3, Filtered: 1, DeadLetters: map[string]int64{"late": 1}, Rate: 0.5}
	table.Set(&status.Process{
		Format: status.Format, ID: "0123456789abcdef", Host: "a", PID: 7, Version: "0.1.0", Started: now.Add(-time.Hour),
		At: now, Rules: "f00d", Memory: status.Memory{Heap: 1, Mapped: 2_000_000, Limit: 3, Goroutines: 4}, Troubles: trouble,
		Stages: []status.Stage{{Name: "count", State: status.Warning, Troubles: trouble, Lag: 3, LagAt: &now, Total: 2,
			Watermark: &now, Flow: flow,
			Partitions: []status.Partition{{Partition: 1, State: status.Stall, Position: 9, Lag: 3, Watermark: &now}}}},
		Sources: []status.Source{{Name: "trail", Troubles: trouble, Polled: &now, Waiting: 1, Flow: flow}},
		Sinks: []status.Sink{{Name: "siem", State: status.Paused, Cause: "credentials", Progress: status.Stop,
			Troubles: trouble, Expires: &now, Lag: 4, LagAt: &now, Assigned: 2, Flow: flow}},
	}, now)
	table.Set(&status.Process{Format: status.Format, ID: "cut", Host: "b", Started: now, At: now, Cut: true,
		Memory: status.Memory{Goroutines: 1}, Troubles: []status.Trouble{}, Sources: []status.Source{}, Sinks: []status.Sink{},
		Stages: []status.Stage{{Name: "detect", State: status.OK, Troubles: []status.Trouble{}, Total: 9,
			Flow: status.Flow{DeadLetters: map[string]int64{}}}}}, now)
	return table
}

func options() Options {
	return Options{Build: Build{"0.1.0", "abc", "go1.26", "linux/amd64", 1, "0.2.0"}, Table: full(),
		Hosts: []string{"keytrail.internal"}, Now: func() time.Time { return now }}
}

// get requests a path, after change, which may be nil.
func get(h http.Handler, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "127.0.0.1:9464"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestContract holds openapi.yaml and the handler to each other: the same paths, each answer
// valid, and each documented property in some answer.
func TestContract(t *testing.T) {
	c, h := apitest.Read(t, openAPI), Handler(options())
	var served []string
	for _, r := range routes {
		served = append(served, r.path)
	}
	if paths := c.Paths(); !slices.Equal(paths, slices.Sorted(slices.Values(served))) {
		t.Fatalf("the document has %q, the handler %q", paths, served)
	}
	for _, path := range served {
		for _, id := range []string{"0123456789abcdef", "cut"} {
			w := get(h, strings.ReplaceAll(path, "{id}", id), nil)
			if w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			c.Check(t, path, w)
			if tag := w.Header().Get("ETag"); tag != "" {
				w = get(h, strings.ReplaceAll(path, "{id}", id), func(r *http.Request) { r.Header.Set("If-None-Match", `"x", W/`+tag) })
				if w.Code != http.StatusNotModified {
					t.Errorf("%s: with its own ETag: %d", path, w.Code)
				}
				c.Check(t, path, w)
			}
		}
	}
	if unused := c.Unused(); len(unused) > 0 {
		t.Errorf("no answer has %q", unused)
	}
}

// TestErrors: every refusal has the documented form and its own code.
func TestErrors(t *testing.T) {
	c, h := apitest.Read(t, openAPI), Handler(options())
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for _, e := range []struct {
		path   string
		change func(*http.Request)
		status int
		code   string
	}{
		{"/api/v1/processes/%1b[31m", nil, 404, "unknown_process"},
		{"/api/v1/", nil, 404, "not_found"},
		{"/debug/pprof/", nil, 404, "not_found"},
		{"/api/v1/status?x=1", nil, 400, "unknown_parameter"},
		{"/api/v1/status", func(r *http.Request) { r.Method = http.MethodPost }, 405, "method_not_allowed"},
		{"/api/v1/status", host("evil.example"), 421, "unknown_host"},
		{"/api/v1/status", host("127.0.0.1.evil.example:9464"), 421, "unknown_host"},
		{"/debug/pipeline", host(""), 421, "unknown_host"},
	} {
		w := get(h, e.path, e.change)
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != e.status || p.Code != e.code || p.Status != e.status || p.Detail == "" {
			t.Errorf("%s: %d %s", e.path, w.Code, w.Body)
		}
		c.Check(t, "/api/v1/status", w)
	}
	for _, name := range []string{"localhost", "LOCALHOST:9464", "[::1]:9464", "10.1.2.3", "Keytrail.internal:80"} {
		if w := get(h, "/api/v1/version", host(name)); w.Code != http.StatusOK {
			t.Errorf("host %s: %d", name, w.Code)
		}
	}
	if w := get(h, "/api/v1/status", func(r *http.Request) { r.Method = http.MethodHead }); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
}

// TestRequestsAreBounded: beyond the bound a request is refused at once.
func TestRequestsAreBounded(t *testing.T) {
	h := Handler(options()).(*server)
	for range mostRequests {
		h.slots <- struct{}{}
	}
	w := get(h, "/api/v1/status", nil)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"busy"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	<-h.slots
	for range 3 {
		if w := get(h, "/api/v1/status", nil); w.Code != http.StatusOK {
			t.Errorf("with a free place: %d", w.Code)
		}
	}
}

// TestPipelineText: the page for people shows each part, and no raw text.
func TestPipelineText(t *testing.T) {
	w := get(Handler(options()), "/debug/pipeline", nil)
	for _, want := range []string{"state: stop", "count", "siem", "paused (credentials)", "late=1", "0123456789abcdef",
		"sink siem: failing since 2026-11-30T09:00:00Z: status 503"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in\n%s", want, w.Body)
		}
	}
	if strings.ContainsRune(w.Body.String(), '\x1b') || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("%s\n%q", w.Header(), w.Body)
	}
}

// TestProfiles: they are served on request only, and to this machine only.
func TestProfiles(t *testing.T) {
	o := options()
	o.Pprof = true
	h := Handler(o)
	from := func(address string) func(*http.Request) {
		return func(r *http.Request) { r.RemoteAddr = address }
	}
	for address, want := range map[string]int{"127.0.0.1:5": 200, "[::1]:5": 200, "[::ffff:127.0.0.1]:5": 200, "10.0.0.1:5": 403, "": 403} {
		if w := get(h, "/debug/pprof/goroutine?debug=1", from(address)); w.Code != want {
			t.Errorf("from %q: %d, want %d", address, w.Code, want)
		}
	}
	if w := get(h, "/debug/pprof/", func(r *http.Request) { r.RemoteAddr, r.Host = "127.0.0.1:5", "evil.example" }); w.Code != 421 {
		t.Errorf("under another name: %d", w.Code)
	}
}
