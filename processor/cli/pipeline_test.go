package cli_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/generate"
	"keytrail/processor/internal/oracle"
)

// trail is the input of the pipeline's tests.
type trail struct {
	records [][]byte          // CloudTrail records in the order of their delivery
	want    map[string]string // the oracle's windows
	ids     map[string]bool   // of the events that concern KMS or a trail
	began   time.Time
	closer  [][]byte
}

// newTrail generates a trail of about n events in 40 hours, a tenth of them twice.
func newTrail(t *testing.T, seed uint64, events int) *trail {
	t.Helper()
	return trailOf(t, seed, events, 40*time.Hour)
}

// trailOf generates a trail of some hours, which ended four to ten hours ago.
func trailOf(t *testing.T, seed uint64, events int, length time.Duration) *trail {
	t.Helper()
	began := time.Now().UTC().Add(-length - min(10*time.Hour, 4*time.Hour+length/2)).Truncate(time.Hour)
	g, err := generate.New(generate.Config{Seed: seed, Start: began, Duration: length, Events: events, DuplicateShare: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	var all []generate.Event
	for e := range g.Events() {
		e.JSON = slices.Clone(e.JSON)
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b generate.Event) int { return a.Delivered.Compare(b.Delivered) })
	judge, err := oracle.New(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trail{ids: map[string]bool{}, began: began}
	for _, e := range all {
		tr.records = append(tr.records, e.JSON)
		judge.AddRecord(e.JSON)
		if !filterable(t, e.JSON) {
			_, id, _ := strings.Cut(string(e.JSON), `"eventID":"`)
			id, _, _ = strings.Cut(id, `"`)
			tr.ids[id] = true
		}
	}
	tr.want = rowTexts(judge.Result())
	tr.closer = [][]byte{[]byte(event("closer", "closer", began.Add(length+3*time.Hour)))}
	return tr
}

// isCloser reports whether a window belongs to the event that only advances time: it is
// hours younger than the trail, so all of the trail's windows close.
func isCloser(window string) bool { return strings.Contains(window, "/closer") }

// pipelineConfig is a configuration with few partitions and short times. With its long
// lateness no order of arrival makes a call late, so the final windows must equal the
// oracle's, whatever happens.
const pipelineConfig = `kafka:
  brokers: [%q]
  partitions: {events: 4, partials: 2}
window: {size: 1h, allowed_lateness: 60h, idle_after: 1s}
commit: {interval: 50ms, records: 300}
sinks:
%s`

const fileSink = "  - {name: archive, type: file, path: \"${ARCHIVE}\", fsync: false, from: earliest, take: {windows: all}}\n"

func otlpSink(url string) string {
	return fmt.Sprintf("  - {name: siem, type: otlp, endpoint: %q, from: earliest, take: {windows: all}, retry: {base: 100ms, cap: 200ms}}\n", url)
}

// config writes a configuration for b and returns its path.
func (b *broker) config(t *testing.T, sinks ...string) string {
	t.Helper()
	return write(t, inTemp(t, "keytrail.yaml"), fmt.Sprintf(pipelineConfig, b.address, strings.Join(sinks, "")))
}

// run starts "keytrail run" with a file for its file sink.
func run(t *testing.T, config, archive string, more ...string) *process {
	t.Helper()
	return startWith(t, []string{"ARCHIVE=" + archive}, nil, nil, append([]string{"run", "-c", config}, more...)...)
}

// inTemp returns a path of a file in its own folder.
func inTemp(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(t.TempDir(), name)
}

// ready waits until the process has its topics.
func (p *process) ready(t *testing.T) {
	t.Helper()
	until(t, "the pipeline runs", func() bool {
		select {
		case <-p.done:
			t.Fatal("the pipeline ended at its start")
		default:
		}
		return strings.Contains(p.stderr.String(), "the pipeline runs")
	})
}

// arrivals counts the records of a sink: event ids, window ids and anomaly ids.
type arrivals struct {
	mu                         sync.Mutex
	events, windows, anomalies map[string]int
	requests                   int
}

func newArrivals() *arrivals {
	return &arrivals{events: map[string]int{}, windows: map[string]int{}, anomalies: map[string]int{}}
}

func (a *arrivals) add(r record) {
	switch r.EventName {
	case windowEvent:
		a.windows[r.str("keytrail.window.id")]++
	case anomalyEvent:
		a.anomalies[r.str("keytrail.anomaly.id")]++
	default:
		a.events[r.str("log.record.uid")]++
	}
}

// missing returns a part of the trail that has not arrived, or "".
func (a *arrivals) missing(tr *trail) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range tr.ids {
		if a.events[id] == 0 {
			return fmt.Sprintf("%d of %d events, event %s not", len(a.events), len(tr.ids), id)
		}
	}
	if len(a.windows) < len(tr.want) {
		return fmt.Sprintf("%d of %d windows", len(a.windows), len(tr.want))
	}
	return ""
}

// gets waits until the whole trail has arrived, and all anomalies in the broker's topic.
func (a *arrivals) gets(t *testing.T, b *broker, tr *trail) {
	t.Helper()
	last := ""
	defer func() {
		if t.Failed() {
			t.Log("arrived: ", last)
		}
	}()
	until(t, "everything has arrived at the sink", func() bool {
		last = a.missing(tr)
		return last == ""
	})
	until(t, "all anomalies have arrived at the sink", func() bool {
		arrived := 0
		want := b.anomalies(t)
		a.mu.Lock()
		defer a.mu.Unlock()
		for id := range want {
			if a.anomalies[id] > 0 {
				arrived++
			}
		}
		last = fmt.Sprintf("%d of %d anomalies", arrived, len(want))
		return arrived == len(want) && arrived >= 5
	})
	a.mu.Lock()
	got := maps.Clone(a.anomalies)
	a.mu.Unlock()
	want := b.anomalies(t) // read last: anomalies may be added, but not removed
	for id := range got {
		if !want[id] {
			t.Errorf("anomaly %s is at the sink and not in the topic", id)
		}
	}
}

// anomalies returns the ids in the broker's topic.
func (b *broker) anomalies(t *testing.T) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	for _, r := range b.committed(t, "kms.anomalies").records {
		ids[newRecord(r).str("keytrail.anomaly.id")] = true
	}
	return ids
}

// collector is an OTLP/HTTP receiver that decodes with OpenTelemetry's own types.
func collector(t *testing.T, l net.Listener) (*arrivals, *httptest.Server) {
	t.Helper()
	a := newArrivals()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request collectorpb.ExportLogsServiceRequest
		zip, err := gzip.NewReader(r.Body)
		if err == nil {
			var body []byte
			if body, err = io.ReadAll(zip); err == nil {
				err = proto.Unmarshal(body, &request)
			}
		}
		if err != nil || r.URL.Path != "/v1/logs" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("a request to %s that is none: %v", r.URL, err)
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.requests++
		for _, one := range request.ResourceLogs {
			for _, scope := range one.ScopeLogs {
				for _, rec := range scope.LogRecords {
					a.add(newRecord(rec))
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	if l != nil {
		s.Listener.Close()
		s.Listener = l
	}
	s.Start()
	t.Cleanup(s.Close)
	return a, s
}

// archived reads a file sink's output so far. The batch being written may be incomplete.
func archived(t *testing.T, paths ...string) *arrivals {
	t.Helper()
	a := newArrivals()
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines(string(text[:bytes.LastIndexByte(text, '\n')+1])) {
			_, rec := parse(t, line)
			a.add(rec)
		}
	}
	return a
}

// wholeLines checks the files of processes that have ended.
func wholeLines(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if text, err := os.ReadFile(path); err != nil || len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
			t.Errorf("%s does not end with a whole line (%v)", filepath.Base(path), err)
		}
	}
}
