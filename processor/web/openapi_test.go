package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"keytrail/processor/internal/apitest"
)

// TestContract holds openapi.yaml and the handler to each other: the same paths, each answer
// valid, and each documented property in some answer.
func TestContract(t *testing.T) {
	c := apitest.Read(t, openAPI)
	served := []string{"/api/v1/stream", "/api/v1/openapi.yaml"}
	s, err := New(Config{Store: history(t)})
	if err != nil {
		t.Fatal(err)
	}
	for pattern := range s.answers() {
		served = append(served, strings.TrimPrefix(pattern, "GET "))
	}
	slices.Sort(served)
	if paths := c.Paths(); !slices.Equal(paths, served) {
		t.Fatalf("the document has %q, the handler %q", paths, served)
	}
	base := strings.TrimSuffix(serve(t, history(t), func(c *Config) { c.Pipeline = func() any { return map[string]any{} } }), "/")
	get := func(path, query, etag string) *httptest.ResponseRecorder {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+strings.ReplaceAll(path, "{id}", "0123456789abcdef0123456789abcdef")+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("If-None-Match", etag)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		w := httptest.NewRecorder()
		w.Code = answer.StatusCode
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		io.Copy(w.Body, answer.Body)
		return w
	}
	for _, path := range served {
		if path == "/api/v1/stream" {
			continue // it does not end: TestStream
		}
		queries := map[string][]string{"/api/v1/entity": {"?scope=key&key=" + key, "?scope=principal&principal=" + url.QueryEscape(mallory)},
			"/api/v1/event": {"?object=3&offset=9"}, "/api/v1/anomalies": {"", "?limit=1"}, "/api/v1/overview": {"", "?scope=principal"}}[path]
		if queries == nil {
			queries = []string{""}
		}
		for _, query := range queries {
			w := get(path, query, "")
			if w.Code != http.StatusOK {
				t.Errorf("%s%s: %d %s", path, query, w.Code, w.Body)
			}
			c.Check(t, path, w)
			if w = get(path, query, w.Header().Get("ETag")); w.Code != http.StatusNotModified {
				t.Errorf("%s: with its own ETag: %d", path, w.Code)
			}
		}
		w := get(path, "?nonsense=1", "")
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: an unknown parameter answers %d", path, w.Code)
		}
		c.Check(t, path, w)
	}
	if unused := c.Unused(); len(unused) > 0 {
		t.Errorf("no answer has %q", unused)
	}
}
