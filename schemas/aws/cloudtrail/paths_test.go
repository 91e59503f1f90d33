package cloudtrail

// paths maps the place of a value in an event to the field of Event that holds
// it. A field of Event.Request that holds a document keeps strings in quotes.
var paths = func() map[string]string {
	m := map[string]string{
		"eventVersion": "Version", "eventTime": "Time", "eventSource": "Source", "eventName": "Name",
		"awsRegion": "Region", "sourceIPAddress": "SourceIP", "userAgent": "UserAgent", "errorCode": "ErrorCode",
		"errorMessage": "ErrorMessage", "requestID": "RequestID", "eventID": "ID", "sharedEventID": "SharedID",
		"eventType": "Type", "eventCategory": "Category", "apiVersion": "APIVersion",
		"recipientAccountId": "RecipientAccount", "vpcEndpointId": "VPCEndpoint", "vpcEndpointAccountId": "VPCEndpointOwner",
		"readOnly": "ReadOnly", "managementEvent": "Management", "sessionCredentialFromConsole": "ConsoleCredential",
	}
	add := func(object, field string, names ...string) {
		for i := 0; i < len(names); i += 2 {
			m[object+"/"+names[i]] = field + "." + names[i+1]
		}
	}
	add("userIdentity", "Identity", "type", "Type", "principalId", "PrincipalID", "arn", "ARN", "accountId", "Account",
		"accessKeyId", "AccessKeyID", "userName", "UserName", "invokedBy", "InvokedBy", "identityProvider", "IdentityProvider",
		"credentialId", "CredentialID", "onBehalfOf/userId", "OnBehalfOfUser", "onBehalfOf/identityStoreArn", "OnBehalfOfStore")
	add("userIdentity/sessionContext", "Identity", "sessionIssuer/type", "IssuerType", "sessionIssuer/principalId", "IssuerPrincipal",
		"sessionIssuer/arn", "IssuerARN", "sessionIssuer/accountId", "IssuerAccount", "sessionIssuer/userName", "IssuerName",
		"webIdFederationData/federatedProvider", "FederatedBy", "sourceIdentity", "SourceIdentity",
		"attributes/creationDate", "SessionCreated", "attributes/mfaAuthenticated", "MFA")
	add("tlsDetails", "TLS", "tlsVersion", "Version", "cipherSuite", "Cipher", "clientProvidedHostHeader", "Host",
		"keyExchange", "KeyExchange")
	add("requestParameters", "Request", "keyId", "KeyID", "sourceKeyId", "SourceKeyID", "destinationKeyId", "DestinationKeyID",
		"targetKeyId", "TargetKeyID", "aliasName", "AliasName", "keySpec", "KeySpec", "customerMasterKeySpec", "KeySpec",
		"keyPairSpec", "KeySpec", "keyUsage", "KeyUsage", "encryptionAlgorithm", "Algorithm", "signingAlgorithm", "Algorithm",
		"macAlgorithm", "Algorithm", "sourceEncryptionAlgorithm", "SourceAlgorithm", "keyAgreementAlgorithm", "Algorithm", "origin", "Origin", "grantId", "GrantID",
		"granteePrincipal", "GranteePrincipal", "retiringPrincipal", "RetiringPrincipal", "granteeServicePrincipal", "GranteeService",
		"retiringServicePrincipal", "RetiringService", "policy", "Policy",
		"pendingWindowInDays", "PendingWindowDays", "expirationModel", "ExpirationModel", "validTo", "ValidTo",
		"bypassPolicyLockoutSafetyCheck", "BypassPolicyLockout", "multiRegion", "MultiRegion", "primaryRegion", "PrimaryRegion",
		"replicaRegion", "ReplicaRegion", "dryRun", "DryRun", "name", "TrailName", "trailName", "TrailName",
		"eventDataStore", "EventDataStore", "insightSelectors", "InsightSelectors", "eventSelectors", "EventSelectors",
		"advancedEventSelectors", "AdvancedSelectors", "kmsKeyId", "KMSKeyID",
		"rotationPeriodInDays", "RotationPeriodDays", "keyMaterialId", "KeyMaterialID", "customKeyStoreId", "CustomKeyStoreID",
		"customKeyStoreType", "CustomKeyStoreType", "importType", "ImportType", "s3BucketName", "S3Bucket", "constraints/sourceArn", "SourceARN",
		"isMultiRegionTrail", "MultiRegionTrail", "multiRegionEnabled", "MultiRegionTrail", "isOrganizationTrail", "OrganizationTrail",
		"organizationEnabled", "OrganizationTrail", "omitted", "Omitted")
	add("responseElements", "Response", "keyId", "KeyID", "keyMetadata/arn", "MetadataARN", "keyState", "KeyState",
		"replicaKeyMetadata/arn", "ReplicaARN", "keyMetadata/multiRegionConfiguration/primaryKey/arn", "PrimaryARN",
		"replicaKeyMetadata/multiRegionConfiguration/primaryKey/arn", "PrimaryARN",
		"keyMetadata/keyState", "KeyState", "grantId", "GrantID", "aliasArn", "AliasARN", "deletionDate", "DeletionDate",
		"keyMaterialId", "KeyMaterialID", "customKeyStoreId", "CustomKeyStoreID", "omitted", "Omitted")
	add("serviceEventDetails", "Service", "keyId", "KeyID", "rotationType", "RotationType", "keyOrigin", "KeyOrigin",
		"previousKeyMaterialId", "PreviousMaterialID", "currentKeyMaterialId", "CurrentMaterialID",
		"keyMaterialId", "KeyMaterialID", "omitted", "Omitted")
	add("additionalEventData", "Extra", "keyMaterialId", "KeyMaterialID", "grantId", "GrantID", "keyId", "KeyID",
		"sourceKeyMaterialId", "SourceMaterialID", "destinationKeyMaterialId", "DestinationMaterialID",
		"customKeyStoreId", "CustomKeyStoreID", "omitted", "Omitted")
	add("additionalEventData/recipient", "Extra.Attestation", "attestationDocumentModuleId", "ModuleID",
		"attestationDocumentEnclaveImageDigest", "ImageDigest",
		"attestationDocumentEnclavePCR1", "PCR1", "attestationDocumentEnclavePCR2", "PCR2", "attestationDocumentEnclavePCR3", "PCR3",
		"attestationDocumentEnclavePCR4", "PCR4", "attestationDocumentEnclavePCR8", "PCR8",
		"attestationDocumentNitroTPMPCR4", "PCR4", "attestationDocumentNitroTPMPCR7", "PCR7", "attestationDocumentNitroTPMPCR8", "PCR8",
		"attestationDocumentNitroTPMPCR9", "PCR9", "attestationDocumentNitroTPMPCR16", "PCR16", "attestationDocumentNitroTPMPCR23", "PCR23")
	add("addendum", "Addendum", "reason", "Reason", "originalEventID", "OriginalID", "originalRequestID", "OriginalRequestID",
		"updatedFields", "UpdatedFields")
	return m
}()
