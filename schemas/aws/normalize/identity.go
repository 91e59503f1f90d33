package normalize

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/kms"
	"keytrail/schemas/view"
)

func copyOf(ev *cloudtrail.Event) kms.Copy {
	switch {
	case ev.Addendum.OriginalID != "":
		return kms.CopyAddendum
	case ev.SharedID != "" && ev.RecipientAccount != "" && ev.Identity.Account != "" &&
		ev.RecipientAccount != ev.Identity.Account:
		return kms.CopyOwner
	}
	return kms.CopyCaller
}

// callID returns the id that all copies of one call share.
func (n *Normalizer) callID(ev *cloudtrail.Event) string {
	switch {
	case ev.SharedID != "":
		return n.lower(ev.SharedID)
	case ev.Addendum.OriginalID != "":
		return n.lower(ev.Addendum.OriginalID)
	case ev.ID != "":
		return n.lower(ev.ID)
	}
	return n.digest(ev)
}

// recordID returns the id of the event's record.
func (n *Normalizer) recordID(ev *cloudtrail.Event) string {
	if ev.ID != "" {
		return ev.ID
	}
	return n.digest(ev)
}

// digest returns the identity of an event without an id: the bytes themselves, so that
// equal copies count once.
func (n *Normalizer) digest(ev *cloudtrail.Event) string {
	sum := sha256.Sum256(ev.Raw)
	from := len(n.scratch)
	n.scratch = hex.AppendEncode(n.scratch, sum[:])
	return view.String(n.scratch[from:])
}

// principal returns the stable identity of the caller: the role without its
// session, the user, the root of an account, the AWS service, or a foreign
// account.
func (n *Normalizer) principal(ev *cloudtrail.Event) string {
	id := &ev.Identity
	if role := n.role(id); role != "" {
		return role
	}
	switch {
	case id.Type == "Root" && id.Account != "":
		return n.join("arn:", partition(ev.Region), ":iam::", id.Account, ":root")
	case id.Type == "AWSAccount" && id.Account != "":
		return n.join("account:", id.Account)
	case id.Type == "AWSService" && id.InvokedBy != "", id.Type == "" && id.ARN == "" && id.InvokedBy != "":
		return id.InvokedBy
	case id.ARN != "":
		return id.ARN
	case id.Type == "IdentityCenterUser" && id.OnBehalfOfUser != "":
		return n.join("identitycenter:", id.OnBehalfOfUser)
	case id.PrincipalID != "":
		return id.PrincipalID
	case id.InvokedBy != "":
		return id.InvokedBy
	case id.Account != "":
		return n.join("account:", id.Account)
	}
	return kms.NoEntity
}

// role returns the role of a session, "" when the identity is not one. The ARN of a
// session makes it one, whatever type CloudTrail gives it. The session's issuer is
// the role with its path; a session's ARN has no path, so without an issuer the role
// is named without it. The two names of one role are not joined: which path a role
// has is in other events, and a record does not depend on those.
func (n *Normalizer) role(id *cloudtrail.Identity) string {
	session := n.roleARN(id.ARN)
	switch {
	case session == "" && id.Type != "AssumedRole", id.IssuerARN == "":
		return session
	case isRole(id.IssuerARN):
		return id.IssuerARN
	}
	// Documents show an issuer that is the session itself.
	return first(n.roleARN(id.IssuerARN), session, id.IssuerARN)
}

// sessionOf returns the parts of arn:P:sts::A:assumed-role/NAME/SESSION; ok is false
// for any other text. The session may be missing, as in policies.
func sessionOf(arn string) (partition, account, name, session string, ok bool) {
	rest, ok := strings.CutPrefix(arn, "arn:")
	if !ok {
		return
	}
	partition, rest, _ = strings.Cut(rest, ":")
	if rest, ok = strings.CutPrefix(rest, "sts::"); !ok {
		return
	}
	account, rest, _ = strings.Cut(rest, ":")
	if rest, ok = strings.CutPrefix(rest, "assumed-role/"); !ok {
		return
	}
	name, session, _ = strings.Cut(rest, "/")
	return partition, account, name, session, name != "" && account != ""
}

// roleARN makes arn:P:iam::A:role/NAME of a session's ARN, and "" of any other text.
func (n *Normalizer) roleARN(arn string) string {
	partition, account, name, _, ok := sessionOf(arn)
	if !ok {
		return ""
	}
	return n.join("arn:", partition, ":iam::", account, ":role/", name)
}

func isRole(arn string) bool {
	return strings.Contains(arn, ":iam::") && strings.Contains(arn, ":role/")
}

// sessionName returns the role session's name: what follows the role in the
// session's ARN.
func sessionName(id *cloudtrail.Identity) string {
	_, _, _, session, _ := sessionOf(id.ARN)
	return session
}

// via returns the AWS service that made the call for the principal: the one
// that invokedBy names, else the one that stands where its address should.
func via(ev *cloudtrail.Event, principal string) string {
	service := ev.Identity.InvokedBy
	if service == "" && isService(ev.SourceIP) {
		service = ev.SourceIP
	}
	if service == "" || service == principal {
		return kms.Direct
	}
	return service
}

// isService reports whether a sourceIPAddress is the name of an AWS service.
func isService(source string) bool {
	return source == "AWS Internal" ||
		strings.HasSuffix(source, ".amazonaws.com") || strings.HasSuffix(source, ".amazonaws.com.cn")
}

// partitions are the AWS partitions by the beginning of their regions' names.
// Source: partitions.json of the AWS SDKs.
var partitions = [...]struct{ region, partition string }{
	{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-iso-", "aws-iso"}, {"us-isob-", "aws-iso-b"},
	{"us-isof-", "aws-iso-f"}, {"eu-isoe-", "aws-iso-e"}, {"eusc-", "aws-eusc"},
}

// partition returns the AWS partition of a region.
func partition(region string) string {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.region) {
			return p.partition
		}
	}
	return "aws"
}
