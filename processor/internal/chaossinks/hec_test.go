package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/splunkhec"
	"keytrail/schemas/otellog"
)

// standIn starts a stand-in with its file at path.
func standIn(t *testing.T, path string) (h *hec, url string) {
	t.Helper()
	file, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	h = &hec{queue: make(chan parcel, 2), channels: map[string]*channel{}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	queue := h.queue
	go func() { _ = h.store(file, queue) }()
	t.Cleanup(func() { close(queue) })
	return h, server.URL
}

// post sends a request and returns the answer's status and text.
func post(t *testing.T, url, path, channel, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Splunk "+token)
	r.Header.Set("X-Splunk-Request-Channel", channel)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status[:3] + " " + string(text)
}

const guidA, guidB = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"

// TestStandIn: the stand-in for Splunk refuses what Splunk refuses, acknowledges only what it
// has stored, and tells that once.
func TestStandIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(path, []byte("{\"event\":1}\n{\"eve"), 0o600); err != nil { // killed within a write
		t.Fatal(err)
	}
	_, url := standIn(t, path)
	const events, acks = "/services/collector/event", "/services/collector/ack"
	for _, c := range []struct{ path, channel, body, want string }{
		{events, "", `{"event":2}`, `400 {"text":"Data channel is missing","code":10}`},
		{events, "x", `{"event":2}`, `400 {"text":"Invalid data channel","code":11}`},
		{events, guidA, ``, `400 {"text":"No data","code":5}`},
		{events, guidA, `{"event":2}{"event":3,"more":1}`, `400 {"text":"Invalid data format","code":6,"invalid-event-number":1}`},
		{events, guidA, `{"event":2}{`, `400 {"text":"Invalid data format","code":6,"invalid-event-number":1}`},
		{events, guidA, `{"event":2,"fields":{"a":{}}}`, `400 {"text":"Invalid data format","code":6,"invalid-event-number":0}`},
		{events, guidA, `{"fields":{"a":"b"}}`, `400 {"text":"Event field is required","code":12,"invalid-event-number":0}`},
		{events, guidA, `{"event":""}`, `400 {"text":"Event field cannot be blank","code":13,"invalid-event-number":0}`},
		{acks, guidA, `{"acks":[]}`, `400 {"text":"Invalid data format","code":6}`},
		{acks, guidA, `{"acks":[0]}`, `200 {"acks":{"0":false}}`},
		{events, guidA, `{"event":{"a":1},"fields":{"event_id":"x"}}{"event":3}`, `200 {"text":"Success","code":0,"ackId":0}`},
		{events, guidB, `{"event":4}`, `200 {"text":"Success","code":0,"ackId":0}`},
		{"/other", guidA, `{"event":2}`, `404 {"text":"The requested URL was not found on this server.","code":404}`},
	} {
		if got := post(t, url, c.path, c.channel, c.body); got != c.want {
			t.Errorf("POST %s %s: %s, want %s", c.path, c.body, got, c.want)
		}
	}
	for told := ""; told != `200 {"acks":{"0":true}}`; time.Sleep(time.Millisecond) {
		told = post(t, url, acks, guidB, `{"acks":[0]}`)
	}
	if told := post(t, url, acks, guidB, `{"acks":[0]}`); told != `200 {"acks":{"0":false}}` {
		t.Errorf("it tells twice: %s", told)
	}
	var got []string
	err := hecReceiver(path).read(t.Context(), func(f found) error {
		got = append(got, f.id+" "+string(f.text))
		return nil
	})
	if want := ` 1,event_id x {"a":1}, 3, 4`; err != nil || strings.Join(got, ",") != want {
		t.Errorf("it has stored %q, want %q; %v", strings.Join(got, ","), want, err)
	}
}

// TestStandInTakesFromTheSink: the sink delivers to the stand-in, which has stored everything
// when Deliver returns. A stand-in that forgets what it has taken gets it again.
func TestStandInTakesFromTheSink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	h, url := standIn(t, path)
	c := splunkhec.DefaultConfig()
	c.Endpoint, c.Token, c.AckTimeout = url, setting.NewSecret(token), time.Second
	s, err := splunkhec.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var r otellog.Record
	r.EventName = "aws.kms.api_call"
	r.String("log.record.uid", "e")
	batch := []sink.Record{{Value: otellog.AppendRequest(nil, &r)}}
	h.mu.Lock()
	whole := h.queue
	h.queue = make(chan parcel, 1) // nobody reads it
	h.mu.Unlock()
	if err := s.Deliver(t.Context(), batch); err == nil {
		t.Fatal("a batch that is not stored is delivered")
	}
	h.mu.Lock()
	h.queue = whole
	h.mu.Unlock()
	if err := s.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var got []found
	if err := hecReceiver(path).read(t.Context(), func(f found) error { got = append(got, f); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].id != "event_id e" || string(got[0].text) != eventText {
		t.Errorf("it has stored %q", got)
	}
}

// TestSyslogReceiver reads what syslog-ng writes.
func TestSyslogReceiver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	line := "110\t2026-01-05T00:00:00.000000Z\th\tkeytrail\tkeytrail.anomaly\t[keytrail@32473 anomaly_id=\"a\" revision=\"1\"]\t" +
		anomalyText("a", 1) + "\n"
	if err := os.WriteFile(path, []byte(line+line[:40]), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []found
	err := syslogReceiver(path).read(t.Context(), func(f found) error { got = append(got, f); return nil })
	if err != nil || len(got) != 1 || got[0].id != "anomaly_id a" || got[0].revision != "1" || string(got[0].text) != anomalyText("a", 1) {
		t.Errorf("%q, %v", got, err)
	}
	stop := errors.New("stop")
	if err := syslogReceiver(path).read(context.Background(), func(found) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}
