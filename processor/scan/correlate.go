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

// MaxObservations bounds what the correlations of the user's rules count in one scan:
// 500,000 matches in one group each, 200 MB where the values of a group have 200 bytes
// together. A scan with more ends with an error.
const MaxObservations = 500_000

// correlator counts what correlations see of calls. What a call shows is held until it
// is known which copy of it counts.
type correlator struct {
	held  map[ruleCall][]sigma.Observation
	n     int
	table correlate.Table
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
func (k *correlator) count(at ruleCall, c *count.Call) {
	for _, o := range k.held[at] {
		k.table.Add(&o, c)
	}
}

// Correlated returns the anomalies of the correlations among the user's rules, in the
// order in which their windows end. It is for after Finish.
func (s *Scanner) Correlated() (list []anomaly.Anomaly) {
	if s.correlations.table.Len() == 0 {
		return nil
	}
	engine := correlate.NewEngine(correlate.Config{Correlations: s.cfg.Rules.Correlations, Bytes: math.MaxInt, Allow: s.cfg.Detect.Allow})
	s.correlations.table.All(func(p *correlate.Pane) { engine.Merge(p) }) // none is late yet, and none too many
	engine.Advance(eventtime.Mark{Watermark: math.MaxInt64, Late: eventtime.None, Quiet: math.MaxInt64}, math.MaxInt, func(a *anomaly.Anomaly) { list = append(list, *a) })
	return list
}
