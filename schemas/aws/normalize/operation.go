package normalize

import (
	"strings"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
)

// classes holds every KMS operation that is neither a read (Describe, Get,
// List) nor plain management.
// VerifyMac checks, as Verify does, and makes nothing: its class is verify.
// Source: AWS KMS API reference, and "Logging AWS KMS API calls with CloudTrail".
var classes = map[string]kms.Class{
	"Encrypt": kms.ClassEncrypt, "Decrypt": kms.ClassDecrypt,
	"GenerateDataKey": kms.ClassGenerate, "GenerateDataKeyWithoutPlaintext": kms.ClassGenerate,
	"GenerateDataKeyPair": kms.ClassGenerate, "GenerateDataKeyPairWithoutPlaintext": kms.ClassGenerate,
	"ReEncrypt": kms.ClassReencrypt, "ReEncryptFrom": kms.ClassReencrypt, "ReEncryptTo": kms.ClassReencrypt,
	"Sign": kms.ClassSign, "Verify": kms.ClassVerify, "VerifyMac": kms.ClassVerify, "GenerateMac": kms.ClassMAC,
	"GenerateRandom": kms.ClassRandom, "DeriveSharedSecret": kms.ClassDerive,
	"CreateGrant": kms.ClassGrant, "RetireGrant": kms.ClassGrant, "RevokeGrant": kms.ClassGrant,
	"DisableKey": kms.ClassDestroy, "ScheduleKeyDeletion": kms.ClassDestroy, "DeleteKey": kms.ClassDestroy,
	"DeleteImportedKeyMaterial": kms.ClassDestroy, "DeleteExpiredKeyMaterial": kms.ClassDestroy,
	"DeleteAlias": kms.ClassDestroy, "DeleteCustomKeyStore": kms.ClassDestroy, "DisconnectCustomKeyStore": kms.ClassDestroy,
	"PutKeyPolicy": kms.ClassPolicy,
	"RotateKey":    kms.ClassRotate, "RotateKeyOnDemand": kms.ClassRotate, "EnableKeyRotation": kms.ClassRotate, "DisableKeyRotation": kms.ClassRotate,
	"KMS CMK Rotation": kms.ClassRotate, "KMS CMK Deletion": kms.ClassDestroy, "KMS Imported Key Material Expiration": kms.ClassDestroy, // EventBridge's names
	"ReplicateKey": kms.ClassReplicate, "SynchronizeMultiRegionKey": kms.ClassReplicate, "UpdatePrimaryRegion": kms.ClassReplicate,
}

// ClassOf returns the class of an operation.
func ClassOf(service, operation string) kms.Class {
	if service == serviceTrail || service == ServiceDigest {
		return kms.ClassTrail
	}
	if c, ok := classes[operation]; ok {
		return c
	}
	if strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "Get") ||
		strings.HasPrefix(operation, "List") {
		return kms.ClassRead
	}
	return kms.ClassManage
}

// trailChanges are the CloudTrail calls that change what is recorded.
// Source: AWS CloudTrail API reference.
var trailChanges = map[string]bool{
	"PutEventSelectors": true, "PutInsightSelectors": true, "StopLogging": true, "StartLogging": true,
	"CreateTrail": true, "UpdateTrail": true, "DeleteTrail": true,
	"UpdateEventDataStore": true, "DeleteEventDataStore": true, "RestoreEventDataStore": true,
	"StartEventDataStoreIngestion": true, "StopEventDataStoreIngestion": true,
}

// OutcomeOf judges an errorCode and an errorMessage; a call without either succeeded.
func OutcomeOf(code, message string) kms.Outcome {
	switch {
	case code == "" && message == "":
		return kms.OutcomeOK
	case strings.HasSuffix(code, "AccessDenied"), strings.HasSuffix(code, "AccessDeniedException"),
		strings.HasSuffix(code, "UnauthorizedOperation"):
		return kms.OutcomeDenied
	}
	return kms.OutcomeFailed
}

// weights are the severities of destructive operations that succeeded: the highest where
// data is lost with the key or was lost already, the next where keys or recording stop
// until someone undoes it, the lowest where names, stores or selectors change.
var weights = map[string]otellog.Severity{
	"ScheduleKeyDeletion": otellog.SeverityWarn4, "DeleteKey": otellog.SeverityWarn4, "KMS CMK Deletion": otellog.SeverityWarn4,
	"DeleteImportedKeyMaterial": otellog.SeverityWarn4, "DeleteExpiredKeyMaterial": otellog.SeverityWarn4,
	"KMS Imported Key Material Expiration": otellog.SeverityWarn4,
	"DisableKey":                           otellog.SeverityWarn3, "DisconnectCustomKeyStore": otellog.SeverityWarn3,
	"DeleteAlias": otellog.SeverityWarn2, "DeleteCustomKeyStore": otellog.SeverityWarn2,

	"StopLogging": otellog.SeverityWarn3, "DeleteTrail": otellog.SeverityWarn3, "DeleteEventDataStore": otellog.SeverityWarn3,
	"StopEventDataStoreIngestion": otellog.SeverityWarn3,
	"PutEventSelectors":           otellog.SeverityWarn2, "PutInsightSelectors": otellog.SeverityWarn2,
	"UpdateTrail": otellog.SeverityWarn2, "UpdateEventDataStore": otellog.SeverityWarn2,
}

// severity returns the severity of an event. A failed call is an error and a refused one a
// warning. Of the calls that succeeded, those that destroy or change the recording are
// warnings of higher numbers, by their weight, and all others are information. A trail
// that contradicts its digests has lost events.
//
// Source: OpenTelemetry semantic conventions v1.44.0, "Recording errors", and logs data
// model, "Severity fields".
func severity(class kms.Class, ev *cloudtrail.Event, o kms.Outcome) otellog.Severity {
	switch {
	case o == kms.OutcomeDenied:
		return otellog.SeverityWarn
	case o == kms.OutcomeFailed:
		return otellog.SeverityError
	case class != kms.ClassDestroy && class != kms.ClassTrail:
		return otellog.SeverityInfo
	case ev.Source == ServiceDigest:
		return otellog.SeverityWarn4
	}
	if weight := weights[ev.Name]; weight != 0 {
		return weight
	}
	return otellog.SeverityInfo
}
