package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// token is the one that the stand-in for Splunk takes.
const token = "5E2F9C1A-0000-4000-8000-000000000015"

// hec is a strict stand-in for Splunk's HTTP Event Collector with indexer acknowledgement,
// written from Splunk's documentation. Like Splunk it takes events into memory and answers,
// stores them later, and acknowledges what it has stored. It tells an acknowledgement once,
// and counts them from 0 per channel. A kill loses the events in memory and all
// acknowledgements.
type hec struct {
	queue chan parcel

	mu       sync.Mutex
	channels map[string]*channel
	ending   bool
}

// channel has the acknowledgements of one client.
type channel struct {
	next   uint64
	stored map[uint64]bool
}

// parcel is the events of one request.
type parcel struct {
	channel *channel
	ack     uint64
	lines   []byte // one event a line
}

// event is what an event may have.
type event struct {
	Time       json.Number       `json:"time"`
	Host       string            `json:"host"`
	Source     string            `json:"source"`
	Sourcetype string            `json:"sourcetype"`
	Index      string            `json:"index"`
	Event      json.RawMessage   `json:"event"`
	Fields     map[string]string `json:"fields"`
}

// serveHEC runs a stand-in until SIGTERM, which ends it in good order. It appends to the file
// at path.
func serveHEC(address, path string) error {
	file, err := openStore(path)
	if err != nil {
		return err
	}
	defer file.Close()
	h := &hec{queue: make(chan parcel, 32), channels: map[string]*channel{}}
	stored := make(chan error, 1)
	go func() { stored <- h.store(file, h.queue) }()
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: h}
	go func() {
		<-ctx.Done()
		h.mu.Lock()
		h.ending = true
		h.mu.Unlock()
		within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(within)
		_ = server.Close()
		close(h.queue)
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stored
}

// openStore opens the file for appending, behind its last whole line.
func openStore(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	if err == nil {
		whole := int64(bytes.LastIndexByte(text, '\n') + 1)
		if err = file.Truncate(whole); err == nil {
			_, err = file.Seek(whole, io.SeekStart)
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// store writes what is taken, a little later, and acknowledges it.
func (h *hec) store(file *os.File, queue <-chan parcel) error {
	for p := range queue {
		time.Sleep(time.Duration(rand.Int64N(int64(200 * time.Millisecond))))
		if _, err := file.Write(p.lines); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
		h.mu.Lock()
		p.channel.stored[p.ack] = true
		h.mu.Unlock()
	}
	return nil
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func (h *hec) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := content(r)
	if err != nil {
		return // the client has gone
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	id := r.Header.Get("X-Splunk-Request-Channel")
	switch route := r.Method + " " + r.URL.Path; {
	case h.ending:
		say(w, 503, `{"text":"Server is shutting down","code":23}`)
	case route == "GET /services/collector/health":
		say(w, 200, `{"text":"HEC is healthy","code":17}`)
	case r.Header.Get("Authorization") != "Splunk "+token:
		say(w, 403, `{"text":"Invalid token","code":4}`)
	case id == "":
		say(w, 400, `{"text":"Data channel is missing","code":10}`)
	case !guid.MatchString(id):
		say(w, 400, `{"text":"Invalid data channel","code":11}`)
	case route == "POST /services/collector/event":
		h.take(w, h.channel(id), body)
	case route == "POST /services/collector/ack":
		h.tell(w, h.channel(id), body)
	default:
		say(w, 404, `{"text":"The requested URL was not found on this server.","code":404}`)
	}
}

// channel returns a channel, a new one for an unknown id.
func (h *hec) channel(id string) *channel {
	c := h.channels[id]
	if c == nil {
		c = &channel{stored: map[uint64]bool{}}
		h.channels[id] = c
	}
	return c
}

// content returns the body of a request.
func content(r *http.Request) ([]byte, error) {
	var from io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		from = z
	}
	return io.ReadAll(from)
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// take takes the events of a request, all or none.
func (h *hec) take(w http.ResponseWriter, c *channel, body []byte) {
	lines, refusal := check(body)
	switch {
	case refusal != "":
		say(w, 400, refusal)
	case len(lines) == 0:
		say(w, 400, `{"text":"No data","code":5}`)
	case len(h.queue) == cap(h.queue):
		say(w, 503, `{"text":"Server is busy","code":9}`)
	default:
		h.queue <- parcel{c, c.next, lines}
		say(w, 200, fmt.Sprintf(`{"text":"Success","code":0,"ackId":%d}`, c.next))
		c.next++
	}
}

// check returns the events of a request as lines, or why it is refused.
func check(body []byte) (lines []byte, refusal string) {
	all := json.NewDecoder(bytes.NewReader(body))
	for n := 0; ; n++ {
		var whole json.RawMessage
		err := all.Decode(&whole)
		if errors.Is(err, io.EOF) {
			return lines, ""
		}
		var e event
		if err == nil {
			one := json.NewDecoder(bytes.NewReader(whole))
			one.DisallowUnknownFields()
			err = one.Decode(&e)
		}
		text := strings.TrimSpace(string(e.Event))
		switch {
		case err != nil || bytes.IndexByte(whole, '\n') >= 0:
			return nil, fmt.Sprintf(`{"text":"Invalid data format","code":6,"invalid-event-number":%d}`, n)
		case text == "" || text == "null":
			return nil, fmt.Sprintf(`{"text":"Event field is required","code":12,"invalid-event-number":%d}`, n)
		case text == `""`:
			return nil, fmt.Sprintf(`{"text":"Event field cannot be blank","code":13,"invalid-event-number":%d}`, n)
		}
		lines = append(append(lines, whole...), '\n')
	}
}

// tell answers a question for acknowledgements.
func (h *hec) tell(w http.ResponseWriter, c *channel, body []byte) {
	var question struct{ Acks []uint64 }
	if err := json.Unmarshal(body, &question); err != nil || len(question.Acks) == 0 {
		say(w, 400, `{"text":"Invalid data format","code":6}`)
		return
	}
	told := map[uint64]bool{}
	for _, id := range question.Acks {
		told[id] = c.stored[id]
		delete(c.stored, id)
	}
	text, _ := json.Marshal(told) // of numbers and booleans
	say(w, 200, `{"acks":`+string(text)+`}`)
}
