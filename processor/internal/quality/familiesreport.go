package main

import (
	"fmt"
	"io"
	"math"
	"time"

	"keytrail/processor/internal/quality/family"
	"keytrail/processor/window"
)

// trainFamilies prints the results of families on training seeds. With explain it lists
// what was missed and what is false.
func trainFamilies(name string, explain bool, out io.Writer) error {
	list, err := chooseFamilies(name)
	if err != nil {
		return err
	}
	told := func(c *contact, took time.Duration) {
		fmt.Fprintf(out, "%s, seed %d: %d records in %v\n", c.family.Name, c.seed, c.records, took.Round(time.Second))
	}
	all, err := measureFamilies(list, []uint64{1, 2}, familySize, window.DefaultConfig(), told)
	if err != nil {
		return err
	}
	familyTables(func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }, all)
	if explain {
		explainFamilies(out, all)
	}
	return nil
}

func at(t time.Time) string { return t.UTC().Format("Mon 2006-01-02 15:04") }

// explainFamilies lists the false anomalies and the missed attacks.
func explainFamilies(out io.Writer, all []*contact) {
	for _, c := range all {
		fmt.Fprintf(out, "\n%s, seed %d: false anomalies\n", c.family.Name, c.seed)
		for _, g := range groups(c.wrong) {
			fmt.Fprintf(out, "%6d  %-14s %s\n", len(g.list), g.detector, g.scope)
			for _, f := range g.list[:min(4, len(g.list))] {
				fmt.Fprintf(out, "        %s %.1f: %s\n", at(time.Unix(0, f.start)), f.score, f.reason)
			}
		}
		for _, o := range c.outcomes {
			if o.score == 0 {
				fmt.Fprintf(out, "missed: %-18s %s %s\n        %v %v\n", o.Attack, at(o.Start), o.Note, o.Keys, o.Principals)
			}
		}
	}
}

// familyTables prints the tables of the families.
func familyTables(p printer, all []*contact) {
	whole := heldOut(all)
	s := together(all, 0, nil)
	mean, worst, name := macro(all, 0)
	low, rates := bootstrap(all, 0)
	p("%d trails of %d families, %.0f account-days (an account: 50 KMS keys in use), %d attacks: recall %.3f "+
		"(95 %% of bootstrap samples of trails: %.2f to %.2f; by chance: %.3f), macro %.3f, worst family %s %.2f. False per day "+
		"and 100 accounts: %.2f anomalies, %.2f alarms (%.2f to %.2f), %.2f of high severity. Publications per attack: %.1f.\n",
		s.trails, len(familyNames(all)), s.accountDays, s.planted, s.recall(), low.low, low.high, s.chance, mean, name, worst,
		s.rate(s.wrong), s.rate(s.alarms), rates.low, rates.high, s.rate(s.high), ratio(s.published, s.planted))
	p("| family | attacks | recall | false alarms | false anomalies | false high | anomalies of the first day " +
		"| held out: recall | false alarms |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, n := range familyNames(all) {
		test, _ := split(all, n)
		f, h := together(test, 0, nil), whole[n]
		first, accounts := 0, 0.0
		for _, c := range test {
			first, accounts = first+c.first, accounts+c.accounts
		}
		p("| %s | %d | %.2f | %.2f | %.2f | %.2f | %.1f | %.2f | %.2f |", n, f.planted, f.recall(), f.rate(f.alarms),
			f.rate(f.wrong), f.rate(f.high), 100*float64(first)/math.Max(accounts, 1), h.recall(), h.rate(h.alarms))
	}
	p("")
	p("| attack | planted | found | recall | median time |\n|---|---:|---:|---:|---:|")
	for _, a := range family.Attacks {
		one := together(all, 0, func(o *met) bool { return o.Attack == a.Name })
		p("| %s | %d | %d | %.2f | %s |", a.Name, one.planted, one.found, one.recall(), quantile(one.took, 0.5))
	}
	p("")
}
