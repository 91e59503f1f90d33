// Package cloudtrail decodes the output of AWS CloudTrail: the envelopes that
// carry events (files, EventBridge, CloudWatch Logs, LookupEvents, Fluent Bit
// records) and the events themselves.
//
// It is lenient about shape and strict about loss: any field may be missing,
// null or of another type than documented, and the event still decodes; but a
// record which is not JSON, or which says two things under one name, is
// reported as a BadRecord with its place and its bytes, and the records beside
// it go on. Package normalize decides what an event means.
//
// Sources: AWS CloudTrail user guide, "CloudTrail record contents" (event
// versions 1.02 to 1.11), and RFC 8259.
package cloudtrail

// Event is one CloudTrail event: the fields that Keytrail reads, and Raw, the
// whole event as it was written.
//
// Strings are views into the buffer that was decoded or into the decoder's own
// scratch memory. They are valid until the next call on the Reader or Decoder
// that filled the Event. A field that is absent, null or of an unexpected type
// is "". Numbers and objects under a name that should hold a string are kept
// as their JSON text.
type Event struct {
	// Raw is the event's JSON, byte for byte.
	Raw []byte
	// Object names the file, S3 object or message that held the event; Index
	// counts the events in it from 0, and Offset is Raw's first byte in the
	// inflated object.
	Object string
	Index  int
	Offset int64

	Version           string // eventVersion
	Time              string // eventTime as written
	Source            string // eventSource: kms.amazonaws.com
	Name              string // eventName: Decrypt
	Region            string // awsRegion
	SourceIP          string // sourceIPAddress: an address, a service's name or "AWS Internal"
	UserAgent         string
	ErrorCode         string
	ErrorMessage      string
	RequestID         string
	ID                string // eventID
	SharedID          string // sharedEventID
	Type              string // eventType: AwsApiCall, AwsServiceEvent
	Category          string // eventCategory
	APIVersion        string
	RecipientAccount  string // recipientAccountId
	VPCEndpoint       string // vpcEndpointId
	VPCEndpointOwner  string // vpcEndpointAccountId
	ReadOnly          Bool
	Management        Bool // managementEvent
	ConsoleCredential Bool // sessionCredentialFromConsole

	Identity Identity // userIdentity
	// Caller is a number that events share whose userIdentity is the same, byte for
	// byte; 0 when that is not known. It is unique in the process. Work on the
	// identity may be kept by it; see CallerPlaces.
	Caller    uint64
	TLS       TLS       // tlsDetails
	Request   Request   // requestParameters
	Response  Response  // responseElements
	Service   Service   // serviceEventDetails
	Extra     Extra     // additionalEventData
	Addendum  Addendum  // addendum
	Resources []Target  // resources
	Context   []KV      // encryptionContext, or the source's of ReEncrypt, or the grant's constraint; in order
	ToContext []KV      // requestParameters.destinationEncryptionContext of ReEncrypt, in order
	Lists     EventList // lists inside requestParameters

	env  envelope // if it is not an event: the content
	item target   // the entry of resources that is being decoded
}

// Bool is a JSON boolean that may be missing. CloudTrail also writes some
// booleans as the strings "true" and "false"; both forms decode to the same.
type Bool uint8

// The values of Bool.
const (
	Missing Bool = iota
	False
	True
)

// KV is one name and value of a JSON object whose values are strings.
type KV struct{ Key, Value string }

// Identity is userIdentity: who made the request.
type Identity struct {
	// Type is Root, IAMUser, AssumedRole, FederatedUser, AWSService, AWSAccount,
	// WebIdentityUser, SAMLUser, IdentityCenterUser, Unknown, or "".
	Type             string
	PrincipalID      string
	ARN              string
	Account          string // accountId
	AccessKeyID      string
	UserName         string
	InvokedBy        string
	IdentityProvider string
	CredentialID     string
	OnBehalfOfUser   string // onBehalfOf.userId
	OnBehalfOfStore  string // onBehalfOf.identityStoreArn
	IssuerType       string // sessionContext.sessionIssuer.*
	IssuerPrincipal  string
	IssuerARN        string
	IssuerAccount    string
	IssuerName       string
	FederatedBy      string // sessionContext.webIdFederationData.federatedProvider
	SourceIdentity   string // sessionContext.sourceIdentity
	SessionCreated   string // sessionContext.attributes.creationDate
	MFA              Bool   // sessionContext.attributes.mfaAuthenticated
}

// TLS is tlsDetails: the connection that carried the request.
type TLS struct{ Version, Cipher, Host, KeyExchange string }

// Request holds the scalar request parameters that Keytrail reads, of KMS
// calls and of the CloudTrail calls that change a trail.
type Request struct {
	KeyID               string
	SourceKeyID         string // ReEncrypt: sourceKeyId
	DestinationKeyID    string // ReEncrypt: destinationKeyId
	TargetKeyID         string // CreateAlias, UpdateAlias: targetKeyId
	AliasName           string
	KeySpec             string // keySpec, or customerMasterKeySpec in older events
	KeyUsage            string
	Algorithm           string // encryptionAlgorithm, signingAlgorithm, macAlgorithm, keyAgreementAlgorithm
	SourceAlgorithm     string // ReEncrypt: sourceEncryptionAlgorithm
	Origin              string
	GrantID             string
	GranteePrincipal    string
	RetiringPrincipal   string
	GranteeService      string // granteeServicePrincipal of CreateGrant
	RetiringService     string // retiringServicePrincipal of CreateGrant
	Policy              string // the key policy's JSON text
	PendingWindowDays   string // pendingWindowInDays, as written
	RotationPeriodDays  string // rotationPeriodInDays of EnableKeyRotation, as written
	KeyMaterialID       string // keyMaterialId of DeleteImportedKeyMaterial
	CustomKeyStoreID    string
	CustomKeyStoreType  string // of CreateCustomKeyStore
	ImportType          string // of ImportKeyMaterial
	SourceARN           string // constraints.sourceArn of CreateGrant
	S3Bucket            string // s3BucketName of a trail
	ExpirationModel     string
	ValidTo             string
	BypassPolicyLockout Bool // bypassPolicyLockoutSafetyCheck
	MultiRegion         Bool
	PrimaryRegion       string
	ReplicaRegion       string
	DryRun              Bool
	TrailName           string // name or trailName of a CloudTrail call; name of CreateGrant: the grant's
	EventDataStore      string
	InsightSelectors    string // insightSelectors as JSON text; "[]" turns insights off
	EventSelectors      string // eventSelectors as JSON text
	AdvancedSelectors   string // advancedEventSelectors as JSON text
	KMSKeyID            string // kmsKeyId of a trail
	MultiRegionTrail    Bool   // isMultiRegionTrail; multiRegionEnabled of an event data store
	OrganizationTrail   Bool   // isOrganizationTrail; organizationEnabled of an event data store
	Omitted             Bool   // CloudTrail left the parameters out, because they were too large
}

// Response holds the response elements that Keytrail reads.
type Response struct {
	KeyID        string
	MetadataARN  string // keyMetadata.arn
	ReplicaARN   string // replicaKeyMetadata.arn of ReplicateKey
	PrimaryARN   string // multiRegionConfiguration.primaryKey.arn in either metadata
	KeyState     string // keyState, or keyMetadata.keyState
	GrantID      string
	AliasARN     string
	DeletionDate string
	// KeyMaterialID is that of ImportKeyMaterial and DeleteImportedKeyMaterial.
	KeyMaterialID    string
	CustomKeyStoreID string // of CreateCustomKeyStore
	Omitted          Bool
}

// Service is serviceEventDetails of an internal KMS operation.
type Service struct {
	KeyID              string
	RotationType       string
	KeyOrigin          string
	PreviousMaterialID string
	CurrentMaterialID  string
	KeyMaterialID      string // of DeleteExpiredKeyMaterial
	Omitted            Bool
}

// Extra is additionalEventData.
type Extra struct {
	KeyMaterialID string
	GrantID       string
	KeyID         string
	// Of ReEncrypt:
	SourceMaterialID      string
	DestinationMaterialID string
	CustomKeyStoreID      string
	Attestation           Attestation // recipient
	Omitted               Bool
}

// Attestation is what the attestation document of a Nitro enclave or of an
// instance with NitroTPM says. The measurements are digests as text.
// Source: AWS KMS developer guide, "Monitoring attested requests".
type Attestation struct {
	ModuleID    string // attestationDocumentModuleId: the instance, and its enclave or TPM
	ImageDigest string // attestationDocumentEnclaveImageDigest: PCR0 of an enclave
	// The platform configuration registers: 1, 2, 3, 4 and 8 of an enclave, 4,
	// 7, 8, 9, 16 and 23 of a TPM.
	PCR1, PCR2, PCR3, PCR4, PCR7, PCR8, PCR9, PCR16, PCR23 string
}

// Addendum marks a record that updates an earlier one, or that came late.
type Addendum struct {
	Reason            string // DELIVERY_DELAY, UPDATED_DATA, SERVICE_OUTAGE
	OriginalID        string // originalEventID
	OriginalRequestID string
	UpdatedFields     string
}

// Target is one entry of resources: what the call acted on.
type Target struct{ ARN, Account, Type string }

// EventList holds the lists of strings inside the request parameters.
type EventList struct {
	GrantOperations []string // operations of CreateGrant
}
