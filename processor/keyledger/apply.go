package keyledger

import (
	"cmp"
	"strings"
	"time"

	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
)

// book is where Events go: a Ledger or a Batch.
type book interface {
	open(name string) *Key // to be changed; nil beyond the bounds
	keep(text string) string
	state(store string, f *Fact)
}

// Apply joins what an event states. Events may come in any order and any number of times.
func (l *Ledger) Apply(e *Event) { apply(l, e) }

func apply(in book, e *Event) {
	own(in, e)
	if e.Store != "" && e.Change >= kms.StoreCreated {
		if e.Change != kms.StoreUpdated { // it says nothing of the connection
			in.state(e.Store, &Fact{At: e.At, Value: e.Change.String(), By: e.Principal})
		}
		return
	}
	applyTo(in, e.Key, e)
	if e.SecondKey != "" && e.SecondKey != e.Key {
		applyTo(in, e.SecondKey, e)
	}
	if e.Change == kms.KeyReplicated && e.Replica != "" {
		if k := in.open(e.Replica); k != nil {
			k.seen(e.At)
			k.state(Created, Fact{At: e.At, Value: "replica", By: e.Principal})
			k.state(MultiRegion, Fact{At: e.At, Value: "true"})
			k.state(Primary, Fact{At: e.At, Value: e.Key})
		}
	}
}

// maxText bounds the texts of a change, in bytes. AWS writes none as long.
const maxText = 2048

// own replaces the views in e by copies.
func own(in book, e *Event) {
	e.Operation, e.Principal = in.keep(e.Operation), in.keep(e.Principal)
	if e.Change == kms.ChangeNone {
		return
	}
	g := &e.Grant
	for _, s := range [...]*string{&e.Key, &e.Alias, &e.Spec, &e.Usage, &e.Origin, &e.Primary, &e.Replica, &e.State,
		&e.Store, &e.StoreID, &e.RotationType, &g.ID, &g.Name, &g.Grantee, &g.Retiring, &g.Operations, &g.Constraint,
		&g.Source} {
		if *s != "" {
			*s = strings.Clone((*s)[:min(len(*s), maxText)])
		}
	}
}

func applyTo(in book, name string, e *Event) {
	if !cloud.Form(name).IsKey() {
		return
	}
	k := in.open(name)
	if k == nil {
		return
	}
	k.seen(e.At)
	switch {
	case e.Unusable:
		k.state(Unusable, Fact{At: e.At, Value: e.Operation, By: e.Principal})
	case e.Outcome == kms.OutcomeDenied:
		k.state(Refused, Fact{At: e.At, Value: e.Operation, By: e.Principal})
	case e.Outcome != kms.OutcomeOK:
	case e.Change != kms.ChangeNone:
		k.change(e)
	case Cryptographic(e.Class):
		k.Uses[e.Class] = max(k.Uses[e.Class], e.At)
		k.state(Used, Fact{At: e.At, Value: e.Operation, By: e.Principal})
		if k.FirstUse == 0 || e.At < k.FirstUse {
			k.FirstUse = e.At
		}
	}
}

// Cryptographic reports whether a class of operations uses key material, as the operations
// that GetKeyLastUsage knows do. Random bytes come from no key.
func Cryptographic(c kms.Class) bool { return c < kms.ClassRead && c != kms.ClassRandom }

func (k *Key) seen(at int64) {
	if k.First == 0 || at < k.First {
		k.First = at
	}
	k.Last = max(k.Last, at)
	k.stale = true
}

func (k *Key) state(id FactID, f Fact) { k.Facts[id].join(id, &f) }

// simple are the changes that state one value.
var simple = map[kms.Change]struct {
	id    FactID
	value string
}{
	kms.KeyEnabled: {Enabled, "enabled"}, kms.KeyDisabled: {Enabled, "disabled"},
	kms.DeletionCancelled: {Deletion, "cancelled"}, kms.KeyDeleted: {Deletion, "deleted"},
	kms.MaterialDeleted: {Material, "deleted"}, kms.MaterialExpired: {Material, "expired"},
	kms.RotationDisabled: {Rotation, "off"}, kms.RotationRequested: {RotationAsked, ""},
}

// change takes a change that succeeded.
func (k *Key) change(e *Event) {
	detail := ""
	fact := func(id FactID, value string, until int64) {
		k.state(id, Fact{At: e.At, Value: value, Until: until, By: e.Principal})
	}
	if s, ok := simple[e.Change]; ok {
		fact(s.id, s.value, 0)
	}
	switch e.Change {
	case kms.KeyCreated:
		k.created(e)
		return
	case kms.KeyReplicated:
		fact(Primary, k.Name, 0)
		k.replica(e.Replica)
		detail = e.Replica
	case kms.DeletionScheduled:
		value := "scheduled"
		if e.State == "PendingReplicaDeletion" {
			value = "waits_for_replicas"
		}
		fact(Deletion, value, e.Deletion)
		detail = day(e.Deletion)
	case kms.MaterialImported:
		fact(Material, "imported", e.ValidTo)
		detail = day(e.ValidTo)
	case kms.RotationEnabled:
		fact(Rotation, "on", e.PeriodDays)
	case kms.KeyRotated:
		fact(Rotated, e.RotationType, 0)
	case kms.PrimaryMoved:
		fact(Primary, e.Primary, 0)
		detail = e.Primary
	case kms.PolicyChanged:
		fact(Policy, map[bool]string{true: "public", false: "closed"}[e.Public], 0)
	case kms.AliasPointed, kms.AliasRemoved:
		if e.Alias != "" {
			k.alias(Alias{Name: e.Alias, Since: e.At, At: e.At, Removed: e.Change == kms.AliasRemoved})
		}
		return
	case kms.GrantCreated, kms.GrantRetired, kms.GrantRevoked:
		k.grantChange(e)
		return
	case kms.KeySynchronized:
		return // follows every change of the primary key
	}
	k.note(Entry{At: e.At, Change: e.Change, Detail: detail, By: e.Principal})
}

// created takes what a creation states.
func (k *Key) created(e *Event) {
	for id, value := range map[FactID]string{Spec: e.Spec, Usage: e.Usage, Origin: e.Origin, Store: e.StoreID,
		MultiRegion: e.MultiRegion} {
		if value != "" {
			k.state(id, Fact{At: e.At, Value: value})
		}
	}
	k.state(Created, Fact{At: e.At, By: e.Principal})
	if cloud.Form(k.Name) == kms.FormMultiRegion && e.Primary != "" {
		k.state(Primary, Fact{At: e.At, Value: e.Primary})
	}
}

// grantChange takes the creation or the end of a grant.
func (k *Key) grantChange(e *Event) {
	g := e.Grant
	switch {
	case g.ID == "":
		if e.Change != kms.GrantCreated {
			k.state(UnnamedEnd, Fact{At: e.At, By: e.Principal})
		}
		return
	case e.Change == kms.GrantCreated:
		g.Opened, g.By = e.At, e.Principal
	default:
		g = Grant{ID: g.ID, Closed: e.At, Revoked: e.Change == kms.GrantRevoked, ClosedBy: e.Principal}
	}
	k.grant(&g)
}

// day writes a time as its second, or "".
func day(s int64) string {
	if s == 0 {
		return ""
	}
	return time.Unix(s, 0).UTC().Format(time.RFC3339)
}

// State returns the state of the key at a time, in s since 1970, in the words of AWS in
// lower case: "enabled", "disabled", "pending_deletion", "pending_replica_deletion",
// "pending_import", "unavailable"; and "deleted", "unusable" where calls fail because the
// key is disabled or waits for its deletion and the trail does not show which, and "unknown".
// connected reports whether its custom key store is.
func (k *Key) State(now int64, connected bool) string {
	f := func(id FactID) *Fact { return &k.Facts[id] }
	material := f(Material)
	switch f(Deletion).Value {
	case "deleted":
		return "deleted"
	case "scheduled":
		return "pending_deletion"
	case "waits_for_replicas":
		return "pending_replica_deletion"
	}
	switch {
	case f(Store).Value != "" && !connected:
		return "unavailable"
	case material.Value == "deleted", material.Value == "expired", material.Until != 0 && material.Until <= now,
		f(Origin).Value == "EXTERNAL" && material.At == 0 && f(Used).At == 0:
		return "pending_import"
	case k.disabled():
		return "disabled"
	}
	known := max(f(Enabled).At, f(Used).At, f(Created).At)
	switch {
	case f(Unusable).At > known:
		return "unusable"
	case known == 0:
		return "unknown"
	}
	return "enabled"
}

// settle is how long AWS may take until a disabled key refuses calls everywhere, in s.
// Source: AWS KMS developer guide, "AWS KMS eventual consistency".
const settle = 5 * 60

// disabled reports whether the key is disabled: by DisableKey, or because a cancelled
// deletion leaves it so. A use long after that shows that it was enabled again.
func (k *Key) disabled() bool {
	off, on := int64(0), k.Facts[Used].At-settle
	if k.Facts[Deletion].Value == "cancelled" {
		off = k.Facts[Deletion].At
	}
	if e := &k.Facts[Enabled]; e.Value == "disabled" {
		off = max(off, e.At)
	} else if e.At >= off { // in one second the deletion was cancelled first
		on = max(on, e.At, 1)
	}
	return off > 0 && on < cmp.Or(off, 1)
}
