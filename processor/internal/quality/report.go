package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"keytrail/processor/generate"
	"keytrail/schemas/wire"
)

// report writes docs/quality.md.
func report(o options, m *measured, n nabResult) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# The quality of the detectors\n")
	p("This page measures how many planted incidents Keytrail finds in synthetic trails, how soon,\nand how many of its anomalies are false. `make quality` writes this page; it is not edited by hand.\n")
	aims(p, m)
	data(p, o, m)
	how(p, m)
	methods(p, m)
	points(p, m)
	scenarios(p, m)
	equalRecall(p, m)
	falseOnes(p, m)
	rulesSection(p, o, m)
	missed(p, m)
	nab(p, n)
	p("## Again\n")
	p("```console notest\n$ go run ./processor/internal/quality %s\n```\n", o.flags())
	p("`-explain` instead of `-o` prints the causes of all false anomalies and every incident that was\nmissed; `-seeds 1,2` does so on training seeds.")
	return b.String()
}

// flags returns the command line that gives the report.
func (o options) flags() string {
	var seeds []string
	for _, s := range o.seeds {
		seeds = append(seeds, fmt.Sprint(s))
	}
	return fmt.Sprintf("-seeds %s -keys %d -principals %d -days %d -events %d -repeat %d -o docs/quality.md",
		strings.Join(seeds, ","), o.keys, o.world.principals, o.world.days, o.events, o.repeat)
}

type printer func(format string, args ...any)

// aims says first whether the aims are met.
func aims(p printer, m *measured) {
	f := m.ours.at(0, nil)
	worst, name := 2.0, ""
	for _, s := range m.rows() {
		if r := s.ours.recall(); r < worst {
			worst, name = r, s.name
		}
	}
	verdict := func(ok bool) string {
		if ok {
			return "met"
		}
		return "**not met**"
	}
	p("| aim | measured | |\n|---|---|---|")
	p("| recall 0.95 over all incidents | %.3f (%d of %d) | %s |", f.recall(), f.found, f.planted, verdict(f.recall() >= 0.95))
	p("| no scenario below 0.8 | %.2f (%s) | %s |", worst, name, verdict(worst >= 0.8))
	p("| at most 0.1 false anomalies for 1,000 entity-days | %.2f | %s |", m.ours.perThousand(f), verdict(m.ours.perThousand(f) <= 0.1))
	factor, beside := m.advantage()
	p("| ten times fewer of them than the best yardstick at equal recall | %.1f times fewer than %s | %s |\n", factor, beside, verdict(factor >= 10))
}

func data(p printer, o options, m *measured) {
	t := m.totals
	p("## The data\n")
	p("%d trails of `keytrail generate`, one for each of the seeds %v: %d KMS keys, %d principals, %d accounts and\n%d days each. Together %d records of %d calls (%d copies, %d later than the allowed lateness, %d of no concern)\nand %d windows of five minutes of keys, principals and pairs.\n",
		len(o.seeds), o.seeds, o.keys, o.world.principals, len(o.accounts), o.world.days, t.records, t.calls, t.duplicates, t.late, t.filtered, t.windows)
	p("The background follows no distribution that a detector assumes: Poisson processes with log-normal\nnoise of days, hours and five minutes, office hours in seven time zones, weekends, rates over three\norders of magnitude, hourly and daily batch jobs, machines with nearly equal steps, levels that\nswitch every few hours or days, deployments, services that are new, slow growth, Bucket Keys turned\non and off, rare use, rotation by KMS itself, calls across accounts, 1 %% failed calls. Files come 2 to\n10 minutes late and out of order, 2 %% of the records twice.\n")
	p("The first two fifths of each trail are for learning. In the rest every scenario is planted %d times\nat random; some have two labels. Harmless scenarios are labelled too: files that come 40 minutes and\n3 hours late, files delivered three times, six hours read again, deployments, Bucket Keys, new\nservices. Anomalies there are false.\n", o.repeat)
}

func how(p printer, m *measured) {
	p("## How it is measured\n")
	p("- Thresholds are those of `detector.DefaultSettings`. They were chosen on the seeds 1 to 99, those of the\n  yardsticks by custom, and of the fixed threshold as the best F1 on training seeds (`-fit`).")
	p("- The records are decoded, normalized, counted and judged by the code of `keytrail scan` and of the\n  stages, in the order in which their files are delivered, with the default watermark and lateness\n  (`TestSameAsScan` holds that it gives the same windows and anomalies as `scan` on files).")
	p("- An anomaly is about an incident when its entity is one of the incident's (the KMS key, the\n  principal, for a pair both; for a blinded trail all of the account) and its window overlaps the\n  time from the first event to %v after the last, or after what it entails (an undoing, the end\n  of the blindness). Otherwise the anomaly is **false**, also in a harmless scenario.", tolerance)
	p("- An incident is **found** when an anomaly of a kind that it should raise is about it. A yardstick\n  knows no kinds: whatever it raises counts, also by chance.")
	p("- **Time to detection** is from the incident's first event to the delivery of the file whose records\n  let the anomaly be published: at once for rules, else when a window looks bad while it is open or\n  when the watermark, 15 minutes behind, has passed its end.")
	p("- **Recall** is over incidents, **precision** over anomalies; the area under their curve is the average\n  precision over all thresholds of the score, and recall that no threshold reaches adds nothing.\n  An **entity-day** is a KMS key, principal or pair with a call on a day: %d of keys, %d of principals,\n  %d of pairs.",
		m.entityDays[wire.ScopeKey], m.entityDays[wire.ScopePrincipal], m.entityDays[wire.ScopePair])
	p("- The **yardsticks** see the same windows of keys and principals, from a day after an entity's first\n  call on, where there are 20 calls or more. Mean and deviation have a half-life of a week; Poisson has\n  a mean for each hour of the day; the rolling median, with 1.4826 times the median absolute\n  deviation, is over a day. The sweep omits windows below 3 standard deviations, more likely than\n  1 in 1,000, or with fewer than 60 calls.\n")
}

// methods is the table of all methods at their thresholds.
func methods(p printer, m *measured) {
	p("## Keytrail beside the yardsticks\n")
	p("| method | threshold | recall | precision | false / 1,000 entity-days | false / day | area under PR |\n|---|---:|---:|---:|---:|---:|---:|")
	for _, t := range m.all() {
		f := t.at(t.threshold, nil)
		threshold := fmt.Sprint(t.threshold)
		if t.threshold == 0 {
			threshold = "default"
		}
		p("| %s | %s | %.3f | %.3f | %.2f | %.1f | %.3f |", t.name, threshold, f.recall(), f.precision(), t.perThousand(f), t.perDay(f), area(t.curve(nil)))
	}
	p("")
}

// points shows the precision-recall curve of Keytrail at some scores.
func points(p printer, m *measured) {
	p("Keytrail's anomalies of a score (-log10 of a probability, or a rule's level) and above:\n")
	p("| score | severity from | recall | precision | false / 1,000 entity-days | false / day |\n|---:|---|---:|---:|---:|---:|")
	severities := map[float64]string{0: "low", 6: "medium", 8: "high", 10: "critical"}
	for _, score := range []float64{0, 6, 7, 8, 9, 10, 15, 20} {
		f := m.ours.at(score, nil)
		p("| %.0f | %s | %.3f | %.3f | %.2f | %.1f |", score, severities[score], f.recall(), f.precision(), m.ours.perThousand(f), m.ours.perDay(f))
	}
	p("")
}

// all returns every method's tally.
func (m *measured) all() []*tally {
	list := []*tally{&m.ours, &m.rate}
	for i := range m.others {
		list = append(list, &m.others[i])
	}
	return list
}

// row is one scenario.
type row struct {
	name   string
	ours   figures
	seen   int // found by anomalies of any kind
	took   []time.Duration
	others []figures
}

// rows returns the scenarios by name.
func (m *measured) rows() (list []row) {
	var names []string
	for _, o := range m.ours.incidents {
		if !slices.Contains(names, o.scenario) {
			names = append(names, o.scenario)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fits := func(o *outcome) bool { return o.scenario == name }
		r := row{name: name, ours: m.ours.at(0, fits)}
		for i := range m.ours.incidents {
			if o := &m.ours.incidents[i]; fits(o) {
				if o.seen > 0 {
					r.seen++
				}
				if o.took >= 0 {
					r.took = append(r.took, o.took)
				}
			}
		}
		slices.Sort(r.took)
		for i := range m.others {
			r.others = append(r.others, m.others[i].at(m.others[i].threshold, fits))
		}
		list = append(list, r)
	}
	return list
}

func scenarios(p printer, m *measured) {
	p("## By scenario\n")
	head, line := "", ""
	for _, t := range m.others {
		head, line = head+" "+t.name+" |", line+"---:|"
	}
	p("Recall; for Keytrail also the share found by anomalies of any kind, and the time to detection.\n")
	p("| scenario | planted | Keytrail | any kind | median time | 90 %% within |%s\n|---|---:|---:|---:|---:|---:|%s", head, line)
	for _, r := range m.rows() {
		others := ""
		for _, f := range r.others {
			others += fmt.Sprintf(" %.2f |", f.recall())
		}
		p("| %s | %d | %.2f | %.2f | %s | %s |%s", r.name, r.ours.planted, r.ours.recall(), ratio(r.seen, r.ours.planted), quantile(r.took, 0.5), quantile(r.took, 0.9), others)
	}
	p("")
}

// quantile returns a share of sorted times, rounded to minutes.
func quantile(sorted []time.Duration, share float64) string {
	if len(sorted) == 0 {
		return "-"
	}
	at := sorted[min(len(sorted)-1, int(math.Ceil(share*float64(len(sorted))))-1)]
	if at >= 2*time.Hour {
		return fmt.Sprintf("%.1f h", at.Hours())
	}
	return fmt.Sprintf("%.0f min", at.Minutes())
}

// volume chooses the incidents that show in numbers of calls.
func volume(o *outcome) bool { return o.volume }

// comparison is Keytrail beside a yardstick at equal recall.
type comparison struct {
	recall       float64
	theirs, ours figures
	against      *tally
	with         *tally
}

// factor is how many times more false anomalies the yardstick has; one of ours counts
// as at least one.
func (c comparison) factor() float64 {
	return c.against.perThousand(c.theirs) / math.Max(c.with.perThousand(c.ours), c.with.perThousand(figures{wrong: 1}))
}

// compare compares with every yardstick at the recall that both reach.
func (m *measured) compare(ours *tally, fits func(*outcome) bool) (list []comparison) {
	own := ours.curve(fits)
	for i := range m.others {
		t := &m.others[i]
		curve := t.curve(fits)
		if len(own) == 0 || len(curve) == 0 {
			continue
		}
		r := min(own[len(own)-1].recall(), curve[len(curve)-1].recall())
		theirs, _ := atRecall(curve, r)
		mine, _ := atRecall(own, r)
		list = append(list, comparison{r, theirs, mine, t, ours})
	}
	return list
}

// advantage returns by how much Keytrail is better than the best yardstick at equal
// recall, over all incidents.
func (m *measured) advantage() (factor float64, name string) {
	factor, name = math.Inf(1), "none"
	for _, c := range m.compare(&m.ours, nil) {
		if f := c.factor(); f < factor {
			factor, name = f, c.against.name
		}
	}
	return factor, name
}

func equalRecall(p printer, m *measured) {
	p("## At equal recall\n")
	p("The threshold of each yardstick is swept; where it does not reach Keytrail's recall, Keytrail's is raised\nuntil both have what the yardstick reaches at most. The figures are false anomalies for 1,000\nentity-days. Incidents of volume are those that should raise a rate anomaly among others.\n")
	p("| incidents | yardstick | recall | its threshold | its false | Keytrail | Keytrail's false | times fewer |\n|---|---|---:|---:|---:|---|---:|---:|")
	rows := func(what string, ours *tally, fits func(*outcome) bool) {
		for _, c := range m.compare(ours, fits) {
			least := ""
			if c.ours.wrong == 0 {
				least = "more than "
			}
			p("| %s | %s | %.3f | %.1f | %.2f | %s | %.2f | %s%.1f |", what, c.against.name, c.recall, c.theirs.threshold, c.against.perThousand(c.theirs),
				c.with.name, c.with.perThousand(c.ours), least, c.factor())
		}
	}
	rows("all", &m.ours, nil)
	rows("of volume", &m.ours, volume)
	rows("of volume", &m.rate, volume)
	p("")
}

func falseOnes(p printer, m *measured) {
	p("## False anomalies, and what is behind them\n")
	p("The habit of the pair of key and principal that exceeded its mean the most in that window.\n")
	p("| false | detector | scope | habit of the background | scores |\n|---:|---|---|---|---|")
	list, rest := groups(m.wrong), 0
	for i, g := range list {
		if i >= 20 {
			rest += len(g.list)
			continue
		}
		p("| %d | %s | %s | %s | %.1f to %.1f |", len(g.list), g.detector, g.scope, g.cause, g.list[len(g.list)-1].score, g.list[0].score)
	}
	if rest > 0 {
		p("| %d | %d more | | | |", rest, len(list)-20)
	}
	p("\nWhile learning, when nothing is planted, there are %.1f anomalies a day.", m.learning/math.Max(m.learningDays, 1))
	p("\nHarmless scenarios and the false anomalies in them:\n\n| scenario | planted | false anomalies |\n|---|---:|---:|")
	for _, name := range generate.Scenarios() {
		planted := 0
		for _, l := range m.labels {
			if l.Benign && l.Scenario == name {
				planted++
			}
		}
		if planted > 0 {
			p("| %s | %d | %d |", name, planted, m.ours.benign[name])
		}
	}
	p("")
}

// missed tells which incidents are missed and what is known of the reason.
func missed(p printer, m *measured) {
	p("## Missed incidents\n")
	any := false
	for _, r := range m.rows() {
		lost := r.ours.planted - r.ours.found
		if lost == 0 {
			continue
		}
		any = true
		quiet, other, example := 0, []string{}, ""
		for i := range m.ours.incidents {
			o := &m.ours.incidents[i]
			if o.scenario != r.name || o.best > 0 {
				continue
			}
			example = cmp.Or(example, o.note)
			if m.others[0].incidents[i].best == 0 {
				quiet++
			}
			for _, kind := range o.other {
				if !slices.Contains(other, kind) {
					other = append(other, kind)
				}
			}
		}
		slices.Sort(other)
		p("- **%s**: %d of %d, such as: %s. In %d of them no window of 20 calls stands out by 3 standard\n  deviations. Anomalies of other kinds about them: %s.", r.name, lost, r.ours.planted, example, quiet, cmp.Or(strings.Join(other, ", "), "none"))
	}
	if !any {
		p("Nothing.")
	}
	p("")
}

func nab(p printer, n nabResult) {
	p("## NAB\n")
	if n.err != nil {
		p("**NAB did not run:** %v. `-data` or KEYTRAIL_DATA must name the folder that holds\n`nab-realAWSCloudWatch`.\n", n.err)
		return
	}
	p("The Numenta Anomaly Benchmark's realAWSCloudWatch: %d files, %d values, %d labelled windows, scored as NAB\nscores (0: says nothing; 100: perfect). The values are processor loads, bytes and requests, not calls;\neach is scaled and taken for the calls of a window on one key. Many of the labelled anomalies are falls,\nwhich a detector of more than usual does not look for. NAB chooses the threshold on the files that it\nscores; the score with the method's usual threshold stands in brackets.\n", n.files, n.values, n.windows)
	p("| method | %s | %s | %s |\n|---|---:|---:|---:|", profiles[0].name, profiles[1].name, profiles[2].name)
	for _, r := range n.rows {
		cells := ""
		for i := range profiles {
			cells += fmt.Sprintf(" %.1f", r.scores[i])
			if r.usual != nil {
				cells += fmt.Sprintf(" (%.1f)", r.usual[i])
			}
			cells += " |"
		}
		p("| %s |%s", r.name, cells)
	}
	p("")
}
