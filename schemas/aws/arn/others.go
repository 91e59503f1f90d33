package arn

import (
	"strconv"
	"strings"
)

// The names of others: their beginning, and the type behind the account. AWS has no
// resources of that type.
const (
	othersKey       = "arn:aws:kms::"
	othersPrincipal = "arn:aws:iam::"
	othersType      = ":others/"
)

// OthersKey returns the name of the KMS keys of an account that a partition does not tell
// apart. account may be "".
func OthersKey(account string, partition int32) string {
	return othersKey + account + othersType + strconv.Itoa(int(partition))
}

// OthersPrincipal returns the name of the principals of an account that a partition does
// not tell apart. account may be "".
func OthersPrincipal(account string, partition int32) string {
	return othersPrincipal + account + othersType + strconv.Itoa(int(partition))
}

// IsOthers reports whether OthersKey or OthersPrincipal makes such names.
func IsOthers(name string) bool {
	rest, ok := strings.CutPrefix(name, othersKey)
	if !ok {
		if rest, ok = strings.CutPrefix(name, othersPrincipal); !ok {
			return false
		}
	}
	_, rest, ok = strings.Cut(rest, ":")
	return ok && strings.HasPrefix(rest, othersType[1:])
}
