package scan

import (
	"fmt"
	"slices"
	"strings"

	"keytrail/processor/count"
	"keytrail/processor/detect"
	"keytrail/processor/sigma"
	"keytrail/schemas/normalize"
	"keytrail/schemas/wire"
)

// MaxObservations bounds what the correlations of the user's rules count in one scan:
// 500,000 matches in one group each, 200 MB where the values of a group have 200 bytes
// together. A scan with more ends with an error.
const MaxObservations = 500_000

// maxFiringCalls is how many calls the anomaly of a correlation names.
const maxFiringCalls = 10

// correlator counts what correlations see of calls. What a call shows is held until it
// is known which copy of it counts.
type correlator struct {
	held    map[ruleCall][]sigma.Observation
	n       int
	counter sigma.Counter
	panes   map[paneOf]*matches
}

// paneOf is a piece of a correlation's window, of one group.
type paneOf struct {
	correlation int
	group       string
	start       int64
}

// matches is what a correlation's matches are about.
type matches struct {
	key, principal string   // normalize.NoEntity when there are several
	calls          []string // those with the smallest ids, which do not depend on any order
}

func newCorrelator() correlator {
	return correlator{held: map[ruleCall][]sigma.Observation{}, panes: map[paneOf]*matches{}}
}

// hold keeps what correlations see of a record; the observations are copied.
func (k *correlator) hold(at ruleCall, seen []sigma.Observation) error {
	if _, had := k.held[at]; had { // the same record, read again
		return nil
	}
	if k.n += len(seen); k.n > MaxObservations {
		return fmt.Errorf("the rules' correlations have more than %d matches to count; scan less, or take out of the rules the correlation that many events match", MaxObservations)
	}
	own := slices.Clone(seen)
	for i := range own {
		own[i].Group = strings.Clone(own[i].Group)
	}
	k.held[at] = own
	return nil
}

// count counts a call, of the record that is credited.
func (k *correlator) count(at ruleCall, c *count.Call) error {
	for _, o := range k.held[at] {
		if err := k.counter.Add(&o, c.Time); err != nil {
			return fmt.Errorf("cannot count the rules' correlations: %w", err)
		}
		pane := paneOf{o.Correlation.Index, o.Group, o.Correlation.Pane(c.Time)}
		m := k.panes[pane]
		if m == nil {
			m = &matches{key: c.KeyARN, principal: c.Principal}
			k.panes[pane] = m
		}
		m.merge(&matches{c.KeyARN, c.Principal, []string{c.IDText}})
	}
	return nil
}

// merge adds what other matches are about.
func (m *matches) merge(o *matches) {
	if m.key != o.key {
		m.key = normalize.NoEntity
	}
	if m.principal != o.principal {
		m.principal = normalize.NoEntity
	}
	for _, id := range o.calls {
		if i, had := slices.BinarySearch(m.calls, id); !had && i < maxFiringCalls {
			m.calls = slices.Insert(m.calls, i, id)
			m.calls = m.calls[:min(len(m.calls), maxFiringCalls)]
		}
	}
}

// entity is the key and the principal that all matches have, or the one of them that
// they have.
func (m *matches) entity() wire.Entity {
	switch {
	case m.key == normalize.NoEntity && m.principal != normalize.NoEntity:
		return wire.Entity{Scope: wire.ScopePrincipal, Principal: m.principal}
	case m.principal == normalize.NoEntity && m.key != normalize.NoEntity:
		return wire.Entity{Scope: wire.ScopeKey, KeyARN: m.key}
	}
	return wire.Entity{Scope: wire.ScopePair, KeyARN: m.key, Principal: m.principal}
}

// anomalies returns one for each window in which a correlation holds.
func (k *correlator) anomalies() (list []detect.Anomaly) {
	for _, f := range k.counter.Firings() {
		var all *matches
		for start := f.Start; start < f.End; start += f.Correlation.PaneSize() {
			switch m := k.panes[paneOf{f.Correlation.Index, f.Group, start}]; {
			case m == nil:
			case all == nil:
				all = &matches{m.key, m.principal, slices.Clone(m.calls)}
			default:
				all.merge(m)
			}
		}
		if all != nil { // a window without a match is not judged
			list = append(list, detect.FromFiring(&f, all.entity(), all.calls))
		}
	}
	return list
}

// Correlated returns the anomalies of the correlations among the user's rules, in the
// order of the correlations, then of time. It is for after Finish.
func (s *Scanner) Correlated() []detect.Anomaly { return s.correlations.anomalies() }
