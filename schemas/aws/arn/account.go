package arn

import "strings"

// Account returns the account id inside an ARN, which is its fifth part, or "".
func Account(arn string) string {
	left := 4
	if rest, ok := strings.CutPrefix(arn, "arn:aws:kms:"); ok { // most ARNs here
		arn, left = rest, 1
	}
	for range left {
		_, rest, ok := strings.Cut(arn, ":")
		if !ok {
			return ""
		}
		arn = rest
	}
	id, _, ok := strings.Cut(arn, ":")
	if !ok {
		return ""
	}
	return id
}

// Place returns the account id and the Region inside an ARN, each "" where it has none.
func Place(arn string) (account, region string) {
	if parts := strings.SplitN(arn, ":", 5); len(parts) == 5 {
		region = parts[3]
	}
	return Account(arn), region
}

// PrincipalAccount returns the account id of a principal as keytrail.principal.id names it,
// or "" for one without an account.
func PrincipalAccount(principal string) string {
	if id, named := strings.CutPrefix(principal, "account:"); named {
		return id
	}
	return Account(principal)
}

// Account returns PrincipalAccount.
func (*Names) Account(principal string) string { return PrincipalAccount(principal) }

// Service reports whether a principal is an AWS service, or KMS itself.
func (*Names) Service(principal string) bool {
	return principal == "AWS Internal" || strings.HasSuffix(principal, ".amazonaws.com") ||
		strings.HasSuffix(principal, ".amazonaws.com.cn")
}

// Person reports whether a principal is one whom people act as: a user, the root of an
// account, or a role of the Identity Center.
func (*Names) Person(principal string) bool {
	return strings.Contains(principal, ":user/") || strings.Contains(principal, ":federated-user/") ||
		strings.HasSuffix(principal, ":root") || strings.Contains(principal, "AWSReservedSSO_")
}
