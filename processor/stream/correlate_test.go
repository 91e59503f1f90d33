package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/processor/generate"
	"keytrail/processor/scan"
	"keytrail/processor/sigma"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// userCorrelations count the matches of userRules, one of each kind and condition.
const userCorrelations = userRules + `---
title: Many odd ones
id: c-many
correlation: {type: event_count, rules: [odd], group-by: [userIdentity.sessionContext.sessionIssuer.arn], timespan: 20m, condition: {gte: 3}}
---
title: All odd ones
id: c-all
correlation: {type: event_count, rules: [odd], timespan: 1h, condition: {gte: 10}}
---
title: Few odd ones
id: c-few
correlation: {type: event_count, rules: [odd], group-by: [eventName], timespan: 2h, condition: {lte: 2}}
---
title: Odd ones on many keys
id: c-keys
correlation: {type: value_count, rules: [odd], group-by: [recipientAccountId], timespan: 1h, condition: {gte: 4, field: resources.ARN}}
---
title: Odd and refused
id: c-both
correlation: {type: temporal, rules: [odd, refused], group-by: [eventName], timespan: 40m}
level: critical
---
title: Refused, then odd
id: c-then
correlation: {type: temporal_ordered, rules: [refused, odd], group-by: [recipientAccountId], timespan: 3h}
---
title: What only the owner's record shows
id: c-owners
correlation: {type: event_count, rules: [owners], group-by: [recipientAccountId], timespan: 10m, condition: {gte: 1}}
---
title: What only the caller's record shows
id: c-callers
correlation: {type: event_count, rules: [callers], group-by: [recipientAccountId, userIdentity.arn], timespan: 10m, condition: {gte: 1}}
`

// isCorrelated reports whether a record is an anomaly of userCorrelations.
func isCorrelated(rec *otellog.Record) bool {
	return strings.HasPrefix(rec.Str(semconv.KeytrailAnomalyDetector), anomaly.SigmaDetector+"c-")
}

// correlatedIn returns the anomalies of correlations in a scan of records, by id.
func correlatedIn(t *testing.T, rules *sigma.Rules, records [][]byte) map[string]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trail.json")
	if err := os.WriteFile(path, slices.Concat([]byte(`{"Records":[`), []byte(strings.Join(texts(records), ",")), []byte(`]}`)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := scan.New(scan.Config{Detect: window.DefaultConfig(), Rules: rules, Workers: 2, Now: time.Unix(0, 0), DeadLetter: func(d *wire.DeadLetter) error { return fmt.Errorf("dead letter: %s", d.Detail) }})
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{path})); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(func(*window.Result) error { return nil }); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	var rec otellog.Record
	s.Correlated(func(a *anomaly.Anomaly) {
		anomaly.AnomalyRecord(&rec, a, 0)
		if found[a.ID] != "" {
			t.Errorf("two anomalies have the id %s", a.ID)
		}
		found[a.ID] = string(otellog.AppendJSON(nil, &rec))
	})
	return found
}

// asScanned returns a record of a stage as a scan has it: without the time of its computing
// and the digest of its rules.
func asScanned(rec *otellog.Record) string {
	rec.Observed = 0
	rec.Attrs = slices.DeleteFunc(rec.Attrs, func(a otellog.Attr) bool { return a.Key == semconv.KeytrailAnomalyRules })
	return string(otellog.AppendJSON(nil, rec))
}

// correlatedOut reads the anomalies of correlations from the topic: the number of copies
// of each, and its last text, by id.
func correlatedOut(t *testing.T, brokers []string) (n map[string]int, last map[string]string) {
	t.Helper()
	n, last = map[string]int{}, map[string]string{}
	readTopic(t, brokers, "kms.anomalies", 2, func(r *kgo.Record) error {
		var rec otellog.Record
		if err := rec.Decode(r.Value); err != nil || !isCorrelated(&rec) || rec.Str(semconv.KeytrailAnomalyState) == anomaly.StateEnded {
			return err
		}
		id := rec.Str(semconv.KeytrailAnomalyID)
		n[id]++
		last[id] = asScanned(&rec)
		return nil
	})
	return n, last
}

// findsAll checks that a test has an anomaly of every correlation, except those that only
// a worse record of a call shows.
func findsAll(t *testing.T, rules *sigma.Rules, found map[string]string) {
	t.Helper()
	kinds := map[string]int{}
	for _, text := range found {
		_, rest, _ := strings.Cut(text, anomaly.SigmaDetector)
		id, _, _ := strings.Cut(rest, `"`)
		kinds[id]++
	}
	for _, c := range rules.Correlations {
		if n := kinds[c.ID]; (n > 0) != (c.ID != "c-owners") {
			t.Fatalf("the scan finds %d of %s: this tests too little", n, c.ID)
		}
	}
}

// Correlations find the same in the stream as in a scan of the same records, each
// published once, across duplicates, disorder, restarts, joining and leaving processes,
// and another account's record after a restart.
func TestCorrelations(t *testing.T) {
	brokers, rules := broker(t), loadRules(t, userCorrelations)
	// The trail ends five hours ago, so that at any minute the clock is past the last
	// one-hour window and its lateness.
	records := trail(t, generate.Config{Seed: 12, Start: time.Now().Add(-53 * time.Hour), Duration: 48 * time.Hour, Events: 4000, DuplicateShare: 0.2})
	half := len(records) / 2
	var middle struct{ EventTime time.Time }
	if err := json.Unmarshal(records[half], &middle); err != nil {
		t.Fatal(err)
	}
	owners, callers := twoAccounts(middle.EventTime)
	before := append(slices.Clone(records[:half]), owners)
	after := append([][]byte{callers, owners}, records[half-200:]...) // some twice
	want := correlatedIn(t, rules, slices.Concat(before, after))
	findsAll(t, rules, want)

	one, two, three, last := pipeline(t, brokers), pipeline(t, brokers), pipeline(t, brokers), closing(t, brokers)
	for _, p := range []*Pipeline{one, two, three, last} {
		p.Rules = rules
	}
	stop := start(t, one, all)
	produce(t, brokers, one.Topics.Raw, before)
	caughtUp(t, brokers, one)
	stop()
	stop = start(t, two, all)
	third := len(after) / 3
	produce(t, brokers, one.Topics.Raw, after[:third])
	stopThree := start(t, three, all)
	waitForMembers(t, brokers, "test-detect", 2)
	produce(t, brokers, one.Topics.Raw, after[third:])
	stopThree()
	caughtUp(t, brokers, two)
	stop()
	start(t, last, all)
	waitFor(t, "all anomalies of correlations are there", func() bool {
		_, got := correlatedOut(t, brokers)
		return len(got) >= len(want)
	})
	caughtUp(t, brokers, last)
	n, got := correlatedOut(t, brokers)
	for id, text := range want {
		if got[id] != text {
			t.Errorf("anomaly %s:\n got %s\nwant %s", id, got[id], text)
		}
	}
	for id, text := range got {
		if want[id] == "" {
			t.Errorf("the scan does not find %s", text)
		}
		if n[id] != 1 {
			t.Errorf("published %d times: %s", n[id], text)
		}
	}
	readTopic(t, brokers, one.Topics.DeadLetter, 1, func(r *kgo.Record) error {
		if detail := letterHeader(r, "detail"); strings.Contains(detail, "matches") {
			t.Errorf("a dead letter: %s", detail)
		}
		return nil
	})
}

func letterHeader(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// paneKeys are the state keys of stored panes.
func paneKeys(t *testing.T, brokers []string) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	readTopic(t, brokers, "kms.state", 2, func(r *kgo.Record) error {
		if wire.IsPaneKey(string(r.Key)) {
			keys[string(r.Key)] = true
			if r.Value == nil {
				delete(keys, string(r.Key))
			}
		}
		return nil
	})
	return keys
}

// matchesSent returns how many matches stage count has sent.
func matchesSent(t *testing.T, brokers []string) (n int64) {
	t.Helper()
	readTopic(t, brokers, "kms.partials", 2, func(r *kgo.Record) error {
		f, err := wire.NewDecoder(r.Value).Frame()
		for i := range f.Panes {
			n += sigma.Matches(f.Panes[i].Tally)
		}
		return err
	})
	return n
}

// If stage detect no longer has the correlations, it drops their state, and the matches
// that stage count still sends become dead letters: nothing disappears silently.
func TestCorrelationsTakenAway(t *testing.T) {
	brokers, rules := broker(t), loadRules(t, userCorrelations)
	records := trail(t, generate.Config{Seed: 14, Start: time.Now().Add(-20 * time.Hour), Duration: 18 * time.Hour, Events: 600})
	half := len(records) / 2
	one := pipeline(t, brokers)
	one.Rules = rules
	stop := start(t, one, all)
	produce(t, brokers, one.Topics.Raw, records[:half])
	caughtUp(t, brokers, one)
	stop()
	counted := matchesSent(t, brokers)
	if len(paneKeys(t, brokers)) == 0 {
		t.Fatal("there is no state of correlations: this tests too little")
	}

	said := &lines{}
	counts, detects := pipeline(t, brokers), pipeline(t, brokers)
	counts.Rules, detects.Log = rules, slog.New(slog.NewTextHandler(said, nil))
	start(t, detects, Stages{Detect: true})
	start(t, counts, Stages{Normalize: true, Count: true})
	produce(t, brokers, one.Topics.Raw, records[half:])
	caughtUp(t, brokers, counts)
	if left := paneKeys(t, brokers); len(left) != 0 || said.has("state of correlations is dropped") == 0 {
		t.Errorf("%d panes are left; the log says %q", len(left), said.text.String())
	}
	got := int64(0)
	readTopic(t, brokers, one.Topics.DeadLetter, 1, func(r *kgo.Record) error {
		var about struct {
			Fingerprint string
			Matches     int64
			Calls       []string
		}
		if letterHeader(r, "reason") != "no_correlation" {
			return nil
		}
		if err := json.Unmarshal(r.Value, &about); err != nil || about.Fingerprint == "" || len(about.Calls) == 0 {
			t.Errorf("a dead letter: %v %s", err, r.Value)
		}
		got += about.Matches
		return nil
	})
	if want := matchesSent(t, brokers) - counted; got == 0 || got != want {
		t.Errorf("dead letters have %d matches, want %d", got, want)
	}
}
