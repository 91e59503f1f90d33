package main

import (
	"fmt"
	"io"
	"math"
	"time"

	"keytrail/processor/internal/quality/family"
	"keytrail/processor/window"
)

// trainFamilies prints the results of families. With explain it lists
// what was missed and what is false.
func trainFamilies(name string, seeds []uint64, explain bool, out io.Writer) error {
	list, err := chooseFamilies(name)
	if err != nil {
		return err
	}
	told := func(c *contact, took time.Duration) {
		fmt.Fprintf(out, "%s, seed %d: %d records in %v, %d bytes per entity\n", c.family.Name, c.seed, c.records,
			took.Round(time.Second), c.packed)
	}
	all, err := measureFamilies(list, seeds, familySize, window.DefaultConfig(), told)
	if err != nil {
		return err
	}
	familySection(func(format string, args ...any) { fmt.Fprintln(out, fold(fmt.Sprintf(format, args...))) }, all)
	if explain {
		explainFamilies(out, all)
	}
	return nil
}

func at(t time.Time) string { return t.UTC().Format("Mon 2006-01-02 15:04") }

// explainFamilies lists the false anomalies, those of the first day, and the missed attacks.
func explainFamilies(out io.Writer, all []*contact) {
	for _, c := range all {
		list := func(what string, wrong []finding) {
			fmt.Fprintf(out, "\n%s, seed %d: %s\n", c.family.Name, c.seed, what)
			for _, g := range groups(wrong) {
				fmt.Fprintf(out, "%6d  %-14s %s\n", len(g.list), g.detector, g.scope)
				for _, f := range g.list[:min(4, len(g.list))] {
					fmt.Fprintf(out, "        %s %.1f: %s\n", at(time.Unix(0, f.start)), f.score, f.reason)
				}
			}
		}
		list("anomalies of the first day", c.first)
		list("false anomalies", c.wrong)
		for _, o := range c.outcomes {
			if o.score == 0 {
				fmt.Fprintf(out, "missed: %-18s %s %s\n        %v %v\n", o.Attack, at(o.Start), o.Note, o.Keys, o.Principals)
			}
		}
	}
}

// contacts prints the figures of first contacts, the headline.
func contacts(p printer, first []firstContact) {
	if len(first) == 0 {
		p("**First contact: not measured yet.** No family of trails is written by somebody who has not read the " +
			"detectors; `processor/internal/quality/doc.go` says how to add one.\n")
		return
	}
	var s sums
	var accounts float64
	names, day := "", 0
	for i, c := range first {
		if i > 0 {
			names += ", "
		}
		names += c.Family
		s.planted, s.found, s.alarms, s.high = s.planted+c.Planted, s.found+c.Found, s.alarms+c.Alarms, s.high+c.High
		s.accountDays, s.wrong = s.accountDays+c.AccountDays, s.wrong+c.Anomalies
		accounts, day = accounts+c.Accounts, day+c.FirstDay
	}
	p("**First contact: recall %.2f (%d of %d) at %.2f false alarms a day per 100 accounts** (%.2f anomalies, %.2f of "+
		"high severity; an account: 50 KMS keys in use) on %.0f account-days of families written by somebody who had not "+
		"read the detectors (%s), measured once, before anybody saw what was missed. Aim: 0.80 at 2. Their first days "+
		"raised %.1f anomalies per 100 accounts; aim: 5.\n",
		s.recall(), s.found, s.planted, s.rate(s.alarms), s.rate(s.wrong), s.rate(s.high), s.accountDays, names,
		100*float64(day)/math.Max(accounts, 1))
}

// familySection describes the families and prints their tables.
func familySection(p printer, all []*contact) {
	if len(all) == 0 {
		return
	}
	p("## Other organizations\n")
	p("The figures above are of trails of `keytrail generate`, on which the thresholds were chosen. Trails of " +
		"`processor/internal/quality/family` differ from them and from each other in arrivals, in the graph of keys and " +
		"principals, in the life of identities and in the calendar; every attack is planted in every family. Thresholds " +
		"were not fitted to them. An attack is found if any anomaly is about it. A false **alarm** is the false anomalies " +
		"of an account that are at most an hour apart. The labels shifted in time give the recall by chance. Held out: " +
		"with the lowest severity that gives at most 2 false alarms on the other families, of 24 candidates; it is " +
		"fitted to false alarms alone, so the attacks are held out, too.\n")
	familyTables(p, all)
	for _, n := range familyNames(all) {
		c, _ := split(all, n)
		unseen := ""
		if c[0].family.Unseen {
			unseen = " Its author had not read the detectors."
		}
		p("- **%s**: %s%s", n, c[0].family.About, unseen)
	}
	p("")
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
			first, accounts = first+len(c.first), accounts+c.accounts
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
