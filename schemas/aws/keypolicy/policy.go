// Package keypolicy reads the policies of KMS keys and answers one question: does a
// policy let in a stranger, a principal of an AWS account that the policy does not name?
//
// It looks for a request: a principal of such an account, an action on the key, and
// values of the condition keys that a stranger can have, which one statement allows and
// none denies. A condition that every caller meets therefore restricts nothing, whatever
// its form. values.go lists the values of a stranger; condition.go evaluates
// conditions.
//
// It is pure. Sources: AWS IAM user guide, "IAM JSON policy elements" (Principal,
// NotPrincipal, Condition operators), "AWS global condition context keys" and "Policies
// and permissions: multivalued context keys"; AWS KMS developer guide, "AWS KMS
// condition keys" and "AWS KMS permissions"; Amazon S3 user guide, "The meaning of
// public", for how broad a range of addresses is.
package keypolicy

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Open reports whether the policy lets in strangers at the given time. text is the
// policy's JSON; owner is the key's account, or "" where it is not known. A text that is
// not a policy lets in nobody.
func Open(text, owner string, at time.Time) bool {
	if !mayBeOpen(text) {
		return false
	}
	var doc struct{ Statement statements }
	if json.Unmarshal([]byte(text), &doc) != nil {
		return false
	}
	for _, s := range strangers(text, owner, at) {
		for i := range doc.Statement {
			if doc.Statement[i].allows() && s.enters(&doc.Statement[i], doc.Statement) {
				return true
			}
		}
	}
	return false
}

// mayBeOpen reports whether a policy has anything that may let in a stranger:
// NotPrincipal, or a wildcard that is neither a resource nor an action. It spares most
// policies the reading, which takes longer than all the rest of their event.
func mayBeOpen(text string) bool {
	if strings.IndexByte(text, '\\') >= 0 || containsFold(text, `"notprincipal"`) {
		return true // an escape may spell it otherwise
	}
	for {
		before, rest, found := strings.Cut(text, "*")
		if !found {
			return false
		}
		quote := strings.LastIndexByte(before, '"')
		if quote < 0 || !hasPrefixFold(before[quote+1:], "kms:") &&
			!(rest != "" && rest[0] == '"' && isFree(before[:quote], before[quote+1:])) {
			return true
		}
		text = rest
		if _, after, ok := strings.Cut(rest, `"`); ok { // the string's end
			text = after
		}
	}
}

// isFree reports whether a wildcard that is a whole string stands as the one resource or
// action of a statement. before is what precedes its quote, begun what precedes the
// wildcard inside it.
func isFree(before, begun string) bool {
	before, ok := strings.CutSuffix(strings.TrimRight(before, " \t\r\n"), ":")
	before = strings.TrimRight(before, " \t\r\n")
	return ok && begun == "" && (strings.HasSuffix(before, `"Resource"`) || strings.HasSuffix(before, `"Action"`))
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func containsFold(s, part string) bool {
	for i := 0; i+len(part) <= len(s); i++ {
		if s[i] == part[0] && strings.EqualFold(s[i:i+len(part)], part) {
			return true
		}
	}
	return false
}

// statements is a list of statements, which may be written as one without a list.
type statements []statement

func (s *statements) UnmarshalJSON(text []byte) error {
	var list []statement
	if json.Unmarshal(text, &list) == nil {
		*s = list
		return nil
	}
	var one statement
	err := json.Unmarshal(text, &one)
	*s = statements{one}
	return err
}

// statement is one statement of a policy. What it says of resources is not read: in a
// key policy that is the key.
type statement struct {
	Effect                  string
	Principal, NotPrincipal *principals
	Action, NotAction       texts
	Condition               map[string]map[string]texts // operator, condition key, values
}

func (s *statement) allows() bool { return strings.EqualFold(s.Effect, "Allow") }
func (s *statement) denies() bool { return strings.EqualFold(s.Effect, "Deny") }

// conditions lists the statement's conditions, all of which have to hold.
func (s *statement) conditions() (list []condition) {
	for operator, byKey := range s.Condition {
		for key, values := range byKey {
			list = append(list, parseCondition(operator, key, values))
		}
	}
	return list
}

// covers reports whether the statement is about an action. One that names no actions is
// taken to be about all: KMS accepts none, so what was recorded is a part of it.
func (s *statement) covers(action string) bool {
	matches := func(pattern string) bool { return like(strings.ToLower(pattern), strings.ToLower(action)) }
	if len(s.Action) > 0 {
		return slices.ContainsFunc(s.Action, matches)
	}
	return !slices.ContainsFunc(s.NotAction, matches)
}

// principals are the AWS principals of a statement; services and identity providers are
// not accounts, so they are left out.
type principals struct{ aws texts }

func (p *principals) UnmarshalJSON(text []byte) error {
	var byKind map[string]texts
	if json.Unmarshal(text, &byKind) != nil {
		return json.Unmarshal(text, &p.aws)
	}
	for kind, list := range byKind {
		if strings.EqualFold(kind, "AWS") {
			p.aws = append(p.aws, list...)
		}
	}
	return nil
}

// texts is a list of values, which may be written as one without a list. Numbers and
// booleans are their JSON text.
type texts []string

func (t *texts) UnmarshalJSON(text []byte) error {
	var list []json.RawMessage
	if json.Unmarshal(text, &list) != nil {
		list = []json.RawMessage{text}
	}
	*t = texts{}
	for _, item := range list {
		var s string
		if json.Unmarshal(item, &s) != nil {
			s = string(item)
		}
		*t = append(*t, s)
	}
	return nil
}

// actions are the operations on a key that a key policy can allow.
// Source: AWS KMS developer guide, "AWS KMS permissions".
var actions = []string{
	"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKeyPair",
	"kms:GenerateDataKeyPairWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:Sign", "kms:Verify", "kms:GenerateMac",
	"kms:VerifyMac", "kms:DeriveSharedSecret", "kms:CreateGrant", "kms:RetireGrant", "kms:RevokeGrant", "kms:ListGrants",
	"kms:PutKeyPolicy", "kms:GetKeyPolicy", "kms:ListKeyPolicies", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion",
	"kms:DisableKey", "kms:EnableKey", "kms:DescribeKey", "kms:GetPublicKey", "kms:GetKeyLastUsage", "kms:GetKeyRotationStatus",
	"kms:EnableKeyRotation", "kms:DisableKeyRotation", "kms:RotateKeyOnDemand", "kms:ListKeyRotations",
	"kms:GetParametersForImport", "kms:ImportKeyMaterial", "kms:DeleteImportedKeyMaterial", "kms:ReplicateKey",
	"kms:SynchronizeMultiRegionKey", "kms:UpdatePrimaryRegion", "kms:UpdateKeyDescription", "kms:CreateAlias", "kms:UpdateAlias",
	"kms:DeleteAlias", "kms:TagResource", "kms:UntagResource", "kms:ListResourceTags",
}
