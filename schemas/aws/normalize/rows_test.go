package normalize

import (
	"testing"

	"keytrail/schemas/decoding"
	"keytrail/schemas/kms"
	sc "keytrail/schemas/semconv"
)

// The rows are those of docs/coverage.md: A are shapes, B meanings, C what is
// found in them, D facts around them, S shapes that differ from AWS's documents.
// The events were written for these tests. The comment of each test stands in
// that page.

const (
	key1  = "arn:aws:kms:eu-central-1:111122223333:key/1f0a2b3c-0001-4000-8000-00000000a001"
	key2  = "arn:aws:kms:eu-central-1:111122223333:key/1f0a2b3c-0002-4000-8000-00000000a002"
	keyB  = "arn:aws:kms:eu-central-1:444455556666:key/1f0a2b3c-000b-4000-8000-00000000b00b"
	mrk   = "arn:aws:kms:eu-central-1:111122223333:key/mrk-0001"
	alice = "arn:aws:iam::111122223333:user/alice"
	trail = "arn:aws:cloudtrail:eu-central-1:111122223333:trail/main"
)

// TestRowA1Versions: records of versions 1.02, 1.08 and 1.11 give the same attributes as far as they have the fields.
func TestRowA1Versions(t *testing.T) {
	r := row(t, "A1")
	column(t, r, sc.AWSCloudTrailEventVersion, "1.02", "1.08", "1.11")
	column(t, r, sc.AWSKMSKeyARN, key1, key1, key1)
	column(t, r, sc.KeytrailPrincipalID, all(3, "arn:aws:iam::111122223333:role/billing")...)
	column(t, r, sc.KeytrailPrincipalSession, "i-0a1", "i-0a1", "i-0a1")
	column(t, r, sc.TLSProtocolVersion, "", "", "1.3")
	column(t, r, sc.AWSEventManagement, "", "true", "true")
	column(t, r, sc.AWSKMSKeyMaterialID, "", "", "249ff1560efc7b31")
	column(t, r, sc.AWSSessionConsole, "", "", "true")
	column(t, r, sc.AWSVPCEndpointID, "", "", "vpce-0123456789abcdef0")
	if got := r[0].rec; got.Time != 1772442764_000000000 || got.Observed != observed || r[0].rec.EventName != "aws.kms.api_call" {
		t.Errorf("time %d, observed %d, event %q", got.Time, got.Observed, got.EventName)
	}
}

// TestRowA2CryptoOperations: every cryptographic operation has its class, is read-only, and shows algorithm, data key spec and both contexts.
func TestRowA2CryptoOperations(t *testing.T) {
	r := row(t, "A2")
	column(t, r, sc.KeytrailOperationClass, "encrypt", "generate", "generate", "generate", "generate", "sign", "verify", "mac", "verify", "derive", "reencrypt", "random")
	column(t, r, sc.AWSEventReadOnly, all(12, "true")...)
	column(t, r, sc.AWSKMSAlgorithm, "SYMMETRIC_DEFAULT", "", "", "", "", "RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_256", "HMAC_SHA_256", "HMAC_SHA_256", "ECDH", "", "")
	column(t, r, sc.AWSKMSKeySpec, "", "AES_256", "", "RSA_2048", "ECC_NIST_P256", "", "", "", "", "", "", "")
	column(t, r[10:], sc.AWSKMSKeyARN, key1, "")
	column(t, r[10:], sc.AWSKMSDestinationKeyARN, key2, "")
	column(t, r[10:], sc.AWSKMSEncryptionContext, `{"tenant":"blue"}`, "")
	column(t, r[10:], sc.AWSKMSDestinationEncryptionContext, `{"tenant":"red"}`, "")
	equal(t, "severities", severities(r), all(12, "INFO")...)
}

// TestRowA3Management: operations that change keys, policies, aliases and tags have their classes, and an opened policy shows.
func TestRowA3Management(t *testing.T) {
	r := row(t, "A3")
	column(t, r, sc.KeytrailOperationClass, "manage", "manage", "policy", "manage", "manage")
	column(t, r, sc.AWSKMSKeyARN, mrk, key1, key1, key1, key1)
	column(t, r, sc.AWSKMSKeyMultiRegion, "true", "", "", "", "")
	column(t, r, sc.AWSKMSKeyOrigin, "EXTERNAL", "", "", "", "")
	column(t, r, sc.AWSKMSKeyState, "PendingImport", "", "", "", "")
	column(t, r, sc.KeytrailPolicyPublic, "false", "", "true", "", "")
	column(t, r, sc.AWSKMSPolicyLockoutCheckBypassed, "false", "", "true", "", "")
	column(t, r, sc.AWSKMSAliasName, "", "", "", "alias/billing", "")
}

// TestRowA4Reads: reads have the class read, with the key where there is one.
func TestRowA4Reads(t *testing.T) {
	r := row(t, "A4")
	column(t, r, sc.KeytrailOperationClass, all(4, "read")...)
	column(t, r, sc.AWSKMSKeyARN, key1, key1, "", "")
	column(t, r, sc.AWSKMSKeyID, key1[len(key1)-36:], key1[len(key1)-36:], "", "")
}

// TestRowA5InternalOperations: what KMS does by itself has no kind of identity, no request and a bare key id, and still names key and doer.
func TestRowA5InternalOperations(t *testing.T) {
	r := row(t, "A5")
	column(t, r, sc.AWSKMSKeyARN, key1, key1, mrk, key1)
	column(t, r, sc.KeytrailPrincipalID, all(4, "AWS Internal")...)
	column(t, r, sc.KeytrailVia, all(4, kms.Direct)...)
	column(t, r, sc.KeytrailOperationClass, "destroy", "destroy", "replicate", "rotate")
	column(t, r, sc.AWSSourceService, all(4, "AWS Internal")...)
	column(t, r, sc.ClientAddress, all(4, "")...)
	column(t, r, sc.AWSKMSKeyRotationType, "", "", "", "AUTOMATIC")
	column(t, r, sc.AWSKMSKeyMaterialID, "", "", "", "bbbb")
	column(t, r, sc.AWSKMSKeyPreviousMaterialID, "", "", "", "aaaa")
	// SynchronizeMultiRegionKey is labelled a call of the API, and has a request id.
	equal(t, "event names", names(r), sc.EventAWSKMSServiceEvent, sc.EventAWSKMSServiceEvent, sc.EventAWSKMSAPICall, sc.EventAWSKMSServiceEvent)
	equal(t, "severities", severities(r), "WARN4", "WARN4", "INFO", "INFO")
}

// TestRowA6OmittedFields: what CloudTrail leaves out is absent, not an error.
func TestRowA6OmittedFields(t *testing.T) {
	r := row(t, "A6")
	column(t, r, sc.KeytrailOutcome, "ok", "ok", "ok")
	column(t, r, sc.AWSKMSKeyARN, key1, key1, key1)
	column(t, r, sc.KeytrailContextClass, "none", "none", "none")
	column(t, r, sc.UserAgentOriginal, "aws-cli/2.27.0", "aws-cli/2.27.0", "")
}

// TestRowA7Failures: refused and failed calls keep code and message; the outcome tells refused from failed.
func TestRowA7Failures(t *testing.T) {
	r := row(t, "A7")
	column(t, r, sc.KeytrailOutcome, "denied", "failed", "failed", "failed", "denied")
	column(t, r, sc.ErrorType, "AccessDenied", "NotFoundException", "KMSInvalidStateException", "InvalidKeyUsageException", "Client.UnauthorizedOperation")
	column(t, r, sc.AWSKMSKeyARN, "", "arn:aws:kms:eu-central-1:111122223333:alias/none", key1, key1, "")
	column(t, r, sc.AWSKMSAliasName, "", "alias/none", "", "", "")
	equal(t, "severities", severities(r), "WARN", "ERROR", "ERROR", "ERROR", "WARN")
}

// TestRowA8ResponseKeyID: the key comes from the response where CloudTrail writes it there, and from elsewhere before that.
func TestRowA8ResponseKeyID(t *testing.T) {
	r := row(t, "A8")
	column(t, r, sc.AWSKMSKeyARN, key1, key1, key2, key1, mrk)
	column(t, r, sc.KeytrailOperationClass, "destroy", "destroy", "manage", "rotate", "replicate")
	column(t, r, sc.AWSKMSPrimaryRegion, "", "", "", "", "us-west-2")
}

// TestRowA9NullResources: null resources of older records cost nothing when the request or the response names the key.
func TestRowA9NullResources(t *testing.T) {
	r := row(t, "A9")
	column(t, r, sc.AWSKMSKeyARN, key1, "arn:aws:kms:eu-central-1:111122223333:alias/old", mrk)
	column(t, r, sc.AWSKMSAliasName, "alias/old", "alias/old", "")
	column(t, r, sc.AWSKMSReplicaRegion, "", "", "us-west-2")
}

// TestRowA10ResourceLists: a list with the id and the ARN of one key, or with a key and its alias, gives the key's ARN.
func TestRowA10ResourceLists(t *testing.T) {
	r := row(t, "A10")
	column(t, r, sc.AWSKMSKeyARN, key1, key1)
	column(t, r, sc.AWSKMSAliasName, "", "alias/x")
}

// TestRowA11ResourceWithoutType: a resource without a type is the key by its ARN.
func TestRowA11ResourceWithoutType(t *testing.T) {
	r := row(t, "A11")
	column(t, r, sc.AWSKMSKeyARN, key1)
	column(t, r, sc.KeytrailPrincipalID, "arn:aws:iam::086441151436:role/AWSCloudTrail")
	column(t, r, sc.KeytrailVia, "internal.amazonaws.com")
}

// TestRowA12KeyForms: ids, ARNs, aliases, odd ids and none at all each give the right key; resources win over the request.
func TestRowA12KeyForms(t *testing.T) {
	r := row(t, "A12")
	spaced := "arn:aws:kms:eu-central-1:111122223333:alias/Example key of CloudTrail"
	column(t, r, sc.AWSKMSKeyARN, key1, "arn:aws:kms:eu-central-1:111122223333:key/1f0a2b3c-0001-4000-8000-0000SAMPLE",
		"arn:aws-cn:kms:cn-north-1:111122223333:key/mrk-0001", "arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/billing",
		spaced, key1, key1, "arn:aws:kms:eu-central-1:1234567890123:key/1234567890123", "")
	column(t, r, sc.AWSKMSAliasName, "", "", "", "alias/billing", spaced, spaced, "", "", "")
	column(t, r, sc.AWSKMSKeyAccountID, "111122223333", "111122223333", "111122223333", "111122223333", "111122223333", "111122223333", "111122223333", "1234567890123", "")
	column(t, r, sc.AWSKMSKeyMultiRegion, "", "", "true", "", "", "", "", "", "")
}

// TestRowA13Principals: every kind of userIdentity gives one stable principal, or "-".
func TestRowA13Principals(t *testing.T) {
	r := row(t, "A13")
	column(t, r, sc.KeytrailPrincipalID, "arn:aws:iam::111122223333:root", alice, "arn:aws:iam::111122223333:role/app", "arn:aws:iam::111122223333:role/path",
		"arn:aws:sts::111122223333:federated-user/fed", "cloudtrail.amazonaws.com", "account:444455556666", "arn:aws:iam::111122223333:role/odd",
		"accounts.google.com:app:user7", "identitycenter:544894e8-80c1-707f", "SampleUserID:saml", "account:111122223333", kms.NoEntity, "account:111122223333")
	column(t, r, sc.KeytrailPrincipalSession, "", "", "i-0a1b2c", "s", "", "", "", "", "", "", "", "", "", "")
	column(t, r, sc.AWSUserIdentitySessionContextAttributesMFAAuthenticated, "", "", "false", "", "true", "", "", "", "", "", "", "", "", "")
	column(t, r, sc.KeytrailCrossAccount, "false", "false", "false", "false", "false", "", "true", "true", "", "false", "", "false", "", "false")
	column(t, r, sc.UserName, "", "alice", "app", "", "", "", "", "", "user7", "", "saml", "", "", "")
	// Documents show an issuer that is the session itself.
	session := "arn:aws:sts::111122223333:assumed-role/Admin/Sampleuser01"
	text := kmsEvent("Decrypt", `,"userIdentity":{"type":"AssumedRole","arn":"`+session+`","sessionContext":{"sessionIssuer":{"type":"Role","arn":"`+session+`"}}}`)
	if got := one(t, text).text(sc.KeytrailPrincipalID); got != "arn:aws:iam::111122223333:role/Admin" {
		t.Errorf("principal %q", got)
	}
}

// TestRowA14Sources: service names in sourceIPAddress are not addresses; they name the service through which a call came.
func TestRowA14Sources(t *testing.T) {
	r := row(t, "A14")
	column(t, r, sc.ClientAddress, "", "", "", "", "2001:db8::17", "::ffff:192.0.2.9", "", "")
	column(t, r, sc.AWSSourceService, "AWS Internal", "internal.amazonaws.com", "signin.amazonaws.com", "lambda.amazonaws.com", "", "", "192.0.2.256", "")
	column(t, r, sc.KeytrailVia, "AWS Internal", "internal.amazonaws.com", "signin.amazonaws.com", "lambda.amazonaws.com", kms.Direct, kms.Direct, kms.Direct, kms.Direct)
	// Where invokedBy is missing, the name in the address's place tells the service.
	for source, want := range map[string]string{
		"cloudformation.amazonaws.com": "cloudformation.amazonaws.com", "AWS Internal": "AWS Internal", "ec2.amazonaws.com.cn": "ec2.amazonaws.com.cn",
		"192.0.2.1": kms.Direct, "a name": kms.Direct, "amazonaws.com": kms.Direct, "": kms.Direct,
	} {
		if got := one(t, kmsEvent("Decrypt", `,"sourceIPAddress":"`+source+`"`)).text(sc.KeytrailVia); got != want {
			t.Errorf("%q: via %q, want %q", source, got, want)
		}
	}
}

// TestRowA15WrongEventType: an API call that is labelled AwsServiceEvent is an API call.
func TestRowA15WrongEventType(t *testing.T) {
	r := row(t, "A15")
	equal(t, "event names", names(r), sc.EventAWSKMSAPICall)
	column(t, r, sc.AWSCloudTrailEventType, "AwsServiceEvent")
}

// TestRowA16Malformed: broken records, names that stand twice and impossible times cost themselves only.
func TestRowA16Malformed(t *testing.T) {
	r := row(t, "A16")
	if len(r) != 7 {
		t.Fatalf("%d results, want 7", len(r))
	}
	for i, want := range []decoding.Reason{decoding.ReasonSyntax, decoding.ReasonDuplicateKey, "", decoding.ReasonTime, decoding.ReasonTime, "", ""} {
		if (r[i].bad == nil) != (want == "") || r[i].bad != nil && r[i].bad.Reason != want {
			t.Errorf("event %d: %+v, want reason %q", i, r[i].bad, want)
		}
	}
	if r[5].rec.Time != 1772442764_125000000 || !r[6].filtered || r[5].filtered {
		t.Errorf("time %d; filtered %v, %v", r[5].rec.Time, r[5].filtered, r[6].filtered)
	}
}

// TestRowA17Grants: grants show grantee, retiring principal, operations, constraint and id, in CreateGrant as in RetireGrant.
func TestRowA17Grants(t *testing.T) {
	r := row(t, "A17")
	chime := "chimevoiceconnector.eu-central-1.amazonaws.com"
	column(t, r, sc.KeytrailOperationClass, all(4, "grant")...)
	column(t, r, sc.AWSKMSGrantID, "0ab0ac0d0b000f00SAMPLE", "0ab0ac0d0b000f00SAMPLE", "77", "77")
	column(t, r, sc.AWSKMSGrantName, "voice", "", "", "")
	column(t, r, sc.AWSKMSGrantGranteePrincipal, chime, "", "arn:aws:iam::444455556666:role/other", "")
	column(t, r, sc.AWSKMSGrantRetiringPrincipal, chime, "", "", "")
	column(t, r, sc.AWSKMSGrantOperations, "GenerateDataKey Decrypt DescribeKey RetireGrant", "", "Decrypt", "")
	column(t, r, sc.KeytrailContextClass, "chime", "none", "none", "none")
	column(t, r, sc.KeytrailPrincipalID, "arn:aws:iam::111122223333:role/app", "chimevoiceconnector.amazonaws.com", alice, alice)
	column(t, r, sc.KeytrailVia, "chimevoiceconnector.amazonaws.com", kms.Direct, kms.Direct, kms.Direct)
}

// TestRowB1CrossAccount: both records of a cross-account call have one call id, and tell the caller's from the owner's.
func TestRowB1CrossAccount(t *testing.T) {
	r := row(t, "B1")
	shared := "35d58aa1-26b2-427a-908f-025bf71241f6"
	column(t, r, sc.KeytrailCallID, shared, shared, "91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b7e", "aaaaaaaa-0002-4000-8000-000000000002", r[4].text(sc.LogRecordUID))
	column(t, r, sc.KeytrailCallCopy, "caller", "owner", "caller", "addendum", "caller")
	column(t, r, sc.KeytrailCrossAccount, "true", "true", "false", "false", "false")
	column(t, r, sc.KeytrailPrincipalID, "arn:aws:iam::111122223333:role/app", "account:111122223333", "arn:aws:iam::111122223333:role/app", "arn:aws:iam::111122223333:role/app", "arn:aws:iam::111122223333:role/app")
	column(t, r, sc.AWSKMSKeyARN, keyB, keyB, key1, key1, key1)
	if id := r[4].text(sc.KeytrailCallID); len(id) != 64 {
		t.Errorf("an event without ids has call id %q, want the SHA-256 of its bytes", id)
	}
	for i, want := range []string{"111122223333", "444455556666"} { // the trail's account, not the caller's
		if a := r[i].rec.Resource[1]; a.Key != sc.CloudAccountID || a.Str != want {
			t.Errorf("event %d: resource %+v", i, a)
		}
	}
}

// TestRowB2CrossAccountDenied: a refused call on a foreign key shows in the caller's record alone, with the key's account.
func TestRowB2CrossAccountDenied(t *testing.T) {
	r := row(t, "B2")
	column(t, r, sc.KeytrailOutcome, "denied")
	column(t, r, sc.KeytrailCrossAccount, "true")
	column(t, r, sc.KeytrailCallCopy, "caller")
	column(t, r, sc.AWSKMSKeyAccountID, "444455556666")
}

// TestRowB3Contexts: every kind of encryption context has its class and its object.
func TestRowB3Contexts(t *testing.T) {
	r := row(t, "B3")
	column(t, r, sc.KeytrailContextClass, "s3_object", "s3_object", "cloudtrail_file", "cloudtrail_file", "cloudtrail_trail", "cloudtrail_trail",
		"ebs_volume", "ssm_parameter", "secret", "lambda", "chime", "workmail", "rds", "dynamodb", "logs", "sqs", "backup", "custom", "s3_object", "custom", "none")
	file := "arn:aws:s3:::logs/AWSLogs/111122223333/CloudTrail/f.json.gz"
	column(t, r, sc.KeytrailContextObject, "arn:aws:s3:::billing/x", "arn:aws:s3:::billing", file, file, trail, trail,
		"vol-0123", "arn:aws:ssm:eu-central-1:111122223333:parameter/db/password", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:db-a1b2c3",
		"arn:aws:lambda:eu-central-1:111122223333:function:f", "arn:aws:chime:eu-central-1:111122223333:voice-profile-domain/d",
		"arn:aws:workmail:eu-central-1:111122223333:organization/m-1", "db-1", "t", "arn:aws:logs:eu-central-1:111122223333:log-group:g",
		"arn:aws:sqs:eu-central-1:111122223333:q", "v", `{"context":"login.gov","user_uuid":"u-1"}`, "arn:aws:s3:::billing/y", `{"empty":""}`, "")
	column(t, r[17:], sc.AWSKMSEncryptionContext, `{"context":"login.gov","user_uuid":"u-1"}`, `{"aws:s3:arn":"arn:aws:s3:::billing/y","tenant":"blue"}`, `{"empty":""}`, "")
}

// TestRowB4UploadAndDownload: an upload and a download through S3 have the same key and object, with and without keyId.
func TestRowB4UploadAndDownload(t *testing.T) {
	r := row(t, "B4")
	column(t, r, sc.KeytrailOperationClass, "generate", "decrypt")
	column(t, r, sc.AWSKMSKeyARN, key1, key1)
	column(t, r, sc.KeytrailContextObject, "arn:aws:s3:::billing/x", "arn:aws:s3:::billing/x")
	column(t, r, sc.KeytrailVia, "AWS Internal", "AWS Internal")
}

// TestRowC3Exclusion: a trail that leaves KMS out says so, by basic and by advanced selectors; so do the other ways to blind it.
func TestRowC3Exclusion(t *testing.T) {
	r := row(t, "C3")
	equal(t, "event names", names(r), all(15, sc.EventAWSCloudTrailTrailChange)...)
	column(t, r, sc.KeytrailOperationClass, all(15, "trail")...)
	column(t, r, sc.KeytrailTrailManagementEvents, "true", "true", "false", "true", "true", "true", "false", "", "", "", "", "", "", "", "")
	column(t, r, sc.KeytrailTrailExcludedSources, "kms.amazonaws.com rdsdata.amazonaws.com", "kms.amazonaws.com", "", "", "kms.amazonaws.com", "kms.amazonaws.com", "", "", "", "", "", "", "", "", "")
	column(t, r, sc.KeytrailTrailKMSEvents, "none", "none", "none", "all", "none", "none", "none", "", "", "", "", "", "", "", "")
	column(t, r[11:], sc.AWSCloudTrailKMSKeyARN, key1, key1, "", "")
	column(t, r[11:], sc.KeytrailTrailInsights, "", "", "false", "")
	column(t, r[7:], sc.AWSCloudTrailTrail, "main", trail, trail, "main", "main", "main", "main", "arn:aws:cloudtrail:eu-central-1:111122223333:eventdatastore/e1")
	equal(t, "severities", severities(r[8:]), "WARN3", "INFO", "WARN3", "WARN2", "INFO", "WARN2", "WARN")
	column(t, r[14:], sc.KeytrailOutcome, "denied")
	column(t, r, sc.AWSKMSKeyARN, all(15, "")...)
}

// TestRowC7Deletion: each step of a key's deletion shows state, days and date; use of a key that waits for it fails.
func TestRowC7Deletion(t *testing.T) {
	r := row(t, "C7")
	column(t, r, sc.KeytrailOperationClass, "destroy", "destroy", "decrypt", "manage", "destroy")
	column(t, r, sc.AWSKMSPendingWindowDays, "", "7", "", "", "")
	column(t, r, sc.AWSKMSDeletionDate, "", "Oct 21, 2026, 2:25:29 PM", "", "", "")
	column(t, r, sc.AWSKMSKeyState, "", "PendingDeletion", "", "", "")
	column(t, r, sc.AWSKMSKeyARN, all(5, key1)...)
	equal(t, "severities", severities(r), "WARN3", "WARN4", "ERROR", "INFO", "WARN4")
}

// TestRowC8ImportedMaterial: imported material shows its expiry, its deletion and its expiration.
func TestRowC8ImportedMaterial(t *testing.T) {
	r := row(t, "C8")
	column(t, r, sc.KeytrailOperationClass, "manage", "destroy", "destroy")
	column(t, r, sc.AWSKMSMaterialValidTo, "Mar 3, 2027, 12:00:00 AM", "", "")
	column(t, r, sc.AWSKMSMaterialExpirationModel, "KEY_MATERIAL_EXPIRES", "", "")
	column(t, r, sc.AWSKMSKeyARN, all(3, key1)...)
}

// TestRowC11Rotation: rotation is seen when it is configured, asked for and done, with its period and the materials.
func TestRowC11Rotation(t *testing.T) {
	r := row(t, "C11")
	column(t, r, sc.KeytrailOperationClass, "rotate", "rotate", "rotate", "rotate", "rotate", "destroy")
	column(t, r, sc.AWSKMSKeyARN, all(6, key1)...)
	column(t, r, sc.AWSKMSKeyRotationType, "", "", "", "ON_DEMAND", "", "")
	column(t, r, sc.AWSKMSRotationPeriodDays, "180", "", "", "", "", "")
	column(t, r[4:], sc.RPCMethod, "kms.amazonaws.com/KMS CMK Rotation", "kms.amazonaws.com/KMS CMK Deletion")
	equal(t, "event names", names(r[3:]), all(3, sc.EventAWSKMSServiceEvent)...)
	equal(t, "severities", severities(r[3:]), "INFO", "INFO", "WARN4")
}
