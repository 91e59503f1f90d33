package telemetry

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// probe requests ReadyPath.
func probe(h *Health, target, accept string) (int, string, string) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("Accept", accept)
	h.serveReady(w, r)
	return w.Code, w.Body.String(), w.Header().Get("Content-Type")
}

func TestHealth(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	h := NewHealth()
	h.now = func() time.Time { return now }
	want := func(code int, text string) {
		t.Helper()
		if gotCode, got, kind := probe(h, ReadyPath, ""); gotCode != code || got != text || !strings.HasPrefix(kind, "text/plain") {
			t.Errorf("got %d (%s)\n%swant %d\n%s", gotCode, kind, got, code, text)
		}
	}
	want(200, "")
	count, siem := h.Part("stage count"), h.Part("sink siem")
	siem.Outside()
	if h.Part("stage count") != count {
		t.Error("a part is made twice")
	}
	want(200, "stage count: ready\nsink siem: ready\n")
	count.Report(Restoring, "partition %d", 3)
	now = now.Add(time.Minute)
	siem.Report(SinkPaused, "status 401\r\n\x1b[31m\u202eno")
	now = now.Add(time.Minute)
	siem.Report(SinkPaused, "status 403") // the start stays
	siem.Report(LagUnknown, "nobody knows")
	want(503, "stage count: not ready: restoring since 2026-11-30T09:00:00Z: partition 3\n"+
		"sink siem: degraded: paused since 2026-11-30T09:01:00Z: status 403; lag_unknown since 2026-11-30T09:02:00Z: nobody knows\n")
	count.Clear(Restoring)
	count.Clear(Restoring)
	want(200, "stage count: ready\n"+
		"sink siem: degraded: paused since 2026-11-30T09:01:00Z: status 403; lag_unknown since 2026-11-30T09:02:00Z: nobody knows\n")
	siem.Clear(LagUnknown)

	for target, accept := range map[string]string{ReadyPath + "?format=json": "", ReadyPath: "text/html, application/json;q=0.9"} {
		code, body, kind := probe(h, target, accept)
		var answer struct {
			Ready, Degraded bool
			Parts           []State
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || code != 200 || kind != "application/json" || !answer.Ready || !answer.Degraded || len(answer.Parts) != 2 ||
			answer.Parts[0].Degraded || !answer.Parts[1].Degraded || answer.Parts[1].Troubles[0].Condition != SinkPaused || answer.Parts[1].Troubles[0].Detail != "status 403" {
			t.Errorf("%s, Accept %q: %d %s %s (%v)", target, accept, code, kind, body, err)
		}
	}
	siem.Clear(SinkPaused)
	want(200, "stage count: ready\nsink siem: ready\n")

	// Expired records show for an hour, as nothing else ends the condition.
	siem.Report(Expired, "7 records")
	now = now.Add(expiredFor - time.Second)
	want(200, "stage count: ready\nsink siem: degraded: expired since 2026-11-30T09:02:00Z: 7 records\n")
	now = now.Add(time.Second)
	want(200, "stage count: ready\nsink siem: ready\n")

	// Some conditions keep the process from its own work, depending on the part.
	for _, c := range []Condition{Starting, CatchingUp, Restoring, Failing, KafkaAway, SinkPaused, LagUnknown, Expired} {
		for p, hinders := range map[*Part]bool{count: c != SinkPaused && c != LagUnknown && c != Expired, siem: c == Starting} {
			p.Report(c, "why")
			if _, ready := h.States(); ready == hinders {
				t.Errorf("%s with %s: ready %v", p.name, c, ready)
			}
			p.Clear(c)
		}
	}

	// Quoted text stays on its line, and is bounded.
	siem.Report(Failing, "a\nkafka: ready\x1b[0m\u0085\u202e%s", strings.Repeat("x", 10_000))
	_, text, _ := probe(h, ReadyPath, "")
	if strings.Count(text, "\n") != 2 || strings.ContainsAny(text, "\x1b\u0085\u202e") || len(text) > 1000 {
		t.Errorf("the probe answers %q", text)
	}
}

func TestProbesAreServed(t *testing.T) {
	tel := start(t, listening("127.0.0.1:0"))
	get := func(path string) int {
		t.Helper()
		resp, err := http.Get("http://" + tel.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	tel.Health().Part("kafka").Report(KafkaAway, "refused")
	if ready, healthy, live := get(ReadyPath), get(HealthPath), get(LivePath); ready != 503 || healthy != 200 || live != 200 {
		t.Errorf("with Kafka away: %d, %d and %d, want 503 and 200", ready, healthy, live)
	}
	tel.Health().Part("kafka").Clear(KafkaAway)
	if ready := get(ReadyPath); ready != 200 {
		t.Errorf("with Kafka there: %d", ready)
	}
}
