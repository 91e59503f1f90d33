package keyledger

import (
	"strconv"
	"strings"
	"time"

	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// Record fills rec with the keytrail.key_state record of a key, as Ledger.All gives it. state
// is that of Key.State, and observed when it is written, in ns since 1970. Equal states have
// equal ids.
func (k *Key) Record(rec *otellog.Record, state string, observed int64) {
	rec.Reset()
	provider, account, region := cloud.Place(k.Name)
	rec.EventName, rec.Time, rec.Severity = semconv.EventKeytrailKeyState, k.Last*int64(time.Second), otellog.SeverityInfo
	rec.Where(semconv.CloudProvider, provider)
	rec.Where(semconv.CloudAccountID, account)
	rec.Where(semconv.CloudRegion, region)
	_, id, _ := strings.Cut(k.Name, ":key/")
	rec.String(semconv.AWSKMSKeyARN, k.Name)
	rec.String(semconv.AWSKMSKeyID, id)
	rec.String(semconv.AWSKMSKeyAccountID, account)
	rec.String(semconv.KeytrailKeyState, state)
	k.facts(rec)
	k.uses(rec)
	k.names(rec)
	open, closed := 0, 0
	for i := range k.Grants {
		if g := &k.Grants[i]; g.Open() {
			open++
		} else if g.Closed != 0 {
			closed++
		}
	}
	rec.Int(semconv.KeytrailKeyGrantsOpen, int64(open))
	rec.Int(semconv.KeytrailKeyGrantsClosed, int64(closed))
	text := otellog.AppendJSON(nil, rec)
	rec.String(semconv.LogRecordUID, strconv.FormatUint(wire.EntityHash(k.Name), 16)+"-"+
		strconv.FormatUint(wire.EntityHash(string(text)), 16))
	rec.Observed = observed
}

// facts writes the facts that are known.
func (k *Key) facts(rec *otellog.Record) {
	f := func(id FactID) *Fact { return &k.Facts[id] }
	if v := f(MultiRegion).Value; v != "" || cloud.Form(k.Name) == kms.FormMultiRegion {
		rec.Bool(semconv.AWSKMSKeyMultiRegion, v != "false")
	}
	for _, s := range [...]struct{ name, value string }{
		{semconv.AWSKMSKeySpec, f(Spec).Value}, {semconv.AWSKMSKeyUsage, f(Usage).Value},
		{semconv.AWSKMSKeyOrigin, f(Origin).Value}, {semconv.AWSKMSCustomKeyStoreID, f(Store).Value},
		{semconv.AWSKMSKeyPrimaryARN, f(Primary).Value}, {semconv.KeytrailKeyDeletion, f(Deletion).Value},
		{semconv.KeytrailKeyMaterial, f(Material).Value}, {semconv.KeytrailKeyRotation, f(Rotation).Value},
		{semconv.KeytrailKeyCreated, day(f(Created).At)}, {semconv.KeytrailKeyRotated, day(f(Rotated).At)},
		{semconv.KeytrailKeyPolicyChanged, day(f(Policy).At)}, {semconv.KeytrailKeyLastRefused, day(f(Refused).At)},
		{semconv.KeytrailKeyLastUnusable, day(f(Unusable).At)},
	} {
		rec.String(s.name, s.value)
	}
	if d := f(Deletion); d.Value == "scheduled" || d.Value == "waits_for_replicas" {
		rec.String(semconv.KeytrailKeyDeletionDate, day(d.Until))
	}
	if m := f(Material); m.Value == "imported" {
		rec.String(semconv.KeytrailKeyValidTo, day(m.Until))
	}
	if r := f(Rotation); r.Until != 0 {
		rec.Int(semconv.AWSKMSRotationPeriodDays, r.Until)
	}
	var tied []string
	for id := range k.Facts {
		if k.Facts[id].Tied {
			tied = append(tied, FactID(id).String())
		}
	}
	list(rec, semconv.KeytrailKeyTied, tied)
}

// uses writes when the key was used.
func (k *Key) uses(rec *otellog.Record) {
	rec.String(semconv.KeytrailKeyFirstSeen, day(k.First))
	rec.String(semconv.KeytrailKeyLastSeen, day(k.Last))
	rec.String(semconv.KeytrailKeyFirstUse, day(k.FirstUse))
	rec.String(semconv.KeytrailKeyLastUse, day(k.Facts[Used].At))
	rec.String(semconv.KeytrailKeyLastOperation, k.Facts[Used].Value)
	var uses []string
	for class, at := range k.Uses {
		if at != 0 {
			uses = append(uses, kms.Class(class).String()+" "+day(at))
		}
	}
	list(rec, semconv.KeytrailKeyUses, uses)
}

// names writes the aliases, the replicas and the history.
func (k *Key) names(rec *otellog.Record) {
	var aliases, history []string
	for _, a := range k.Aliases {
		if !a.Removed && a.Moved == 0 {
			aliases = append(aliases, a.Name)
		}
	}
	for _, e := range k.History {
		history = append(history, strings.TrimSpace(day(e.At)+" "+e.Change.String()+" "+e.By))
	}
	list(rec, semconv.KeytrailKeyAliases, aliases)
	list(rec, semconv.KeytrailKeyReplicas, k.Replicas)
	list(rec, semconv.KeytrailKeyHistory, history)
}

// list writes a list unless it is empty.
func list(rec *otellog.Record, name string, values []string) {
	if len(values) > 0 {
		rec.Strings(name, values)
	}
}
