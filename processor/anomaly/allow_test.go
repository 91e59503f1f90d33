package anomaly_test

import (
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/rule"
	"keytrail/processor/sigma"
	"keytrail/schemas/wire"
)

// Matches of rules are allowed like other anomalies, and counted as suppressed.
func TestAllowedRules(t *testing.T) {
	deletion, disabled := -1, -1
	for i := range rule.All {
		switch rule.All[i].Name {
		case "key_deletion_scheduled":
			deletion = i
		case "key_disabled":
			disabled = i
		}
	}
	both := rule.Set(1<<deletion | 1<<disabled)
	of := func(id string) *sigma.Rule { return &sigma.Rule{Meta: sigma.Meta{ID: id}} }
	l := anomaly.Allow{{Principal: role(1), Detector: "key_disabled", Why: "x"}, {Key: keyARN(1), Detector: anomaly.SigmaDetector + "b", Until: anomaly.Until(time.Unix(0, begin+hour).UTC().Format(time.RFC3339)), Why: "x"}}
	f := func(at int64, principal int, rules rule.Set, left, suppressed int) {
		t.Helper()
		c := decrypt(at, 1, principal)
		c.Rules, c.Matched = both, 2
		matched := l.Rules(&c, []*sigma.Rule{of("a"), of("b")}, size)
		if c.Rules != rules || len(matched) != left || int(c.Matched) != left || int(c.Suppressed) != suppressed {
			t.Errorf("rules %b, %d of the user's, %d suppressed; want %b, %d, %d", c.Rules, c.Matched, c.Suppressed, rules, left, suppressed)
		}
		table := count.NewTable(size)
		table.Add(&c, 1)
		for p := range table.All() {
			if n := count.Get(p, wire.CounterSuppressed); n != int64(suppressed) {
				t.Errorf("%s counts %d suppressed, want %d", p.StateKey(), n, suppressed)
			}
		}
	}
	f(begin, 1, 1<<deletion, 1, 2)
	f(begin, 2, both, 1, 1)
	f(begin+hour, 1, 1<<deletion, 2, 1)
	l = nil
	f(begin, 1, both, 2, 0)
}
