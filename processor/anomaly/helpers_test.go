package anomaly_test

import (
	"fmt"
	"time"

	"keytrail/processor/count"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

const (
	minute = int64(time.Minute)
	hour   = int64(time.Hour)
	day    = 24 * hour
	size   = 5 * minute
)

// begin is a Monday.
var begin = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixNano()

func keyARN(n int) string { return fmt.Sprintf("arn:aws:kms:eu-central-1:111122223333:key/%d", n) }

// aliasARN is an alias of some KMS key, and multiARN the multi-Region key in a
// Region.
const aliasARN = "arn:aws:kms:eu-central-1:111122223333:alias/app"

func multiARN(region string) string { return "arn:aws:kms:" + region + ":111122223333:key/mrk-1" }
func role(n int) string             { return fmt.Sprintf("arn:aws:iam::111122223333:role/%d", n) }

func keyOf(n int) wire.Entity { return wire.Entity{Scope: wire.ScopeKey, KeyARN: keyARN(n)} }
func roleOf(n int) wire.Entity {
	return wire.Entity{Scope: wire.ScopePrincipal, Principal: role(n)}
}
func pairOf(key, principal int) wire.Entity {
	return wire.Entity{Scope: wire.ScopePair, KeyARN: keyARN(key), Principal: role(principal)}
}

// decrypt is a successful, direct call.
func decrypt(at int64, key, principal int) count.Call {
	id := fmt.Sprintf("%d-%d-%d", at, key, principal)
	return count.Call{
		IDText: id, ID: wire.ParseCallID(id), Time: at, KeyARN: keyARN(key), Principal: role(principal),
		Copy: kms.CopyCaller, Class: kms.ClassDecrypt, Direct: true,
	}
}
