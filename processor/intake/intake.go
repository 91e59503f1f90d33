// Package intake takes in one call: it decides whether the call is late or known and
// which of its copies is credited, applies the rules and correlations, and adds the call
// to partials. Stage count, scan and the measurement of quality share it. It is pure: no
// Kafka, no clock.
//
// Stage count and the measurement take calls in order of arrival (Taker). A scan knows all
// copies of a call before it counts any, so it credits the best one by itself, and uses
// Judge and Admit.
package intake

import (
	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/dedup"
	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// Source is the state of one source's calls. Not safe for concurrent use.
type Source struct {
	Seen *dedup.Set
	// Credits are the calls credited by a copy that another may correct or complete.
	Credits map[wire.CallID]count.Call
	Table   *count.Table // counts since the last commit
	Keys    []dedup.Key  // of the calls that were new since then
	Changed []count.Call // the credits since then
	// Observe takes a call's matches of correlations each time that it is credited, in
	// memory that is valid during the call; nil without correlations.
	Observe func(c *count.Call, seen []sigma.Observation)

	storm anomaly.Storm
}

// NewSource returns an empty Source for windows of size ns.
func NewSource(size int64) Source {
	return Source{Seen: dedup.NewSet(), Credits: map[wire.CallID]count.Call{}, Table: count.NewTable(size)}
}

// Verdict is the outcome of one copy of a call.
type Verdict uint8

// The verdicts.
const (
	New           Verdict = iota // the call was unknown, and is counted
	Duplicate                    // it was counted before; this copy may have corrected or completed it
	Late                         // its window accepts no more calls
	LateDuplicate                // it was counted before, and can no longer change
)

// Taker takes calls in. Its callbacks are for calls that match rules. Not safe for
// concurrent use.
type Taker struct {
	*Judge
	// Publish takes the anomalies of rules, and Withhold, which may be nil, those that a
	// storm keeps from publication.
	Publish, Withhold func(*anomaly.Anomaly)
	// Unmatched takes a call that the user's rules could not read, and why.
	Unmatched func(c *count.Call, err error)

	Unexplained int // sums up Found.Unexplained
}

// Take takes in the call c of the log record rec. late is the event time up to which
// windows of the source accept no more calls.
func (k *Taker) Take(s *Source, rec *otellog.Record, c *count.Call, late int64) Verdict {
	switch {
	case !k.late(c.Time, late):
	case s.Seen.Has(c.ID, c.Time):
		return LateDuplicate
	default:
		return Late
	}
	s.Table.Learn(c)
	if s.Seen.Add(c.ID, c.Time) {
		s.Keys = append(s.Keys, dedup.Key{ID: c.ID, Time: c.Time})
		k.judge(s, rec, c, false)
		s.Table.Add(c, 1)
		if c.Copy != kms.CopyCaller || c.Open {
			s.change(c)
		}
		return New
	}
	old, ok := s.Credits[c.ID]
	switch {
	case !ok || k.late(old.Time, late):
	case c.Copy <= old.Copy: // everything else of the call is that of the credited copy
		if whole := old; whole.Complete(c) {
			s.Table.Add(&old, -1)
			s.Table.Add(&whole, 1)
			s.change(&whole)
		}
	default:
		s.Table.Add(&old, -1)
		c.Complete(&old)
		k.judge(s, rec, c, old.Withheld == 0)
		s.Table.Add(c, 1)
		s.change(c)
	}
	return Duplicate
}

// late reports whether the window of an event time ends by late.
func (k *Taker) late(at, late int64) bool { return eventtime.End(at, k.size) <= late }

// judge publishes the anomalies of the rules that the call matches. Only a credited call
// is judged, because the user's rules may be many and read the whole event. again means
// that all anomalies of a worse copy were published.
func (k *Taker) judge(s *Source, rec *otellog.Record, c *count.Call, again bool) {
	found, err := k.Match(rec, c)
	if err != nil {
		k.Unmatched(c, err)
	}
	k.Unexplained += found.Unexplained
	if s.Observe != nil {
		s.Observe(c, found.Observations)
	}
	if c.Rules != 0 || c.Matched != 0 {
		Admit(&s.storm, c, k.Anomalies(rec, c, found.Rules), again, k.Publish, k.Withhold)
	}
}

// change records a credit to be written.
func (s *Source) change(c *count.Call) {
	own := c.Clone()
	s.Credit(own)
	s.Changed = append(s.Changed, own)
}

// Credit remembers a call that a better copy may correct, or any other copy complete; a
// complete best copy needs no memory. c owns its strings.
func (s *Source) Credit(c count.Call) {
	if c.Copy == kms.CopyCaller && !c.Open {
		delete(s.Credits, c.ID)
	} else {
		s.Credits[c.ID] = c
	}
}

// Forget forgets the calls before an event time, ns, and calls gone, which may be nil, for each
// dropped credit. Ids stay a bucket longer, as a copy's time may differ by that much.
func (s *Source) Forget(before int64, gone func(wire.CallID)) {
	s.Seen.Forget(before - dedup.Span)
	for id, c := range s.Credits {
		if c.Time < before {
			delete(s.Credits, id)
			if gone != nil {
				gone(id)
			}
		}
	}
}

// Committed begins a new commit.
func (s *Source) Committed() {
	s.Keys, s.Changed = nil, nil
	s.Table.Reset()
}
