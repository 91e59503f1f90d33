package incident

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/schemas/cloud"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Bounds of the lists of a record.
const (
	mostListed = 32 // anomalies
	mostNames  = 16
	mostCalls  = 10
)

// Record fills rec with the log record of a publication, computed at observed. rec shares
// the strings of p.
func Record(rec *otellog.Record, p *Publication, observed int64) {
	rec.Reset()
	rec.EventName, rec.Time, rec.Observed = semconv.EventKeytrailIncident, p.At, observed
	if rec.Severity = otellog.SeverityInfo; p.State == Open {
		rec.Severity = anomaly.LogSeverity(p.Severity)
	}
	place(rec, p)
	rec.String(semconv.LogRecordUID, p.ID+"-"+strconv.FormatInt(p.Revision, 10))
	rec.String(semconv.KeytrailIncidentID, p.ID)
	rec.Int(semconv.KeytrailIncidentRevision, p.Revision)
	rec.String(semconv.KeytrailIncidentState, p.State)
	rec.String(semconv.KeytrailIncidentSeverity, p.Severity)
	rec.Double(semconv.KeytrailIncidentRisk, p.Risk)
	rec.Body = p.Sentence()
	rec.String(semconv.KeytrailIncidentReason, rec.Body)
	rec.String(semconv.KeytrailIncidentBegan, stamp(p.Began))
	rec.String(semconv.KeytrailIncidentLast, stamp(p.Incident.At))
	rec.Strings(semconv.KeytrailIncidentParts, p.strongest())
	rec.Int(semconv.KeytrailIncidentCountAnomalies, int64(len(p.Parts)))
	rec.Int(semconv.KeytrailIncidentCountKeys, int64(len(p.Keys)))
	rec.Int(semconv.KeytrailIncidentCountPrincipals, int64(len(p.Principals)))
	rec.Strings(semconv.KeytrailIncidentKeys, first(p.Keys, mostNames))
	rec.Strings(semconv.KeytrailIncidentPrincipals, first(p.Principals, mostNames))
	rec.Strings(semconv.KeytrailIncidentKinds, p.Kinds)
	rec.Strings(semconv.KeytrailIncidentDetectors, first(p.detectors(), mostNames))
	rec.Strings(semconv.KeytrailIncidentCalls, first(p.Calls, mostCalls))
	rec.Strings(semconv.KeytrailIncidentTechniques, p.Techniques)
	rec.String(semconv.KeytrailIncidentMergedInto, p.Into)
	rec.String(semconv.KeytrailPrincipalID, only(p.Principals))
	rec.String(semconv.AWSKMSKeyARN, only(p.Keys))
	rec.String(semconv.SecurityRuleName, cmp.Or(p.Strongest.Name, p.Strongest.Detector))
}

// place writes the provider and the account, and the Region if all keys are in one.
func place(rec *otellog.Record, p *Publication) {
	provider, region := "", ""
	for i, name := range p.Keys {
		of, _, in := cloud.Place(name)
		if provider = of; i > 0 && in != region {
			region = ""
			break
		}
		region = in
	}
	if len(p.Keys) == 0 && len(p.Principals) > 0 {
		provider, _, _ = cloud.Place(p.Principals[0])
	}
	rec.Where(semconv.CloudProvider, provider)
	rec.Where(semconv.CloudAccountID, p.Account)
	rec.Where(semconv.CloudRegion, region)
}

// strongest returns the ids of the parts with the highest scores.
func (i *Incident) strongest() (ids []string) {
	parts := slices.Clone(i.Parts)
	slices.SortFunc(parts, func(a, b *Part) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.ID, b.ID))
	})
	for _, p := range first(parts, mostListed) {
		ids = append(ids, p.ID)
	}
	return ids
}

func (i *Incident) detectors() (names []string) {
	for _, p := range i.Parts {
		names = append(names, p.Detector)
	}
	return distinct(names)
}

// Sentence tells who did how much to what, and the strongest anomaly. One of a single
// anomaly is its sentence.
func (i *Incident) Sentence() string {
	if len(i.Parts) == 1 {
		return i.Strongest.Reason
	}
	who := ""
	switch len(i.Principals) {
	case 0:
	case 1:
		who = " of " + cloud.Familiar(i.Principals[0])
	default:
		who = fmt.Sprintf(" of %d principals", len(i.Principals))
	}
	what := ""
	switch len(i.Keys) {
	case 0:
	case 1:
		what = " on " + cloud.Familiar(i.Keys[0])
	default:
		what = fmt.Sprintf(" on %d KMS keys", len(i.Keys))
	}
	return fmt.Sprintf("%d anomalies%s%s since %s. The strongest: %s", len(i.Parts), who, what,
		time.Unix(0, i.Began).UTC().Format("2006-01-02 15:04Z"), i.Strongest.Reason)
}

// first returns up to n items of a list.
func first[T any](list []T, n int) []T { return list[:min(n, len(list))] }

// only returns the one name of a list, or "".
func only(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return ""
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339) }
