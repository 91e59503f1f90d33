package rule

import "keytrail/schemas/semconv"

// Attributes are the attributes of a log record that the rules look at, to match and
// to say what was done.
var Attributes = []string{
	semconv.KeytrailTrailKMSEvents, semconv.KeytrailTrailManagementEvents, semconv.AWSCloudTrailMultiRegion,
	semconv.AWSCloudTrailOrganization, semconv.AWSCloudTrailTrail,
	semconv.KeytrailAttestationDebugMode, semconv.AWSKMSGrantGranteePrincipal, semconv.AWSKMSGrantOperations,
	semconv.AWSKMSKeyAccountID, semconv.AWSKMSPendingWindowDays, semconv.AWSKMSPolicyLockoutCheckBypassed,
	semconv.KeytrailPolicyPublic, semconv.AWSPrincipalType, semconv.RPCMethod, semconv.TLSProtocolVersion,
	semconv.KeytrailPolicyAccounts, semconv.AWSKMSCustomKeyStoreType, semconv.AWSKMSKeyOrigin, semconv.AWSKMSAliasARN,
	semconv.AWSKMSKeyARN, semconv.AWSKMSReplicaRegion, semconv.AWSKMSGrantSourceARN, semconv.AWSCloudTrailS3Bucket,
	semconv.AWSKMSRotationPeriodDays, semconv.AWSKMSMaterialImportType, semconv.AWSKMSMaterialExpirationModel,
	semconv.KeytrailVia,
}
