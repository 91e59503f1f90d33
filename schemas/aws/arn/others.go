package arn

import (
	"fmt"
	"strconv"
	"strings"

	"keytrail/schemas/wire"
)

// The names of others: what they begin with, and the type behind the account. AWS has no
// resources of that type.
const (
	othersKey       = "arn:aws:kms::"
	othersPrincipal = "arn:aws:iam::"
	othersType      = ":others/"
)

// Others returns the entity that stands for the others of an account in a partition: the
// KMS keys, principals or pairs that are not told apart. When account is 0, the names have
// no account.
func Others(scope wire.Scope, account uint64, partition int32) wire.Entity {
	id, number := "", strconv.Itoa(int(partition))
	if account != 0 {
		id = fmt.Sprintf("%012d", account)
	}
	e := wire.Entity{Scope: scope}
	if scope != wire.ScopePrincipal {
		e.KeyARN = othersKey + id + othersType + number
	}
	if scope != wire.ScopeKey {
		e.Principal = othersPrincipal + id + othersType + number
	}
	return e
}

// IsOthers reports whether e stands for many entities. Callers can write such names into a
// key id, too; no entity of its own may be made for them.
func IsOthers(e wire.Entity) bool {
	return isOthers(e.KeyARN, othersKey) || isOthers(e.Principal, othersPrincipal)
}

func isOthers(name, head string) bool {
	rest, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	_, rest, ok = strings.Cut(rest, ":")
	return ok && strings.HasPrefix(rest, othersType[1:])
}

// Others returns what the function Others does.
func (*Names) Others(scope wire.Scope, account uint64, partition int32) wire.Entity {
	return Others(scope, account, partition)
}

// IsOthers returns what the function IsOthers does.
func (*Names) IsOthers(e wire.Entity) bool { return IsOthers(e) }
