package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"keytrail/processor/generate"
)

// report writes docs/quality.md.
func report(o options, m *measured, families []*contact, first []firstContact, n nabResult) string {
	var b strings.Builder
	p := func(format string, args ...any) { b.WriteString(fold(fmt.Sprintf(format, args...)) + "\n") }
	p("# The quality of the detectors\n")
	p("This page measures how many planted incidents Keytrail finds in synthetic trails, how soon, and how many " +
		"of its anomalies are false. `make quality` generates it; do not edit it.\n")
	contacts(p, first)
	aims(p, m)
	familySection(p, families)
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
	p("## Reproducing this page\n")
	p("```console notest\n$ go run ./processor/internal/quality %s\n```\n", o.flags())
	p("With `-explain` instead of `-o` it prints the causes of all false anomalies and every missed incident; " +
		"with `-seeds 1,2` on training seeds.")
	return b.String()
}

// flags returns the command line that produces the report.
func (o options) flags() string {
	var seeds []string
	for _, s := range o.seeds {
		seeds = append(seeds, fmt.Sprint(s))
	}
	return fmt.Sprintf("-seeds %s -keys %d -principals %d -days %d -events %d -repeat %d -o docs/quality.md",
		strings.Join(seeds, ","), o.keys, o.world.principals, o.world.days, o.events, o.repeat)
}

// verdict returns the words for an aim that is met or not.
func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "**not met**"
}

type printer func(format string, args ...any)

// aims begins the report with whether the aims are met.
func aims(p printer, m *measured) {
	f := m.ours.at(0, nil)
	worst, name := 2.0, ""
	for _, s := range m.rows() {
		if r := s.ours.recall(); r < worst {
			worst, name = r, s.name
		}
	}
	p("| aim | measured | |\n|---|---|---|")
	p("| recall 0.95 over all incidents | %.3f (%d of %d) | %s |", f.recall(), f.found, f.planted,
		verdict(f.recall() >= 0.95))
	p("| no scenario below 0.8 | %.2f (%s) | %s |", worst, name, verdict(worst >= 0.8))
	p("| at most 0.1 false anomalies per 1,000 entity-days | %.2f | %s |", m.ours.perThousand(f),
		verdict(m.ours.perThousand(f) <= 0.1))
	factor, beside := m.advantage()
	p("| ten times fewer of them than the best yardstick at equal recall | %.1f times fewer than %s | %s |\n", factor,
		beside, verdict(factor >= 10))
}

// methods is the table of all methods at their thresholds.
func methods(p printer, m *measured) {
	p("## Keytrail beside the yardsticks\n")
	p("| method | threshold | recall | precision | false / 1,000 entity-days | false / day | area under PR " +
		"|\n|---|---:|---:|---:|---:|---:|---:|")
	for _, t := range m.all() {
		f := t.at(t.threshold, nil)
		threshold := fmt.Sprint(t.threshold)
		if t.threshold == 0 {
			threshold = "default"
		}
		p("| %s | %s | %.3f | %.3f | %.2f | %.1f | %.3f |", t.name, threshold, f.recall(), f.precision(), t.perThousand(f),
			t.perDay(f), area(t.curve(nil)))
	}
	p("")
}

// points is Keytrail's precision-recall curve at some scores.
func points(p printer, m *measured) {
	p("Keytrail's anomalies of a score (-log10 of a probability, or a rule's level) and above:\n")
	p("| score | severity from | recall | precision | false / 1,000 entity-days | false / day " +
		"|\n|---:|---|---:|---:|---:|---:|")
	severities := map[float64]string{0: "low", 6: "medium", 8: "high", 10: "critical"}
	for _, score := range []float64{0, 6, 7, 8, 9, 10, 15, 20} {
		f := m.ours.at(score, nil)
		p("| %.0f | %s | %.3f | %.3f | %.2f | %.1f |", score, severities[score], f.recall(), f.precision(),
			m.ours.perThousand(f), m.ours.perDay(f))
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
	p("| scenario | planted | Keytrail | any kind | median time | 90 %% within |%s\n|---|---:|---:|---:|---:|---:|%s",
		head, line)
	for _, r := range m.rows() {
		others := ""
		for _, f := range r.others {
			others += fmt.Sprintf(" %.2f |", f.recall())
		}
		p("| %s | %d | %.2f | %.2f | %s | %s |%s", r.name, r.ours.planted, r.ours.recall(), ratio(r.seen, r.ours.planted),
			quantile(r.took, 0.5), quantile(r.took, 0.9), others)
	}
	p("")
}

// quantile returns a quantile of sorted times, rounded to minutes.
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

// volume selects the incidents that show in numbers of calls.
func volume(o *outcome) bool { return o.volume }

// comparison is Keytrail against a yardstick at equal recall.
type comparison struct {
	recall       float64
	theirs, ours figures
	against      *tally
	with         *tally
}

// factor is the yardstick's multiple of our false anomalies, of which there is at least
// one.
func (c comparison) factor() float64 {
	return c.against.perThousand(c.theirs) / math.Max(c.with.perThousand(c.ours), c.with.perThousand(figures{wrong: 1}))
}

// compare compares with every yardstick at a recall that both reach.
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

// advantage returns Keytrail's advantage over the best yardstick at equal recall, over
// all incidents.
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
	p("The threshold of each yardstick is swept. If it does not reach Keytrail's recall, Keytrail's threshold is " +
		"raised until both have the yardstick's highest recall. The figures are false anomalies per 1,000 entity-days. " +
		"Incidents of volume are those that should raise a rate anomaly, among others.\n")
	p("| incidents | yardstick | recall | its threshold | its false | Keytrail | Keytrail's false | times fewer " +
		"|\n|---|---|---:|---:|---:|---|---:|---:|")
	rows := func(what string, ours *tally, fits func(*outcome) bool) {
		for _, c := range m.compare(ours, fits) {
			least := ""
			if c.ours.wrong == 0 {
				least = "more than "
			}
			p("| %s | %s | %.3f | %.1f | %.2f | %s | %.2f | %s%.1f |", what, c.against.name, c.recall, c.theirs.threshold,
				c.against.perThousand(c.theirs),
				c.with.name, c.with.perThousand(c.ours), least, c.factor())
		}
	}
	rows("all", &m.ours, nil)
	rows("of volume", &m.ours, volume)
	rows("of volume", &m.rate, volume)
	p("")
}

func falseOnes(p printer, m *measured) {
	p("## False anomalies and their causes\n")
	p("The cause is the habit of the pair of key and principal that exceeded its mean the most in that window.\n")
	p("| false | detector | scope | habit of the background | scores |\n|---:|---|---|---|---|")
	list, rest := groups(m.wrong), 0
	for i, g := range list {
		if i >= 20 {
			rest += len(g.list)
			continue
		}
		p("| %d | %s | %s | %s | %.1f to %.1f |", len(g.list), g.detector, g.scope, g.cause,
			g.list[len(g.list)-1].score, g.list[0].score)
	}
	if rest > 0 {
		p("| %d | %d more | | | |", rest, len(list)-20)
	}
	p("\nDuring learning, without planted scenarios, there are %.1f anomalies a day.",
		m.learning/math.Max(m.learningDays, 1))
	p("\nFalse anomalies in harmless scenarios:\n\n| scenario | planted | false anomalies |\n|---|---:|---:|")
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

// missed lists the missed incidents with what is known of the reason.
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
		p("- **%s**: %d of %d, such as: %s. In %d of them no window of 20 calls exceeds 3 standard "+
			"deviations. Anomalies of other kinds about them: %s.",
			r.name, lost, r.ours.planted, example, quiet, cmp.Or(strings.Join(other, ", "), "none"))
	}
	if !any {
		p("None.")
	}
	p("")
}

func nab(p printer, n nabResult) {
	p("## NAB\n")
	if n.err != nil {
		p("**NAB did not run:** %v. `-data` or KEYTRAIL_DATA must name the folder with `nab-realAWSCloudWatch`.\n", n.err)
		return
	}
	p("The table has NAB's scores (0: a silent detector; 100: a perfect one) on the Numenta Anomaly Benchmark's "+
		"realAWSCloudWatch: %d files, %d values, %d labelled windows. The values are processor loads, bytes and "+
		"requests, not calls; each is scaled and used as the number of calls of a window on one key. Many labelled "+
		"anomalies are falls, which a detector of more than usual does not look for. The scores are by NAB's formula "+
		"(Lavin and Ahmad 2015), which this package implements. Each file is scored with the threshold that is best for "+
		"the other files; in brackets: with the one that is best for all, as NAB chooses it, and with the method's usual "+
		"one.\n", n.files, n.values, n.windows)
	p("| method | %s | %s | %s |\n|---|---:|---:|---:|", profiles[0].name, profiles[1].name, profiles[2].name)
	for _, r := range n.rows {
		cells := ""
		for i := range profiles {
			cells += fmt.Sprintf(" %.1f (%.1f", r.apart[i], r.scores[i])
			if r.usual != nil {
				cells += fmt.Sprintf(", %.1f", r.usual[i])
			}
			cells += ") |"
		}
		p("| %s |%s", r.name, cells)
	}
	p("\nNAB's published results on the same files (standard profile, a threshold for all of NAB): %s. Most judge both "+
		"sides of a dense series. Keytrail's detector judges rises that no day of the key had; the aim of 35 is %s.\n",
		published, verdict(n.rows[0].apart[0] >= 35))
}

// published are the scores of detectors on the 17 files by their standard_scores.csv in
// NAB's folder results at commit ea702d7, normalized between a silent and a perfect one.
const published = "Numenta HTM 73.4, CONTEXT-OSE 71.5, ARTime 69.5, KNN-CAD 60.7, Skyline of Earthgecko 58.1, " +
	"Random Cut Forest 57.6, Relative Entropy 50.0, Skyline 49.3, Bayesian changepoint 39.7, Twitter ADVec 38.5, " +
	"windowed Gaussian 31.2, random 16.4, EXPoSE 2.3"
