package cloudtrail

import "unsafe"

// requestFields are the members of requestParameters of KMS calls and of the
// CloudTrail calls that change a trail. ReEncrypt has two encryption contexts;
// the first one stands for both.
var requestFields = []field{
	request("keyId", unsafe.Offsetof(where.Request.KeyID)),
	request("keySpec", unsafe.Offsetof(where.Request.KeySpec)),
	request("customerMasterKeySpec", unsafe.Offsetof(where.Request.KeySpec)),
	request("keyPairSpec", unsafe.Offsetof(where.Request.KeySpec)),
	request("encryptionAlgorithm", unsafe.Offsetof(where.Request.Algorithm)),
	request("signingAlgorithm", unsafe.Offsetof(where.Request.Algorithm)),
	request("macAlgorithm", unsafe.Offsetof(where.Request.Algorithm)),
	request("keyAgreementAlgorithm", unsafe.Offsetof(where.Request.Algorithm)),
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
	request("policy", unsafe.Offsetof(where.Request.Policy)),
	request("pendingWindowInDays", unsafe.Offsetof(where.Request.PendingWindowDays)),
	request("expirationModel", unsafe.Offsetof(where.Request.ExpirationModel)),
	request("validTo", unsafe.Offsetof(where.Request.ValidTo)),
	request("primaryRegion", unsafe.Offsetof(where.Request.PrimaryRegion)),
	request("replicaRegion", unsafe.Offsetof(where.Request.ReplicaRegion)),
	request("eventDataStore", unsafe.Offsetof(where.Request.EventDataStore)),
	request("kmsKeyId", unsafe.Offsetof(where.Request.KMSKeyID)),
	act("encryptionContext", actContext),
	act("sourceEncryptionContext", actContext),
	act("destinationEncryptionContext", actContext),
	object("constraints", kindConstraints),
	act("operations", actStrings),
	boolean("bypassPolicyLockoutSafetyCheck", atRequest+unsafe.Offsetof(where.Request.BypassPolicyLockout)),
	boolean("multiRegion", atRequest+unsafe.Offsetof(where.Request.MultiRegion)),
	boolean("dryRun", atRequest+unsafe.Offsetof(where.Request.DryRun)),
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
