package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/internal/quality/family"
	"keytrail/processor/window"
)

// TestFamiliesSmoke runs a small trail of every family: the certain attacks are found, and
// the tables have a row per family.
func TestFamiliesSmoke(t *testing.T) {
	size := family.Size{Keys: 15, Days: 19, Quiet: 14}
	all, err := measureFamilies(family.All, []uint64{1}, size, window.DefaultConfig(), func(*contact, time.Duration) {})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, c := range all {
		if c.records < 5000 || c.accounts <= 0 {
			t.Errorf("%s: %d records, %.2f accounts", c.family.Name, c.records, c.accounts)
		}
		if c.packed < 50 || c.packed > 2000 { // of few entities; the last slab is half empty
			t.Errorf("%s: an entity takes %d bytes", c.family.Name, c.packed)
		}
		for _, o := range c.outcomes {
			switch {
			case slices.Contains([]string{"backdoor", "destruction"}, o.Attack) && o.score == 0:
				t.Errorf("%s: %s is not found: %+v", c.family.Name, o.Attack, o.Label)
			case o.score > 0:
				found++
			}
		}
	}
	if s := together(all, 0, nil); s.found != found || s.planted == 0 || s.chance >= s.recall() {
		t.Errorf("%+v; counted %d", s, found)
	}
	var b strings.Builder
	familyTables(func(format string, args ...any) { b.WriteString(format) }, all)
	if n := strings.Count(b.String(), "| %s | %d | %.2f | %.2f"); n != len(family.All) {
		t.Errorf("%d rows of families:\n%s", n, b.String())
	}
}

// TestTogether checks how false anomalies become alarms, and thresholds apply.
func TestTogether(t *testing.T) {
	at := func(minutes int64, score float64, key string) finding {
		f := finding{start: minutes * int64(time.Minute), score: score}
		f.Key = key
		return f
	}
	a, b := "arn:aws:kms:eu-west-1:111122223333:key/a", "arn:aws:kms:eu-west-1:444455556666:key/b"
	c := &contact{family: family.All[0], accounts: 2, days: 5, outcomes: []met{{score: 0}, {score: 6, took: time.Hour}, {score: 9, took: time.Minute}},
		wrong: []finding{at(1, 6, a), at(50, 9, a), at(100, 6, a), at(101, 6, b), at(300, 6, a)}}
	s := together([]*contact{c}, 0, nil)
	if s.planted != 3 || s.found != 2 || s.wrong != 5 || s.high != 1 || s.alarms != 3 || s.rate(s.alarms) != 30 || s.took[0] != time.Minute {
		t.Errorf("%+v", s)
	}
	if s := together([]*contact{c}, 8, nil); s.found != 1 || s.wrong != 1 {
		t.Errorf("from 8 on: %+v", s)
	}
	if got := fitted([]*contact{c}); got != 9.5 { // one alarm from 9 on is 10 a day
		t.Errorf("fitted to %v", got)
	}
}

// TestFirstContactIsOnce checks that a family that has been measured is refused.
func TestFirstContactIsOnce(t *testing.T) {
	var out bytes.Buffer
	if err := meetFirst("none", filepath.Join(t.TempDir(), "x.json"), &out); err == nil || !strings.Contains(err.Error(), "shop") {
		t.Errorf("an unknown family: %v", err)
	}
	list, err := readContacts("testdata/firstcontact.json")
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if err := meetFirst(list[0].Family, "testdata/firstcontact.json", &out); err == nil || !strings.Contains(err.Error(), "once") {
		t.Errorf("a second contact: %v", err)
	}
}
