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
		What: says("imported key material: whoever has a copy of it can read what the key encrypts, " +
			"and can take the key away")},
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
	return operation(rec) == "PutKeyPolicy" && rec.Str(semconv.AWSPrincipalType) != "AWSService" &&
		!isTrue(semconv.KeytrailPolicyPublic)(rec) && !isTrue(semconv.AWSKMSPolicyLockoutCheckBypassed)(rec)
}

// foreignGrant reports whether a grant's grantee is a principal of another
// account than the key's. Service principals have no account.
func foreignGrant(rec *otellog.Record) bool {
	key := rec.Str(semconv.AWSKMSKeyAccountID)
	grantee := cloud.Account(rec.Str(semconv.AWSKMSGrantGranteePrincipal))
	return operation(rec) == "CreateGrant" && key != "" && grantee != "" && grantee != key
}
