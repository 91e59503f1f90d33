// Package arn knows the forms of names in AWS: ARNs, and what stands for principals that
// have none.
package arn

import (
	"strings"

	"keytrail/schemas/kms"
)

// Is reports whether a name has the form of an ARN, which has six parts. The last may
// contain colons.
func Is(name string) bool {
	return strings.HasPrefix(name, "arn:") && strings.Count(name, ":") >= 5
}

// Form returns what the ARN of a KMS key or an alias says of it. A caller can write both
// into a key id; it counts as a key then. The id of a multi-Region key begins with "mrk-"
// (AWS KMS developer guide, "Multi-Region keys in AWS KMS").
func Form(arn string) kms.Form {
	if i := strings.Index(arn, ":key/"); i >= 0 {
		if strings.Contains(arn[i:], ":key/mrk-") {
			return kms.FormMultiRegion
		}
		return kms.FormKey
	}
	if strings.Contains(arn, ":alias/") {
		return kms.FormAlias
	}
	return kms.FormOther
}

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

// Short returns an ARN without what most have in common; other names stay whole. It keeps
// the Region, because multi-Region keys have the same id, and aliases the same name, in
// several, and the partition where it is not "aws".
func Short(arn string) string {
	if !Is(arn) {
		return arn
	}
	p := strings.SplitN(arn, ":", 6)
	short := p[4] + ":" + p[5]
	if p[3] != "" {
		short = p[3] + ":" + short
	}
	if p[1] != "aws" {
		short = p[1] + ":" + short
	}
	return short
}

// Familiar returns the part of an ARN by which people know a key or a principal: the name
// of a user or role, the first digits of a key id. It is not unique. Other names stay
// whole.
func Familiar(arn string) string {
	if !Is(arn) {
		return arn
	}
	p := strings.SplitN(arn, ":", 6)
	kind, name, _ := strings.Cut(p[5], "/")
	last := name[strings.LastIndexByte(name, '/')+1:]
	switch {
	case kind == "key" && strings.HasPrefix(name, "mrk-"):
		return cut(name, len("mrk-")+8)
	case kind == "key":
		return cut(name, 8)
	case p[5] == "root":
		return "root of " + p[4]
	case strings.HasPrefix(last, "AWSReservedSSO_"):
		set := strings.TrimPrefix(last, "AWSReservedSSO_")
		return set[:max(strings.LastIndexByte(set, '_'), 0)] + " (SSO)"
	case last != "" && (kind == "user" || kind == "role" || kind == "assumed-role" || kind == "federated-user"):
		return last
	}
	return p[5]
}

// cut shortens an id to n bytes and marks that.
func cut(id string, n int) string {
	if len(id) <= n {
		return id
	}
	return strings.ToValidUTF8(id[:n], "") + "…"
}

// PrincipalAccount returns the account id of a principal as keytrail.principal.id names it,
// or "" for one without an account.
func PrincipalAccount(principal string) string {
	if id, named := strings.CutPrefix(principal, "account:"); named {
		return id
	}
	return Account(principal)
}

// Actor returns who acts as a principal. People act as users, as the root of an account,
// and in the roles of the Identity Center. A service has no ARN: anybody can give a role
// the name of a service.
func Actor(principal string) kms.Actor {
	switch {
	case !strings.HasPrefix(principal, "arn:"):
		if principal == "AWS Internal" || strings.HasSuffix(principal, ".amazonaws.com") ||
			strings.HasSuffix(principal, ".amazonaws.com.cn") {
			return kms.ActorService
		}
	case strings.Contains(principal, ":user/"), strings.Contains(principal, ":federated-user/"),
		strings.HasSuffix(principal, ":root"), strings.Contains(principal, "AWSReservedSSO_"):
		return kms.ActorPerson
	}
	return kms.ActorWorkload
}
