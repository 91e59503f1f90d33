package kms

// Context is the class of an encryption context: what kind of object the KMS key was
// used for.
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

// String returns the value of keytrail.context.class.
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
