package cli_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// withoutCorrelation is the rule of refusedRules alone.
func withoutCorrelation() string { return strings.SplitAfter(refusedRules, "---\n")[0] }

// A scan with rules finds the same matching calls as a plain count.
func TestScanWithRules(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 34, Duration: 30 * time.Hour, Events: 3000, DuplicateShare: 0.1})
	ids, _, _ := refusedIn(t, recordsIn(t, trail))
	rules := write(t, inTemp(t, "rules.yml"), withoutCorrelation())
	out := keytrail(t, nil, "scan", "--windows", "none", "-o", "json", "--rules", rules, trail).wants(t, 0)
	var got []string
	for _, line := range withoutEnds(lines(out.stdout)) {
		if strings.Contains(line, `"stringValue":"sigma/refused"`) {
			_, rest, _ := strings.Cut(line, `"keytrail.anomaly.calls","value":{"arrayValue":{"values":[{"stringValue":"`)
			id, _, _ := strings.Cut(rest, `"`)
			got = append(got, id)
		}
	}
	slices.Sort(ids)
	slices.Sort(got)
	if len(ids) < 10 || !slices.Equal(got, ids) {
		t.Errorf("%d calls are found, want %d", len(got), len(ids))
	}
	if plain := keytrail(t, nil, "scan", "--windows", "none", "-o", "json", trail).wants(t, 0).stdout; len(withoutEnds(lines(plain))) != len(withoutEnds(lines(out.stdout)))-len(ids) {
		t.Errorf("rules change more than their own anomalies: %d and %d lines", len(lines(plain)), len(lines(out.stdout)))
	}
}

// A scan and rules check find the same firings of a correlation in a trail.
func TestScanCountsCorrelations(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 33, Duration: 30 * time.Hour, Events: 3000, DuplicateShare: 0.1})
	_, hours, _ := refusedIn(t, recordsIn(t, trail))
	want := map[string]int{}
	for hour, n := range hours {
		if at, account, _ := strings.Cut(hour, " "); n >= 2 {
			want[fmt.Sprintf("%d matches in 1h from %s, userIdentity.accountId %s.", n, at, account)]++
		}
	}
	rules := write(t, inTemp(t, "rules.yml"), refusedRules)
	out := keytrail(t, nil, "scan", "--windows", "none", "-o", "table", "--rules", rules, trail).wants(t, 0)
	got := map[string]int{}
	for _, line := range lines(out.stdout) {
		if _, found, ok := strings.Cut(line, `The correlation "Many refused" holds: `); ok {
			got[found]++
		}
	}
	if len(want) < 2 || !maps.Equal(got, want) {
		t.Errorf("found are %v, want %v", got, want)
	}
}

// Invalid rules end a command before it begins, with all their places.
func TestRulesAreRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules", "a.yml"), strings.Replace(refusedRules, "contains: denied", "expand: denied", 1))
	write(t, filepath.Join(dir, "rules", "b.yml"), "title: no end\"\ndetection\n")
	fine := write(t, filepath.Join(dir, "fine.yml"), strings.Replace(withoutCorrelation(), "name: refused", "name: mine", 1))
	config := func(paths ...string) string {
		return write(t, inTemp(t, "keytrail.yaml"), fmt.Sprintf("kafka: {embedded: true, brokers: []}\nrules: {sigma: [%s]}\n", strings.Join(paths, ", ")))
	}
	for _, c := range []struct {
		rules string
		texts []string
	}{
		{dir + "/rules", []string{dir + `/rules/a.yml:6: the field "errorCode|expand"`, dir + "/rules/b.yml:", " problems in " + dir + "/rules"}},
		{dir + "/none", []string{"cannot read rules", "no such file"}},
	} {
		keytrail(t, nil, "scan", "--rules", fine, "--rules", c.rules, dir).wants(t, 2, c.texts[0])
		keytrail(t, nil, "config", "check", "-c", config(c.rules)).wants(t, 2, c.texts...)
		keytrail(t, nil, "run", "-c", config(fine, c.rules)).wants(t, 2, c.texts[0])
		keytrail(t, nil, "demo", "--rules", c.rules).wants(t, 2, c.texts...)
	}
	if out := keytrail(t, nil, "config", "check", "-c", config(fine)).wants(t, 0).stdout; !strings.Contains(out, "is valid") {
		t.Errorf("config check says %q", out)
	}
}
