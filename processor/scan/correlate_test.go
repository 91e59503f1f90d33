package scan

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/sigma"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// correlations count a principal's refusals and an account's distinct keys.
const correlations = `title: Refused
name: refused
logsource: {product: aws, service: cloudtrail}
detection: {s: {errorCode: AccessDenied}, condition: s}
---
title: Many refusals
id: many
correlation: {type: event_count, rules: [refused], group-by: [userIdentity.arn], timespan: 10m, condition: {gte: 3}}
level: high
tags: [attack.t1580]
---
title: Many keys
id: keys
correlation: {type: value_count, rules: [refused], group-by: [recipientAccountId], timespan: 10m, condition: {gte: 3, field: resources.ARN}}
`

// refusedCall is a refused Decrypt. If two accounts record it, it is the caller's record
// or the owner's.
func refusedCall(n, key int, user string, owners bool) string {
	identity, account := fmt.Sprintf(`{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/%s","accountId":"111122223333"}`, user), "111122223333"
	id := n
	if owners {
		identity, account, id = `{"type":"AWSAccount","accountId":"111122223333"}`, "444455556666", n+1000
	}
	return fmt.Sprintf(`{"eventVersion":"1.11","eventTime":"2026-03-02T09:%02d:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"eu-central-1","eventID":"00000000-0000-4000-8000-%012d",
		"sharedEventID":"00000000-0000-4000-9000-%012d","errorCode":"AccessDenied","userIdentity":%s,"recipientAccountId":"%s","resources":[{"ARN":"arn:aws:kms:eu-central-1:444455556666:key/%d"}]}`,
		n, id, n, identity, account, key)
}

// correlated scans events with rules and returns the anomalies of correlations.
func correlated(t *testing.T, rules string, events []string, max int) (list []string, windows int64, err error) {
	t.Helper()
	var l sigma.Loader
	l.File("rules.yml", []byte(rules))
	set, problems := l.Rules()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	path := filepath.Join(t.TempDir(), "trail.json")
	if err := os.WriteFile(path, []byte(`{"Records":[`+strings.Join(events, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := New(Config{Detect: window.DefaultConfig(), Rules: set, Workers: 2, Now: time.Unix(0, 0), DeadLetter: func(d *wire.DeadLetter) error { return fmt.Errorf("dead letter: %s", d.Detail) }})
	defer s.Close()
	s.pool.max, s.correlations.n = max, MaxObservations-len(set.Correlations)*len(events)
	if err := s.Read(context.Background(), source.Objects([]string{path})); err != nil {
		return nil, 0, err
	}
	if _, err := s.Finish(func(r *window.Result) error {
		windows += count.Get(&r.Window.Partial, wire.CounterRule)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.Correlated(func(a *anomaly.Anomaly) {
		list = append(list, fmt.Sprintf("%s %s %q %q %g %d calls %s %s %v %q %s", a.ID, a.Scope, a.Key, a.Principal, a.Score, len(a.Calls), a.Calls[0][32:], a.Detector, a.Techniques, time.Unix(0, a.Start).UTC().Format("15:04"), a.Reason))
	})
	return list, windows, nil
}

// Correlations count each call once, by its credited record, in whatever order the
// records are read. A rule that only feeds a correlation reports nothing itself.
func TestCorrelationsOfAScan(t *testing.T) {
	var events []string
	for i := range 4 { // with the owner's records, which show only the account
		events = append(events, refusedCall(i, i, "mallory", false), refusedCall(i, i, "", true), refusedCall(i, i, "mallory", false))
	}
	events = append(events, refusedCall(20, 1, "other", false), refusedCall(21, 1, "other", false)) // too few
	var want []string
	for round := range 6 {
		got, windows, err := correlated(t, correlations, events, []int{maxFacts, 3}[round%2])
		if err != nil || windows != 0 {
			t.Fatalf("%v, %d rules in windows", err, windows)
		}
		if want == nil {
			want = got
			if len(got) != 2 || !strings.Contains(got[1], `principal "" "arn:aws:iam::111122223333:user/mallory" 8 3 calls 0000 sigma/many [T1580] "08:52" The correlation "Many refusals" holds: 3 matches in 10m from 2026-03-02T08:52:30Z, userIdentity.arn arn:aws:iam::111122223333:user/mallory.`) ||
				!strings.Contains(got[0], `6 3 calls 0000 sigma/keys [] "08:52" The correlation "Many keys" holds: 3 different values of resources.ARN in 10m from 2026-03-02T08:52:30Z, recipientAccountId 111122223333.`) {
				t.Errorf("found are\n%s", strings.Join(got, "\n"))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("round %d finds\n%s\nwant\n%s", round, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	}
}

// A scan with more matches than it keeps ends: a missing anomaly would go unnoticed.
func TestTooManyObservations(t *testing.T) {
	k := correlator{held: map[ruleCall][]sigma.Observation{}}
	k.n = MaxObservations - 1
	c := &sigma.Correlation{}
	if err := k.hold(ruleCall{sum: 1}, []sigma.Observation{{Correlation: c}}); err != nil {
		t.Error(err)
	}
	if err := k.hold(ruleCall{sum: 1}, []sigma.Observation{{Correlation: c}}); err != nil {
		t.Errorf("the same record again: %v", err)
	}
	if err := k.hold(ruleCall{sum: 2}, []sigma.Observation{{Correlation: c}}); err == nil || !strings.Contains(err.Error(), "more than 500000 matches") {
		t.Errorf("one too many gives %v", err)
	}
}
