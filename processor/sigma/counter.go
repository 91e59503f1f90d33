package sigma

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Firing is one window to report, in which a correlation's condition holds.
type Firing struct {
	Correlation *Correlation
	Group       string // see Correlation.Values
	Start, End  int64  // of the window [Start, End), ns since 1970
	Count       int64  // see Correlation.Judge
	Matches     int64  // see Correlation.Matches
}

// Counter counts observations in memory, in any order, as "keytrail rules check" does
// with a sample. Not safe for concurrent use.
type Counter struct {
	tallies map[tallyKey]map[int64]*Tally // by the start of the pane
	panes   int
}

type tallyKey struct {
	correlation *Correlation
	group       string
}

// maxPanes bounds the tallies of a Counter: about 200 MB if they have few values.
const maxPanes = 1_000_000

// Add counts an observation at event time at, ns since 1970.
func (k *Counter) Add(o *Observation, at int64) error {
	key := tallyKey{o.Correlation, o.Group}
	panes := k.tallies[key]
	t := panes[o.Correlation.Pane(at)]
	if t == nil {
		if k.panes++; k.panes > maxPanes {
			return fmt.Errorf("the matches are of more than %d groups and times; take a smaller sample", maxPanes)
		}
		if panes == nil {
			if k.tallies == nil {
				k.tallies = map[tallyKey]map[int64]*Tally{}
			}
			panes, key.group = map[int64]*Tally{}, strings.Clone(o.Group)
			k.tallies[key] = panes
		}
		t = &Tally{}
		panes[o.Correlation.Pane(at)] = t
	}
	t.Add(o, at)
	return nil
}

// Firings returns all firings, ordered by correlation, time and group.
func (k *Counter) Firings() (list []Firing) {
	for key, panes := range k.tallies {
		c := key.correlation
		starts := map[int64]bool{}
		for pane := range panes {
			for start := range c.Windows(pane) {
				starts[start] = true
			}
		}
		at := func(start int64) *Tally { return panes[start] }
		for _, start := range slices.Sorted(maps.Keys(starts)) {
			if count, report := c.Reports(start, at); report {
				list = append(list, Firing{c, key.group, start, start + c.Timespan, count, c.Matches(start, at)})
			}
		}
	}
	slices.SortFunc(list, func(a, b Firing) int {
		return cmp.Or(cmp.Compare(a.Correlation.Index, b.Correlation.Index), cmp.Compare(a.Start, b.Start),
			cmp.Compare(a.Group, b.Group))
	})
	return list
}
