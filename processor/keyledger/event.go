package keyledger

import (
	"cmp"
	"strings"
	"time"

	"keytrail/processor/count"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Event is the part of one log record that the ledger needs. Its strings are views into
// the record.
type Event struct {
	At             int64  // s since 1970
	Key, SecondKey string // ARNs; an alias or kms.NoEntity names no key
	Operation      string
	Principal      string
	Class          kms.Class
	Outcome        kms.Outcome
	Unusable       bool
	Change         kms.Change // kms.ChangeNone unless the call succeeded

	// The following are set only for changes.

	Alias                       string
	Spec, Usage, Origin         string
	MultiRegion                 string // "true", "false" or ""
	Primary, Replica            string
	State                       string // of the key, as the response states it
	Store, StoreID              string // with its place, and alone
	RotationType                string
	PeriodDays                  int64
	Deletion, ValidTo           int64 // s since 1970; 0 for none
	Public, HasPolicy           bool
	Grant                       Grant
	GranteeService, RetiringSvc string
}

// FromRecord fills e from a log record and from the call that count.FromRecord made of it.
func FromRecord(rec *otellog.Record, c *count.Call, e *Event) {
	*e = Event{At: seconds(c.Time), Key: c.Key, SecondKey: c.SecondKey, Principal: c.Principal, Class: c.Class,
		Outcome: c.Outcome, Unusable: c.Unusable}
	if e.Principal == kms.NoEntity {
		e.Principal = ""
	}
	_, e.Operation, _ = strings.Cut(rec.Str(semconv.RPCMethod), "/")
	if rec.EventName == semconv.EventAWSCloudTrailTrailChange {
		e.Key = kms.NoEntity
	}
	if e.Outcome != kms.OutcomeOK || Cryptographic(e.Class) {
		return
	}
	if e.Change = cloud.Change(e.Operation); e.Change == kms.ChangeNone {
		return
	}
	for i := range rec.Attrs {
		e.take(&rec.Attrs[i])
	}
	g := &e.Grant
	g.Grantee, g.Retiring = cmp.Or(e.GranteeService, g.Grantee), cmp.Or(e.RetiringSvc, g.Retiring)
	g.Service, g.RetiringService = isService(g.Grantee), isService(g.Retiring)
	if e.StoreID != "" {
		e.Store = place(rec, semconv.CloudAccountID) + "/" + place(rec, semconv.CloudRegion) + "/" + e.StoreID
	}
}

// take takes an attribute of a change.
func (e *Event) take(a *otellog.Attr) {
	g := &e.Grant
	for _, f := range [...]struct {
		name string
		to   *string
	}{
		{semconv.AWSKMSAliasARN, &e.Alias}, {semconv.AWSKMSKeySpec, &e.Spec}, {semconv.AWSKMSKeyUsage, &e.Usage},
		{semconv.AWSKMSKeyOrigin, &e.Origin}, {semconv.AWSKMSKeyPrimaryARN, &e.Primary},
		{semconv.AWSKMSKeyReplicaARN, &e.Replica}, {semconv.AWSKMSKeyState, &e.State},
		{semconv.AWSKMSKeyRotationType, &e.RotationType}, {semconv.AWSKMSCustomKeyStoreID, &e.StoreID},
		{semconv.AWSKMSGrantID, &g.ID}, {semconv.AWSKMSGrantName, &g.Name},
		{semconv.AWSKMSGrantGranteePrincipal, &g.Grantee}, {semconv.AWSKMSGrantRetiringPrincipal, &g.Retiring},
		{semconv.AWSKMSGrantGranteeService, &e.GranteeService},
		{semconv.AWSKMSGrantRetiringService, &e.RetiringSvc},
		{semconv.AWSKMSGrantSourceARN, &g.Source}, {semconv.AWSKMSEncryptionContext, &g.Constraint},
	} {
		if a.Key == f.name {
			*f.to = a.Str
			return
		}
	}
	switch a.Key {
	case semconv.AWSKMSKeyMultiRegion:
		e.MultiRegion = "false"
		if a.Int != 0 {
			e.MultiRegion = "true"
		}
	case semconv.AWSKMSRotationPeriodDays:
		e.PeriodDays = a.Int
	case semconv.KeytrailKeyDeletionDate:
		e.Deletion = date(a.Str)
	case semconv.KeytrailKeyValidTo:
		e.ValidTo = date(a.Str)
	case semconv.KeytrailPolicyPublic:
		e.HasPolicy, e.Public = true, a.Int != 0
	case semconv.AWSKMSGrantOperations:
		g.Operations = strings.Join(a.Strs, ",")
	}
}

// isService reports whether a principal is a service. Services of AWS also grant to themselves
// by GranteePrincipal, with the name of their host in a Region.
func isService(name string) bool { return cloud.Actor(name) == kms.ActorService }

func place(rec *otellog.Record, name string) string {
	for i := range rec.Resource {
		if rec.Resource[i].Key == name {
			return rec.Resource[i].Str
		}
	}
	return ""
}

// date reads a date of a log record, in s since 1970.
func date(text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	return t.Unix()
}

// seconds rounds down ns since 1970. The ledger's clock is that of CloudTrail.
func seconds(ns int64) int64 { return ns / int64(time.Second) }
