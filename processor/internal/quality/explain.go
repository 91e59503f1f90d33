package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// explain prints the detectors' errors: the false anomalies by detector, scope and cause,
// each with an example, and the missed incidents.
func explain(w io.Writer, m *measured) {
	f := m.ours.at(0, nil)
	fmt.Fprintf(w, "%d of %d incidents found; %d anomalies, %d of them false: %.2f for 1,000 entity-days, %.1f a day "+
		"(%.1f a day while learning)\n",
		f.found, f.planted, f.anomalies, f.wrong, m.ours.perThousand(f), m.ours.perDay(f),
		m.learning/math.Max(m.learningDays, 1))
	fmt.Fprintf(w, "\nFalse anomalies: detector, scope, cause in the background; an example of the highest score\n")
	for _, g := range groups(m.wrong) {
		fmt.Fprintf(w, "%6d  %-14s %-9s %s\n", len(g.list), g.detector, g.scope, g.cause)
		worst := g.list[0]
		fmt.Fprintf(w, "        %s score %.1f to %.1f: %s\n", time.Unix(0,
			worst.start).UTC().Format("Mon 2006-01-02 15:04"), g.list[len(g.list)-1].score, worst.score, worst.reason)
	}
	fmt.Fprintf(w, "\nMissed incidents\n")
	for _, o := range m.ours.incidents {
		if o.best == 0 {
			fmt.Fprintf(w, "  %-16s %s %s (of other kinds: %s)\n        %s %s\n", o.scenario,
				o.label.Start.Format("2006-01-02 15:04"), o.note,
				cmp.Or(strings.Join(o.other, ", "), "none"), o.label.KeyARN, o.label.Principal)
		}
	}
}

// group is false anomalies with the same detector, scope and cause.
type group struct {
	detector, scope, cause string
	list                   []finding // highest score first
}

// groups returns the groups, largest first.
func groups(wrong []finding) []group {
	by := map[[3]string]*group{}
	for _, f := range wrong {
		name := [3]string{f.detector, f.Scope.String(), f.cause}
		if by[name] == nil {
			by[name] = &group{detector: name[0], scope: name[1], cause: name[2]}
		}
		by[name].list = append(by[name].list, f)
	}
	var list []group
	for _, name := range slices.SortedFunc(maps.Keys(by), func(a, b [3]string) int {
		return cmp.Or(cmp.Compare(len(by[b].list), len(by[a].list)), slices.Compare(a[:], b[:]))
	}) {
		g := by[name]
		slices.SortStableFunc(g.list, func(a, b finding) int { return cmp.Compare(b.score, a.score) })
		list = append(list, *g)
	}
	return list
}

// fit prints for every method the threshold with the best F1, of recall over
// incidents and precision over anomalies.
func fit(w io.Writer, m *measured) {
	for _, t := range append([]tally{m.ours}, m.others...) {
		best, score := figures{}, 0.0
		for _, f := range t.curve(nil) {
			if f1 := 2 * f.recall() * f.precision() / math.Max(f.recall()+f.precision(), 1e-9); f1 > score {
				best, score = f, f1
			}
		}
		fmt.Fprintf(w, "%-16s threshold %8.2f: recall %.3f, precision %.3f, F1 %.3f\n", t.name, best.threshold,
			best.recall(), best.precision(), score)
	}
}
