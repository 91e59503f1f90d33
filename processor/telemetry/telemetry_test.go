package telemetry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func start(t *testing.T, c Config) *Telemetry {
	t.Helper()
	tel, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tel
}

// scrape returns the handler's metrics, in Prometheus' text format.
func scrape(t *testing.T, tel *Telemetry) string {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, Path, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// ours returns the lines of Keytrail's own metrics, without comments.
func ours(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "keytrail_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// listening returns a Config that serves metrics on an address.
func listening(address string) Config {
	c := DefaultConfig()
	c.Listen = address
	return c
}

// use counts once with every instrument.
func use(t *testing.T, tel *Telemetry) {
	t.Helper()
	count := tel.Flow("count", "")
	count.Received(10)
	count.Delivered(4)
	count.DeadLettered("late", 1)
	count.DeadLettered("bad_time", 1)
	count.Filtered("other_service", 2)
	count.Duplicate(1)
	count.Late(1)
	count.Unmatched(3)
	count.Unexplained(2)
	count.Uncorrelated(4)
	count.Committed()
	count.Committed()
	count.Aborted()
	tel.Flow("forward", "siem").Received(3)
	tel.Flow("forward", "siem").Delivered(3) // a second Flow of the same names
	sink := tel.Sink("siem")
	sink.Delivered(3)
	sink.Retried(7)
	sink.Rejected("partial_success", 1)
	tel.WindowsPublished("final", 5)
	tel.AnomaliesPublished("rate", 2)
	l, err := tel.Lag("count", "")
	if err != nil {
		t.Fatal(err)
	}
	l.Set(17, time.Unix(1_795_000_000, 0))
	w, err := tel.Watermark("detect")
	if err != nil {
		t.Fatal(err)
	}
	w.Set(time.Now().Add(-time.Hour).UnixNano())
	tel.Rules("0123456789abcdef")
	tel.RulesDiffer(2)
	tel.Reloaded(false)
}

func TestMetrics(t *testing.T) {
	tel := start(t, DefaultConfig())
	use(t, tel)
	text := scrape(t, tel)
	want := map[string]bool{}
	for _, line := range []string{
		`keytrail_stage_received_total{stage="count"} 10`,
		`keytrail_stage_received_total{sink="siem",stage="forward"} 3`,
		`keytrail_stage_delivered_total{stage="count"} 4`,
		`keytrail_stage_delivered_total{sink="siem",stage="forward"} 3`,
		`keytrail_stage_dead_lettered_total{reason="bad_time",stage="count"} 1`,
		`keytrail_stage_dead_lettered_total{reason="late",stage="count"} 1`,
		`keytrail_stage_filtered_total{reason="other_service",stage="count"} 2`,
		`keytrail_stage_duplicate_total{stage="count"} 1`,
		`keytrail_stage_late_total{stage="count"} 1`,
		`keytrail_stage_unmatched_total{stage="count"} 3`,
		`keytrail_stage_unexplained_total{stage="count"} 2`,
		`keytrail_stage_uncorrelated_total{stage="count"} 4`,
		`keytrail_stage_transactions_total{outcome="aborted",stage="count"} 1`,
		`keytrail_stage_transactions_total{outcome="committed",stage="count"} 2`,
		`keytrail_stage_lag{stage="count"} 17`,
		`keytrail_stage_lag_timestamp_seconds{stage="count"} 1.795e+09`,
		`keytrail_sink_delivered_total{sink="siem"} 3`,
		`keytrail_sink_retried_total{sink="siem"} 7`,
		`keytrail_sink_rejected_total{reason="partial_success",sink="siem"} 1`,
		`keytrail_window_published_total{state="final"} 5`,
		`keytrail_anomaly_published_total{kind="rate"} 2`,
		`keytrail_config_reload_refused 1`,
		`keytrail_config_reloads_total{outcome="applied"} 0`,
		`keytrail_config_reloads_total{outcome="refused"} 1`,
		`keytrail_rules_differing_processes 2`,
		`keytrail_rules_info{digest="0123456789abcdef"} 1`,
	} {
		want[line] = true
	}
	lag := `keytrail_stage_watermark_lag_seconds{stage="detect"} `
	for _, line := range ours(text) {
		if strings.HasPrefix(line, "keytrail_config_applied_timestamp_seconds ") {
			continue
		}
		if seconds, ok := strings.CutPrefix(line, lag); ok {
			var got float64
			if _, err := fmt.Sscan(seconds, &got); err != nil || got < 3600 {
				t.Errorf("the watermark's lag is %s, want an hour or more", seconds)
			}
			want[lag] = true
		} else if !want[line] {
			t.Errorf("not expected: %s", line)
		}
		delete(want, line)
	}
	if !want[lag] || len(want) != 1 {
		t.Errorf("missing: %v, in:\n%s", want, strings.Join(ours(text), "\n"))
	}
}

// TestNames runs Prometheus' linter on the names, units and help texts.
func TestNames(t *testing.T) {
	tel := start(t, DefaultConfig())
	use(t, tel)
	problems, err := promlint.New(strings.NewReader(scrape(t, tel))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "keytrail_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestNoWatermark(t *testing.T) {
	tel := start(t, DefaultConfig())
	if _, err := tel.Watermark("detect"); err != nil {
		t.Fatal(err)
	}
	if _, err := tel.Lag("detect", ""); err != nil {
		t.Fatal(err)
	}
	if text := scrape(t, tel); strings.Contains(text, "_lag{") || strings.Contains(text, "watermark_lag_seconds{") {
		t.Errorf("a stage without a watermark, or that has not asked, has a lag:\n%s", text)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	tel := start(t, DefaultConfig())
	f := tel.Flow("count", "")
	for i := range 3 * maxLabels {
		f.DeadLettered(fmt.Sprint("reason", i), 1)
	}
	lines, other := 0, false
	for _, line := range ours(scrape(t, tel)) {
		if !strings.HasPrefix(line, "keytrail_stage_") {
			continue
		}
		lines++
		other = other || line == fmt.Sprintf(`keytrail_stage_dead_lettered_total{reason="other",stage="count"} %d`, 2*maxLabels)
	}
	if lines != maxLabels+1 || !other {
		t.Errorf("%d reasons are kept apart (and the rest together: %v), want %d", lines, other, maxLabels+1)
	}
}

func TestBalances(t *testing.T) {
	tel := start(t, DefaultConfig())
	use(t, tel)
	for i, name := range []string{"lake", "queue"} { // sources
		tel.Flow(StageCollect, name).Received(5 + i)
	}
	balances, err := tel.Balances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Balance{
		{Stage: "collect", Part: "lake", Received: 5}, {Stage: "collect", Part: "queue", Received: 6},
		{Stage: "count", Received: 10, Delivered: 4, DeadLettered: 2, Filtered: 2, Duplicate: 1,
			Reasons: map[string]int64{"bad_time": 1, "late": 1}},
		{Stage: "forward", Part: "siem", Received: 3, Delivered: 3},
	}
	if fmt.Sprint(balances) != fmt.Sprint(want) {
		t.Fatalf("got %+v, want %+v", balances, want)
	}
	if err := balances[2].Check(1); err != nil {
		t.Error(err)
	}
	if err := balances[3].Check(0); err != nil {
		t.Error(err)
	}
	err = balances[2].Check(0)
	if err == nil || !strings.Contains(err.Error(), "in flight 1; want 0") {
		t.Errorf("got %v, want an error about the record in flight", err)
	}
}

// TestConcurrentUse checks for data races and lost counts.
func TestConcurrentUse(t *testing.T) {
	tel := start(t, DefaultConfig())
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			f := tel.Flow("count", "")
			for j := range 250 {
				f.Received(2)
				f.Delivered(1)
				f.DeadLettered(fmt.Sprint("reason", (i+j)%3), 1)
				if j%50 == 0 {
					if _, err := tel.Balances(context.Background()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	balances, err := tel.Balances(t.Context())
	if err != nil || len(balances) != 1 || balances[0].Received != 2000 || balances[0].Check(0) != nil {
		t.Errorf("got %+v, %v; want 2000 received and none in flight", balances, err)
	}
}

func TestServer(t *testing.T) {
	tel := start(t, listening("127.0.0.1:0"))
	use(t, tel)
	get := func(method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+tel.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	code, body := get(http.MethodGet, Path)
	if code != http.StatusOK || len(ours(body)) == 0 || !strings.Contains(body, "go_goroutines") {
		t.Errorf("status %d, %d lines of ours, want them and the runtime's:\n%s", code, len(ours(body)), body)
	}
	if code, _ := get(http.MethodPost, Path); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d, want 405", code)
	}
	if code, _ := get(http.MethodGet, "/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("another path: status %d, want 404", code)
	}
	// the address is taken
	_, err := New(t.Context(), listening(tel.Addr().String()))
	if err == nil || !strings.Contains(err.Error(), "telemetry.listen") {
		t.Errorf("got %v, want an error that names telemetry.listen", err)
	}
	// after the end
	address := tel.Addr().String()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if answer, err := http.Get("http://" + address + Path); err == nil {
		_ = answer.Body.Close()
		t.Error("the server answers after Shutdown")
	}
	tel.Flow("count", "").Received(1)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
}

func TestConfig(t *testing.T) {
	f := func(listen string, valid bool) {
		t.Helper()
		if err := listening(listen).Validate(); (err == nil) != valid {
			t.Errorf("listen %q: %v, want valid: %v", listen, err, valid)
		}
	}
	f("", true)
	f("127.0.0.1:9464", true)
	f("localhost:9464", true)
	f("[::1]:0", true)
	f(":9464", false)
	f("9464", false)
	f("127.0.0.1:http", false)
	f("127.0.0.1:70000", false)
	if _, err := New(t.Context(), listening("x")); err == nil {
		t.Error("New takes an address that Validate refuses")
	}
}

// TestBegin: the counters that alerts watch begin at 0, so that the first count is an
// increase.
func TestBegin(t *testing.T) {
	tel := start(t, DefaultConfig())
	f := tel.Flow("count", "")
	f.Begin("late")
	f.BeginTransactions()
	lines := strings.Join(ours(scrape(t, tel)), "\n")
	for _, name := range []string{"expired", "restarts", "late", "unmatched", "uncorrelated"} {
		if want := "keytrail_stage_" + name + `_total{stage="count"} 0`; !strings.Contains(lines, want) {
			t.Errorf("no series %s in\n%s", want, lines)
		}
	}
}
