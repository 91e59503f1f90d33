package stream

import (
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/telemetry"
	"keytrail/schemas/decoding"
	"keytrail/schemas/wire"
)

// tally counts within one transaction. It reaches the metrics on commit, because an
// aborted transaction is repeated.
type tally struct {
	received, delivered, duplicate, late, unmatched, unexplained, uncorrelated int
	windows                                                                    [3]int // by windowStates
	filtered                                                                   decoding.Filtered
	reasons                                                                    map[string]int // dead letters
	anomalies                                                                  []anomaly.Kind
	// calls of others, by scope
	others [wire.ScopePair + 1]int
	// offsets that were deleted unread
	expired int
}

// windowStates are the states of published windows: of an anomaly before the end, at the
// end, and after late calls or notices.
var windowStates = [3]string{"open", "closed", "revised"}

// window counts a published window by its revision.
func (t *tally) window(revision int32) { t.windows[min(revision, 2)]++ }

func (t *tally) dead(reason string) {
	if t.reasons == nil {
		t.reasons = map[string]int{}
	}
	t.reasons[reason]++
}

// commit adds the tally to the metrics of a stage and resets it.
func (t *tally) commit(p *Pipeline, stage string, ok bool) {
	s := *t
	*t = tally{}
	flow := p.flow(stage)
	if !ok {
		flow.Aborted()
		return
	}
	p.works(stage)
	p.partOf(stage, "").committed(time.Now())
	if s.expired > 0 {
		p.expired(stage, s.expired)
	}
	if s.received == 0 && s.windows == [3]int{} {
		return // nothing was written either
	}
	flow.Committed()
	flow.Received(s.received)
	flow.Delivered(s.delivered)
	flow.Duplicate(s.duplicate)
	countFiltered(flow, s.filtered)
	flow.Late(s.late)
	flow.Unmatched(s.unmatched)
	flow.Unexplained(s.unexplained)
	flow.Uncorrelated(s.uncorrelated)
	for scope, n := range s.others {
		if n > 0 {
			flow.Others(wire.Scope(scope).String(), n)
		}
	}
	for reason, n := range s.reasons {
		flow.DeadLettered(reason, n)
		p.letters[stage].Add(reason, "", n)
	}
	for i, n := range s.windows {
		if n > 0 {
			p.Telemetry.WindowsPublished(windowStates[i], n)
		}
	}
	for _, kind := range s.anomalies {
		p.Telemetry.AnomaliesPublished(string(kind), 1)
	}
}

// countFiltered adds the filtered records to the metrics by reason.
func countFiltered(flow *telemetry.Flow, by decoding.Filtered) {
	for reason, n := range by {
		if n > 0 {
			flow.Filtered(decoding.Filter(reason).String(), int(n))
		}
	}
}
