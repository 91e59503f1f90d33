package cloudtrail

import "unsafe"

// requestFields are the members of requestParameters of KMS calls and of the
// CloudTrail calls that change a trail. CloudTrail omits values above 100 KB
// and marks them "omitted".
var requestFields = []field{
	request("keyId", unsafe.Offsetof(where.Request.KeyID)),
	request("keySpec", unsafe.Offsetof(where.Request.KeySpec)),
	request("customerMasterKeySpec", unsafe.Offsetof(where.Request.KeySpec)),
	request("keyPairSpec", unsafe.Offsetof(where.Request.KeySpec)),
	request("encryptionAlgorithm", unsafe.Offsetof(where.Request.Algorithm)),
	request("signingAlgorithm", unsafe.Offsetof(where.Request.Algorithm)),
	request("macAlgorithm", unsafe.Offsetof(where.Request.Algorithm)),
	request("keyAgreementAlgorithm", unsafe.Offsetof(where.Request.Algorithm)),
	request("sourceEncryptionAlgorithm", unsafe.Offsetof(where.Request.SourceAlgorithm)),
	request("sourceKeyId", unsafe.Offsetof(where.Request.SourceKeyID)),
	request("destinationKeyId", unsafe.Offsetof(where.Request.DestinationKeyID)),
	request("targetKeyId", unsafe.Offsetof(where.Request.TargetKeyID)),
	request("aliasName", unsafe.Offsetof(where.Request.AliasName)),
	request("keyUsage", unsafe.Offsetof(where.Request.KeyUsage)),
	request("origin", unsafe.Offsetof(where.Request.Origin)),
	request("grantId", unsafe.Offsetof(where.Request.GrantID)),
	request("name", unsafe.Offsetof(where.Request.TrailName)),
	request("trailName", unsafe.Offsetof(where.Request.TrailName)),
	request("granteePrincipal", unsafe.Offsetof(where.Request.GranteePrincipal)),
	request("retiringPrincipal", unsafe.Offsetof(where.Request.RetiringPrincipal)),
	request("granteeServicePrincipal", unsafe.Offsetof(where.Request.GranteeService)),
	request("retiringServicePrincipal", unsafe.Offsetof(where.Request.RetiringService)),
	request("policy", unsafe.Offsetof(where.Request.Policy)),
	request("pendingWindowInDays", unsafe.Offsetof(where.Request.PendingWindowDays)),
	request("rotationPeriodInDays", unsafe.Offsetof(where.Request.RotationPeriodDays)),
	request("keyMaterialId", unsafe.Offsetof(where.Request.KeyMaterialID)),
	request("customKeyStoreId", unsafe.Offsetof(where.Request.CustomKeyStoreID)),
	request("customKeyStoreType", unsafe.Offsetof(where.Request.CustomKeyStoreType)),
	request("importType", unsafe.Offsetof(where.Request.ImportType)),
	request("s3BucketName", unsafe.Offsetof(where.Request.S3Bucket)),
	request("expirationModel", unsafe.Offsetof(where.Request.ExpirationModel)),
	request("validTo", unsafe.Offsetof(where.Request.ValidTo)),
	request("primaryRegion", unsafe.Offsetof(where.Request.PrimaryRegion)),
	request("replicaRegion", unsafe.Offsetof(where.Request.ReplicaRegion)),
	request("eventDataStore", unsafe.Offsetof(where.Request.EventDataStore)),
	request("kmsKeyId", unsafe.Offsetof(where.Request.KMSKeyID)),
	act("encryptionContext", actContext),
	act("sourceEncryptionContext", actContext),
	act("destinationEncryptionContext", actToContext),
	object("constraints", kindConstraints),
	act("operations", actStrings),
	boolean("bypassPolicyLockoutSafetyCheck", atRequest+unsafe.Offsetof(where.Request.BypassPolicyLockout)),
	boolean("multiRegion", atRequest+unsafe.Offsetof(where.Request.MultiRegion)),
	boolean("dryRun", atRequest+unsafe.Offsetof(where.Request.DryRun)),
	boolean("isMultiRegionTrail", atRequest+unsafe.Offsetof(where.Request.MultiRegionTrail)),
	boolean("multiRegionEnabled", atRequest+unsafe.Offsetof(where.Request.MultiRegionTrail)),
	boolean("isOrganizationTrail", atRequest+unsafe.Offsetof(where.Request.OrganizationTrail)),
	boolean("organizationEnabled", atRequest+unsafe.Offsetof(where.Request.OrganizationTrail)),
	boolean("omitted", atRequest+unsafe.Offsetof(where.Request.Omitted)),
	jsonText("eventSelectors", atRequest+unsafe.Offsetof(where.Request.EventSelectors)),
	jsonText("advancedEventSelectors", atRequest+unsafe.Offsetof(where.Request.AdvancedSelectors)),
	jsonText("insightSelectors", atRequest+unsafe.Offsetof(where.Request.InsightSelectors)),
}

func request(name string, at uintptr) field { return text(name, atRequest+at) }

// responseFields are the members of responseElements.
var responseFields = []field{
	text("keyId", atResponse+unsafe.Offsetof(where.Response.KeyID)),
	text("keyState", atResponse+unsafe.Offsetof(where.Response.KeyState)),
	text("grantId", atResponse+unsafe.Offsetof(where.Response.GrantID)),
	text("aliasArn", atResponse+unsafe.Offsetof(where.Response.AliasARN)),
	text("deletionDate", atResponse+unsafe.Offsetof(where.Response.DeletionDate)),
	text("keyMaterialId", atResponse+unsafe.Offsetof(where.Response.KeyMaterialID)),
	text("customKeyStoreId", atResponse+unsafe.Offsetof(where.Response.CustomKeyStoreID)),
	boolean("omitted", atResponse+unsafe.Offsetof(where.Response.Omitted)),
	object("keyMetadata", kindMetadata),
	object("replicaKeyMetadata", kindReplica),
}

// metadataFields are the members of responseElements.keyMetadata.
var metadataFields = []field{
	text("arn", atResponse+unsafe.Offsetof(where.Response.MetadataARN)),
	text("keyState", atResponse+unsafe.Offsetof(where.Response.KeyState)),
	object("multiRegionConfiguration", kindMultiRegion),
}

// replicaFields are the members of responseElements.replicaKeyMetadata of
// ReplicateKey: the new key, not the one that the call is about.
var replicaFields = []field{
	text("arn", atResponse+unsafe.Offsetof(where.Response.ReplicaARN)),
	object("multiRegionConfiguration", kindMultiRegion),
}

// attestation are the members of additionalEventData.recipient. The module id
// tells an enclave from a TPM; the registers have the same numbers in both.
var attestation = []field{
	attested("ModuleId", unsafe.Offsetof(where.Extra.Attestation.ModuleID)),
	attested("EnclaveImageDigest", unsafe.Offsetof(where.Extra.Attestation.ImageDigest)),
	attested("EnclavePCR1", unsafe.Offsetof(where.Extra.Attestation.PCR1)),
	attested("EnclavePCR2", unsafe.Offsetof(where.Extra.Attestation.PCR2)),
	attested("EnclavePCR3", unsafe.Offsetof(where.Extra.Attestation.PCR3)),
	attested("EnclavePCR4", unsafe.Offsetof(where.Extra.Attestation.PCR4)),
	attested("EnclavePCR8", unsafe.Offsetof(where.Extra.Attestation.PCR8)),
	attested("NitroTPMPCR4", unsafe.Offsetof(where.Extra.Attestation.PCR4)),
	attested("NitroTPMPCR7", unsafe.Offsetof(where.Extra.Attestation.PCR7)),
	attested("NitroTPMPCR8", unsafe.Offsetof(where.Extra.Attestation.PCR8)),
	attested("NitroTPMPCR9", unsafe.Offsetof(where.Extra.Attestation.PCR9)),
	attested("NitroTPMPCR16", unsafe.Offsetof(where.Extra.Attestation.PCR16)),
	attested("NitroTPMPCR23", unsafe.Offsetof(where.Extra.Attestation.PCR23)),
}

func attested(name string, at uintptr) field {
	return text("attestationDocument"+name, atExtra+unsafe.Offsetof(where.Extra.Attestation)+at)
}
