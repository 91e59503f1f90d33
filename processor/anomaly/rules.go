package anomaly

import (
	"strings"

	"keytrail/processor/eventtime"
	"keytrail/processor/rule"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// FromRules returns the anomalies of the always-on rules that one event matches: set is
// the result of rule.Match. The window at start has the given size. The result shares no
// memory with rec.
func FromRules(rec *otellog.Record, set rule.Set, e wire.Entity, start, size int64) []Anomaly {
	if set == 0 {
		return nil
	}
	call := strings.Clone(rec.Str(semconv.KeytrailCallID)) // rec is used again
	where := ""
	if e.Key != kms.NoEntity {
		where = " (KMS key " + e.Key + ")"
	}
	var list []Anomaly
	for _, r := range set.Rules() {
		list = append(list, Anomaly{
			ID: id("rule", r.Name, call), Kind: kindOf(r), Detector: r.Name, Score: r.Score, Observed: 1,
			Reason: rec.Str(semconv.KeytrailPrincipalID) + " " + r.What(rec) + where + ".",
			Calls:  []string{call}, Techniques: r.Techniques, Entity: e, Start: start, End: start + size,
			At: rec.Time, Began: rec.Time, Until: UntilOf(rec), Revision: rank(rec),
		})
	}
	return list
}

// UntilOf returns when the anomaly of a rule ends: rec is the call's record, or the
// anomaly's.
func UntilOf(rec *otellog.Record) int64 { return eventtime.Add(rec.Time, Repeat) }

// rank returns the revision of an anomaly of a rule: twice the rank of the copy of the call
// that rec is.
func rank(rec *otellog.Record) int64 {
	return 2 * int64(kms.ParseCopy(rec.Str(semconv.KeytrailCallCopy)))
}

func kindOf(r *rule.Rule) Kind {
	if r.BlindSpot {
		return KindBlindSpot
	}
	return KindRule
}
