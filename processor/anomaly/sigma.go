package anomaly

import (
	"fmt"
	"strconv"
	"strings"

	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// SigmaDetector begins the detector's name in anomalies of the user's rules; the rule's id
// follows.
const SigmaDetector = "sigma/"

// FromSigma returns the anomalies of the user's rules that one event matches. The window
// at start has the given size. The ids depend only on the id of the rule and on the call,
// so a better copy of the call gives the same ids. The result shares no memory with rec.
func FromSigma(rec *otellog.Record, rules []*sigma.Rule, e wire.Entity, start, size int64) []Anomaly {
	if len(rules) == 0 {
		return nil
	}
	call := strings.Clone(rec.Str(semconv.KeytrailCallID)) // rec is used again
	_, operation, _ := strings.Cut(rec.Str(semconv.RPCMethod), "/")
	what := rec.Str(semconv.KeytrailPrincipalID) + " called " + operation
	if e.Key != kms.NoEntity {
		what += " (KMS key " + e.Key + ")"
	}
	if code := rec.Str(semconv.ErrorType); code != "" {
		what += ", which failed with " + code
	}
	list := make([]Anomaly, 0, len(rules))
	for _, r := range rules {
		list = append(list, Anomaly{
			ID: id("sigma", r.ID, call), Kind: KindRule, Detector: SigmaDetector + r.ID, Score: r.Level.Score(), Observed: 1,
			Reason: fmt.Sprintf("%s: the rule %q matches.", what, r.Title),
			Calls:  []string{call}, Techniques: r.Techniques, Entity: e, Start: start, End: start + size,
			Title: r.Title, At: rec.Time, Began: rec.Time, Until: UntilOf(rec), Revision: rank(rec),
		})
	}
	return list
}

// FromFiring returns the anomaly of a correlation of the user's rules that holds. e is
// the entity of its matches, and calls are the first of them. Its window is the
// correlation's own, which no counter of the tumbling windows has. A changed correlation counts
// from 0, and its revisions would be lower than those before; so its fingerprint is part of the
// id.
func FromFiring(f *sigma.Firing, e wire.Entity, calls []string) Anomaly {
	c := f.Correlation
	what := "matches"
	switch c.Kind {
	case sigma.ValueCount:
		what = "different values of " + strings.Join(c.Field, ", ")
	case sigma.Temporal:
		what = "of its rules match"
	case sigma.TemporalOrdered:
		what = "of its rules match, one after another"
	}
	reason := fmt.Sprintf("The correlation %q holds: %d %s in %s from %s",
		c.Title, f.Count, what, Span(c.Timespan), stamp(f.Start))
	for i, value := range c.Values(f.Group) {
		reason += fmt.Sprintf(", %s %s", c.GroupBy[i], value)
	}
	return Anomaly{
		ID:   id("correlation", c.ID, strconv.FormatUint(c.Fingerprint, 16), f.Group, stamp(f.Start)),
		Kind: KindRule, Detector: SigmaDetector + c.ID, Score: c.Level.Score(),
		Observed: float64(f.Count), Reason: reason + ".", Calls: calls, Techniques: c.Techniques,
		Entity: e, Start: f.Start, End: f.End, Title: c.Title, At: f.End, Began: f.Start,
		Until: eventtime.Add(f.End, Repeat), Revision: 2 * f.Matches,
	}
}
