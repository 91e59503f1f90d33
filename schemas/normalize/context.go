package normalize

import (
	"strings"

	"keytrail/schemas/cloudtrail"
)

// Context is the class of an encryption context: what kind of object the key
// was used for.
type Context uint8

// The classes, in the order of the registry's enumeration.
const (
	ContextNone Context = iota
	ContextCustom
	ContextS3Object
	ContextCloudTrailFile
	ContextCloudTrailTrail
	ContextEBSVolume
	ContextSSMParameter
	ContextSecret
	ContextLambda
	ContextChime
	ContextWorkMail
	ContextRDS
	ContextDynamoDB
	ContextLogs
	ContextSQS
	ContextBackup
	NumContexts
)

var contextNames = [NumContexts]string{
	"none", "custom", "s3_object", "cloudtrail_file", "cloudtrail_trail", "ebs_volume", "ssm_parameter", "secret",
	"lambda", "chime", "workmail", "rds", "dynamodb", "logs", "sqs", "backup",
}

// String returns the value of aws.kms.encryption_context.class.
func (c Context) String() string {
	if c < NumContexts {
		return contextNames[c]
	}
	return "custom"
}

// ParseContext is the inverse of Context.String; unknown text is ContextCustom.
func ParseContext(s string) Context {
	for c, name := range contextNames {
		if name == s {
			return Context(c)
		}
	}
	return ContextCustom
}

// contextOf tells the class of an encryption context and the object that it
// names. Sources: the "encryption context" section of each service's chapter on
// AWS KMS.
func contextOf(pairs []cloudtrail.KV) (Context, string) {
	// CloudTrail gives two, in whatever order: the trail, and in aws:s3:arn the
	// file it writes or only the prefix when it is configured.
	if trail := valueOf(pairs, "aws:cloudtrail:arn"); trail != "" {
		if file := valueOf(pairs, "aws:s3:arn"); file != "" && !strings.HasSuffix(file, "/") {
			return ContextCloudTrailFile, file
		}
		return ContextCloudTrailTrail, trail
	}
	class, object := ContextNone, ""
	for _, kv := range pairs {
		c := ContextCustom
		switch kv.Key {
		case "aws:s3:arn":
			c = ContextS3Object
		case "aws:ebs:id":
			c = ContextEBSVolume
		case "PARAMETER_ARN":
			c = ContextSSMParameter
		case "SecretARN":
			c = ContextSecret
		case "aws:lambda:FunctionArn":
			c = ContextLambda
		case "aws:chime:voice-profile-domain:arn":
			c = ContextChime
		case "aws:workmail:arn":
			c = ContextWorkMail
		case "aws:rds:db-id", "aws:rds:dbc-id":
			c = ContextRDS
		case "aws:dynamodb:tableName":
			c = ContextDynamoDB
		case "aws:logs:arn", "aws:logs:loggroup:arn":
			c = ContextLogs
		case "aws:sqs:arn":
			c = ContextSQS
		case "aws:backup:backup-vault":
			c = ContextBackup
		}
		if c != ContextCustom || class == ContextNone {
			class, object = c, kv.Value
		}
		if c != ContextCustom {
			return class, object
		}
	}
	return class, object
}

func valueOf(pairs []cloudtrail.KV, key string) string {
	for _, kv := range pairs {
		if kv.Key == key {
			return kv.Value
		}
	}
	return ""
}
