package stream

import (
	"context"
	"encoding/json"
	"fmt"
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

// userRules are a user's rules: odd and refused match both records of a call, owners and
// callers one of them each.
const userRules = `title: Odd Request
id: odd
level: high
tags: [attack.t1530]
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventSource: kms.amazonaws.com, 'requestID|startswith': ['0', '1', '2']}, condition: s}
---
title: Refused
id: refused
level: low
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventSource: kms.amazonaws.com, 'errorCode|contains': denied}, condition: s}
---
title: The owner's record
id: owners
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventID: 'ffffffff-0000-4000-8000-00000000000a'}, condition: s}
---
title: The caller's record
id: callers
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventID: 'ffffffff-0000-4000-8000-00000000000b'}, condition: s}
`

func loadRules(t testing.TB, text string) *sigma.Rules {
	t.Helper()
	var l sigma.Loader
	l.File("rules.yml", []byte(text))
	rules, problems := l.Rules()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return rules
}

// twoAccounts are the owner's and the caller's record of one call.
func twoAccounts(at time.Time) (owners, callers []byte) {
	record := func(id, recipient, identity string) []byte {
		return fmt.Appendf(nil, `{"eventVersion":"1.11","eventTime":"%s","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"eu-central-1","requestID":"00000000-1111-4000-8000-000000000009",
			"eventID":"ffffffff-0000-4000-8000-00000000000%s","sharedEventID":"ffffffff-0000-4000-8000-000000000001","recipientAccountId":"%s","eventType":"AwsApiCall","userIdentity":%s,
			"resources":[{"ARN":"arn:aws:kms:eu-central-1:444455556666:key/k","accountId":"444455556666","type":"AWS::KMS::Key"}]}`, at.UTC().Format(time.RFC3339), id, recipient, identity)
	}
	return record("a", "444455556666", `{"type":"AWSAccount","principalId":"AROAX:s","accountId":"111122223333"}`),
		record("b", "111122223333", `{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/app/s","accountId":"111122223333"}`)
}

// naive computes how often the stream publishes each match of userRules, by rule and
// call, for records in order of delivery: once per credited copy. It shares no code with
// the stream.
func naive(t *testing.T, records [][]byte) map[string]int {
	t.Helper()
	type event struct {
		EventID, SharedEventID, EventSource, RequestID, ErrorCode string
		UserIdentity                                              struct{ Type string }
		Addendum                                                  struct{ OriginalEventID string }
	}
	want, ranks := map[string]int{}, map[string]int{}
	for _, r := range records {
		var e event
		if err := json.Unmarshal(r, &e); err != nil {
			t.Fatal(err)
		}
		call, rank := e.EventID, 3
		switch {
		case e.Addendum.OriginalEventID != "":
			call, rank = e.Addendum.OriginalEventID, 1
		case e.SharedEventID != "":
			call = e.SharedEventID
			if e.UserIdentity.Type == "AWSAccount" {
				rank = 2
			}
		}
		if e.EventSource != "kms.amazonaws.com" || rank <= ranks[call] {
			continue
		}
		ranks[call] = rank
		for id, matches := range map[string]bool{
			"odd": e.RequestID != "" && e.RequestID[0] <= '2', "refused": strings.Contains(strings.ToLower(e.ErrorCode), "denied"),
			"owners": e.EventID == "ffffffff-0000-4000-8000-00000000000a", "callers": e.EventID == "ffffffff-0000-4000-8000-00000000000b",
		} {
			if matches {
				want["sigma/"+id+" "+call]++
			}
		}
	}
	return want
}

// ruleAnomalies reads the anomalies of the user's rules from the topic: the number of
// each by rule and call, and the last text by id. It checks that ids do not change.
func ruleAnomalies(t *testing.T, brokers []string) (n map[string]int, last map[string]string) {
	t.Helper()
	n, last = map[string]int{}, map[string]string{}
	ids := map[string]string{}
	readTopic(t, brokers, "kms.anomalies", 2, func(r *kgo.Record) error {
		var rec otellog.Record
		if err := rec.Decode(r.Value); err != nil || !strings.HasPrefix(rec.Str(semconv.KeytrailAnomalyDetector), anomaly.SigmaDetector) {
			return err
		}
		if rec.Str(semconv.KeytrailAnomalyState) == anomaly.StateEnded {
			return nil
		}
		name := rec.Str(semconv.KeytrailAnomalyDetector) + " " + rec.Get(semconv.KeytrailAnomalyCalls).Strs[0]
		id := rec.Str(semconv.KeytrailAnomalyID)
		if first := ids[name]; first != "" && first != id {
			t.Errorf("%s has the ids %s and %s", name, first, id)
		}
		ids[name] = id
		n[name]++
		last[id] = asScanned(&rec)
		return nil
	})
	return n, last
}

// describeRules formats the numbers of rules in a window.
func describeRules(rec *otellog.Record) (name, text string) {
	n := int64(0)
	if a := rec.Get(semconv.KeytrailWindowAnomaliesRule); a != nil {
		n = a.Int
	}
	return windowName(rec), fmt.Sprintf("%d calls, %d of rules", rec.Get(semconv.KeytrailWindowCallsTotal).Int, n)
}

// scanned returns a scan's results: the numbers of rules in each window, and the
// anomalies of the user's rules by id.
func scanned(t *testing.T, rules *sigma.Rules, records [][]byte) (windows, anomalies map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trail.json")
	if err := os.WriteFile(path, slices.Concat([]byte(`{"Records":[`), []byte(strings.Join(texts(records), ",")), []byte(`]}`)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := scan.Config{Detect: window.DefaultConfig(), Rules: rules, Workers: 2, Now: time.Unix(0, 0), DeadLetter: func(d *wire.DeadLetter) error { return fmt.Errorf("dead letter: %s", d.Detail) }}
	s := scan.New(cfg)
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{path})); err != nil {
		t.Fatal(err)
	}
	windows, anomalies = map[string]string{}, map[string]string{}
	totals, err := s.Finish(func(r *window.Result) error {
		var rec otellog.Record
		for i := range r.Anomalies {
			if a := &r.Anomalies[i]; strings.HasPrefix(a.Detector, anomaly.SigmaDetector) {
				anomaly.AnomalyRecord(&rec, a, 0)
				anomalies[a.ID] = string(otellog.AppendJSON(nil, &rec))
			}
		}
		anomaly.WindowRecord(&rec, r.Window, cfg.Detect.Size, 0)
		name, text := describeRules(&rec)
		windows[name] = text
		return nil
	})
	if err != nil || totals.Unexplained != 0 || totals.Unmatched != 0 {
		t.Fatalf("%v, %+v", err, totals)
	}
	return windows, anomalies
}

func texts(records [][]byte) (list []string) {
	for _, r := range records {
		list = append(list, string(r))
	}
	return list
}

// The user's rules judge each call by its credited copy, across duplicates, a restart and
// another account's later record: every match is published once, windows count exactly
// these, and a scan of the same records gives the same.
func TestUserRules(t *testing.T) {
	brokers, rules := broker(t), loadRules(t, userRules)
	records := trail(t, generate.Config{Seed: 12, Start: time.Now().Add(-50 * time.Hour), Duration: 48 * time.Hour, Events: 4000, DuplicateShare: 0.2})
	half := len(records) / 2
	var middle struct{ EventTime time.Time }
	if err := json.Unmarshal(records[half], &middle); err != nil {
		t.Fatal(err)
	}
	owners, callers := twoAccounts(middle.EventTime)
	before := append(slices.Clone(records[:half]), owners)
	after := append([][]byte{callers, owners}, records[half-200:]...) // some twice
	delivered := slices.Concat(before, after)
	published := naive(t, delivered)
	windows, found := scanned(t, rules, delivered)
	if published["sigma/odd ffffffff-0000-4000-8000-000000000001"] != 2 || len(published) < 500 {
		t.Fatalf("%d matches: this tests too little", len(published))
	}

	// The windows of the owner's record stay, but are empty.
	at := middle.EventTime.UTC().Truncate(time.Duration(window.DefaultConfig().Size)).Format(time.RFC3339)
	windows[`principal "" "account:111122223333" `+at] = "0 calls, 0 of rules"
	windows[`pair "arn:aws:kms:eu-central-1:444455556666:key/k" "account:111122223333" `+at] = "0 calls, 0 of rules"

	one, two, last := pipeline(t, brokers), pipeline(t, brokers), closing(t, brokers)
	one.Rules, two.Rules, last.Rules = rules, rules, rules
	stop := start(t, one, all)
	produce(t, brokers, one.Topics.Raw, before)
	caughtUp(t, brokers, one)
	stop()
	stop = start(t, two, all)
	produce(t, brokers, one.Topics.Raw, after)
	caughtUp(t, brokers, two)
	stop()
	start(t, last, all)
	eventuallyAs(t, brokers, describeRules, windows)

	n, said := ruleAnomalies(t, brokers)
	for name, times := range published {
		if n[name] != times {
			t.Errorf("%s was published %d times, want %d", name, n[name], times)
		}
	}
	if len(n) != len(published) {
		t.Errorf("%d matches were published, want %d", len(n), len(published))
	}
	// A match of the owner's record alone was true of the copy credited at the time: it
	// stays published, and only the windows take it back.
	if len(said) != len(found)+1 {
		t.Errorf("the stream has %d anomalies, and the scan %d", len(said), len(found))
	}
	for id, text := range found {
		if said[id] != text {
			t.Errorf("anomaly %s:\n got %s\nwant %s", id, said[id], text)
		}
	}
}
