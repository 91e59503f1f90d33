package rule

import (
	"fmt"
	"strings"

	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// All are the always-on rules. Sources: AWS KMS developer guide ("Deleting AWS
// KMS keys", "Key policies", "Grants in AWS KMS", "Logging AWS KMS API calls
// with CloudTrail"), CloudTrail user guide ("Logging management events"), MITRE
// ATT&CK for Enterprise; docs/detections.md says which detections elsewhere they
// are the counterparts of.
var All = [...]Rule{
	{Name: "key_deletion_scheduled", Score: 10, Techniques: []string{"T1485"},
		classes: []kms.Class{kms.ClassDestroy}, match: is("ScheduleKeyDeletion"),
		What: func(rec *otellog.Record) string {
			if a := rec.Get(semconv.AWSKMSPendingWindowDays); a != nil {
				return fmt.Sprintf("scheduled the deletion of the key in %d days", a.Int)
			}
			return "scheduled the deletion of the key"
		}},
	{Name: "key_disabled", Score: 8, Techniques: []string{"T1489", "T1485"},
		classes: []kms.Class{kms.ClassDestroy}, match: is("DisableKey"), What: says("disabled the key")},
	{Name: "key_material_deleted", Score: 10, Techniques: []string{"T1485"},
		classes: []kms.Class{kms.ClassDestroy}, match: is("DeleteImportedKeyMaterial", "DeleteExpiredKeyMaterial"),
		What: says("deleted the key's imported material: data under it cannot be read until it is imported again")},
	{Name: "policy_public", Score: 10, Techniques: []string{"T1098", "T1486"},
		classes: policySetters, match: isTrue(semconv.KeytrailPolicyPublic),
		What: says("set a key policy that lets in principals of any AWS account")},
	{Name: "policy_lockout_check_bypassed", Score: 8, Techniques: []string{"T1098", "T1531"},
		classes: policySetters, match: isTrue(semconv.AWSKMSPolicyLockoutCheckBypassed),
		What: says("set a key policy without the check that keeps its owner from being locked out")},
	{Name: "grant_to_other_account", Score: 8, Techniques: []string{"T1098"},
		classes: []kms.Class{kms.ClassGrant}, match: foreignGrant,
		What: func(rec *otellog.Record) string {
			ops := ""
			if a := rec.Get(semconv.AWSKMSGrantOperations); a != nil {
				ops = " for " + strings.Join(a.Strs, ", ")
			}
			return "granted " + rec.Str(semconv.AWSKMSGrantGranteePrincipal) + ", of another account, the use of the key" + ops
		}},
	{Name: "rotation_disabled", Score: 6, Techniques: []string{"T1562"},
		classes: []kms.Class{kms.ClassRotate}, match: is("DisableKeyRotation"), What: says("turned the key's rotation off")},
	{Name: "root_use", Score: 8, Techniques: []string{"T1078.004"},
		classes: rootClasses, match: func(rec *otellog.Record) bool { return rec.Str(semconv.AWSPrincipalType) == "Root" },
		What: func(rec *otellog.Record) string { return "used the account's root identity for " + operation(rec) }},
	{Name: "old_tls", Score: 4, Techniques: []string{"T1557"},
		match: func(rec *otellog.Record) bool {
			v := rec.Str(semconv.TLSProtocolVersion)
			return v == "1" || v == "1.0" || v == "1.1"
		},
		What: func(rec *otellog.Record) string { return "called over TLS " + rec.Str(semconv.TLSProtocolVersion) }},
	{Name: "kms_events_excluded", BlindSpot: true, Score: 10, Techniques: []string{"T1562.008"},
		classes: trail, match: func(rec *otellog.Record) bool {
			return rec.Str(semconv.KeytrailTrailKMSEvents) == "none" && !isFalse(semconv.KeytrailTrailManagementEvents)(rec)
		},
		What: func(rec *otellog.Record) string {
			return "excluded all AWS KMS events from trail " + trailName(rec) +
				": what happens to keys is no longer recorded there"
		}},
	{Name: "management_events_off", BlindSpot: true, Score: 10, Techniques: []string{"T1562.008"},
		classes: trail, match: isFalse(semconv.KeytrailTrailManagementEvents),
		What: func(rec *otellog.Record) string {
			return "turned management events off in trail " + trailName(rec) +
				": what happens to keys is no longer recorded there"
		}},
	{Name: "logging_stopped", BlindSpot: true, Score: 10, Techniques: []string{"T1562.008"},
		classes: trail, match: is("StopLogging", "StopEventDataStoreIngestion"),
		What: func(rec *otellog.Record) string { return "stopped the logging of " + trailName(rec) }},
	{Name: "trail_deleted", BlindSpot: true, Score: 10, Techniques: []string{"T1562.008"},
		classes: trail, match: is("DeleteTrail", "DeleteEventDataStore"),
		What: func(rec *otellog.Record) string { return "deleted " + trailName(rec) }},
	{Name: "key_material_imported", Score: 6, Techniques: []string{"T1486", "T1608.003"},
		classes: []kms.Class{kms.ClassManage}, match: is("ImportKeyMaterial"),
		What: imported},
	{Name: "policy_changed", Score: 4, Techniques: []string{"T1098", "T1548", "T1562"},
		classes: []kms.Class{kms.ClassPolicy}, match: plainPolicy, What: says("changed the key's policy")},
	{Name: "enclave_in_debug_mode", Score: 8, Techniques: []string{"T1622", "T1005"},
		match: isTrue(semconv.KeytrailAttestationDebugMode),
		What: func(rec *otellog.Record) string {
			return "called " + operation(rec) + " from an enclave in debug mode, whose memory its parent can read"
		}},
	{Name: "trail_tampered", BlindSpot: true, Score: 10, Techniques: []string{"T1562.008", "T1070"},
		classes: trail, match: func(rec *otellog.Record) bool { return tampered[operation(rec)] != "" },
		What: func(rec *otellog.Record) string { return tampered[operation(rec)] }},
	{Name: "kms_events_reduced", BlindSpot: true, Score: 8, Techniques: []string{"T1562.008"},
		classes: trail, match: func(rec *otellog.Record) bool {
			return reduced[rec.Str(semconv.KeytrailTrailKMSEvents)] != ""
		},
		What: func(rec *otellog.Record) string {
			return "set trail " + trailName(rec) + " to record only a part of the AWS KMS events: " +
				reduced[rec.Str(semconv.KeytrailTrailKMSEvents)]
		}},
	{Name: "trail_narrowed", BlindSpot: true, Score: 8, Techniques: []string{"T1562.008"},
		classes: trail, match: func(rec *otellog.Record) bool {
			return is("UpdateTrail", "UpdateEventDataStore")(rec) &&
				(isFalse(semconv.AWSCloudTrailMultiRegion)(rec) || isFalse(semconv.AWSCloudTrailOrganization)(rec))
		},
		What: func(rec *otellog.Record) string {
			what := "a single Region: what happens in other Regions is"
			switch {
			case !isFalse(semconv.AWSCloudTrailMultiRegion)(rec):
				what = "a single account: what happens in other accounts of the organization is"
			case isFalse(semconv.AWSCloudTrailOrganization)(rec):
				what = "a single Region of a single account: what happens elsewhere is"
			}
			return "set trail " + trailName(rec) + " to record " + what + " not recorded there"
		}},
	{Name: "external_key_store", Score: 8, Techniques: []string{"T1486", "T1485"},
		classes: []kms.Class{kms.ClassManage}, match: func(rec *otellog.Record) bool {
			return rec.Str(semconv.AWSKMSCustomKeyStoreType) == externalStore ||
				rec.Str(semconv.AWSKMSKeyOrigin) == externalStore
		},
		What: func(rec *otellog.Record) string {
			what := "created a KMS key"
			if rec.Str(semconv.AWSKMSCustomKeyStoreType) != "" {
				what = "created a store for KMS keys"
			}
			return what + " with its key material outside AWS: its owner can withdraw it, and the data under it with it"
		}},
	{Name: "custom_key_store", Score: 6, Techniques: []string{"T1486", "T1489"},
		classes: []kms.Class{kms.ClassManage, kms.ClassDestroy}, match: func(rec *otellog.Record) bool {
			return is("UpdateCustomKeyStore", "DisconnectCustomKeyStore", "DeleteCustomKeyStore")(rec) ||
				is("CreateCustomKeyStore")(rec) && rec.Str(semconv.AWSKMSCustomKeyStoreType) != externalStore
		},
		What: func(rec *otellog.Record) string {
			return "called " + operation(rec) + ": a custom key store serves its keys only while it is connected and unchanged"
		}},
	{Name: "key_without_material", Score: 4, Techniques: []string{"T1486", "T1608.003"},
		classes: []kms.Class{kms.ClassManage}, match: func(rec *otellog.Record) bool {
			return is("CreateKey")(rec) && rec.Str(semconv.AWSKMSKeyOrigin) == "EXTERNAL"
		},
		What: says("created a KMS key for imported key material, of which copies may exist elsewhere")},
	{Name: "alias_moved", Score: 6, Techniques: []string{"T1098", "T1486"},
		classes: []kms.Class{kms.ClassManage}, match: is("UpdateAlias"),
		What: func(rec *otellog.Record) string {
			return "moved alias " + rec.Str(semconv.AWSKMSAliasARN) + " to KMS key " + rec.Str(semconv.AWSKMSKeyARN) +
				": what names the alias uses that key from now on"
		}},
	{Name: "key_replicated", Score: 6, Techniques: []string{"T1098", "T1537"},
		classes: []kms.Class{kms.ClassReplicate}, match: is("ReplicateKey"),
		What: func(rec *otellog.Record) string {
			return "replicated the key to Region " + rec.Str(semconv.AWSKMSReplicaRegion) +
				": its data can be read there, under another key policy"
		}},
	{Name: "policy_for_other_account", Score: 8, Techniques: []string{"T1098", "T1486"},
		classes: []kms.Class{kms.ClassPolicy}, match: namesOther,
		What: func(rec *otellog.Record) string {
			list := rec.Get(semconv.KeytrailPolicyAccounts).Strs
			if len(list) == 1 {
				return "set a key policy that lets in principals of account " + list[0]
			}
			return "set a key policy that lets in principals of accounts " + strings.Join(list, ", ")
		}},
	{Name: "service_grant_without_source", Score: 4, Techniques: []string{"T1098"},
		classes: []kms.Class{kms.ClassGrant}, match: serviceGrant,
		What: func(rec *otellog.Record) string {
			return "granted service " + rec.Str(semconv.AWSKMSGrantGranteePrincipal) +
				" the use of the key for any resource: the grant has no SourceArn"
		}},
	{Name: "trail_moved", BlindSpot: true, Score: 8, Techniques: []string{"T1562.008"},
		classes: trail, match: func(rec *otellog.Record) bool {
			return is("UpdateTrail")(rec) && rec.Str(semconv.AWSCloudTrailS3Bucket) != ""
		},
		What: func(rec *otellog.Record) string {
			return "set trail " + trailName(rec) + " to deliver to bucket " + rec.Str(semconv.AWSCloudTrailS3Bucket) +
				": who reads another bucket gets no more events of it"
		}},
	{Name: "rotation_changed", Score: 4, Techniques: []string{"T1562", "T1098"},
		classes: []kms.Class{kms.ClassRotate}, match: func(rec *otellog.Record) bool {
			return is("RotateKeyOnDemand")(rec) ||
				is("EnableKeyRotation")(rec) && rec.Get(semconv.AWSKMSRotationPeriodDays) != nil
		},
		What: func(rec *otellog.Record) string {
			if a := rec.Get(semconv.AWSKMSRotationPeriodDays); a != nil {
				return fmt.Sprintf("set the key to rotate every %d days", a.Int)
			}
			return "rotated the key on demand"
		}},
}

// externalStore is the type of a key store, and the origin of a key, outside AWS.
const externalStore = "EXTERNAL_KEY_STORE"

// imported says what key material was imported, and what follows.
func imported(rec *otellog.Record) string {
	what := "imported key material"
	switch rec.Str(semconv.AWSKMSMaterialImportType) {
	case "NEW_KEY_MATERIAL":
		what = "imported new key material into the key"
	case "EXISTING_KEY_MATERIAL":
		what = "imported the key's former key material again"
	}
	if rec.Str(semconv.AWSKMSMaterialExpirationModel) == "KEY_MATERIAL_EXPIRES" {
		what += ", which expires"
	}
	return what + ": whoever has a copy of it can read what the key encrypts, and can take the key away"
}

// reduced says, by what a trail still records of AWS KMS, what it does not.
var reduced = map[string]string{
	"read_only":  "deletions, policies and other changes of keys are not recorded there",
	"write_only": "Decrypt and the other uses of keys are not recorded there",
	"partial":    "further fields select them, such as the operation or the caller",
}

// tampered are the findings of processor/source/aws/digest, as what the digests' check
// says.
var tampered = map[string]string{
	"DigestInvalid":  "found a digest of the trail that CloudTrail did not sign so",
	"DigestMissing":  "found that a digest of the trail is gone: what was delivered in its hour cannot be checked",
	"DigestChanged":  "found that a digest of the trail was changed",
	"LogFileMissing": "found that a log file of the trail is gone: what it recorded may be missing here",
	"LogFileChanged": "found that a log file of the trail was changed after CloudTrail delivered it",
	"LogFileExtra":   "found a log file among those of the trail that CloudTrail did not deliver",
}

var trail = []kms.Class{kms.ClassTrail}

// policySetters are the classes of PutKeyPolicy, CreateKey and ReplicateKey.
var policySetters = []kms.Class{kms.ClassPolicy, kms.ClassManage, kms.ClassReplicate}

// rootClasses are all classes but reads: the console reads as root when its
// owner only looks around.
var rootClasses = func() (list []kms.Class) {
	for c := range kms.NumClasses {
		if c != kms.ClassRead {
			list = append(list, c)
		}
	}
	return list
}()

func trailName(rec *otellog.Record) string {
	if name := rec.Str(semconv.AWSCloudTrailTrail); name != "" {
		return name
	}
	return "the trail"
}

// plainPolicy reports whether a key's policy was put by anybody but an AWS service, and
// no other rule judges it worse.
func plainPolicy(rec *otellog.Record) bool {
	return operation(rec) == "PutKeyPolicy" && rec.Str(semconv.AWSPrincipalType) != "AWSService" && !namesOther(rec) &&
		!isTrue(semconv.KeytrailPolicyPublic)(rec) && !isTrue(semconv.AWSKMSPolicyLockoutCheckBypassed)(rec)
}

// namesOther reports whether a key's policy lets in another account by its name. One that
// lets in everybody is worse, and policy_public finds it.
func namesOther(rec *otellog.Record) bool {
	a := rec.Get(semconv.KeytrailPolicyAccounts)
	return operation(rec) == "PutKeyPolicy" && a != nil && len(a.Strs) > 0 && !isTrue(semconv.KeytrailPolicyPublic)(rec)
}

// serviceGrant reports whether a principal grants a service the use of a key for every
// resource. A service that makes a grant for itself is everyday.
func serviceGrant(rec *otellog.Record) bool {
	return operation(rec) == "CreateGrant" && rec.Str(semconv.KeytrailVia) == kms.Direct &&
		rec.Str(semconv.AWSPrincipalType) != "AWSService" &&
		cloud.Actor(rec.Str(semconv.AWSKMSGrantGranteePrincipal)) == kms.ActorService &&
		rec.Str(semconv.AWSKMSGrantSourceARN) == ""
}

// foreignGrant reports whether a grant's grantee is a principal of another
// account than the key's. Service principals have no account.
func foreignGrant(rec *otellog.Record) bool {
	key := rec.Str(semconv.AWSKMSKeyAccountID)
	grantee := cloud.Account(rec.Str(semconv.AWSKMSGrantGranteePrincipal))
	return operation(rec) == "CreateGrant" && key != "" && grantee != "" && grantee != key
}
