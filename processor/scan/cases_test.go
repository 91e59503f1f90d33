package scan_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/scan"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// outcome is the result of scanning a reported trail: every publication of an anomaly,
// and all calls in windows of principals.
type outcome struct {
	published []anomaly.Anomaly
	calls     int64
}

// ids returns the number of different anomalies for which is holds.
func (o *outcome) ids(is func(a *anomaly.Anomaly) bool) int {
	known := map[string]bool{}
	for i := range o.published {
		if a := &o.published[i]; is(a) {
			known[a.ID] = true
		}
	}
	return len(known)
}

// of returns the number of different anomalies of a detector with at least this score.
func (o *outcome) of(detector string, score float64) int {
	return o.ids(func(a *anomaly.Anomaly) bool { return a.Detector == detector && a.Score >= score })
}

// says returns the number of different anomalies whose sentences match.
func (o *outcome) says(pattern string) int {
	re := regexp.MustCompile(pattern)
	return o.ids(func(a *anomaly.Anomaly) bool { return re.MatchString(a.Reason) })
}

func (o *outcome) all() int { return o.ids(func(*anomaly.Anomaly) bool { return true }) }

// above returns the number of different anomalies with at least this score.
func (o *outcome) above(score float64) int {
	return o.ids(func(a *anomaly.Anomaly) bool { return a.Score >= score })
}

const medium, high, critical = 6, 8, 10

// reported says what is right for each of the reported trails (their expect.txt), as the
// reason why the outcome is wrong, or "".
var reported = map[string]func(o *outcome) string{
	"alias_is_destroyed_key": func(o *outcome) string {
		return wrong(o.above(critical) == 0 && o.says("disable|destroy|delete KMS keys") == 0, "an alias is not a key")
	},
	"audit_of_120_keys": func(o *outcome) string { return wrong(o.all() == 1 && o.says("120|keys") == 1, "want one anomaly") },
	"burst_12_then_30":  wantRate, "burst_20_then_30": wantRate, "burst_39_then_39": wantRate,
	"ci_role_per_build_300_a_day": func(o *outcome) string { return wrong(o.all() == 0, "churn is known") },
	"describe_is_use": func(o *outcome) string {
		return wrong(o.says(" used ") == 0 && o.above(medium) == 0, "a read is not a use")
	},
	"external_key_store": func(o *outcome) string { return wrong(o.of("external_key_store", high) > 0, "want the rule") },
	"foreign_key_write":  func(o *outcome) string { return wrong(o.of("foreign_write", high) == 1, "want foreign_write") },
	"new_operation_reencrypt": func(o *outcome) string {
		published := map[string]int{}
		for _, a := range o.published {
			published[a.ID]++
		}
		for _, n := range published {
			if n > 5 {
				return fmt.Sprintf("an anomaly is published %d times", n)
			}
		}
		return wrong(o.of("foreign_write", high) == 1, "want a high anomaly")
	},
	"off_hours_40_in_20_minutes": wantRate,
	"owner_account_never_used_it": func(o *outcome) string {
		return wrong(o.says("account that never used") == 0 && o.above(high) == 0, "the owner is no stranger")
	},
	"policy_foreign_account": func(o *outcome) string {
		return wrong(o.above(high) == 1 && o.says("account [0-9]{12}") == 1, "want the account, high")
	},
	"refused_deletion_attempts": func(o *outcome) string {
		return wrong(o.says("tried|refused") > 0 && o.says("made calls|asked [0-9]") == 0, "want 'tried to'")
	},
	"refused_is_use":                               func(o *outcome) string { return wrong(o.says("refused") == 1 && o.all() == 1, "want 'refused'") },
	"silence_hidden_by_describe":                   func(o *outcome) string { return wrong(o.of("silence", medium) == 1, "want a silence") },
	"sparse_key_38_a_window_6_hours_by_a_new_role": wantRate,
	"trail_change_counts_as_call":                  func(o *outcome) string { return wrong(o.calls == 0, "a trail change is not a call") },
	"trail_write_only": func(o *outcome) string {
		return wrong(o.ids(func(a *anomaly.Anomaly) bool { return a.Kind == anomaly.KindBlindSpot }) == 1, "want a blind spot")
	},
}

// open are the reported trails whose outcome is still wrong. The list may only shrink.
var open []string

func wrong(right bool, why string) string {
	if right {
		return ""
	}
	return why
}

func wantRate(o *outcome) string { return wrong(o.of("rate", medium) > 0, "want a rate anomaly") }

// TestReportedCases scans the reported trails in place and holds the outcomes against what
// is right for each.
func TestReportedCases(t *testing.T) {
	dir := os.Getenv("KEYTRAIL_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	list, err := filepath.Glob(filepath.Join(dir, "reports", "detectors", "*", "expect.txt"))
	if err != nil || len(list) == 0 {
		t.Skipf("NOT TESTED: the reported trails are not in %s/reports/detectors; KEYTRAIL_DATA names their folder (%v)", dir, err)
	}
	if len(list) != len(reported) {
		t.Errorf("%d reported trails, and %d outcomes that are right", len(list), len(reported))
	}
	for _, path := range list {
		name := filepath.Base(filepath.Dir(path))
		t.Run(name, func(t *testing.T) {
			right := reported[name]
			if right == nil {
				t.Fatal("no outcome is known to be right")
			}
			o := scanned(t, filepath.Dir(path))
			why, failing := right(o), slices.Contains(open, name)
			switch {
			case why != "" && !failing:
				var all []string
				for _, a := range o.published {
					all = append(all, fmt.Sprintf("%s %.1f: %s", a.Detector, a.Score, a.Reason))
				}
				t.Errorf("%s; found are\n%s", why, strings.Join(all[:min(len(all), 20)], "\n"))
			case why == "" && failing:
				t.Error("the outcome is right now: remove it from the list of open ones")
			}
		})
	}
}

func scanned(t *testing.T, dir string) *outcome {
	t.Helper()
	o, cfg := &outcome{}, window.DefaultConfig()
	s := scan.New(scan.Config{Detect: cfg, Workers: 1, Now: time.Now(), DeadLetter: func(d *wire.DeadLetter) error {
		return fmt.Errorf("dead letter: %s", d.Detail)
	}})
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{filepath.Join(dir, "t.json.gz")})); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(func(r *window.Result) error {
		if r.Scope == wire.ScopePrincipal {
			o.calls += count.Get(&r.Partial, wire.CounterCalls)
		}
		for _, a := range r.Anomalies {
			a.Reason = strings.Clone(a.Reason)
			o.published = append(o.published, a)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return o
}
