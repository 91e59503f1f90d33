// Package cloud answers what the names and error codes in log records mean, whichever
// cloud they come from. Its list of clouds is the only place outside a cloud's own folder
// that counting and judging depend on; CONTRIBUTING.md says how to add one.
//
// It is pure. All functions are safe for concurrent use.
package cloud

import (
	"fmt"

	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// of returns the cloud whose form a name has.
func of(name string) *cloud {
	for i := range clouds[1:] {
		if c := &clouds[1+i]; c.owns(name) {
			return c
		}
	}
	return &clouds[0]
}

// ofEntity returns the cloud of an entity: that of its principal, who pays for it, or of
// its KMS key.
func ofEntity(e wire.Entity) *cloud {
	if e.Principal != "" {
		return of(e.Principal)
	}
	return of(e.Key)
}

// Form returns what the name of a KMS key says of it.
func Form(key string) kms.Form { return of(key).form(key) }

// Complete reports whether a name names a KMS key or an alias in full, so that it means
// the same in every account and Region.
func Complete(key string) bool {
	c := of(key)
	return c.owns(key) && c.form(key) != kms.FormOther
}

// Account returns the id of a principal's account, or "" for one without an account.
func Account(principal string) string { return of(principal).account(principal) }

// Actor returns who acts as a principal.
func Actor(principal string) kms.Actor { return of(principal).actor(principal) }

// Short returns a name without what most names of its cloud have in common, for tables.
func Short(name string) string { return of(name).short(name) }

// Familiar returns the part of a name by which people know it, for sentences in one line.
// Different names may have the same.
func Familiar(name string) string { return of(name).familiar(name) }

// Place returns the values of cloud.provider, cloud.account.id and cloud.region that a
// name shows. The last two are "" where it shows none.
func Place(name string) (provider, account, region string) {
	c := of(name)
	account, region = c.place(name)
	return c.provider, account, region
}

// Others returns the entity that stands for the others of an account in a partition: the
// KMS keys, principals or pairs that are not told apart. Scope and cloud are those of e.
// When account is 0, the names have no account.
func Others(e wire.Entity, account uint64, partition int32) wire.Entity {
	c, id := ofEntity(e), ""
	if account != 0 {
		id = fmt.Sprintf("%012d", account)
	}
	others := wire.Entity{Scope: e.Scope}
	if e.Scope != wire.ScopePrincipal {
		others.Key = c.othersKey(id, partition)
	}
	if e.Scope != wire.ScopeKey {
		others.Principal = c.othersPrincipal(id, partition)
	}
	return others
}

// IsOthers reports whether e stands for many entities. Callers can write such names into a
// key id, too; no entity of its own may be made for them.
func IsOthers(e wire.Entity) bool {
	return of(e.Key).isOthers(e.Key) || of(e.Principal).isOthers(e.Principal)
}

// Unusable reports whether a call failed because its KMS key is disabled or waits for its
// deletion. The error codes of different clouds differ, so no name is needed.
func Unusable(code, message string) bool {
	for i := range clouds {
		if clouds[i].unusable(code, message) {
			return true
		}
	}
	return false
}

// AliasChange returns what an operation does to the alias that it names.
func AliasChange(operation string) kms.AliasChange {
	for i := range clouds {
		if change := clouds[i].aliasChange(operation); change != kms.AliasUsed {
			return change
		}
	}
	return kms.AliasUsed
}

// Change returns what an operation changes in the life cycle of a KMS key when it succeeds.
func Change(operation string) kms.Change {
	for i := range clouds {
		if change := clouds[i].change(operation); change != kms.ChangeNone {
			return change
		}
	}
	return kms.ChangeNone
}

// Lesser reports whether an operation does less than its class says: it ends a grant
// instead of making one, or removes a name or a store of KMS keys instead of a key.
func Lesser(operation string) bool {
	for i := range clouds {
		if clouds[i].lesser(operation) {
			return true
		}
	}
	return false
}
