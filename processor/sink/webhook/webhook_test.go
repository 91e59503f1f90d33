package webhook

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/processor/sink/sinktest"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// hookAt returns the Config of the type webhook for a URL.
func hookAt(url string, framing Framing) *Config {
	c := DefaultConfig()
	c.URL, c.Framing, c.Body = setting.NewSecret(url), framing, "otlp_json"
	return &c
}

// arrivals is a receiver of the type webhook.
type arrivals struct {
	mu     sync.Mutex
	list   []*logs.LogsData
	header []http.Header
	bodies [][]byte
	errors []error
}

// take reads a request as its type says.
func (a *arrivals) take(r *http.Request) error {
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return err
		}
		in = z
	}
	content, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	records := []json.RawMessage{content}
	switch r.Header.Get("Content-Type") {
	case "application/x-ndjson":
		records = nil
		for line := range bytes.Lines(content) {
			records = append(records, line)
		}
	case "application/json":
		if bytes.HasPrefix(content, []byte("[")) {
			records = nil
			err = json.Unmarshal(content, &records)
		}
	default:
		err = fmt.Errorf("type %q", r.Header.Get("Content-Type"))
	}
	for _, text := range records {
		data := &logs.LogsData{}
		if err == nil {
			err = protojson.Unmarshal(text, data)
		}
		a.list = append(a.list, data)
	}
	a.header, a.bodies = append(a.header, r.Header), append(a.bodies, content)
	return err
}

func (a *arrivals) serve(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if err := a.take(r); err != nil {
			a.errors = append(a.errors, err)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() {
		for _, err := range a.errors {
			t.Error(err)
		}
	})
	return server.URL + "/hooks/one?team=kms"
}

func TestRecords(t *testing.T) {
	for _, framing := range []Framing{FramingSingle, FramingArray, FramingNDJSON} {
		for _, compression := range []httpsink.Compression{httpsink.CompressionNone, httpsink.CompressionGzip} {
			t.Run(fmt.Sprint(framing, " ", compression), func(t *testing.T) {
				sinktest.Run(t, func(t *testing.T) sinktest.Subject {
					a := &arrivals{}
					c := hookAt(a.serve(t), framing)
					c.Compression = compression
					s, err := c.Open(sink.Identity{})
					if err != nil {
						t.Fatal(err)
					}
					return sinktest.Subject{Sink: s, Arrived: func(*testing.T) []*logs.LogsData { return a.list }}
				})
			})
		}
	}
}

// TestSignature compares with the example of the specification's own libraries, and with a
// receiver that verifies what it gets.
func TestSignature(t *testing.T) {
	keys, err := parseKeys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := sign(keys[0], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
	file := filepath.Join(t.TempDir(), "key")
	secrets := []string{secretOf('a'), secretOf('b')}
	if err := os.WriteFile(file, []byte(secrets[0]+" "+secrets[1]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, framing := range []Framing{FramingSingle, FramingArray, FramingNDJSON} {
		a := &arrivals{}
		c := hookAt(a.serve(t), framing)
		c.SigningSecret, c.Compression = setting.SecretOf([]setting.Part{{File: file}}, "file", nil), httpsink.CompressionGzip
		s := opened(t, c)
		now := time.Unix(1_700_000_000, 0)
		s.format.(*genericFormat).now = func() time.Time { return now }
		for range 2 { // the second time as after an answer that was lost
			if err := s.Deliver(t.Context(), sinktest.Batch("a.1", "b\r\nx: y")); err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Hour)
		}
		n := len(a.header) / 2
		for i, h := range a.header {
			id, at := h.Get("webhook-id"), h.Get("webhook-timestamp")
			want := ""
			for _, secret := range secrets {
				keys, _ := parseKeys(secret)
				want = strings.TrimSpace(want + " " + sign(keys[0], id, at, a.bodies[i]))
			}
			if h.Get("webhook-signature") != want || id != a.header[i%n].Get("webhook-id") || strings.Contains(id, ".") {
				t.Errorf("%s: id %q, time %s, signature %q, want %q", framing, id, at, h.Get("webhook-signature"), want)
			}
			if wantAt := fmt.Sprint(1_700_000_000 + i/n*3600); at != wantAt {
				t.Errorf("%s: time %s, want %s", framing, at, wantAt)
			}
		}
		if framing == FramingSingle && (a.header[0].Get("webhook-id") != "a%2E1" || a.header[1].Get("webhook-id") != "b%0D%0Ax%3A%20y") {
			t.Errorf("ids %q and %q", a.header[0].Get("webhook-id"), a.header[1].Get("webhook-id"))
		}
	}
}

// TestTimeOfAttempt: the time in a request is that of the request, not of its batch: receivers
// refuse one that is minutes old.
func TestTimeOfAttempt(t *testing.T) {
	a := &arrivals{}
	s := opened(t, hookAt(a.serve(t), FramingSingle))
	s.format.(*genericFormat).now = func() time.Time {
		a.mu.Lock()
		defer a.mu.Unlock()
		return time.Unix(int64(len(a.header)*3600), 0)
	}
	if err := s.Deliver(t.Context(), sinktest.Batch("a", "b", "c")); err != nil {
		t.Fatal(err)
	}
	for i, h := range a.header {
		if got, want := h.Get("webhook-timestamp"), fmt.Sprint(i*3600); got != want {
			t.Errorf("request %d has the time %s, want %s", i, got, want)
		}
	}
}

// TestBlankSecret: a secret without a key never means requests without a signature.
func TestBlankSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &arrivals{}
	c := hookAt(a.serve(t), FramingSingle)
	c.SigningSecret = setting.SecretOf([]setting.Part{{File: file}}, "file", nil)
	if err := opened(t, c).Deliver(t.Context(), sinktest.Batch("a")); sinktest.Verdict(err) != "paused credentials" {
		t.Errorf("got %v with %d requests, want a pause", err, len(a.header))
	}
}

// secretOf returns a signing secret.
func secretOf(c byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{c}, 32))
}

// TestRecordID: two records have two ids, also without an id in the record.
func TestRecordID(t *testing.T) {
	seen := map[string]string{}
	for _, uid := range []string{"a", "a.b", "a_b", "a%2Eb", "a-b", "é", strings.Repeat("x", 300), strings.Repeat("x", 301), ""} {
		for offset := range int64(2) {
			r := &otellog.Record{}
			r.String(semconv.LogRecordUID, uid)
			id := recordID(r, &sink.Record{Topic: "kms.events", Partition: 3, Offset: offset})
			if other, had := seen[id]; had && (other != uid || uid == "") || len(id) > 1000 {
				t.Errorf("%q and %q have the id %s", uid, other, id)
			}
			seen[id] = uid
		}
	}
}

// TestBodies: each body that Validate allows is sent with its type.
func TestBodies(t *testing.T) {
	for _, name := range Bodies() {
		for _, framing := range []Framing{FramingSingle, FramingArray, FramingNDJSON} {
			var media string
			var content []byte
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				media = r.Header.Get("Content-Type")
				content, _ = io.ReadAll(r.Body)
			}))
			defer server.Close()
			c := hookAt(server.URL, framing)
			c.Body = name
			if c.Validate() != nil {
				if framing == FramingSingle || strings.HasSuffix(name, "json") {
					t.Errorf("%s %s: %v", name, framing, c.Validate())
				}
				continue
			}
			if err := opened(t, c).Deliver(t.Context(), sinktest.Batch("a")); err != nil || media == "" || len(content) == 0 {
				t.Errorf("%s %s: %v, type %q, %d bytes", name, framing, err, media, len(content))
			}
			if framing == FramingArray && !json.Valid(content) {
				t.Errorf("%s: %s", name, content)
			}
		}
	}
}

// TestNothingLost brings records and anomalies through a Runner to receivers that fail,
// refuse, and take messages whose answers are lost.
func TestNothingLost(t *testing.T) {
	for _, r := range receivers() {
		t.Run(r.name, func(t *testing.T) {
			h, s := one(t, r.name)
			h.answer = func(n int, content []byte) string {
				switch {
				case n%7 == 1:
					return "503 busy"
				case n%7 == 3:
					return "429 slow down"
				case n%11 == 5:
					return "x" // it takes the message, and the answer is lost
				case bytes.Contains(content, []byte("poison")):
					return "400 invalid_payload"
				}
				return ""
			}
			if f, ok := s.format.(*pagerDutyFormat); ok {
				f.pause = time.Millisecond
			}
			var batch []sink.Record
			for i := range 40 {
				f := finding{id: fmt.Sprintf("id-%02d", i), severity: "critical", reason: fmt.Sprintf("reason-%02d", i)}
				if i == 3 {
					f.reason, f.id = "poison", "poison"
				}
				batch = append(batch, f.record())
			}
			dead := bring(t, s, batch)
			if len(dead) != 1 || !strings.HasPrefix(dead[0], "poison invalid status 400: invalid_payload") {
				t.Errorf("dead letters %q", dead)
			}
			told := s.toldOf()
			if len(told.known) != 39 {
				t.Errorf("%d anomalies were told, want 39", len(told.known))
			}
		})
	}
}

// toldOf returns the memory of a sink for anomalies.
func (s *Sink) toldOf() *told {
	switch f := s.format.(type) {
	case *slackFormat:
		return &f.told
	case *teamsFormat:
		return &f.told
	case *pagerDutyFormat:
		return &f.told
	case *alertmanagerFormat:
		return &f.told
	}
	return nil
}

// TestPace: a message waits for the pause, and neither a revocation nor a stop waits for it.
func TestPace(t *testing.T) {
	h, s := one(t, "slack")
	s.pace = &pace{every: time.Hour}
	chain, err := sink.NewChain(sink.Options{Name: "x", Sink: s, Batch: sink.Batch{Records: 1, Bytes: 1 << 20},
		Retry: sink.DefaultRetry(), DeadLetter: func(context.Context, sink.Record, sink.Reason, error) error { return io.EOF }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- chain.Run(ctx, time.Hour) }()
	put := func(partition int32) {
		chain.Put("kms.anomalies", partition, []sink.Record{finding{id: fmt.Sprint(partition), severity: "high"}.record()}, 1)
	}
	put(0)
	for len(chain.Positions()) == 0 {
		time.Sleep(time.Millisecond)
	}
	put(1)
	time.Sleep(10 * time.Millisecond)
	within, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if at := chain.Revoke(within, map[string][]int32{"kms.anomalies": {1}}); within.Err() != nil || len(at) > 0 {
		t.Errorf("the revocation ends with %v and positions %v", within.Err(), at)
	}
	put(2)
	time.Sleep(10 * time.Millisecond)
	stop()
	if err := <-done; err != nil || len(h.taken) != 1 || len(chain.Positions()["kms.anomalies"]) != 1 {
		t.Errorf("got %v after %d messages, with positions %v", err, len(h.taken), chain.Positions())
	}
	s.pace.every = time.Millisecond
	s.pace.sent()
	if dead := bring(t, s, []sink.Record{finding{id: "2", severity: "high"}.record()}); dead != nil || len(h.taken) != 2 {
		t.Errorf("after the pause: %d messages, dead letters %q", len(h.taken), dead)
	}
}

// TestFlood: anomalies that come during the pause are one message, which counts all.
func TestFlood(t *testing.T) {
	for _, name := range []string{"slack", "teams"} {
		h, s := one(t, name)
		s.pace = &pace{every: 20 * time.Millisecond}
		chain, err := sink.NewChain(sink.Options{Name: "x", Sink: s, Batch: sink.Batch{Records: 1000, Bytes: 1 << 20},
			Retry: sink.DefaultRetry(), DeadLetter: func(context.Context, sink.Record, sink.Reason, error) error { return io.EOF }})
		if err != nil {
			t.Fatal(err)
		}
		const n = 500
		for i := range int64(n) {
			rec := finding{id: fmt.Sprint("id-", i), severity: "high", reason: "r"}.record()
			rec.Offset = i
			chain.Put("kms.anomalies", 0, []sink.Record{rec}, i+1)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- chain.Run(ctx, time.Minute) }()
		for chain.Positions()["kms.anomalies"][0] < n {
			time.Sleep(time.Millisecond)
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(s.toldOf().known) != n || len(h.taken) > 2 || !bytes.Contains(h.taken[len(h.taken)-1], []byte("keytrail explain --list")) {
			t.Errorf("%s: %d anomalies in %d messages, the last %s", name, len(s.toldOf().known), len(h.taken), h.taken[len(h.taken)-1])
		}
	}
}
