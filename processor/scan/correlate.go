package scan

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"keytrail/processor/anomaly"
	"keytrail/processor/correlate"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
)

// MaxObservations bounds the matches that the correlations of the user's rules keep in
// one scan: 500,000 in one group each, or 200 MB with 200 bytes of group values. A scan
// with more ends with an error.
const MaxObservations = 500_000

// correlator counts the calls that correlations match. It holds a call's matches until
// the counting copy of the call is known.
type correlator struct {
	held  map[ruleCall][]sigma.Observation
	n     int
	table correlate.Table
}

// hold keeps the correlations' matches of a record; it copies the observations.
func (k *correlator) hold(at ruleCall, seen []sigma.Observation) error {
	if _, had := k.held[at]; had { // the same record, read again
		return nil
	}
	if k.n += len(seen); k.n > MaxObservations {
		return fmt.Errorf("the rules' correlations have more than %d matches to count; scan less, or remove the "+
			"correlation that many events match", MaxObservations)
	}
	own := slices.Clone(seen)
	for i := range own {
		own[i].Group = strings.Clone(own[i].Group)
	}
	k.held[at] = own
	return nil
}

// count counts a call by its credited record.
func (k *correlator) count(at ruleCall, c *count.Call) {
	for _, o := range k.held[at] {
		k.table.Add(&o, c)
	}
}

// Correlated calls emit with the anomalies of the user's correlation rules, ordered by the
// end of their windows. Call it after Finish.
func (s *Scanner) Correlated(emit func(*anomaly.Anomaly)) {
	if s.correlations.table.Len() == 0 {
		return
	}
	engine := correlate.NewEngine(correlate.Config{Correlations: s.cfg.Rules.Correlations, Bytes: math.MaxInt,
		Allow: s.cfg.Detect.Allow})
	s.correlations.table.All(func(p *correlate.Pane) { engine.Merge(p) }) // no match is late or beyond the bound
	engine.Advance(eventtime.Mark{Watermark: math.MaxInt64, Late: eventtime.None, Quiet: math.MaxInt64}, math.MaxInt,
		func(a *anomaly.Anomaly) {
			emit(a)
			s.hold(a)
		})
	s.end()
}
