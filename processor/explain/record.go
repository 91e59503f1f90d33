// Package explain collects one anomaly, found by its id, and the windows of its entity
// around it from records of windows and anomalies. The caller supplies the records from
// any place. The package uses only the contents of records, and reads them leniently,
// because they may come from other versions of Keytrail.
package explain

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Entity is the subject of an anomaly and its windows.
type Entity struct {
	Scope     string // key, principal or pair
	Key       string // of the KMS key, "-" for calls without one, or the key behind an alias
	Alias     string // of the alias in the calls; empty for a KMS key
	Principal string
}

// same reports whether two records are of one entity. The key behind an alias may change
// from window to window.
func (e *Entity) same(o *Entity) bool {
	return e.Scope == o.Scope && e.Principal == o.Principal && cmp.Or(e.Alias, e.Key) == cmp.Or(o.Alias, o.Key)
}

// Anomaly is the contents of an anomaly's record. Missing numbers are NaN, and missing
// texts empty.
type Anomaly struct {
	ID, Kind, Detector, Severity, Reason string
	Score, Observed, Expected            float64
	Since                                string // start of the baseline's learning
	Contributors, Techniques, Calls      []string
	Account, Region                      string
	Entity
	Start, End int64 // its window, in ns since 1970
	revision   int64
	made       int64 // time of computation
}

// revisionOf returns the revision of an anomaly's record; 0 if it has none.
func revisionOf(rec *otellog.Record) int64 {
	if a := rec.Get(semconv.KeytrailAnomalyRevision); a != nil {
		return a.Int
	}
	return 0
}

// older reports whether another record of the same anomaly is valid instead of this one. The
// clocks of the processes that compute an anomaly and its end may differ.
func older(revision, made, otherRevision, otherMade int64) bool {
	return cmp.Or(cmp.Compare(revision, otherRevision), cmp.Compare(made, otherMade)) < 0
}

// Correlated reports whether the anomaly is one of a correlation of the user's rules,
// which has its own window: no window of an entity has counted the same.
func (a *Anomaly) Correlated() bool {
	return strings.HasPrefix(a.Detector, "sigma/") && strings.HasPrefix(a.Reason, "The correlation ")
}

// FromLedger reports whether the anomaly is an alarm of the ledger of a KMS key.
func (a *Anomaly) FromLedger() bool { return strings.HasPrefix(a.Detector, "ledger/") }

// Window is the newest record of one window.
type Window struct {
	Start, End, Revision int64
	Final                bool
	Counts               map[string]int64 // the integer attributes, by name
}

// Attributes of records that are not in the registry yet.
const (
	attrContributors = "keytrail.anomaly.contributors"
	attrSince        = "keytrail.anomaly.since"
)

// newAnomaly copies an anomaly out of its record.
func newAnomaly(rec *otellog.Record) (*Anomaly, error) {
	start, end, err := span(rec)
	if err != nil {
		return nil, fmt.Errorf("anomaly %q: %w", rec.Str(semconv.KeytrailAnomalyID), err)
	}
	return &Anomaly{
		ID: text(rec, semconv.KeytrailAnomalyID), Kind: text(rec, semconv.KeytrailAnomalyKind),
		Detector: text(rec, semconv.KeytrailAnomalyDetector),
		Severity: text(rec, semconv.KeytrailAnomalySeverity), Reason: text(rec, semconv.KeytrailAnomalyReason),
		Score: double(rec, semconv.KeytrailAnomalyScore), Observed: double(rec, semconv.KeytrailAnomalyObserved),
		Expected: double(rec, semconv.KeytrailAnomalyExpected), Since: text(rec, attrSince),
		Contributors: texts(rec, attrContributors), Techniques: texts(rec, semconv.KeytrailAnomalyTechniques),
		Calls:   texts(rec, semconv.KeytrailAnomalyCalls),
		Account: where(rec, semconv.CloudAccountID), Region: where(rec, semconv.CloudRegion),
		Entity: newEntity(rec), Start: start, End: end, revision: revisionOf(rec), made: rec.Observed,
	}, nil
}

// newEntity copies the entity out of a record.
func newEntity(rec *otellog.Record) Entity {
	e := entityOf(rec)
	return Entity{strings.Clone(e.Scope), strings.Clone(e.Key), strings.Clone(e.Alias), strings.Clone(e.Principal)}
}

// entityOf shares the record's strings.
func entityOf(rec *otellog.Record) Entity {
	return Entity{rec.Str(semconv.KeytrailWindowScope), rec.Str(semconv.AWSKMSKeyARN), rec.Str(semconv.AWSKMSAliasARN),
		rec.Str(semconv.KeytrailPrincipalID)}
}

// span returns a record's window.
func span(rec *otellog.Record) (start, end int64, err error) {
	if start, err = instant(rec, semconv.KeytrailWindowStart); err != nil {
		return 0, 0, err
	}
	if end, err = instant(rec, semconv.KeytrailWindowEnd); err != nil {
		return 0, 0, err
	}
	if end-start < int64(time.Second) { // a day has too many windows below a second
		return 0, 0, fmt.Errorf("its window ends at %s, not a second after its start", rec.Str(semconv.KeytrailWindowEnd))
	}
	return start, end, nil
}

func instant(rec *otellog.Record, name string) (int64, error) {
	t, err := time.Parse(time.RFC3339, rec.Str(name))
	if err != nil || t.Year() < 1970 || t.Year() > 2261 { // the range of int64 in ns
		return 0, fmt.Errorf("%s is %q, no time in RFC 3339 form", name, rec.Str(name))
	}
	return t.UnixNano(), nil
}

// text returns an attribute as text, whatever its kind.
func text(rec *otellog.Record, name string) string { return strings.Join(texts(rec, name), ", ") }

// texts returns an attribute's values as text, whatever its kind.
func texts(rec *otellog.Record, name string) (list []string) {
	a := rec.Get(name)
	switch {
	case a == nil:
	case a.Kind == otellog.KindString && a.Str != "":
		list = append(list, strings.Clone(a.Str))
	case a.Kind == otellog.KindInt:
		list = append(list, fmt.Sprint(a.Int))
	case a.Kind == otellog.KindDouble:
		list = append(list, fmt.Sprintf("%g", a.Num))
	case a.Kind == otellog.KindBool:
		list = append(list, fmt.Sprint(a.Int != 0))
	case a.Kind == otellog.KindStrings:
		for _, s := range a.Strs {
			list = append(list, strings.Clone(s))
		}
	}
	return list
}

// double returns a number; JSON writers may write a whole one as an integer.
func double(rec *otellog.Record, name string) float64 {
	switch a := rec.Get(name); {
	case a == nil:
	case a.Kind == otellog.KindDouble:
		return a.Num
	case a.Kind == otellog.KindInt:
		return float64(a.Int)
	}
	return math.NaN()
}

// where returns an attribute of the resource.
func where(rec *otellog.Record, name string) string {
	for i := range rec.Resource {
		if rec.Resource[i].Key == name {
			return strings.Clone(rec.Resource[i].Str)
		}
	}
	return ""
}
