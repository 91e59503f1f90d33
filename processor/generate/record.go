package generate

import (
	"strings"
	"time"
)

// call is one API call; records is the number of its records.
type call struct {
	at     int64 // Unix seconds
	who    *principal
	key    *kmsKey // nil if the operation names none and the principal's account suffices
	op     *operation
	object int // which of the edge's encryption contexts
	form   keyForm
	direct bool     // direct to KMS although the key's purpose goes through a service
	err    *failure // nil: it succeeded
	// request and response replace the operation's own JSON when not empty.
	request, response string
	// id is the call's id: the sharedEventID if there is one, else the eventID.
	id, requestID uuid
}

// failure is why a call fails.
type failure struct {
	code    string
	message string // with placeholders $user, $action and $key; "" for none
}

// The failures of the background and of the attacks.
var (
	errDenied = &failure{"AccessDenied", "User: $user is not authorized to perform: $action on resource: $key " +
		"because no resource-based policy allows the $action action"}
	errCiphertext = &failure{"InvalidCiphertextException", ""}
	errThrottled  = &failure{"ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce " +
		"the frequency of your calls."}
	errTimeout = &failure{"DependencyTimeoutException", "The system timed out while trying to fulfill the request."}
	errState   = &failure{"KMSInvalidStateException", "$key is pending deletion."}
)

// backgroundFailures are the failures of the 1 % of calls that fail, in turn.
var backgroundFailures = []*failure{errDenied, errDenied, errDenied, errCiphertext, errCiphertext,
	errThrottled, errTimeout}

// via returns the service that calls on the principal's behalf, or "".
func (c *call) via() string {
	switch {
	case c.who.kind == isService:
		return c.who.service.name
	case c.who.kind == isInternal:
		return internalName
	case c.direct || c.key == nil || c.op.keyless || !c.op.crypto && c.op != opCreateGrant && c.op != opRetireGrant:
		return ""
	}
	switch c.key.purpose {
	case forSecrets:
		return "secretsmanager.amazonaws.com"
	case forLambda:
		return "lambda.amazonaws.com"
	case forS3, forSSM, forEBS, forTrail:
		return internalName
	}
	return ""
}

// recipients returns the accounts that record the call: the caller's, and then the key
// owner's if that is another one and the call succeeded. Accounts without a trail are
// omitted.
func (c *call) recipients() (accounts [2]string, n int) {
	switch {
	case c.who.account == "" || c.who.kind == isForeign:
		return [2]string{c.key.account}, 1
	case c.key != nil && c.key.account != c.who.account && c.err == nil:
		return [2]string{c.who.account, c.key.account}, 2
	}
	return [2]string{c.who.account}, 1
}

// shared reports whether the records carry a sharedEventID. Those of services do, though
// only one account gets them.
func (c *call) shared() bool {
	_, n := c.recipients()
	return n > 1 || c.who.kind == isService || c.who.kind == isForeign
}

// region returns where the call was made.
func (c *call) region(home string) string {
	if c.key != nil {
		return c.key.region
	}
	return home
}

// appendRecord appends the call's event in the recipient's trail. The order of fields is
// that of real trails.
func appendRecord(dst []byte, c *call, recipient, region string, eventID uuid) []byte {
	p, via := c.who, c.via()
	dst = appendField(append(dst, '{'), "eventVersion", p.version)
	dst = appendIdentity(dst, c, recipient)
	dst = append(dst, `"eventTime":"`...)
	dst = append(time.Unix(c.at, 0).UTC().AppendFormat(dst, timeForm), `",`...)
	source := "kms.amazonaws.com"
	if c.op.cloudTrail {
		source = "cloudtrail.amazonaws.com"
	}
	dst = appendField(dst, "eventSource", source)
	dst = appendField(dst, "eventName", c.op.name)
	dst = appendField(dst, "awsRegion", region)
	if via != "" {
		dst = appendField(appendField(dst, "sourceIPAddress", via), "userAgent", via)
	} else {
		dst = append(p.appendAddress(append(dst, `"sourceIPAddress":"`...), c.at), `",`...)
		dst = appendField(dst, "userAgent", p.client(c.at))
	}
	dst = appendOutcome(dst, c)
	dst = appendParts(dst, c)
	if c.op != opRotate {
		dst = append(appendUUID(append(dst, `"requestID":"`...), c.requestID), `",`...)
	}
	dst = append(appendUUID(append(dst, `"eventID":"`...), eventID), `",`...)
	dst = appendBool(dst, "readOnly", c.op.readOnly)
	dst = appendResources(dst, c)
	if c.op == opRotate {
		dst = appendField(dst, "eventType", "AwsServiceEvent")
	} else {
		dst = appendField(dst, "eventType", "AwsApiCall")
	}
	dst = appendField(appendBool(dst, "managementEvent", true), "recipientAccountId", recipient)
	dst = appendTail(dst, c, source, region, recipient)
	return closeObject(dst)
}

// appendOutcome appends errorCode and errorMessage of a call that failed.
func appendOutcome(dst []byte, c *call) []byte {
	if c.err == nil {
		return dst
	}
	dst = appendField(dst, "errorCode", c.err.code)
	if c.err.message == "" {
		return dst
	}
	user := c.who.arn
	if c.who.kind == isRole {
		name := appendSessionName(nil, c.who, c.who.session(c.at))
		user = "arn:" + partitionOf(user) + ":sts::" + c.who.account + ":assumed-role/" + c.who.name + "/" + string(name)
	}
	key := "*"
	if c.key != nil {
		key = c.key.arn
	}
	return appendField(dst, "errorMessage",
		strings.NewReplacer("$user", user, "$action", "kms:"+c.op.name, "$key", key).Replace(c.err.message))
}

// appendParts appends requestParameters, responseElements and
// additionalEventData.
func appendParts(dst []byte, c *call) []byte {
	part := func(name, planted string, build func([]byte, *call) []byte) {
		dst = appendName(dst, name)
		switch {
		case planted != "":
			dst = append(dst, planted...)
		case build != nil:
			dst = build(dst, c)
		default:
			dst = append(dst, "null"...)
		}
		dst = append(dst, ',')
	}
	part("requestParameters", c.request, c.op.request)
	if c.err == nil {
		part("responseElements", c.response, c.op.response)
	} else {
		part("responseElements", "", nil)
	}
	symmetric := c.key != nil && c.key.purpose != forSigning && c.key.purpose != forMAC
	switch {
	case c.op.extra != nil:
		part("additionalEventData", "", c.op.extra)
	case c.op.crypto && symmetric && c.err == nil && c.who.version >= "1.11":
		dst = appendField(append(dst, `"additionalEventData":{`...), "keyMaterialId", c.key.material)
		dst = append(closeObject(dst), ',')
	}
	return dst
}

// appendResources appends resources: the KMS keys of the call. Calls without a key have
// none, and neither has a refused call.
func appendResources(dst []byte, c *call) []byte {
	if c.key == nil || c.op.keyless || c.err == errDenied && c.key.account != c.who.account {
		return dst
	}
	keys := []*kmsKey{c.key}
	if c.op == opReEncrypt {
		keys = append(keys, c.key.partner)
	}
	dst = append(dst, `"resources":[`...)
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendField(append(dst, '{'), "accountId", k.account)
		dst = appendField(append(dst, `"type":"AWS::KMS::Key",`...), "ARN", k.arn)
		dst = closeObject(dst)
	}
	return append(dst, "],"...)
}

// appendTail appends the fields after recipientAccountId.
func appendTail(dst []byte, c *call, source, region, recipient string) []byte {
	p, via := c.who, c.via()
	if c.shared() {
		dst = append(appendUUID(append(dst, `"sharedEventID":"`...), c.id), `",`...)
	}
	if c.op == opRotate {
		dst = append(dst, `"serviceEventDetails":{"rotationType":"AUTOMATIC","keyOrigin":"AWS_KMS",`...)
		dst = append(appendHex(append(dst, `"previousKeyMaterialId":"`...), c.id[0], 64), `",`...)
		dst = appendField(dst, "currentKeyMaterialId", c.key.material)
		dst = append(closeObject(appendField(dst, "keyId", c.key.id)), ',')
	}
	if p.endpoint != "" && recipient == p.account && (via == "" || via == "secretsmanager.amazonaws.com") {
		dst = appendField(dst, "vpcEndpointId", p.endpoint)
		if p.version >= "1.11" {
			dst = appendField(dst, "vpcEndpointAccountId", p.account)
		}
	}
	dst = append(dst, `"eventCategory":"Management",`...)
	if via != "" {
		return dst
	}
	host := strings.TrimSuffix(source, "amazonaws.com") + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	dst = append(dst, `"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256",`...)
	dst = append(closeObject(appendField(dst, "clientProvidedHostHeader", host)), ',')
	if p.console() {
		dst = appendField(dst, "sessionCredentialFromConsole", "true")
	}
	return dst
}
