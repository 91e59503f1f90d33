package corpus

// Yardstick is what a program that reads the same fields as Keytrail's
// normalizer declares for encoding/json and its relatives: the fields of a KMS
// event that become attributes, no others, with the tags that spare the decoder
// a search without regard to case. Keytrail is measured against the time that
// encoding/json takes to fill it.
type Yardstick struct {
	EventVersion        string   `json:"eventVersion"`
	EventTime           string   `json:"eventTime"`
	EventSource         string   `json:"eventSource"`
	EventName           string   `json:"eventName"`
	Region              string   `json:"awsRegion"`
	SourceIP            string   `json:"sourceIPAddress"`
	UserAgent           string   `json:"userAgent"`
	ErrorCode           string   `json:"errorCode"`
	ErrorMessage        string   `json:"errorMessage"`
	RequestID           string   `json:"requestID"`
	EventID             string   `json:"eventID"`
	SharedEventID       string   `json:"sharedEventID"`
	EventType           string   `json:"eventType"`
	EventCategory       string   `json:"eventCategory"`
	RecipientAccountID  string   `json:"recipientAccountId"`
	VPCEndpointID       string   `json:"vpcEndpointId"`
	ReadOnly            bool     `json:"readOnly"`
	ManagementEvent     bool     `json:"managementEvent"`
	UserIdentity        Caller   `json:"userIdentity"`
	RequestParameters   Request  `json:"requestParameters"`
	AdditionalEventData Extra    `json:"additionalEventData"`
	Resources           []Target `json:"resources"`
	TLSDetails          TLS      `json:"tlsDetails"`
}

// Caller is userIdentity.
type Caller struct {
	Type           string  `json:"type"`
	PrincipalID    string  `json:"principalId"`
	ARN            string  `json:"arn"`
	AccountID      string  `json:"accountId"`
	AccessKeyID    string  `json:"accessKeyId"`
	UserName       string  `json:"userName"`
	InvokedBy      string  `json:"invokedBy"`
	SessionContext Session `json:"sessionContext"`
}

// Session is userIdentity.sessionContext.
type Session struct {
	SessionIssuer Issuer `json:"sessionIssuer"`
	Attributes    struct {
		CreationDate     string `json:"creationDate"`
		MFAAuthenticated string `json:"mfaAuthenticated"`
	} `json:"attributes"`
}

// Issuer is userIdentity.sessionContext.sessionIssuer.
type Issuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

// Request is requestParameters.
type Request struct {
	KeyID               string            `json:"keyId"`
	EncryptionAlgorithm string            `json:"encryptionAlgorithm"`
	EncryptionContext   map[string]string `json:"encryptionContext"`
}

// Extra is additionalEventData.
type Extra struct {
	KeyMaterialID string `json:"keyMaterialId"`
}

// Target is one entry of resources.
type Target struct {
	ARN       string `json:"ARN"`
	AccountID string `json:"accountId"`
	Type      string `json:"type"`
}

// TLS is tlsDetails.
type TLS struct {
	TLSVersion               string `json:"tlsVersion"`
	CipherSuite              string `json:"cipherSuite"`
	ClientProvidedHostHeader string `json:"clientProvidedHostHeader"`
}
