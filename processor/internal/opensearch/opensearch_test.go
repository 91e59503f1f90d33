package opensearch

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestOpenSearchStartsAgain: a node that is stopped or killed keeps its data and its URL.
func TestOpenSearchStartsAgain(t *testing.T) {
	n := Start(t, "http.max_content_length=1mb")
	url := n.URL
	if status, said := do(t, "PUT", n.URL+"/records/_doc/1?refresh=true", `{"a":1}`); status != http.StatusCreated {
		t.Fatalf("status %d: %s", status, said)
	}
	if status, said := do(t, "PUT", n.URL+"/records/_doc/2", `{"a":"`+strings.Repeat("a", 2<<20)+`"}`); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body over the setting: status %d: %.200s", status, said)
	}
	for _, end := range []func(){n.Stop, n.Kill} {
		end()
		if err := n.Launch(); err != nil {
			t.Fatal(err)
		}
		if n.URL != url {
			t.Fatalf("the URL was %s and is %s", url, n.URL)
		}
		if status, said := do(t, "GET", n.URL+"/records/_doc/1", ""); status != http.StatusOK {
			t.Errorf("status %d: %s", status, said)
		}
	}
}

// do sends a request and returns its answer.
func do(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(said)
}
