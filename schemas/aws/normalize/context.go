package normalize

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/kms"
	"keytrail/schemas/view"
)

// named lists the names by which a service says in an encryption context what object it
// uses the key for, the most telling first. Sources: the "encryption context" section of
// each service's chapter on AWS KMS.
var named = [...]struct {
	name  string
	class kms.Context
}{
	{"aws:s3:arn", kms.ContextS3Object},
	{"aws:ebs:id", kms.ContextEBSVolume},
	{"PARAMETER_ARN", kms.ContextSSMParameter},
	{"SecretARN", kms.ContextSecret},
	{"aws:lambda:FunctionArn", kms.ContextLambda},
	{"aws:chime:voice-profile-domain:arn", kms.ContextChime},
	{"aws:workmail:arn", kms.ContextWorkMail},
	{"aws:rds:db-id", kms.ContextRDS},
	{"aws:rds:dbc-id", kms.ContextRDS},
	{"aws:dynamodb:tableName", kms.ContextDynamoDB},
	{"aws:logs:arn", kms.ContextLogs},
	{"aws:logs:loggroup:arn", kms.ContextLogs},
	{"aws:sqs:arn", kms.ContextSQS},
	{"aws:backup:backup-vault", kms.ContextBackup},
}

// contextOf returns the class of an encryption context and its object: what a service
// names in it, else the whole context. Neither depends on the order of the pairs.
func (n *Normalizer) contextOf(pairs []cloudtrail.KV) (kms.Context, string) {
	if len(pairs) == 0 {
		return kms.ContextNone, ""
	}
	// CloudTrail gives two, in whatever order: the trail, and in aws:s3:arn the
	// file it writes or only the prefix when it is configured.
	if trail := valueOf(pairs, "aws:cloudtrail:arn"); trail != "" {
		if file := valueOf(pairs, "aws:s3:arn"); file != "" && !strings.HasSuffix(file, "/") {
			return kms.ContextCloudTrailFile, file
		}
		return kms.ContextCloudTrailTrail, trail
	}
	best := len(named)
	object := ""
	for i := range pairs {
		for k := range best {
			if named[k].name == pairs[i].Key && pairs[i].Value != "" {
				best, object = k, pairs[i].Value
				break
			}
		}
	}
	if best < len(named) {
		return named[best].class, object
	}
	return kms.ContextCustom, n.wholeContext(pairs)
}

// maxWhole is the longest text of a whole context, in bytes. Contexts have up to 8 kB;
// of a longer one the object is its digest.
const maxWhole = 256

// wholeContext writes an encryption context as one text, a JSON object with its names in
// order, so that equal contexts are equal texts and different ones are not.
func (n *Normalizer) wholeContext(pairs []cloudtrail.KV) string {
	n.order = n.order[:0]
	for i := range pairs {
		n.order = append(n.order, i)
	}
	slices.SortFunc(n.order, func(a, b int) int { return strings.Compare(pairs[a].Key, pairs[b].Key) })
	from := len(n.scratch)
	for i, at := range n.order {
		n.scratch = append(n.scratch, "{,"[min(i, 1)])
		n.scratch = append(appendQuoted(n.scratch, pairs[at].Key), ':')
		n.scratch = appendQuoted(n.scratch, pairs[at].Value)
	}
	n.scratch = append(n.scratch, '}')
	if len(n.scratch)-from <= maxWhole {
		return view.String(n.scratch[from:])
	}
	sum := sha256.Sum256(n.scratch[from:])
	n.scratch = hex.AppendEncode(append(n.scratch[:from], "sha256:"...), sum[:])
	return view.String(n.scratch[from:])
}

// appendQuoted appends a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

func valueOf(pairs []cloudtrail.KV, key string) string {
	for i := range pairs {
		if pairs[i].Key == key {
			return pairs[i].Value
		}
	}
	return ""
}
