package anomaly

import (
	"cmp"
	"strings"

	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// WindowRecord fills rec with the log record of a window. size is that of the windows that
// are not roll-ups. observed is when it was computed, in ns since 1970. rec shares the
// strings of w.
func WindowRecord(rec *otellog.Record, w *entity.Window, size, observed int64) {
	rec.Reset()
	size = w.Length(size)
	anomalies := Count(&w.Partial)
	rec.EventName, rec.Time, rec.Observed = semconv.EventKeytrailWindow, w.Start, observed
	rec.Severity = otellog.SeverityInfo
	if anomalies > 0 {
		rec.Severity = otellog.SeverityWarn
	}
	resource(rec, w.Entity)
	id, preview := WindowID(w.Entity, w.Start, size), int64(0)
	if !w.Closed {
		preview = w.Published
	}
	rec.String(semconv.LogRecordUID, uid(id, int64(w.Revision), preview))
	rec.String(semconv.KeytrailWindowID, id)
	subject(rec, w.Entity, entity.Target(w.Bound), w.Start, w.Start+size)
	state := "open"
	if w.Closed {
		state = "final"
	}
	rec.String(semconv.KeytrailWindowState, state)
	if w.Size != 0 {
		rec.Bool(semconv.KeytrailWindowRollup, true)
	}
	if cloud.IsOthers(w.Entity) {
		rec.Bool(semconv.KeytrailWindowOthers, true)
	}
	rec.Int(semconv.KeytrailWindowRevision, int64(w.Revision))
	rec.Int(semconv.KeytrailWindowAnomaliesTotal, anomalies)
	for _, id := range [...]wire.CounterID{wire.CounterCalls, wire.CounterDenied, wire.CounterFailed} {
		rec.Int(id.Name(), count.Get(&w.Partial, id)) // written even when 0
	}
	for _, c := range w.Counters {
		if c.ID != wire.CounterCalls && c.ID != wire.CounterDenied && c.ID != wire.CounterFailed {
			rec.Int(c.ID.Name(), c.N)
		}
	}
	distinct := func(name string, id wire.SetID) {
		if n := len(w.Sets[id].Values); n > 0 {
			rec.Int(name, int64(n))
		}
	}
	distinct(semconv.KeytrailWindowObjects, wire.SetObjects)
	switch w.Scope {
	case wire.ScopeKey:
		distinct(semconv.KeytrailWindowPrincipals, wire.SetPeers)
	case wire.ScopePrincipal:
		distinct(semconv.KeytrailWindowKeys, wire.SetPeers)
	}
	if w.Sets[wire.SetObjects].Capped {
		rec.Bool(semconv.KeytrailWindowObjectsCapped, true)
	}
}

// AnomalyRecord fills rec with the log record of an anomaly, computed at observed. rec
// shares the strings of a.
func AnomalyRecord(rec *otellog.Record, a *Anomaly, observed int64) {
	rec.Reset()
	rec.EventName, rec.Time, rec.Observed = semconv.EventKeytrailAnomaly, a.At, observed
	rec.Body = a.Reason
	severity := a.Severity()
	rec.Severity = severities[severity]
	resource(rec, a.Entity)
	rec.String(semconv.LogRecordUID, uid(a.ID, a.Revision, a.Preview))
	rec.String(semconv.KeytrailAnomalyID, a.ID)
	rec.Int(semconv.KeytrailAnomalyRevision, a.Revision)
	rec.String(semconv.KeytrailAnomalyState, StateOpen)
	rec.String(semconv.KeytrailAnomalyKind, string(a.Kind))
	rec.String(semconv.KeytrailAnomalyDetector, a.Detector)
	rec.Double(semconv.KeytrailAnomalyScore, a.Score)
	rec.String(semconv.KeytrailAnomalySeverity, severity)
	rec.String(semconv.KeytrailAnomalyReason, a.Reason)
	rec.Double(semconv.KeytrailAnomalyObserved, a.Observed)
	rec.Double(semconv.KeytrailAnomalyExpected, a.Expected)
	if a.Since != 0 {
		rec.String(semconv.KeytrailAnomalySince, stamp(a.Since))
	}
	rec.String(semconv.KeytrailAnomalyBegan, stamp(a.Began))
	rec.Strings(semconv.KeytrailAnomalyContributors, a.Contributors)
	rec.Strings(semconv.KeytrailAnomalyCalls, a.Calls)
	rec.String(semconv.KeytrailAnomalyRules, a.Rules)
	rec.String(semconv.KeytrailAnomalyURL, a.URL)
	rec.Strings(semconv.KeytrailAnomalyTechniques, a.Techniques)
	a.rule(rec)
	subject(rec, a.Entity, entity.Target(a.Bound), a.Start, a.End)
}

// severities are the severities of log records by those of anomalies.
var severities = map[string]otellog.Severity{
	"low": otellog.SeverityWarn, "medium": otellog.SeverityWarn2, "high": otellog.SeverityError, "critical": otellog.SeverityError2,
}

// LogSeverity returns the severity of the log record of an anomaly with a severity in words.
func LogSeverity(severity string) otellog.Severity { return severities[severity] }

// rule writes which rule or detector found the anomaly, as the semantic conventions name
// rules.
func (a *Anomaly) rule(rec *otellog.Record) {
	rec.String(semconv.SecurityRuleName, cmp.Or(a.Title, a.Detector))
	rec.String(semconv.SecurityRuleCategory, string(a.Kind))
	if id, users := strings.CutPrefix(a.Detector, SigmaDetector); users {
		rec.String(semconv.SecurityRuleUUID, id)
		rec.String(semconv.SecurityRuleRulesetName, "sigma")
		return
	}
	rec.String(semconv.SecurityRuleRulesetName, "keytrail")
}

// subject writes the entity and the time of a record. An alias is written beside its KMS
// key, and instead of it while that is unknown.
func subject(rec *otellog.Record, e wire.Entity, bound string, start, end int64) {
	rec.String(semconv.KeytrailWindowScope, e.Scope.String())
	rec.String(semconv.KeytrailWindowStart, stamp(start))
	rec.String(semconv.KeytrailWindowEnd, stamp(end))
	rec.String(semconv.KeytrailPrincipalID, e.Principal)
	key := e.Key
	if cloud.Form(e.Key) == kms.FormAlias {
		rec.String(semconv.AWSKMSAliasARN, e.Key)
		key = cmp.Or(bound, e.Key)
	} else {
		rec.String(semconv.AWSKMSKeyPrimaryARN, bound)
	}
	rec.String(semconv.AWSKMSKeyARN, key)
	if cloud.Form(key) == kms.FormMultiRegion {
		rec.Bool(semconv.AWSKMSKeyMultiRegion, true)
	}
}

// resource extracts account and Region from the entity's ARNs, if it has any.
func resource(rec *otellog.Record, e wire.Entity) {
	name := e.Key
	if e.Scope == wire.ScopePrincipal || name == kms.NoEntity {
		name = e.Principal
	}
	provider, account, region := cloud.Place(name)
	rec.Where(semconv.CloudProvider, provider)
	rec.Where(semconv.CloudAccountID, account)
	rec.Where(semconv.CloudRegion, region)
}
