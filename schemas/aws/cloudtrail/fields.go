package cloudtrail

import "unsafe"

// kind is a kind of JSON object inside a record.
type kind uint8

const (
	kindRecord kind = iota
	kindIdentity
	kindSession
	kindIssuer
	kindSessionAttributes
	kindFederation
	kindOnBehalfOf
	kindTLS
	kindRequest
	kindConstraints
	kindResponse
	kindMetadata
	kindReplica
	kindMultiRegion
	kindPrimary
	kindExtra
	kindRecipient
	kindService
	kindAddendum
	kindTarget
	kindContext // names are not known in advance: each member is a pair
	kinds
)

// action is what the decoder does with a member's value.
type action uint8

const (
	actSkip      action = iota // validate it; it stays in the body
	actText                    // a string
	actBool                    // true or false, bare or as a string
	actJSON                    // its JSON text
	actObject                  // decode it as an object of a kind
	actContext                 // an object of pairs, for Event.Context unless that has some
	actToContext               // an object of pairs, for Event.ToContext
	actPair                    // one of these pairs
	actStrings                 // an array of strings, for Event.Lists.GrantOperations
	actTargets                 // resources
	actOthers                  // resources of LookupEvents: those in its event count
	actList                    // the array of an envelope
	actDetail                  // the object of an EventBridge envelope
	actCarrier                 // a string or an object that holds an event, in an envelope
	actPacked                  // a string in base64 that holds events
	actOriginal                // the original event, which goes before all else in its object
	actResult                  // a result of Splunk
	actNotice                  // the mark of what is about no call: of a digest file
	actPiece                   // the mark of a piece of a line
	actNames                   // the mark of what names objects: of an S3 notification
)

// field is a member that Keytrail reads. at is the place of its value in Event:
// an offset, because one for each name in a table costs a load where a switch
// costs a jump that the processor cannot predict.
type field struct {
	name string
	act  action
	kind kind // of actObject
	at   uintptr
}

// where is for the offsets below.
var where Event

const (
	atIdentity = unsafe.Offsetof(where.Identity)
	atTLS      = unsafe.Offsetof(where.TLS)
	atRequest  = unsafe.Offsetof(where.Request)
	atResponse = unsafe.Offsetof(where.Response)
	atService  = unsafe.Offsetof(where.Service)
	atExtra    = unsafe.Offsetof(where.Extra)
	atAddendum = unsafe.Offsetof(where.Addendum)
	atItem     = unsafe.Offsetof(where.item)
	atEnvelope = unsafe.Offsetof(where.env)
)

func text(name string, at uintptr) field { return field{name: name, act: actText, at: at} }

func boolean(name string, at uintptr) field { return field{name: name, act: actBool, at: at} }

func object(name string, k kind) field { return field{name: name, act: actObject, kind: k} }

func act(name string, a action) field { return field{name: name, act: a} }

func jsonText(name string, at uintptr) field { return field{name: name, act: actJSON, at: at} }

// fields are the members of each kind of object that Keytrail reads, by
// "CloudTrail record contents" in the AWS CloudTrail user guide, and by the
// events that KMS and CloudTrail write. Other members are validated and stay in
// the body.
var fields = [kinds][]field{
	kindRecord: append([]field{
		text("eventVersion", unsafe.Offsetof(where.Version)),
		object("userIdentity", kindIdentity),
		text("eventTime", unsafe.Offsetof(where.Time)),
		text("eventSource", unsafe.Offsetof(where.Source)),
		text("eventName", unsafe.Offsetof(where.Name)),
		text("awsRegion", unsafe.Offsetof(where.Region)),
		text("sourceIPAddress", unsafe.Offsetof(where.SourceIP)),
		text("userAgent", unsafe.Offsetof(where.UserAgent)),
		text("errorCode", unsafe.Offsetof(where.ErrorCode)),
		text("errorMessage", unsafe.Offsetof(where.ErrorMessage)),
		object("requestParameters", kindRequest),
		object("responseElements", kindResponse),
		object("additionalEventData", kindExtra),
		object("serviceEventDetails", kindService),
		text("requestID", unsafe.Offsetof(where.RequestID)),
		text("eventID", unsafe.Offsetof(where.ID)),
		boolean("readOnly", unsafe.Offsetof(where.ReadOnly)),
		act("resources", actTargets),
		text("eventType", unsafe.Offsetof(where.Type)),
		boolean("managementEvent", unsafe.Offsetof(where.Management)),
		text("apiVersion", unsafe.Offsetof(where.APIVersion)),
		text("recipientAccountId", unsafe.Offsetof(where.RecipientAccount)),
		text("sharedEventID", unsafe.Offsetof(where.SharedID)),
		text("vpcEndpointId", unsafe.Offsetof(where.VPCEndpoint)),
		text("vpcEndpointAccountId", unsafe.Offsetof(where.VPCEndpointOwner)),
		text("eventCategory", unsafe.Offsetof(where.Category)),
		object("addendum", kindAddendum),
		boolean("sessionCredentialFromConsole", unsafe.Offsetof(where.ConsoleCredential)),
		object("tlsDetails", kindTLS),
	}, envelopeFields...),
	kindIdentity: {
		text("type", atIdentity+unsafe.Offsetof(where.Identity.Type)),
		text("principalId", atIdentity+unsafe.Offsetof(where.Identity.PrincipalID)),
		text("arn", atIdentity+unsafe.Offsetof(where.Identity.ARN)),
		text("accountId", atIdentity+unsafe.Offsetof(where.Identity.Account)),
		text("accessKeyId", atIdentity+unsafe.Offsetof(where.Identity.AccessKeyID)),
		text("userName", atIdentity+unsafe.Offsetof(where.Identity.UserName)),
		text("invokedBy", atIdentity+unsafe.Offsetof(where.Identity.InvokedBy)),
		text("identityProvider", atIdentity+unsafe.Offsetof(where.Identity.IdentityProvider)),
		text("credentialId", atIdentity+unsafe.Offsetof(where.Identity.CredentialID)),
		object("onBehalfOf", kindOnBehalfOf),
		object("sessionContext", kindSession),
	},
	kindOnBehalfOf: {
		text("userId", atIdentity+unsafe.Offsetof(where.Identity.OnBehalfOfUser)),
		text("identityStoreArn", atIdentity+unsafe.Offsetof(where.Identity.OnBehalfOfStore)),
	},
	kindSession: {
		object("sessionIssuer", kindIssuer),
		object("attributes", kindSessionAttributes),
		object("webIdFederationData", kindFederation),
		text("sourceIdentity", atIdentity+unsafe.Offsetof(where.Identity.SourceIdentity)),
	},
	kindIssuer: {
		text("type", atIdentity+unsafe.Offsetof(where.Identity.IssuerType)),
		text("principalId", atIdentity+unsafe.Offsetof(where.Identity.IssuerPrincipal)),
		text("arn", atIdentity+unsafe.Offsetof(where.Identity.IssuerARN)),
		text("accountId", atIdentity+unsafe.Offsetof(where.Identity.IssuerAccount)),
		text("userName", atIdentity+unsafe.Offsetof(where.Identity.IssuerName)),
	},
	kindSessionAttributes: {
		text("creationDate", atIdentity+unsafe.Offsetof(where.Identity.SessionCreated)),
		boolean("mfaAuthenticated", atIdentity+unsafe.Offsetof(where.Identity.MFA)),
	},
	kindFederation: {
		text("federatedProvider", atIdentity+unsafe.Offsetof(where.Identity.FederatedBy)),
	},
	kindTLS: {
		text("tlsVersion", atTLS+unsafe.Offsetof(where.TLS.Version)),
		text("cipherSuite", atTLS+unsafe.Offsetof(where.TLS.Cipher)),
		text("clientProvidedHostHeader", atTLS+unsafe.Offsetof(where.TLS.Host)),
		text("keyExchange", atTLS+unsafe.Offsetof(where.TLS.KeyExchange)),
	},
	kindService: {
		text("keyId", atService+unsafe.Offsetof(where.Service.KeyID)),
		text("rotationType", atService+unsafe.Offsetof(where.Service.RotationType)),
		text("keyOrigin", atService+unsafe.Offsetof(where.Service.KeyOrigin)),
		text("previousKeyMaterialId", atService+unsafe.Offsetof(where.Service.PreviousMaterialID)),
		text("currentKeyMaterialId", atService+unsafe.Offsetof(where.Service.CurrentMaterialID)),
		text("keyMaterialId", atService+unsafe.Offsetof(where.Service.KeyMaterialID)),
		boolean("omitted", atService+unsafe.Offsetof(where.Service.Omitted)),
	},
	kindAddendum: {
		text("reason", atAddendum+unsafe.Offsetof(where.Addendum.Reason)),
		text("originalEventID", atAddendum+unsafe.Offsetof(where.Addendum.OriginalID)),
		text("originalRequestID", atAddendum+unsafe.Offsetof(where.Addendum.OriginalRequestID)),
		text("updatedFields", atAddendum+unsafe.Offsetof(where.Addendum.UpdatedFields)),
	},
	kindExtra: {
		text("keyMaterialId", atExtra+unsafe.Offsetof(where.Extra.KeyMaterialID)),
		text("grantId", atExtra+unsafe.Offsetof(where.Extra.GrantID)),
		text("keyId", atExtra+unsafe.Offsetof(where.Extra.KeyID)),
		text("sourceKeyMaterialId", atExtra+unsafe.Offsetof(where.Extra.SourceMaterialID)),
		text("destinationKeyMaterialId", atExtra+unsafe.Offsetof(where.Extra.DestinationMaterialID)),
		text("customKeyStoreId", atExtra+unsafe.Offsetof(where.Extra.CustomKeyStoreID)),
		boolean("omitted", atExtra+unsafe.Offsetof(where.Extra.Omitted)),
		object("recipient", kindRecipient),
	},
	kindRecipient: attestation,
	kindTarget: {
		text("accountId", atItem+unsafe.Offsetof(where.item.Account)),
		text("type", atItem+unsafe.Offsetof(where.item.Type)),
		text("ARN", atItem+unsafe.Offsetof(where.item.ARN)),
		text("arn", atItem+unsafe.Offsetof(where.item.lower)),
		text("eventVersion", atItem+unsafe.Offsetof(where.item.version)),
		text("EventId", atItem+unsafe.Offsetof(where.item.id)),
	},
	kindRequest:  requestFields,
	kindResponse: responseFields,
	kindMetadata: metadataFields,
	kindReplica:  replicaFields,
	kindMultiRegion: {
		object("primaryKey", kindPrimary),
	},
	kindPrimary: {
		text("arn", atResponse+unsafe.Offsetof(where.Response.PrimaryARN)),
	},
	kindConstraints: {
		act("encryptionContextSubset", actContext),
		act("encryptionContextEquals", actContext),
		request("sourceArn", unsafe.Offsetof(where.Request.SourceARN)),
	},
}

// byName finds the fields of each kind by their names, for the names that the
// tree has not learned.
var byName = func() (t [kinds]map[string]field) {
	for k, list := range fields {
		t[k] = make(map[string]field, len(list))
		for _, f := range list {
			t[k][f.name] = f
		}
	}
	return t
}()

// field returns what to do with the member called name.
func (k kind) field(name string) field {
	if k == kindContext {
		return field{act: actPair}
	}
	return byName[k][name]
}
