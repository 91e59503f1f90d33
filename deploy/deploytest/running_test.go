package deploytest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// The addresses that docker-compose.yml publishes.
const (
	publishedKafka = "127.0.0.1:9092"
	publishedSIEM  = "http://127.0.0.1:9200"
)

// runningTrail returns the folder of the live trail of a running docker-compose.yml.
// scripts/compose-test names it; otherwise the test is skipped.
func runningTrail(t *testing.T) string {
	dir := os.Getenv("KEYTRAIL_COMPOSE")
	if dir == "" {
		t.Skip("NOT RUN: docker-compose.yml was not started; make compose-test starts it")
	}
	return dir
}

// incident is a line of .labels.ndjson, as far as these tests need it.
type incident struct {
	Scenario, Note    string
	Kinds             []string
	Principal         string
	KeyARN            string `json:"key_arn"`
	Keys              []string
	Start, End        time.Time
	delivered, found  time.Time
	detector, because string
}

func incidents(t *testing.T, dir string) (list []incident) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, ".labels.ndjson"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var i incident
		if err := json.Unmarshal(line, &i); err != nil {
			t.Fatal(err)
		}
		list = append(list, i)
	}
	return list
}

// ask sends a request to OpenSearch.
func ask(ctx context.Context, path string, body any, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, publishedSIEM+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if text, err = io.ReadAll(response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, response.Status, text)
	}
	return json.Unmarshal(text, answer)
}

// search asks the SIEM for an anomaly of an attack.
func (i *incident) search(ctx context.Context) error {
	type object = map[string]any
	names := []any{object{"terms": object{"aws.kms.key.arn": append(i.Keys, i.KeyARN)}}}
	if i.Principal != "" {
		names = append(names, object{"term": object{"keytrail.principal.id": i.Principal}})
	}
	query := object{"size": 1, "query": object{"bool": object{
		"should": names, "minimum_should_match": 1,
		// An anomaly that goes on keeps its first time, so its last window counts.
		"filter": []any{object{"terms": object{"keytrail.anomaly.kind": i.Kinds}},
			object{"range": object{"keytrail.window.end": object{"gte": i.Start, "lte": i.End.Add(2 * time.Minute)}}}},
	}}}
	var answer struct {
		Hits struct {
			Hits []struct {
				Source map[string]any `json:"_source"`
			}
		}
	}
	if err := ask(ctx, "/keytrail-anomalies*/_search", query, &answer); err != nil {
		return err
	}
	if hits := answer.Hits.Hits; len(hits) > 0 {
		i.found = time.Now()
		i.detector = fmt.Sprint(hits[0].Source["keytrail.anomaly.detector"])
		i.because = fmt.Sprint(hits[0].Source["keytrail.anomaly.reason"])
	}
	return nil
}

// soon is how long after its file an attack may reach the SIEM.
const soon = 3 * time.Minute

// TestRunningAttacks: the next attacks of the live trail are in the SIEM within three
// minutes of their first file.
func TestRunningAttacks(t *testing.T) {
	dir := runningTrail(t)
	const attacks = 5
	known := len(incidents(t, dir))
	var watched []incident
	open := func() (n int) {
		for i := range watched {
			if watched[i].found.IsZero() {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(20 * time.Minute); time.Now().Before(end) && (len(watched) < attacks || open() > 0); {
		list := incidents(t, dir)
		for _, i := range list[min(known, len(list)):] {
			// The second part of a scenario is part of the same attack.
			if known++; len(watched) < attacks && !strings.Contains(i.Note, "that it was granted") {
				i.delivered = time.Now()
				watched = append(watched, i)
			}
		}
		for n := range watched {
			i := &watched[n]
			if !i.found.IsZero() || time.Since(i.delivered) > soon {
				continue
			}
			if err := i.search(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(watched) == attacks && time.Since(watched[attacks-1].delivered) > soon {
			break
		}
		time.Sleep(time.Second)
	}
	if len(watched) < attacks {
		t.Fatalf("only %d attacks came, want %d", len(watched), attacks)
	}
	for _, i := range watched {
		if i.found.IsZero() {
			t.Errorf("%s of %v (%s) is not in the SIEM %v after its file", i.Scenario, i.Start, i.Note, soon)
			continue
		}
		t.Logf("%s: found %v after its file by %s: %s", i.Scenario, i.found.Sub(i.delivered).Round(time.Second), i.detector,
			i.because)
	}
}

// TestRunningNothing: after everything that has happened to the services, the SIEM has each
// event of the trail once, no record is a dead letter, and the final windows of the keys
// are those of the oracle.
func TestRunningNothing(t *testing.T) {
	dir := runningTrail(t)
	wanted, end := trailEvents(t, filepath.Join(dir, "AWSLogs"))
	var count struct{ Count int }
	var err error
	for range 20 {
		if err = ask(t.Context(), "/keytrail-events-*/_count", map[string]any{"query": map[string]any{"match_all": map[string]any{}}},
			&count); err == nil && count.Count >= wanted {
			break
		}
		time.Sleep(3 * time.Second)
	}
	if err != nil || count.Count != wanted {
		t.Errorf("the SIEM has %d events (%v), the trail %d", count.Count, err, wanted)
	}
	t.Logf("%d events in the trail and in the SIEM", count.Count)
	if err := records(t.Context(), "kms.deadletter", func(m *kgo.Record) error {
		t.Errorf("a dead letter: %v %.200s", m.Headers, m.Value)
		return nil
	}); err != nil {
		t.Error(err)
	}
	// The last windows are still open.
	closed := end.Add(-5 * time.Minute).Truncate(time.Minute)
	want, got := oracleWindows(t, dir, closed), publishedWindows(t, closed)
	differ, calls := 0, 0
	for name, n := range want {
		if calls += n; got[name] != n {
			if differ++; differ < 10 {
				t.Errorf("%s: %d calls, want %d", name, got[name], n)
			}
		}
		delete(got, name)
	}
	for name, n := range got {
		if n != 0 {
			t.Errorf("%s: %d calls, want no window", name, n)
		}
	}
	t.Logf("%d windows with %d calls equal the oracle's; %d differ", len(want)-differ, calls, differ)
}

// trailEvents counts the distinct events of a trail that Keytrail keeps, and returns the
// time of the last.
func trailEvents(t *testing.T, dir string) (n int, end time.Time) {
	t.Helper()
	seen := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		zip, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		var content struct {
			Records []struct {
				EventID, EventSource, RecipientAccountID string
				EventTime                                time.Time
			}
		}
		if err := json.NewDecoder(zip).Decode(&content); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, r := range content.Records {
			if r.EventSource == "kms.amazonaws.com" {
				seen[r.EventID+r.RecipientAccountID] = true
				if r.EventTime.After(end) {
					end = r.EventTime
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return len(seen), end
}

// oracleWindows returns the calls of each window of a key that ended before a time, as the
// reference implementation counts them.
func oracleWindows(t *testing.T, dir string, before time.Time) map[string]int {
	t.Helper()
	oracle := exec.Command("go", "run", "./processor/internal/oracle/cmd", "-size", "1m", filepath.Join(dir, "AWSLogs"))
	oracle.Dir = projectRoot
	oracle.Stderr = os.Stderr
	text, err := oracle.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "\t") // scope, key, principal, start, calls
		if cells[0] != "key" {
			continue
		}
		start, err := time.Parse(time.RFC3339, cells[3])
		calls, err2 := strconv.Atoi(cells[4])
		if err = cmp.Or(err, err2); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if start.Before(before) && calls > 0 {
			want[cells[1]+" "+cells[3]] = calls
		}
	}
	return want
}

// publishedWindows returns the same of the topic kms.windows, the highest revision each.
func publishedWindows(t *testing.T, before time.Time) map[string]int {
	t.Helper()
	got, revisions := map[string]int{}, map[string]int64{}
	var rec otellog.Record
	number := func(name string) int64 {
		if a := rec.Get(name); a != nil {
			return a.Int
		}
		return 0
	}
	err := records(t.Context(), "kms.windows", func(m *kgo.Record) error {
		if err := rec.Decode(m.Value); err != nil {
			return err
		}
		start, err := time.Parse(time.RFC3339, rec.Str(semconv.KeytrailWindowStart))
		if err != nil || rec.Str(semconv.KeytrailWindowScope) != "key" || !start.Before(before) {
			return err
		}
		// An alias keeps its windows, whatever key it refers to.
		key := cmp.Or(rec.Str(semconv.AWSKMSAliasARN), rec.Str(semconv.AWSKMSKeyARN), "-")
		name := key + " " + rec.Str(semconv.KeytrailWindowStart)
		name = strings.Clone(name)
		if revision := number(semconv.KeytrailWindowRevision); revision >= revisions[name] {
			revisions[name] = revision
			got[name] = int(number(semconv.KeytrailWindowCallsTotal))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// records reads the committed records of a topic with one partition, from its beginning to its
// last committed one. Every record below that offset comes, or the marker that ends its
// transaction, so a slow broker cannot pass for an empty topic.
func records(ctx context.Context, topic string, each func(*kgo.Record) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(publishedKafka), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return err
	}
	defer c.Close()
	first, err := kadm.NewClient(c).ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	last, err := kadm.NewClient(c).ListCommittedOffsets(ctx, topic)
	if err != nil {
		return err
	}
	begin, _ := first.Lookup(topic, 0)
	end, _ := last.Lookup(topic, 0)
	for next := begin.Offset; next < end.Offset; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%s, offset %d of %d: %w", topic, next, end.Offset, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if next = r.Offset + 1; !r.Attrs.IsControl() && err == nil {
				err = each(r)
			}
		})
		if err != nil {
			return fmt.Errorf("%s, before offset %d: %w", topic, next, err)
		}
	}
	return nil
}
