package keyledger

import (
	"cmp"
	"slices"
	"strings"

	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// FactID names a property of a KMS key.
type FactID uint8

// The facts. The ledger keeps the newest value of each.
const (
	Created       FactID = iota // value "replica" for a replica
	Spec                        // as the creation states it, like the next three
	Usage                       //
	Origin                      //
	Store                       // the custom key store that holds it
	MultiRegion                 // "true", "false"
	Enabled                     // "enabled", "disabled"
	Deletion                    // "cancelled", "scheduled", "waits_for_replicas", "deleted"; Until is the date
	Material                    // "imported", "deleted", "expired"; Until is the expiry, 0 for none
	Rotation                    // "on", "off"; Until is the period in days, 0 for the default
	Rotated                     // the type, such as "AUTOMATIC"
	RotationAsked               // on demand
	Primary                     // the ARN of the primary key
	Policy                      // "public" if it admits a stranger, "closed" if not
	Used                        // the operation of the last successful use
	Refused                     // the operation that was refused last
	Unusable                    // the last operation that failed because the key is disabled or waits for deletion
	UnnamedEnd                  // a grant ended, and the record does not show which
	numFacts
	storeState // of a custom key store, not of a key
)

var factNames = [numFacts]string{"created", "spec", "usage", "origin", "key_store", "multi_region", "enabled",
	"deletion", "material", "rotation", "rotated", "rotation_requested", "primary", "policy", "used", "refused", "unusable",
	"unnamed_grant_end"}

// String returns the name of the fact in reports.
func (id FactID) String() string { return factNames[id] }

// ranks orders the values of facts within one second: the last one wins, because the worse
// news must not be hidden. CloudTrail's clock has seconds, so it cannot order them.
var ranks = [storeState + 1][]string{
	Enabled:  {"enabled", "disabled"},
	Deletion: {"cancelled", "scheduled", "waits_for_replicas", "deleted"},
	Material: {"imported", "deleted", "expired"},
	Rotation: {"on", "off"},
	Policy:   {"closed", "public"},

	storeState: {"store_created", "store_connected", "store_disconnected", "store_deleted"},
}

// Fact is the newest value of one property. Times are in seconds since 1970.
type Fact struct {
	At    int64 // when an event stated it; 0: none did
	Value string
	Until int64  // a date or a number that belongs to the value
	By    string // the principal, or ""
	Tied  bool   // another event of the same second states another value
}

// join makes f the newer of two values. It is commutative, associative and idempotent, so
// the result depends neither on the order of events nor on repetitions. Of two values of one
// second, the one of the higher rank wins, then the earlier date, then the greater text. It
// reports whether it changed f.
func (f *Fact) join(id FactID, o *Fact) (changed bool) {
	if o.At == 0 || o.At < f.At {
		return false
	}
	if o.At > f.At {
		*f = *o
		return true
	}
	was := *f
	tied := f.Tied || o.Tied || id < Used && (f.Value != o.Value || f.Until != o.Until) // uses do not contradict
	rank := func(v string) int { return slices.Index(ranks[id], v) }
	order := cmp.Or(cmp.Compare(rank(o.Value), rank(f.Value)), cmp.Compare(uint64(f.Until-1), uint64(o.Until-1)),
		strings.Compare(o.Value, f.Value), strings.Compare(o.By, f.By))
	if order > 0 {
		*f = *o
	}
	f.Tied = tied
	return *f != was
}

// Alias is a name that stood for the key.
type Alias struct {
	Name    string // its ARN
	Since   int64  // when an event first named it
	At      int64  // when it was last pointed at the key or removed
	Removed bool
	Tied    bool // both happened within that second; the removal counts
	// Moved is when the alias was pointed at another key, or 0. It follows from the ledgers of
	// both keys: Ledger.All and Ledger.Advance compute it.
	Moved int64
}

// Entry is one change in the history of a key.
type Entry struct {
	At     int64
	Change kms.Change
	Detail string // the date, the replica or the primary key, or ""
	By     string
}

// Key is the state of one KMS key. Times are in seconds since 1970, and 0 means never.
type Key struct {
	Name        string // its ARN
	First, Last int64  // the first and the last event that named it
	FirstUse    int64
	Facts       [numFacts]Fact
	Uses        [kms.NumClasses]int64 // the last successful use by operation class
	Aliases     []Alias               // ordered by name, at most MaxAliases
	Replicas    []string              // ordered, at most MaxReplicas
	Grants      []Grant               // ordered by id, at most MaxGrants
	// History has the newest MaxHistory changes, ordered by time. The creation, aliases and
	// grants stand in their own fields.
	History []Entry
	// MoreAliases and the others count the rest, beyond the bounds.
	MoreAliases, MoreReplicas, MoreGrants, MoreHistory Distinct

	watched
	slot     uint32
	stale    bool
	greatest uint64 // of the hashes of the grants' ids, once it was needed
}

// Bounds per key. A key may have 50 aliases and one replica per Region in AWS. At most
// MaxGrants grants, open or closed, of some 100 bytes take 800 kB.
const (
	MaxAliases  = 64
	MaxReplicas = 64
	MaxGrants   = 8192
	MaxHistory  = 16
	// MaxOpen is how many open grants a report lists.
	MaxOpen = 1000
)

// alias joins an alias. Like the next two, it reports whether it changed the key.
func (k *Key) alias(a Alias) (changed bool) {
	i, ok := slices.BinarySearchFunc(k.Aliases, a.Name, func(x Alias, name string) int {
		return strings.Compare(x.Name, name)
	})
	if ok {
		x := &k.Aliases[i]
		was := *x
		since, moved := min(a.Since, x.Since), max(a.Moved, x.Moved)
		switch {
		case a.At > x.At:
			*x = a
		case a.At == x.At:
			x.Tied = x.Tied || a.Tied || x.Removed != a.Removed
			x.Removed = x.Removed || a.Removed
		}
		if x.Since, x.Moved = since, moved; moved < x.At {
			x.Moved = 0
		}
		return *x != was
	}
	k.Aliases = slices.Insert(k.Aliases, i, a)
	if len(k.Aliases) > MaxAliases {
		k.Aliases = dropGreatest(k.Aliases, &k.MoreAliases, func(x *Alias) string { return x.Name })
	}
	return true
}

// replica adds a replica. Of too many, those first in order stay.
func (k *Key) replica(name string) (changed bool) {
	i, ok := slices.BinarySearch(k.Replicas, name)
	if ok {
		return false
	}
	k.Replicas = slices.Insert(k.Replicas, i, name)
	if last := len(k.Replicas) - 1; last == MaxReplicas {
		k.MoreReplicas.Add(wire.EntityHash(k.Replicas[last]))
		k.Replicas = k.Replicas[:last]
	}
	return true
}

// note adds a change to the history. One change of a second is one entry, whatever copies
// of its call show.
func (k *Key) note(e Entry) (changed bool) {
	i, ok := slices.BinarySearchFunc(k.History, e, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Change, b.Change), strings.Compare(a.Detail, b.Detail))
	})
	if ok {
		was := k.History[i].By
		k.History[i].By = max(was, e.By)
		return k.History[i].By != was
	}
	k.History = slices.Insert(k.History, i, e)
	if len(k.History) > MaxHistory {
		old := &k.History[0]
		var enc wire.Encoder
		enc.Int(old.At)
		enc.Uint(uint64(old.Change))
		enc.Raw(old.Detail)
		k.MoreHistory.Add(wire.EntityHash(string(enc.B)))
		k.History = slices.Delete(k.History, 0, 1)
	}
	return true
}

// dropGreatest removes the item whose name has the greatest hash, and counts it. A choice
// by the name alone never depends on the order of arrival: a dropped item stays dropped.
func dropGreatest[T any](list []T, more *Distinct, name func(*T) string) []T {
	at, most := 0, uint64(0)
	for i := range list {
		if h := wire.EntityHash(name(&list[i])); h >= most {
			at, most = i, h
		}
	}
	more.Add(wire.EntityHash("more " + name(&list[at])))
	return slices.Delete(list, at, at+1)
}

// Distinct counts distinct things by the smallest of their hashes (Bar-Yossef et al. 2002,
// "Counting distinct elements in a data stream"): exactly up to 255, within some 6 % above.
// Neither order nor repetition changes it.
type Distinct struct{ hashes []uint64 }

const maxHashes = 256

// Add adds the hash of a thing, and reports whether that changed d.
func (d *Distinct) Add(hash uint64) (changed bool) {
	i, ok := slices.BinarySearch(d.hashes, hash)
	if ok || i >= maxHashes {
		return false
	}
	d.hashes = slices.Insert(d.hashes, i, hash)
	d.hashes = d.hashes[:min(len(d.hashes), maxHashes)]
	return true
}

// join adds all of o.
func (d *Distinct) join(o *Distinct) (changed bool) {
	for _, h := range o.hashes {
		changed = d.Add(h) || changed
	}
	return changed
}

// Count returns the number, and whether it is exact.
func (d *Distinct) Count() (n int64, exact bool) {
	if len(d.hashes) < maxHashes {
		return int64(len(d.hashes)), true
	}
	share := float64(d.hashes[maxHashes-1]) / (1 << 64)
	return int64((maxHashes - 1) / share), false
}

// Has reports whether d has anything.
func (d *Distinct) Has() bool { return len(d.hashes) > 0 }
