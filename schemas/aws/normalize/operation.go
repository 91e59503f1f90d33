package normalize

import "strings"

// Class groups operations by what they do to or with a KMS key; every window
// counts calls by class.
type Class uint8

// The classes, in the order of the registry's enumeration.
const (
	ClassEncrypt Class = iota
	ClassDecrypt
	ClassGenerate
	ClassReencrypt
	ClassSign
	ClassVerify
	ClassMAC
	ClassRandom
	ClassDerive
	ClassRead
	ClassManage
	ClassGrant
	ClassDestroy
	ClassPolicy
	ClassRotate
	ClassReplicate
	ClassTrail
	NumClasses
)

var classNames = [NumClasses]string{
	"encrypt", "decrypt", "generate", "reencrypt", "sign", "verify", "mac", "random", "derive", "read",
	"manage", "grant", "destroy", "policy", "rotate", "replicate", "trail",
}

// String returns the value of aws.kms.operation.class.
func (c Class) String() string {
	if c < NumClasses {
		return classNames[c]
	}
	return "manage"
}

// ParseClass is the inverse of Class.String; unknown text is ClassManage.
func ParseClass(s string) Class {
	for c, name := range classNames {
		if name == s {
			return Class(c)
		}
	}
	return ClassManage
}

// classes holds every KMS operation that is neither a read (Describe, Get,
// List) nor plain management.
// VerifyMac checks, as Verify does, and makes nothing: its class is verify.
// Source: AWS KMS API reference, and "Logging AWS KMS API calls with CloudTrail".
var classes = map[string]Class{
	"Encrypt": ClassEncrypt, "Decrypt": ClassDecrypt,
	"GenerateDataKey": ClassGenerate, "GenerateDataKeyWithoutPlaintext": ClassGenerate,
	"GenerateDataKeyPair": ClassGenerate, "GenerateDataKeyPairWithoutPlaintext": ClassGenerate,
	"ReEncrypt": ClassReencrypt, "ReEncryptFrom": ClassReencrypt, "ReEncryptTo": ClassReencrypt,
	"Sign": ClassSign, "Verify": ClassVerify, "VerifyMac": ClassVerify, "GenerateMac": ClassMAC,
	"GenerateRandom": ClassRandom, "DeriveSharedSecret": ClassDerive,
	"CreateGrant": ClassGrant, "RetireGrant": ClassGrant, "RevokeGrant": ClassGrant,
	"DisableKey": ClassDestroy, "ScheduleKeyDeletion": ClassDestroy, "DeleteKey": ClassDestroy,
	"DeleteImportedKeyMaterial": ClassDestroy, "DeleteExpiredKeyMaterial": ClassDestroy,
	"DeleteAlias": ClassDestroy, "DeleteCustomKeyStore": ClassDestroy, "DisconnectCustomKeyStore": ClassDestroy,
	"PutKeyPolicy": ClassPolicy,
	"RotateKey":    ClassRotate, "RotateKeyOnDemand": ClassRotate, "EnableKeyRotation": ClassRotate, "DisableKeyRotation": ClassRotate,
	"KMS CMK Rotation": ClassRotate, "KMS CMK Deletion": ClassDestroy, "KMS Imported Key Material Expiration": ClassDestroy, // EventBridge's names
	"ReplicateKey": ClassReplicate, "SynchronizeMultiRegionKey": ClassReplicate, "UpdatePrimaryRegion": ClassReplicate,
}

// ClassOf returns the class of an operation.
func ClassOf(service, operation string) Class {
	if service == serviceTrail || service == ServiceDigest {
		return ClassTrail
	}
	if c, ok := classes[operation]; ok {
		return c
	}
	if strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "Get") || strings.HasPrefix(operation, "List") {
		return ClassRead
	}
	return ClassManage
}

// trailChanges are the CloudTrail calls that change what is recorded.
// Source: AWS CloudTrail API reference.
var trailChanges = map[string]bool{
	"PutEventSelectors": true, "PutInsightSelectors": true, "StopLogging": true, "StartLogging": true,
	"CreateTrail": true, "UpdateTrail": true, "DeleteTrail": true,
	"UpdateEventDataStore": true, "DeleteEventDataStore": true, "RestoreEventDataStore": true,
	"StartEventDataStoreIngestion": true, "StopEventDataStoreIngestion": true,
}

// Outcome is how a call went.
type Outcome uint8

// The outcomes.
const (
	OutcomeOK     Outcome = iota
	OutcomeDenied         // refused for want of permission
	OutcomeFailed         // any other error
)

// String returns the value of keytrail.outcome.
func (o Outcome) String() string { return [...]string{"ok", "denied", "failed"}[o] }

// ParseOutcome is the inverse of Outcome.String; unknown text is OutcomeOK.
func ParseOutcome(s string) Outcome {
	switch s {
	case "denied":
		return OutcomeDenied
	case "failed":
		return OutcomeFailed
	}
	return OutcomeOK
}

// OutcomeOf judges an errorCode and an errorMessage; a call without either succeeded.
func OutcomeOf(code, message string) Outcome {
	switch {
	case code == "" && message == "":
		return OutcomeOK
	case strings.HasSuffix(code, "AccessDenied"), strings.HasSuffix(code, "AccessDeniedException"), strings.HasSuffix(code, "UnauthorizedOperation"):
		return OutcomeDenied
	}
	return OutcomeFailed
}
