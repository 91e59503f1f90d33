package normalize

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strings"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
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

// contexts writes the encryption contexts of an event, and the class and the object of the
// first one that is not empty.
func (n *Normalizer) contexts(ev *cloudtrail.Event, rec *otellog.Record) {
	class, object, whole := n.context(semconv.AWSKMSEncryptionContext, ev.Context, rec)
	second, destination, wholeToo := n.context(semconv.AWSKMSDestinationEncryptionContext, ev.ToContext, rec)
	if class == kms.ContextNone {
		class, object = second, destination
	}
	rec.String(semconv.KeytrailContextClass, class.String())
	rec.String(semconv.KeytrailContextObject, object)
	if !whole || !wholeToo {
		rec.Bool(semconv.KeytrailContextTruncated, true)
	}
}

// context writes an encryption context under a name, as one string: its names are the
// caller's, so none becomes the name of an attribute. It returns the context's class and
// object, and whether the string holds all of it. None of these depends on the order of
// the pairs.
func (n *Normalizer) context(name string, pairs []cloudtrail.KV, rec *otellog.Record) (
	class kms.Context, object string, whole bool,
) {
	if len(pairs) == 0 {
		return kms.ContextNone, "", true
	}
	n.sorted = append(n.sorted[:0], pairs...)
	if len(pairs) > 1 {
		slices.SortFunc(n.sorted, func(a, b cloudtrail.KV) int { return strings.Compare(a.Key, b.Key) })
	}
	text, whole := n.jsonText(n.sorted, maxMap)
	rec.String(name, text)
	if class, object = namedObject(pairs); class != kms.ContextCustom {
		return class, object, whole
	}
	if whole && len(text) <= maxObject {
		return class, text, true
	}
	if !whole {
		text, _ = n.jsonText(n.sorted, math.MaxInt)
	}
	sum := sha256.Sum256([]byte(text))
	from := len(n.scratch)
	n.scratch = hex.AppendEncode(append(n.scratch, "sha256:"...), sum[:])
	return class, view.String(n.scratch[from:]), whole
}

// namedObject returns the class of an encryption context and the object that a service
// names in it. The class is custom where no service does.
func namedObject(pairs []cloudtrail.KV) (kms.Context, string) {
	// CloudTrail gives two, in any order: the trail, and in aws:s3:arn the file that it
	// writes, or only the prefix when it is configured.
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
	return kms.ContextCustom, ""
}

func valueOf(pairs []cloudtrail.KV, key string) string {
	for i := range pairs {
		if pairs[i].Key == key {
			return pairs[i].Value
		}
	}
	return ""
}
