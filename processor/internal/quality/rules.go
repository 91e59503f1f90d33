package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"keytrail/processor/anomaly"
	"keytrail/processor/sigma"
)

// ruleTally is one rule's result. Rules need no learning and have no threshold.
type ruleTally struct {
	anomalies int // published
	wrong     int // published, but about no incident
	withheld  int // unpublished, because of a storm
}

// ruleTallies are the results of all rules, by the rule's name in anomalies.
type ruleTallies map[string]ruleTally

func (t ruleTallies) add(name string, o ruleTally) {
	sum := t[name]
	t[name] = ruleTally{sum.anomalies + o.anomalies, sum.wrong + o.wrong, sum.withheld + o.withheld}
}

// ofUser reports whether an anomaly's rule is one of the user's.
func ofUser(detector string) bool { return strings.HasPrefix(detector, anomaly.SigmaDetector) }

// readRules reads the measured user's rules; nil if the folder is "".
func readRules(dir string) (*sigma.Rules, error) {
	if dir == "" {
		return nil, nil
	}
	rules, problems := sigma.Load(os.DirFS(dir))
	if len(problems) > 0 {
		return nil, fmt.Errorf("cannot use the rules in %s: %v", dir, problems[0])
	}
	return rules, nil
}

// newTallies returns tallies with a row for each of the user's rules.
func newTallies(rules *sigma.Rules) ruleTallies {
	t := ruleTallies{}
	if rules != nil {
		for _, r := range rules.List {
			t.add(anomaly.SigmaDetector+r.ID, ruleTally{})
		}
	}
	return t
}

// title names a rule in the report.
func title(name string, rules *sigma.Rules) string {
	if rules != nil {
		for _, r := range rules.List {
			if anomaly.SigmaDetector+r.ID == name {
				return r.Title
			}
		}
	}
	return name
}

// rulesSection reports on the rules alone, which judge single events.
func rulesSection(p printer, o options, m *measured) {
	p("## Rules alone\n")
	p("An anomaly of a rule is about one call and needs no learning. Keytrail's figures above include those of the "+
		"always-on rules; rules without anomalies are not listed. Per rule, KMS key, principal and window a partition "+
		"of stage count publishes at most %d; windows count the others (`keytrail.window.withheld`).\n", anomaly.StormBound)
	p("| rule | anomalies | about an incident | false | false / 1,000 entity-days | false / day | withheld " +
		"|\n|---|---:|---:|---:|---:|---:|---:|")
	row := func(name string, t ruleTally) {
		f := figures{wrong: t.wrong}
		p("| %s | %d | %d | %d | %.3f | %.2f | %d |", name, t.anomalies, t.anomalies-t.wrong, t.wrong,
			m.ours.perThousand(f), m.ours.perDay(f), t.withheld)
	}
	for _, user := range []bool{false, true} {
		all := ruleTallies{}
		names := slices.SortedFunc(maps.Keys(m.rules), func(a, b string) int {
			return cmp.Or(cmp.Compare(m.rules[b].wrong, m.rules[a].wrong), cmp.Compare(a, b))
		})
		what := "**all always-on rules**"
		if user {
			what = "**all rules of `" + o.rulesDir + "`**"
		}
		for _, name := range names {
			if ofUser(name) == user {
				row(title(name, o.rules), m.rules[name])
				all.add(what, m.rules[name])
			}
		}
		if !user || o.rules != nil {
			row(what, all[what])
		}
	}
	if o.rules != nil {
		p("\nThe rules of `%s` are examples of a user's: one with maintained lists, and two as written on the first "+
			"day. They are in no other table.\n", o.rulesDir)
	}
}
