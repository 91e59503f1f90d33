package search

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// standIn answers _bulk as OpenSearch does, for what a real one cannot be brought to do. It
// checks the request strictly, and stores documents with their versions.
type standIn struct {
	*httptest.Server
	limit int // the longest body, before compression

	mu       sync.Mutex
	requests []*http.Request
	sizes    []int
	order    []string            // places of the documents, as they arrived
	docs     map[string]document // by index and id
	busy     bool                // it takes the first item of a request, and is busy about the others
	refused  string              // the id of a document that cannot be stored
	// answer replaces the answer to a request, and change that to one item; nil for none.
	answer func(w http.ResponseWriter, r *http.Request) bool
	change func(op action, doc []byte, said *reply)
}

type document struct {
	version int64
	source  json.RawMessage
}

type action struct {
	Index       string `json:"_index"`
	ID          string `json:"_id"`
	Version     *int64 `json:"version"`
	VersionType string `json:"version_type"`
}

// reply is the answer to one item; without a status the item is not answered.
type reply struct {
	Status       int            `json:"status,omitempty"`
	Error        map[string]any `json:"error,omitempty"`
	FailureStore string         `json:"failure_store,omitempty"`
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	s := &standIn{limit: 10 << 20, docs: map[string]document{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	if s.answer != nil && s.answer(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	body, err := s.body(r)
	switch {
	case err != nil:
		fail(w, http.StatusBadRequest, "parse_exception", err.Error())
	case len(body) > s.limit:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	default:
		s.sizes = append(s.sizes, len(body))
		s.bulk(w, body)
	}
}

func (s *standIn) body(r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/_bulk" || r.Header.Get("Content-Type") != "application/x-ndjson" {
		return nil, fmt.Errorf("%s %s with %q", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	return gunzip(r)
}

// gunzip returns the body of a request.
func gunzip(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// bulk answers the items of a request. Whatever is wrong with a line refuses all of it.
func (s *standIn) bulk(w http.ResponseWriter, body []byte) {
	lines := bytes.SplitAfter(body, []byte("\n"))
	if len(lines)%2 != 1 || len(lines[len(lines)-1]) > 0 {
		fail(w, http.StatusBadRequest, "illegal_argument_exception", "the bulk request must be terminated by a newline")
		return
	}
	var items []map[string]reply
	failed := false
	for i := 0; i+1 < len(lines); i += 2 {
		op, a, err := actionOf(lines[i])
		if err != nil {
			fail(w, http.StatusBadRequest, "illegal_argument_exception", err.Error())
			return
		}
		said := reply{Status: 429, Error: map[string]any{"type": "es_rejected_execution_exception"}}
		if i == 0 || !s.busy {
			said = s.store(op, a, bytes.TrimSuffix(lines[i+1], []byte("\n")))
		}
		if s.change != nil {
			s.change(a, lines[i+1], &said)
		}
		failed = failed || said.Error != nil
		items = append(items, map[string]reply{op: said})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": failed, "items": items})
}

var indexName = regexp.MustCompile(`^(keytrail|soc\.kms)-(events|windows|anomalies|incidents)(-\d{4}\.\d\d(\.\d\d)?)?$`)

func actionOf(line []byte) (op string, a action, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var one map[string]action
	if err := d.Decode(&one); err != nil || len(one) != 1 {
		return "", a, fmt.Errorf("the action %s: %v", line, err)
	}
	for op, a = range one {
	}
	versioned := a.Version != nil && *a.Version >= 0 && a.VersionType == "external_gte"
	if op != "create" && op != "index" || versioned != (op == "index") || a.ID == "" || len(a.ID) > 512 || !indexName.MatchString(a.Index) {
		return "", a, fmt.Errorf("the action %s", line)
	}
	return op, a, nil
}

// store stores one document.
func (s *standIn) store(op string, a action, doc []byte) reply {
	at := a.Index + "/" + a.ID
	before, there := s.docs[at]
	conflict := func(why string) reply {
		return reply{Status: 409, Error: map[string]any{"type": "version_conflict_engine_exception", "reason": why}}
	}
	switch {
	case !json.Valid(doc) || doc[0] != '{' || s.refused != "" && a.ID == s.refused:
		return reply{Status: 400, Error: map[string]any{"type": "mapper_parsing_exception", "reason": "failed to parse",
			"caused_by": map[string]any{"type": "json_parse_exception", "reason": "unexpected character"}}}
	case there && op == "create":
		return conflict("document already exists (current version [1])")
	case there && before.version > *a.Version:
		return conflict(fmt.Sprintf("current version [%d] is higher than the one provided [%d]", before.version, *a.Version))
	}
	next := document{version: 1, source: doc}
	if a.Version != nil {
		next.version = *a.Version
	}
	s.docs[at] = next
	s.order = append(s.order, at)
	if there {
		return reply{Status: 200}
	}
	return reply{Status: 201}
}

// ids returns the ids of the documents, in the order of their writes.
func (s *standIn) ids(*testing.T) (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.order {
		_, id, _ := strings.Cut(at, "/")
		list = append(list, id)
	}
	return list
}

// connect returns a Sink for an endpoint.
func connect(t testing.TB, url string, change func(*Settings)) *Sink {
	t.Helper()
	c := defaults()
	c.Endpoint = url
	if change != nil {
		change(&c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := newSink(&c)
	if err != nil {
		t.Fatal(err)
	}
	s.turn = time.Hour // so that a slow machine ends no Deliver early
	t.Cleanup(func() { _ = s.Close() })
	return s
}
