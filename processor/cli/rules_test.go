package cli_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// refusedRules count refused calls, three ways.
const refusedRules = `title: Refused
name: refused
level: low
tags: [attack.t1580]
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventSource: kms.amazonaws.com, errorCode|contains: denied}, condition: s}
---
title: Many refused
correlation: {type: event_count, rules: [refused], group-by: [userIdentity.accountId], timespan: 1h, condition: {gte: 2, lte: 1000000}}
generate: true
---
title: Not of CloudTrail
logsource: {product: windows}
detection: {s: {a|windash: b}, condition: s}
`

// ruleResult is a line of what rules check prints as JSON.
type ruleResult struct {
	Rule, Correlation *struct {
		ID, Title, Level, File string
		Score                  float64
		Techniques             []string
		Line                   int
	}
	Silent           bool
	Matches, Outside int
	Calls            []string
	Type, Timespan   string
	Firings          []struct {
		Start, End string
		Count      int
		Group      map[string]string
	}
}

func ruleResults(t *testing.T, text string) (list []ruleResult) {
	t.Helper()
	for _, line := range lines(text) {
		var r ruleResult
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, r)
	}
	return list
}

func TestRulesCheck(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "sub", "refused.yml"), refusedRules)
	out := keytrail(t, nil, "rules", "check", dir).wants(t, 0, "1 rule, 1 correlation, 1 document left out\n",
		dir+"/sub/refused.yml:12: left out: its logsource is product windows")
	list := ruleResults(t, out.stdout)
	if len(list) != 2 || list[0].Rule.Title != "Refused" || list[0].Rule.Score != 4 || list[0].Rule.Level != "low" || !slices.Equal(list[0].Rule.Techniques, []string{"T1580"}) ||
		list[0].Rule.Line != 1 || list[0].Silent || list[1].Correlation.Title != "Many refused" || list[1].Type != "event_count" || list[1].Timespan != "1h0m0s" || list[1].Correlation.Line != 8 {
		t.Errorf("rules check prints\n%s", out.stdout)
	}
	odd := write(t, filepath.Join(t.TempDir(), "odd.yml"), strings.Replace(refusedRules, "errorCode|", "errorcode|", 1))
	keytrail(t, nil, "rules", "check", odd).wants(t, 0, odd+":6: note: CloudTrail's events have no field \"errorcode\"")
	// a file alone, and as a table
	out = keytrail(t, nil, "rules", "check", "-o", "table", filepath.Join(dir, "sub", "refused.yml")).wants(t, 0, "1 rule, 1 correlation")
	if !strings.Contains(out.stdout, "MATCHES") || !strings.Contains(out.stdout, "      -  low            Refused (") {
		t.Errorf("the table is\n%s", out.stdout)
	}
}

// Every problem is reported with its place, and nothing else happens.
func TestRulesCheckProblems(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yml"), strings.Replace(refusedRules, "contains: denied", "expand: denied", 1))
	write(t, filepath.Join(dir, "b.yml"), "title: \"no\x1b[31m end\n")
	out := keytrail(t, nil, "rules", "check", dir, "--sample", dir+"/nothing").wants(t, 1,
		dir+`/a.yml:6: the field "errorCode|expand": the modifier expand is not supported; write what the placeholder stands for`+"\n",
		dir+`/a.yml:9: the rule "refused" is wrong itself; correct it first`+"\n", dir+"/b.yml:1: no YAML", "keytrail: 3 problems in "+dir)
	if out.stdout != "" || strings.Contains(out.stderr, "\x1b") {
		t.Errorf("stdout is %q, stderr %q", out.stdout, out.stderr)
	}
	keytrail(t, nil, "rules", "check", dir+"/none").wants(t, 1, "cannot read rules", "no such file")
	keytrail(t, nil, "rules", "check", t.TempDir()).wants(t, 1, "no file whose name ends in .yml or .yaml")
	keytrail(t, nil, "rules", "check").wants(t, 2, "check needs a directory of rules")
	keytrail(t, nil, "rules").wants(t, 2, "rules needs check")
	keytrail(t, nil, "rules", "chekc", dir).wants(t, 2, `"chekc"; did you mean check?`)
	keytrail(t, nil, "rules", "check", "-o", "xml", dir).wants(t, 2, "one of auto, json, table")
}

// refusedIn returns a plain count of records for refusedRules: the ids of the calls,
// their number per account and hour, and the number of all calls.
func refusedIn(t *testing.T, records []json.RawMessage) (ids []string, hours map[string]int, calls int) {
	t.Helper()
	hours = map[string]int{}
	seen := map[string]bool{}
	for _, raw := range records {
		var e struct {
			EventID, SharedEventID, EventTime, EventSource, ErrorCode string
			UserIdentity                                              struct{ AccountID string }
			Addendum                                                  struct{ OriginalEventID string }
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		id := cmp.Or(e.SharedEventID, e.Addendum.OriginalEventID, e.EventID)
		if seen[id] {
			continue
		}
		seen[id] = true
		if e.EventSource != "kms.amazonaws.com" || !strings.Contains(strings.ToLower(e.ErrorCode), "denied") {
			continue
		}
		ids = append(ids, id)
		if at, err := time.Parse(time.RFC3339, e.EventTime); err != nil {
			t.Fatal(err)
		} else if e.UserIdentity.AccountID != "" {
			hours[at.Truncate(time.Hour).Format(time.RFC3339)+" "+e.UserIdentity.AccountID]++
		}
	}
	return ids, hours, len(seen)
}

// A plain count of a generated trail's records gives the same matches and firings.
func TestRulesCheckSample(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 33, Duration: 30 * time.Hour, Events: 3000, DuplicateShare: 0.1})
	records := recordsIn(t, trail)
	ids, hours, calls := refusedIn(t, records)
	var want []string
	for hour, n := range hours {
		if n >= 2 {
			want = append(want, fmt.Sprint(hour, " ", n))
		}
	}
	if len(want) < 2 || calls == len(records) {
		t.Fatalf("the trail is no test: %d windows, %d records of %d calls", len(want), len(records), calls)
	}
	rules := write(t, inTemp(t, "rules.yml"), refusedRules)
	out := keytrail(t, nil, "rules", "check", "--calls", "1000", "--sample", trail, rules).wants(t, 0,
		fmt.Sprintf("; %d records: %d calls, ", len(records), calls), fmt.Sprintf(" %d duplicates, 0 dead letters\n", len(records)-calls))
	list := ruleResults(t, out.stdout)
	slices.Sort(ids)
	slices.Sort(list[0].Calls)
	if list[0].Matches != len(ids) || !slices.Equal(list[0].Calls, ids[:min(len(ids), 1000)]) {
		t.Errorf("%d matches with %d ids, want %d", list[0].Matches, len(list[0].Calls), len(ids))
	}
	var got []string
	for _, f := range list[1].Firings {
		got = append(got, fmt.Sprint(f.Start, " ", f.Group["userIdentity.accountId"], " ", f.Count))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("fired are %q, want %q", got, want)
	}
	table := keytrail(t, nil, "rules", "check", "-o", "table", "--sample", trail, rules).wants(t, 0).stdout
	if !strings.Contains(table, fmt.Sprintf("%7d  low            Refused (", len(ids))) || !strings.Contains(table, fmt.Sprintf("%7d  low            Many refused (", len(want))) {
		t.Errorf("the table is\n%s", table)
	}
}

// Bad records of a sample go to the dead letter, and events of other services are counted
// separately, because the stages never see them.
func TestRulesCheckOddSample(t *testing.T) {
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	denied := func(id string) string {
		return strings.Replace(event(id, "u", at), `"eventName"`, `"errorCode":"AccessDenied","eventName"`, 1)
	}
	sample := denied("1") + "\n" + denied("1") + "\n{\"eventVersion\":\"1\",\"a\":}\n" + strings.Replace(denied("2"), "2026-01-05", "someday", 1) + "\n" +
		strings.Replace(denied("3"), "kms.amazonaws.com", "s3.amazonaws.com", 1) + "\n"
	rules := write(t, inTemp(t, "rules.yml"), strings.Replace(refusedRules, "eventSource: kms.amazonaws.com, ", "", 1))
	dead := inTemp(t, "dead.jsonl")
	out := keytrail(t, strings.NewReader(sample), "rules", "check", "--sample", "-", "--dead-letter", dead, rules).wants(t, 3,
		"5 records: 2 calls, 1 of them not of KMS or a trail, 1 duplicate, 2 dead letters", "bad_json", "bad_time")
	if list := ruleResults(t, out.stdout); list[0].Matches != 2 || list[0].Outside != 1 || !slices.Equal(list[0].Calls, []string{"1", "3"}) || len(list[1].Firings) != 1 || list[1].Firings[0].Count != 2 {
		t.Errorf("rules check prints\n%s", out.stdout)
	}
}
