package splunkhec

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/processor/sink/sinktest"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

func TestConformance(t *testing.T) {
	for _, ack := range []Ack{AckRequire, AckOff} {
		for _, compression := range []httpsink.Compression{httpsink.CompressionGzip, httpsink.CompressionNone} {
			t.Run(fmt.Sprint(ack, compression), func(t *testing.T) {
				sinktest.Run(t, func(t *testing.T) sinktest.Subject {
					h := newStandIn(t)
					s := h.open(t, func(c *Config) { c.Ack, c.Compression = ack, compression })
					return sinktest.Subject{Sink: s, Arrived: h.arrived}
				})
			})
		}
	}
}

// meaning is the table of the documentation: for each code its status, and what the sink
// does with a batch. It is written apart from codes.
var meaning = [28]struct {
	status int
	want   string
}{
	{200, "taken"}, {403, "pause credentials"}, {401, "pause credentials"}, {401, "pause credentials"},
	{403, "pause credentials"}, {400, "pause protocol"}, {400, "halve invalid"}, {400, "pause address"},
	{500, "retry"}, {503, "retry"}, {400, "pause protocol"}, {400, "pause protocol"},
	{400, "halve invalid"}, {400, "halve invalid"}, {400, "pause protocol"}, {400, "halve invalid"},
	{400, "pause credentials"}, {200, "pause protocol"}, {503, "retry"}, {503, "retry"},
	{503, "retry"}, {400, "pause credentials"}, {400, "pause credentials"}, {503, "retry"},
	{200, "taken"}, {200, "taken"}, {429, "retry"}, {429, "retry"},
}

// TestCodes: each code has its meaning, with its own status and with others that a proxy may
// give it, and an error names the code and the words of the receiver.
func TestCodes(t *testing.T) {
	if len(codes) != len(meaning) {
		t.Fatalf("%d codes, want %d", len(codes), len(meaning))
	}
	for code, m := range meaning {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			h := newStandIn(t)
			s := h.open(t, func(c *Config) { c.Ack = AckOff })
			status := m.status
			h.answer = func(int) string {
				return fmt.Sprintf(`%d {"text":"the words","code":%d,"invalid-event-number":1}`, status, code)
			}
			err := s.Deliver(t.Context(), sinktest.Batch("a", "b", "c"))
			if got := kind(err); got != m.want {
				t.Errorf("got %q (%v), want %q", got, err, m.want)
			}
			if err != nil && (!strings.Contains(err.Error(), "the words") || !strings.Contains(err.Error(), fmt.Sprint("status ", status))) {
				t.Errorf("%v does not name the status and the words", err)
			}
			// Only a status of success is one.
			for _, status = range []int{200, 400, 503} {
				got := kind(s.Deliver(t.Context(), sinktest.Batch("a", "b")))
				if taken := m.want == "taken"; (got == "taken") != (taken && status == 200) {
					t.Errorf("with status %d: got %q", status, got)
				}
			}
		})
	}
	for code := range 40 {
		h := newStandIn(t)
		h.health = fmt.Sprintf(`503 {"text":"x","code":%d}`, code)
		err := h.open(t, nil).Deliver(t.Context(), sinktest.Batch("a"))
		if strings.HasPrefix(kind(err), "halve") {
			t.Errorf("code %d of the health endpoint rejects records: %v", code, err)
		}
	}
}

// TestCodesToTheEnd drives a Runner over a batch with one event that the receiver refuses
// with each code. Only a code about an event sends it to the dead letter, and it alone. For
// every other code all is delivered once the receiver takes the event.
func TestCodesToTheEnd(t *testing.T) {
	for code, m := range meaning {
		h := newStandIn(t)
		s := h.open(t, func(c *Config) { c.Ack, c.Compression = AckOff, httpsink.CompressionNone })
		refusals := 0
		h.answer = func(int) string {
			// The stand-in has parsed the request; its size shows the poison.
			if refusals >= 20 || h.requests[len(h.requests)-1] < 1<<16 {
				return ""
			}
			refusals++
			return fmt.Sprintf(`%d {"text":"refused","code":%d}`, m.status, code)
		}
		poison := strings.Repeat("p", 1<<16)
		dead := deliver(t, s, []string{"a", "b", poison, "c", "d"})
		got := h.ids()
		slices.Sort(got)
		got = slices.Compact(got)
		switch {
		case strings.HasPrefix(m.want, "halve"):
			if len(dead) != 1 || !strings.HasPrefix(dead[0], "p") || !slices.Equal(got, []string{"a", "b", "c", "d"}) {
				t.Errorf("code %d: %d dead letters, %d events arrived; want the poison and the 4 others", code, len(dead), len(got))
			}
		case m.want != "taken":
			if len(dead) > 0 || len(got) != 5 {
				t.Errorf("code %d: %d dead letters, %d events arrived; want 0 and 5", code, len(dead), len(got))
			}
		}
	}
}

// deliver brings records with the given ids through a Runner and returns the dead letters.
func deliver(t *testing.T, s sink.Sink, ids []string) (dead []string) {
	t.Helper()
	dead, err := run(t, s, ids)
	if err != nil {
		t.Fatal(err)
	}
	return dead
}

func TestEvent(t *testing.T) {
	h := newStandIn(t)
	s := h.open(t, func(c *Config) {
		c.Body, c.Index, c.Host, c.Source, c.Sourcetype = "json", "kms", `a"b`, "kt", "keytrail:x"
	})
	var batch []sink.Record
	for _, name := range []string{"aws.kms.api_call", semconv.EventKeytrailWindow, semconv.EventKeytrailAnomaly} {
		r := &otellog.Record{EventName: name, Time: 1_767_225_600_000_001_999}
		r.String(semconv.LogRecordUID, "e\"1")
		r.String(semconv.KeytrailWindowID, "w")
		r.String(semconv.KeytrailAnomalyID, "a")
		r.Int(semconv.KeytrailWindowRevision, 7)
		batch = append(batch, sink.Record{Value: otellog.AppendRequest(nil, r)})
	}
	batch = append(batch, sink.Record{Value: otellog.AppendRequest(nil, &otellog.Record{EventName: "none"})})
	if err := s.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{`map[event_id:e"1]`, "map[revision:7 window_id:w]", "map[anomaly_id:a]", "map[]"} {
		e := h.events[i]
		if got := fmt.Sprint(e.Fields); got != want {
			t.Errorf("event %d: fields %s, want %s", i, got, want)
		}
		if e.Index != "kms" || e.Host != `a"b` || e.Source != "kt" || e.Sourcetype != "keytrail:x" {
			t.Errorf("event %d: metadata %+v", i, e)
		}
		wantTime := "1767225600.000001"
		if i == 3 {
			wantTime = ""
		}
		if e.Time.String() != wantTime {
			t.Errorf("event %d: time %s, want %s", i, e.Time, wantTime)
		}
		// The body keeps the nanoseconds, and none of its names is that of an id.
		if i < 3 && !strings.Contains(string(e.Event), `"2026-01-01T00:00:00.000001999Z"`) {
			t.Errorf("event %d: %s lacks the time in ns", i, e.Event)
		}
		for _, name := range []string{`"event_id"`, `"window_id"`, `"anomaly_id"`, `"revision"`} {
			if strings.Contains(string(e.Event), name) {
				t.Errorf("event %d: the body has %s too, which would have two values", i, name)
			}
		}
	}
}

// TestDefaults: what is not configured is left to Splunk.
func TestDefaults(t *testing.T) {
	h := newStandIn(t)
	s := h.open(t, func(c *Config) { c.Body = "json" })
	if err := s.Deliver(t.Context(), sinktest.Batch("a")); err != nil {
		t.Fatal(err)
	}
	if e := h.events[0]; e.Index != "" || e.Host != "" || e.Source != "keytrail" || e.Sourcetype != "keytrail:json" {
		t.Errorf("metadata %+v", e)
	}
}

// TestRequests: requests stay below the bound, a larger event has its own request, and
// the requests before one that fails are not sent again.
func TestRequests(t *testing.T) {
	h := newStandIn(t)
	s := h.open(t, nil)
	if s.most != MaxRequest {
		t.Errorf("requests have up to %d bytes", s.most)
	}
	s.most = 16 << 10
	var want []string
	for i, size := range []int{100, s.most / 4, s.most / 4, 200, 2 * s.most, 300, 400} { // an id stands twice in its event
		want = append(want, strings.Repeat(string(rune('a'+i)), size))
	}
	failed := false
	h.answer = func(n int) string {
		if n == 3 && !failed {
			failed = true
			return `503 {"text":"Server is busy","code":9}`
		}
		return ""
	}
	if dead := deliver(t, s, want); len(dead) > 0 {
		t.Errorf("%d dead letters", len(dead))
	}
	if got := h.ids(); !slices.Equal(got, want) {
		t.Errorf("%d events arrived, want %d in order, once", len(got), len(want))
	}
	for i, size := range h.requests {
		if size > s.most && h.counts[i] > 1 {
			t.Errorf("request %d has %d bytes of %d events", i, size, h.counts[i])
		}
	}
}

// TestUndecodable: a value that is not a log record is refused alone.
func TestUndecodable(t *testing.T) {
	h := newStandIn(t)
	batch := sinktest.Batch("a", "b", "c")
	batch[1].Value = []byte("\x0a\xff\xff\xff\x7f")
	err := h.open(t, nil).Deliver(t.Context(), batch)
	if kind(err) != "retry" || !strings.Contains(err.Error(), "refused 1 records (invalid)") {
		t.Errorf("got %v", err)
	}
	if got := h.ids(); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("%q arrived", got)
	}
}

// TestHealth: a receiver that says it is full gets no events.
func TestHealth(t *testing.T) {
	h := newStandIn(t)
	s := h.open(t, nil)
	for health, want := range map[string]string{
		`503 {"text":"HEC is unhealthy, queues are full","code":18}`:                          "retry",
		`503 {"text":"HEC is unhealthy, ack service unavailable","code":19}`:                  "retry",
		`503 {"text":"HEC is unhealthy, queues are full, ack service unavailable","code":20}`: "retry",
		`503 {"text":"Server is shutting down","code":23}`:                                    "retry",
		`400 {"text":"Invalid token","code":21}`:                                              "pause credentials",
	} {
		h.health = health
		if err := s.Deliver(t.Context(), sinktest.Batch("a")); kind(err) != want {
			t.Errorf("%s: got %v, want %s", health, err, want)
		}
	}
	if len(h.requests) > 0 {
		t.Errorf("%d requests with events", len(h.requests))
	}
	for _, health := range []string{`404 not found`, `200 {"text":"HEC is healthy","code":17}`} {
		h.health = health
		s.ready.Store(false)
		if err := s.Deliver(t.Context(), sinktest.Batch("a")); err != nil {
			t.Errorf("%s: %v", health, err)
		}
	}
}

// TestToken: a wrong token pauses the sink, and a token in a file is read again.
func TestToken(t *testing.T) {
	h := newStandIn(t)
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("wrong-and-secret")
	s := h.open(t, func(c *Config) {
		c.Token = setting.SecretOf([]setting.Part{{File: file}}, "file", nil)
	})
	err := s.Deliver(t.Context(), sinktest.Batch("a"))
	if kind(err) != "pause credentials" || strings.Contains(err.Error(), "wrong-and-secret") || len(h.requests) > 0 {
		t.Errorf("got %v after %d requests with events", err, len(h.requests))
	}
	write(testToken)
	if err := s.Deliver(t.Context(), sinktest.Batch("a")); err != nil {
		t.Error(err)
	}
}

// TestNotHEC: an answer with success that is not one of HEC delivers nothing.
func TestNotHEC(t *testing.T) {
	for _, said := range []string{`200 `, `200 <html>log in</html>`, `200 {}`, `200 {"acks":{"0":true}}`, `204 `, `200 {"code":"0"}`,
		`200 {"code":17}`, `200 {"code":99}`, `200 {"code":-1}`} {
		for _, ack := range []Ack{AckRequire, AckOff} {
			h := newStandIn(t)
			s := h.open(t, func(c *Config) { c.Ack = ack })
			h.answer = func(int) string { return said }
			if err := s.Deliver(t.Context(), sinktest.Batch("a")); kind(err) != "pause protocol" {
				t.Errorf("%s: %q gives %v", ack, said, err)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"token: is missing":                      func(c *Config) { c.Token = setting.Secret{} },
		"ack: \"maybe\" is not allowed":          func(c *Config) { c.Ack = "maybe" },
		"ack_timeout: 0s is out of range":        func(c *Config) { c.AckTimeout = 0 },
		"body: \"otlp\" is not allowed":          func(c *Config) { c.Body = "otlp" },
		"ends with /services/collector":          func(c *Config) { c.Endpoint += "/services/collector" },
		"headers.authorization: this header":     func(c *Config) { c.Headers = map[string]setting.Secret{"authorization": setting.NewSecret("x")} },
		"leads beyond this machine without TLS;": func(c *Config) { c.Endpoint = "http://splunk.example:8088" },
	} {
		c := DefaultConfig()
		c.Endpoint, c.Token = "http://127.0.0.1:8088", setting.NewSecret("x")
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if http.CanonicalHeaderKey("x-splunk-request-channel") != "X-Splunk-Request-Channel" {
		t.Error("the header of the channel is not canonical")
	}
}

// TestTurn: each request is one Deliver if the turn is over.
func TestTurn(t *testing.T) {
	h := newStandIn(t)
	s := h.open(t, func(c *Config) { c.Ack = AckOff })
	s.turn, s.most = 0, 1000
	sinktest.Turns(t, s, []string{"a", "b", "c", "d", "e", "f", "g", "h"}, h.ids)
}
