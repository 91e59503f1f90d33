package splunkhec

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
)

const testToken = "5E2F9C1A-0000-4000-8000-000000000001"

// standIn is a strict stand-in for Splunk, made of its documentation: Splunk itself cannot
// be had for tests. It checks what Splunk checks, and tells an acknowledgement once.
type standIn struct {
	url    string
	server *httptest.Server

	mu       sync.Mutex
	acks     bool                    // the token has indexer acknowledgement
	node     string                  // is set as a cookie and must then come back; "" for none
	polls    int                     // how many questions an acknowledgement takes
	answer   func(events int) string // "status body" instead of taking; "" takes
	onAck    func() string           // the same for questions
	health   string                  // the same for the health; "" is healthy
	events   []event                 // those that it has indexed
	requests []int                   // the uncompressed sizes of requests with events
	counts   []int                   // how many events they had
	asked    int                     // the number of questions that name an id
	next     uint64                  // the next ackId
	mute     bool                    // the answer to the next request that is taken is lost
	gateway  bool                    // a gateway answers in its place then
	waiting  map[string]map[uint64]int
	errors   []error // what a client must not do
	refused  string  // the id of an event that it does not take
}

// event is one event as it arrives.
type event struct {
	Time       json.Number       `json:"time"`
	Host       string            `json:"host"`
	Source     string            `json:"source"`
	Sourcetype string            `json:"sourcetype"`
	Index      string            `json:"index"`
	Event      json.RawMessage   `json:"event"`
	Fields     map[string]string `json:"fields"`
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	h := &standIn{acks: true, polls: 1, waiting: map[string]map[uint64]int{}}
	server := httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(server.Close)
	t.Cleanup(func() {
		for _, err := range h.errors {
			t.Errorf("the stand-in got what Splunk does not take: %v", err)
		}
	})
	h.url, h.server = server.URL, server
	return h
}

// open returns a sink that sends to the stand-in, with patience for tests.
func (h *standIn) open(t *testing.T, change func(*Config)) *Sink {
	t.Helper()
	c := DefaultConfig()
	c.Endpoint, c.Token, c.Body = h.url, setting.NewSecret(testToken), "otlp_json"
	if change != nil {
		change(&c)
	}
	if c.Ack == AckOff {
		h.acks = false
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

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func (h *standIn) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	if err != nil {
		body = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	channel := r.Header.Get("X-Splunk-Request-Channel")
	switch route := r.Method + " " + r.URL.Path; {
	case route == "GET /services/collector/health":
		if h.health == "" {
			h.health = `200 {"text":"HEC is healthy","code":17}`
		}
		say(w, h.health)
	case r.Header.Get("Authorization") != "Splunk "+testToken:
		say(w, `403 {"text":"Invalid token","code":4}`)
	case h.acks && channel == "":
		say(w, `400 {"text":"Data channel is missing","code":10}`)
	case channel != "" && !guid.MatchString(channel):
		say(w, `400 {"text":"Invalid data channel","code":11}`)
	case r.Header.Get("Content-Type") != "application/json":
		h.errors = append(h.errors, fmt.Errorf("type %q", r.Header.Get("Content-Type")))
	case route == "POST /services/collector/event":
		if h.node != "" {
			http.SetCookie(w, &http.Cookie{Name: "node", Value: h.node, Path: "/", HttpOnly: true})
		}
		say(w, h.take(body, channel))
	case route == "POST /services/collector/ack":
		if !h.acks {
			say(w, `400 {"text":"ACK is disabled","code":14}`)
			return
		}
		say(w, h.tell(body, channel, r.Header.Get("Cookie")))
	default:
		say(w, `404 {"text":"The requested URL was not found on this server.","code":404}`)
	}
}

// say writes an answer, of which the first word is the status, or no answer at all.
func say(w http.ResponseWriter, answer string) {
	status, body, _ := strings.Cut(answer, " ")
	code := 0
	if _, err := fmt.Sscan(status, &code); err != nil || code == 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body)
}

// restart forgets all acknowledgements, and counts them from 0.
func (h *standIn) restart(polls int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next, h.polls, h.waiting = 0, polls, map[string]map[uint64]int{}
}

// take indexes the events of a request, all or none.
func (h *standIn) take(body []byte, channel string) string {
	h.requests = append(h.requests, len(body))
	var list []event
	for d := json.NewDecoder(bytes.NewReader(body)); ; {
		var e event
		d.DisallowUnknownFields()
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			break
		}
		switch {
		case err != nil:
			h.errors = append(h.errors, err)
			return fmt.Sprintf(`400 {"text":"Invalid data format","code":6,"invalid-event-number":%d}`, len(list))
		case e.Event == nil:
			return `400 {"text":"Event field is required","code":12,"invalid-event-number":0}`
		case string(e.Event) == `""`:
			return `400 {"text":"Event field cannot be blank","code":13,"invalid-event-number":0}`
		case h.refused != "" && e.Fields["event_id"] == h.refused:
			return `400 {"text":"Error in handling indexed fields","code":15,"invalid-event-number":0}`
		}
		list = append(list, e)
	}
	h.counts = append(h.counts, len(list))
	if len(list) == 0 {
		return `400 {"text":"No data","code":5}`
	}
	if h.answer != nil {
		if said := h.answer(len(h.requests)); said != "" {
			return said
		}
	}
	h.events = append(h.events, list...)
	if !h.acks {
		return `200 {"text":"Success","code":0}`
	}
	if h.waiting[channel] == nil {
		h.waiting[channel] = map[uint64]int{}
	}
	id := h.next
	h.next++
	h.waiting[channel][id] = h.polls
	if h.mute {
		h.mute = false
		if h.gateway {
			return "502 <html>Bad Gateway</html>"
		}
		return "no answer"
	}
	return fmt.Sprintf(`200 {"text":"Success","code":0,"ackId":%d}`, id)
}

// tell answers a question for acknowledgements.
func (h *standIn) tell(body []byte, channel, cookie string) string {
	var question struct {
		Acks []uint64 `json:"acks"`
	}
	if err := json.Unmarshal(body, &question); err != nil || len(question.Acks) == 0 {
		return `400 {"text":"Invalid data format","code":6}`
	}
	if h.waiting[channel] == nil { // the question of begin
		return `200 {"acks":{"0":false}}`
	}
	h.asked++
	told := map[uint64]bool{}
	for _, id := range question.Acks {
		left, ok := h.waiting[channel][id]
		told[id] = ok && left <= 1
		if ok = ok && (h.node == "" || cookie == "node="+h.node); !ok {
			told[id] = false
			continue
		}
		if h.waiting[channel][id]--; told[id] {
			delete(h.waiting[channel], id)
		}
	}
	if h.onAck != nil {
		if said := h.onAck(); said != "" {
			return said
		}
	}
	text, _ := json.Marshal(told)
	return `200 {"acks":` + string(text) + `}`
}

// arrived returns the log records of the events, which have the body otlp_json.
func (h *standIn) arrived(t *testing.T) (list []*logs.LogsData) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		data := &logs.LogsData{}
		if err := protojson.Unmarshal(e.Event, data); err != nil {
			t.Fatal(err)
		}
		list = append(list, data)
	}
	return list
}

// ids returns the ids in the fields of the events, in order.
func (h *standIn) ids() (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		list = append(list, e.Fields["event_id"])
	}
	return list
}

// kind is the part of a verdict that tests compare.
func kind(err error) string {
	var rejected *sink.Rejected
	var throttled *sink.Throttled
	var paused *sink.Paused
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &paused):
		return "pause " + string(paused.Cause)
	case errors.As(err, &rejected) && rejected.Split:
		return "halve " + string(rejected.Reason)
	case errors.As(err, &throttled) && throttled.After > 0:
		return fmt.Sprint("retry after ", throttled.After.Round(time.Second))
	}
	return "retry"
}
