package normalize

import (
	"strings"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/kms"
)

// self keeps the collector's own principals. A role is kept without its path: its name is
// unique in its account, and a session's ARN, under which it may be configured or called,
// has no path.
type self map[string]bool

func (n *Normalizer) selfPrincipals(list []string) self {
	s := make(self, len(list))
	for _, p := range list {
		s[strings.Clone(n.bare(first(n.roleARN(p), p)))] = true
	}
	return s
}

// bare returns the ARN of a role without its path, and any other principal as it is.
func (n *Normalizer) bare(principal string) string {
	head, path, is := strings.Cut(principal, ":role/")
	if i := strings.LastIndexByte(path, '/'); is && i >= 0 {
		return n.join(head, ":role/", path[i+1:])
	}
	return principal
}

// own reports whether a call is the collector's own: made by one of its principals to
// read a file of a trail.
func (n *Normalizer) own(ev *cloudtrail.Event, principal string) bool {
	return (n.Self || len(n.self) > 0 && n.self[n.bare(principal)]) && TrailRead(ev)
}

// TrailRead reports whether a call read a file of a trail: a Decrypt that succeeded, whose
// encryption context is that of such a file. KMS decrypts nothing under another context
// than it was encrypted with, so nobody can give other data this one. The context is
//   - that of a trail with its own KMS key, which names the trail;
//   - or Amazon S3's of an object in a folder of CloudTrail, where the bucket encrypts;
//   - or Amazon S3's of a bucket with a Bucket Key: the one that the event itself was read
//     from.
//
// All else that a collector's credentials do is not part of its work: it deletes no key,
// and reads nothing else.
func TrailRead(ev *cloudtrail.Event) bool {
	if ev.Name != "Decrypt" || ev.Source != serviceKMS || OutcomeOf(ev.ErrorCode, ev.ErrorMessage) != kms.OutcomeOK {
		return false
	}
	if valueOf(ev.Context, "aws:cloudtrail:arn") != "" {
		return true
	}
	_, name, ok := strings.Cut(valueOf(ev.Context, "aws:s3:arn"), ":s3:::")
	if !ok {
		return false
	}
	bucket, key, isObject := strings.Cut(name, "/")
	if isObject {
		_, path, below := strings.Cut("/"+key, "/AWSLogs/")
		return below && (strings.Contains(path, "/CloudTrail/") || strings.Contains(path, "/CloudTrail-"))
	}
	from, ok := strings.CutPrefix(ev.Object, "s3://")
	from, _, _ = strings.Cut(from, "/")
	return ok && bucket != "" && bucket == from
}
