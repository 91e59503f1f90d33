package generate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// checkLabels finds the calls of every label in the trail.
func checkLabels(t *testing.T, g *generate.Generator, list []record, notBefore time.Time) {
	t.Helper()
	byCall := map[string][]record{}
	for _, r := range list {
		byCall[r.callID()] = append(byCall[r.callID()], r)
	}
	for _, l := range g.Labels() {
		if l.Start.Before(notBefore) || !l.End.After(l.Start) || l.Calls != len(l.CallIDs) || len(l.Kinds) == 0 || l.Note == "" {
			t.Errorf("label is incomplete or too early: %+v", l)
		}
		for _, id := range l.CallIDs {
			copies := byCall[id]
			if len(copies) == 0 {
				t.Errorf("%s: call %s is not in the trail", l.Scenario, id)
				continue
			}
			r := copies[0]
			if r.Time.Before(l.Start) || !r.Time.Before(l.End) {
				t.Errorf("%s: call %s is at %v, outside %v to %v", l.Scenario, id, r.Time, l.Start, l.End)
			}
			if r.principal() != l.Principal || l.KeyARN != "" && r.keyARN() != l.KeyARN {
				t.Errorf("%s: call %s is by %s on %s, the label says %s on %s", l.Scenario, id, r.principal(), r.keyARN(), l.Principal, l.KeyARN)
			}
		}
		if slices.Contains(l.Kinds, generate.KindSilence) {
			for _, r := range list {
				if r.keyARN() == l.KeyARN && !r.Time.Before(l.Start) && r.Time.Before(l.End) {
					t.Errorf("%s: %s on the silent key at %v", l.Scenario, r.text("eventName"), r.Time)
				}
			}
		}
	}
}

// TestLabels checks all labels of trails of many seeds and sizes.
func TestLabels(t *testing.T) {
	start := time.Date(2026, 2, 11, 13, 0, 0, 0, time.UTC)
	f := func(c generate.Config) {
		t.Helper()
		c.Start = start
		g := makeTrail(t, c)
		checkLabels(t, g, records(t, g, false), start.Add(c.Duration*6/10))
		var planted []string
		for _, l := range g.Labels() {
			if !slices.Contains(planted, l.Scenario) {
				planted = append(planted, l.Scenario)
			}
		}
		if len(planted) != 10 {
			t.Errorf("seed %d: planted only %q", c.Seed, planted)
		}
	}
	for seed := range uint64(6) {
		f(generate.Config{Seed: seed, Duration: 72 * time.Hour, Events: 1500})
		f(generate.Config{Seed: seed, Duration: 60 * time.Hour, Events: 1000, Keys: 10, Principals: 10})
		f(generate.Config{Seed: seed, Duration: 60 * time.Hour, Events: 1000, Keys: 10, Principals: 10, Accounts: []string{"123456789012"}, Regions: []string{"us-gov-west-1"}})
		f(generate.Config{Seed: seed, Duration: 72 * time.Hour, Events: 1500, Keys: 60, Principals: 100, Accounts: []string{"123456789012", "210987654321", "345678901234"}})
	}
}

// plantedTrail is a trail with one scenario in it, decoded.
type plantedTrail struct {
	scenario string
	found    []generate.Label
	calls    [][]record // of each label
	list     []record   // of the trail
}

// latest is the trail of the last call of labels: decoding one takes most of a test's
// time, and consecutive tests look at the same. Only one is kept, because its records
// take 100 MB of maps. Its tests do not run concurrently.
var latest plantedTrail

// labels returns the labels of one scenario, with the records of each. Do not change the
// result: tests share it.
func labels(t *testing.T, scenario string) (found []generate.Label, calls [][]record, list []record) {
	t.Helper()
	if latest.scenario != scenario {
		latest = plant(t, scenario)
	}
	if len(latest.found) == 0 {
		t.Fatalf("no label of %s", scenario)
	}
	return latest.found, latest.calls, latest.list
}

// plant makes the trail of one scenario.
func plant(t *testing.T, scenario string) plantedTrail {
	t.Helper()
	g := makeTrail(t, generate.Config{Seed: 5, Duration: 72 * time.Hour, Events: 15_000, Scenarios: []string{scenario}})
	p := plantedTrail{scenario: scenario, found: g.Labels(), list: records(t, g, true)}
	byCall := map[string][]record{}
	for _, r := range p.list {
		byCall[r.callID()] = append(byCall[r.callID()], r)
	}
	for _, l := range p.found {
		if l.Scenario != scenario {
			t.Errorf("asked for %s, got %s", scenario, l.Scenario)
		}
		var own []record
		for _, id := range l.CallIDs {
			own = append(own, byCall[id]...)
		}
		p.calls = append(p.calls, own)
	}
	return p
}

func TestBurst(t *testing.T) {
	l, calls, list := labels(t, "burst")
	usual := 0
	for _, r := range list {
		if r.keyARN() == l[0].KeyARN && r.principal() == l[0].Principal {
			usual++
		}
	}
	usual -= len(calls[0])
	mean := float64(usual) / (72 * 6) // in ten minutes
	if n := float64(len(calls[0])); n < 10*mean || n < 60 || l[0].End.Sub(l[0].Start) > 10*time.Minute {
		t.Errorf("%v calls in %v where %.1f in ten minutes are usual", n, l[0].End.Sub(l[0].Start), mean)
	}
	if usual < 72 {
		t.Errorf("the pair has only %d other calls: no baseline", usual)
	}
}

func TestObjectSweep(t *testing.T) {
	l, calls, list := labels(t, "object_sweep")
	distinct := map[string]bool{}
	for _, r := range calls[0] {
		distinct[fmt.Sprint(r.at("requestParameters.encryptionContext"))] = true
	}
	if len(distinct) < 42 || l[0].End.Sub(l[0].Start) > 3*time.Minute+time.Second {
		t.Errorf("%d different contexts in %v", len(distinct), l[0].End.Sub(l[0].Start))
	}
	before := map[string]bool{}
	for _, r := range list {
		if r.Time.Before(l[0].Start) && r.principal() == l[0].Principal && r.keyARN() == l[0].KeyARN {
			before[fmt.Sprint(r.at("requestParameters.encryptionContext"))] = true
		}
	}
	if len(before) == 0 || len(before) > 15 {
		t.Errorf("the pair used %d contexts before, want some but few", len(before))
	}
}

func TestDeniedProbing(t *testing.T) {
	_, calls, _ := labels(t, "denied_probing")
	keys := map[string]bool{}
	for _, r := range calls[0] {
		keys[r.keyARN()] = true
		if r.text("errorCode") != "AccessDenied" || r.at("sharedEventID") != nil || r.at("resources") != nil ||
			!strings.Contains(r.text("requestParameters.keyId"), generate.ForeignAccount) {
			t.Errorf("not a refused call on a foreign key: %s", r.JSON)
		}
	}
	if len(keys) < 25 {
		t.Errorf("%d foreign keys", len(keys))
	}
}

func TestFirstUse(t *testing.T) {
	l, calls, list := labels(t, "first_use")
	if hour := l[0].Start.Hour(); hour >= 5 {
		t.Errorf("begins at %v, not at night", l[0].Start)
	}
	for _, r := range list {
		if r.principal() == l[0].Principal && !slices.Contains(l[0].CallIDs, r.callID()) {
			t.Fatalf("the new role was seen before: %s", r.JSON)
		}
	}
	if len(calls[0]) < 5 {
		t.Errorf("%d calls", len(calls[0]))
	}
}

func TestFanOutKeys(t *testing.T) {
	l, calls, list := labels(t, "fan_out_keys")
	keys, before := map[string]bool{}, map[string]bool{}
	for _, r := range calls[0] {
		keys[r.keyARN()] = true
	}
	for _, r := range list {
		if r.principal() == l[0].Principal && r.Time.Before(l[0].Start) {
			before[r.keyARN()] = true
		}
	}
	for key := range keys {
		if before[key] {
			t.Errorf("%s was used before", key)
		}
	}
	if len(keys) < 6 || len(before) == 0 {
		t.Errorf("%d new keys after %d known ones", len(keys), len(before))
	}
}

// TestTamperingEvents checks the form of events that rules look for.
func TestTamperingEvents(t *testing.T) {
	has := func(scenario, name string, parts ...string) {
		t.Helper()
		_, calls, _ := labels(t, scenario)
		for _, own := range calls {
			for _, r := range own {
				if r.text("eventName") == name && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(string(r.JSON), p) }) {
					return
				}
			}
		}
		t.Errorf("%s has no %s with %q", scenario, name, parts)
	}
	has("key_deletion", "DisableKey", `"responseElements":{"keyId":"arn:`)
	has("key_deletion", "ScheduleKeyDeletion", `"pendingWindowInDays":7`, `"keyState":"PendingDeletion"`)
	has("policy_opened", "PutKeyPolicy", `"bypassPolicyLockoutSafetyCheck":true`, `\"Principal\" : \"*\"`)
	has("grant_abuse", "CreateGrant", `"operations":["Decrypt"`, `"granteePrincipal":"arn:aws:iam::`+generate.ForeignAccount)
	has("grant_abuse", "Decrypt", `"type":"AWSAccount"`, `"accountId":"`+generate.ForeignAccount)
	has("trail_blinded", "PutEventSelectors", `"excludeManagementEventSources":["kms.amazonaws.com"]`, `"includeManagementEvents":true`)
	has("trail_blinded", "PutEventSelectors", `"advancedEventSelectors"`, `{"field":"eventSource","notEquals":["kms.amazonaws.com"]}`)
	has("logging_stopped", "StopLogging", `"eventSource":"cloudtrail.amazonaws.com"`, `"name":"arn:aws:cloudtrail:`)
}

// TestAftermath checks the consequences of the attacks: the unusable key, the silent
// account, and the end of both.
func TestAftermath(t *testing.T) {
	l, _, list := labels(t, "key_deletion")
	failed := 0
	for _, r := range list {
		down := r.Time.After(l[0].Start) && r.Time.Before(l[0].Start.Add(20*time.Minute))
		if r.keyARN() == l[0].KeyARN && r.text("errorCode") == "KMSInvalidStateException" {
			failed++
		} else if down && r.keyARN() == l[0].KeyARN && (r.text("eventName") == "Decrypt" || r.text("eventName") == "Encrypt") {
			t.Errorf("used while disabled: %s", r.JSON)
		}
	}
	if failed == 0 {
		t.Error("nobody tried to use the disabled key")
	}
	if n := count(list, "CancelKeyDeletion") + count(list, "EnableKey"); n != 2 {
		t.Errorf("%d calls take the deletion back, want 2", n)
	}
	for _, scenario := range []string{"trail_blinded", "logging_stopped"} {
		found, calls, list := labels(t, scenario)
		silences := 0
		for i, l := range found {
			if !slices.Contains(l.Kinds, generate.KindSilence) {
				continue
			}
			silences++
			account := calls[i-1][0].Account // the previous label is its cause
			for _, r := range list {
				kms := r.text("eventSource") == "kms.amazonaws.com"
				if r.Account == account && !r.Time.Before(l.Start) && r.Time.Before(l.End) && (kms || scenario == "logging_stopped") {
					t.Errorf("%s: the blind trail has %s at %v", scenario, r.text("eventName"), r.Time)
				}
			}
		}
		if silences == 0 {
			t.Errorf("%s: no silence that should be found", scenario)
		}
	}
	_, _, list = labels(t, "logging_stopped")
	if count(list, "StartLogging") != 1 {
		t.Error("logging is never started again")
	}
}

func count(list []record, name string) int {
	n := 0
	for _, r := range list {
		if r.text("eventName") == name {
			n++
		}
	}
	return n
}

// TestScenarioChoice checks which attacks are planted when.
func TestScenarioChoice(t *testing.T) {
	f := func(hours int, scenarios []string, want ...string) {
		t.Helper()
		g := makeTrail(t, generate.Config{Duration: time.Duration(hours) * time.Hour, Events: 100 * hours, Scenarios: scenarios})
		var got []string
		for _, l := range g.Labels() {
			if !slices.Contains(got, l.Scenario) {
				got = append(got, l.Scenario)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%d hours, %q: planted %q, want %q", hours, scenarios, got, want)
		}
	}
	f(72, nil, generate.Scenarios()[:10]...)
	f(7*24, nil, generate.Scenarios()...)
	f(72, []string{})
	f(72, []string{"burst", "first_use"}, "burst", "first_use")
	// A day from midnight: its last 40 % contain no night and no room for trail_blinded.
	f(24, nil, "burst", "object_sweep", "denied_probing", "policy_opened", "key_deletion", "grant_abuse", "fan_out_keys", "logging_stopped")
	f(1, nil, "object_sweep", "policy_opened")
	f(1, []string{"burst"}, "burst")
}
