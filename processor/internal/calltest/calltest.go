// Package calltest makes the calls and names of the tests that drive counting, windows and
// anomalies.
package calltest

import (
	"fmt"
	"time"

	"keytrail/processor/count"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// Spans of event time, in ns. Size is that of the tests' windows.
const (
	Minute = int64(time.Minute)
	Hour   = int64(time.Hour)
	Day    = 24 * Hour
	Size   = 5 * Minute
)

// Begin is a Monday, in ns since 1970.
var Begin = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixNano()

// Alias is an alias of some KMS key.
const Alias = "arn:aws:kms:eu-central-1:111122223333:alias/app"

// Key returns the name of KMS key n.
func Key(n int) string { return fmt.Sprintf("arn:aws:kms:eu-central-1:111122223333:key/%d", n) }

// MultiRegion returns the name of the multi-Region key in a Region.
func MultiRegion(region string) string { return "arn:aws:kms:" + region + ":111122223333:key/mrk-1" }

// Role returns the name of role n.
func Role(n int) string { return fmt.Sprintf("arn:aws:iam::111122223333:role/%d", n) }

// KeyOf returns the entity of Key(n).
func KeyOf(n int) wire.Entity { return wire.Entity{Scope: wire.ScopeKey, Key: Key(n)} }

// RoleOf returns the entity of Role(n).
func RoleOf(n int) wire.Entity { return wire.Entity{Scope: wire.ScopePrincipal, Principal: Role(n)} }

// PairOf returns the entity of Key(key) and Role(role).
func PairOf(key, role int) wire.Entity {
	return wire.Entity{Scope: wire.ScopePair, Key: Key(key), Principal: Role(role)}
}

// Decrypt returns a successful, direct call of Role(role) on Key(key) at a time in ns.
func Decrypt(at int64, key, role int) count.Call {
	id := fmt.Sprintf("%d-%d-%d", at, key, role)
	return count.Call{
		IDText: id, ID: wire.ParseCallID(id), Time: at, Key: Key(key), Principal: Role(role),
		Copy: kms.CopyCaller, Class: kms.ClassDecrypt, Direct: true,
	}
}
