package generate

import (
	"strconv"
	"strings"
	"time"
)

// operation is one API call and the parts of its event besides who and when. The
// functions append one JSON value; nil means null or nothing.
type operation struct {
	name       string
	crypto     bool // uses the key material: read-only, and fails while the key is disabled
	readOnly   bool
	keyless    bool // names no KMS key
	cloudTrail bool // a call to CloudTrail, not to KMS
	request    func(dst []byte, c *call) []byte
	response   func(dst []byte, c *call) []byte
	extra      func(dst []byte, c *call) []byte // additionalEventData
}

// The operations of the background and of the attacks.
var (
	opDecrypt      = &operation{name: "Decrypt", crypto: true, readOnly: true, request: decryptRequest}
	opEncrypt      = &operation{name: "Encrypt", crypto: true, readOnly: true, request: encryptRequest}
	opDataKey      = &operation{name: "GenerateDataKey", crypto: true, readOnly: true, request: dataKeyRequest}
	opDataKeyBlind = &operation{name: "GenerateDataKeyWithoutPlaintext", crypto: true, readOnly: true,
		request: dataKeyBlindRequest}
	opDataKeyPair = &operation{name: "GenerateDataKeyPair", crypto: true, readOnly: true, request: dataKeyPairRequest}
	opReEncrypt   = &operation{name: "ReEncrypt", crypto: true, readOnly: true, request: reEncryptRequest}
	opSign        = &operation{name: "Sign", crypto: true, readOnly: true, request: signRequest}
	opVerify      = &operation{name: "Verify", crypto: true, readOnly: true, request: signRequest}
	opMAC         = &operation{name: "GenerateMac", crypto: true, readOnly: true, request: macRequest}
	opVerifyMAC   = &operation{name: "VerifyMac", crypto: true, readOnly: true, request: macRequest}
	opRandom      = &operation{name: "GenerateRandom", readOnly: true, keyless: true,
		request: fixed(`{"numberOfBytes":32}`)}
	opCreateGrant = &operation{name: "CreateGrant", request: createGrantRequest, response: createGrantResponse}
	opRetireGrant = &operation{name: "RetireGrant", extra: grantExtra}
	opDescribe    = &operation{name: "DescribeKey", readOnly: true, request: keyRequest}
	opPublicKey   = &operation{name: "GetPublicKey", readOnly: true, request: keyRequest}
	opGetPolicy   = &operation{name: "GetKeyPolicy", readOnly: true, request: policyRequest}
	opGetRotation = &operation{name: "GetKeyRotationStatus", readOnly: true, request: keyRequest}
	opListGrants  = &operation{name: "ListGrants", readOnly: true, request: keyRequest}
	opListAliases = &operation{name: "ListAliases", readOnly: true, keyless: true, request: fixed(`{"limit":1000}`)}
	opListKeys    = &operation{name: "ListKeys", readOnly: true, keyless: true, request: fixed(`{"limit":1000}`)}
	opTag         = &operation{name: "TagResource", request: tagRequest, response: keyResponse}
	opRotationOn  = &operation{name: "EnableKeyRotation", request: keyRequest, response: keyResponse}
	opRotationOff = &operation{name: "DisableKeyRotation", request: keyRequest, response: keyResponse}
	opRotate      = &operation{name: "RotateKey"}
	opSynchronize = &operation{name: "SynchronizeMultiRegionKey", response: keyResponse}
	opLookup      = &operation{name: "LookupEvents", readOnly: true, keyless: true, cloudTrail: true,
		request: fixed(`{"maxResults":50}`)}
	opTrails = &operation{name: "DescribeTrails", readOnly: true, keyless: true, cloudTrail: true,
		request: fixed(`{"includeShadowTrails":false}`)}

	opDisable        = &operation{name: "DisableKey", request: keyRequest, response: keyResponse}
	opEnable         = &operation{name: "EnableKey", request: keyRequest, response: keyResponse}
	opDelete         = &operation{name: "ScheduleKeyDeletion"}
	opCancelDeletion = &operation{name: "CancelKeyDeletion", request: keyRequest, response: keyResponse}
	opPutPolicy      = &operation{name: "PutKeyPolicy"}
	opSelectors      = &operation{name: "PutEventSelectors", keyless: true, cloudTrail: true}
	opStopLogging    = &operation{name: "StopLogging", keyless: true, cloudTrail: true}
	opStartLogging   = &operation{name: "StartLogging", keyless: true, cloudTrail: true}
)

// weighted is an operation and its share of an edge's calls, in percent.
type weighted struct {
	op      *operation
	percent int
}

// mixes are the operations of programs, by the purpose of the key.
var mixes = map[purpose][]weighted{
	forCustom: {{opDecrypt, 48}, {opEncrypt, 20}, {opDataKey, 22}, {opReEncrypt, 4}, {opDescribe, 3},
		{opDataKeyPair, 1}, {opRandom, 2}},
	forS3:      {{opDecrypt, 74}, {opDataKey, 26}},
	forSSM:     {{opDecrypt, 94}, {opEncrypt, 6}},
	forSecrets: {{opDecrypt, 88}, {opDataKey, 10}, {opDescribe, 2}},
	forEBS:     {{opDecrypt, 76}, {opDataKeyBlind, 8}, {opCreateGrant, 8}, {opRetireGrant, 8}},
	forLambda:  {{opDecrypt, 98}, {opDescribe, 2}},
	forTrail:   {{opDecrypt, 97}, {opDescribe, 3}},
	forSigning: {{opSign, 72}, {opVerify, 20}, {opPublicKey, 8}},
	forMAC:     {{opMAC, 60}, {opVerifyMAC, 40}},
}

// adminMix are the operations of key administrators, serviceMix those of services.
var (
	adminMix = []weighted{
		{opDescribe, 34}, {opListAliases, 16}, {opListGrants, 12}, {opGetPolicy, 12}, {opGetRotation, 12},
		{opListKeys, 6}, {opTag, 1}, {opRotationOn, 1}, {opLookup, 4}, {opTrails, 2},
	}
	serviceMix = []weighted{{opDecrypt, 55}, {opDataKey, 45}}
)

// choose draws the operation of one of the edge's calls.
func (e *edge) choose(r random) *operation {
	mix := mixes[e.key.purpose]
	switch {
	case e.who.kind == isInternal && strings.HasPrefix(e.key.id, "mrk-"):
		return opSynchronize
	case e.who.kind == isInternal:
		return opRotate
	case e.who.kind == isService && e.who.service == services[0]:
		return opDataKey // CloudTrail itself encrypts its files and never decrypts
	case e.who.kind == isService:
		mix = serviceMix
	case e.admin:
		mix = adminMix
	}
	n := r.IntN(100)
	for _, w := range mix {
		if n -= w.percent; n < 0 {
			if w.op == opReEncrypt && e.key.partner == nil {
				return opDecrypt
			}
			return w.op
		}
	}
	return mix[0].op
}

// use returns the operation with which a key of this purpose reveals data.
func (k *kmsKey) use() *operation {
	switch k.purpose {
	case forSigning:
		return opSign
	case forMAC:
		return opMAC
	}
	return opDecrypt
}

// fixed returns a part with constant JSON.
func fixed(json string) func([]byte, *call) []byte {
	return func(dst []byte, _ *call) []byte { return append(dst, json...) }
}

func decryptRequest(dst []byte, c *call) []byte {
	dst = append(dst, `{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":`...)
	return append(appendContext(dst, c), '}')
}

func encryptRequest(dst []byte, c *call) []byte {
	dst = appendKeyID(append(dst, '{'), c)
	dst = append(dst, `"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":`...)
	return append(appendContext(dst, c), '}')
}

func dataKeyRequest(dst []byte, c *call) []byte {
	dst = append(appendKeyID(append(dst, '{'), c), `"encryptionContext":`...)
	return append(appendContext(dst, c), `,"keySpec":"AES_256"}`...)
}

func dataKeyBlindRequest(dst []byte, c *call) []byte {
	dst = append(appendContext(append(dst, `{"encryptionContext":`...), c), ',')
	return append(appendKeyID(dst, c), `"numberOfBytes":64}`...)
}

func dataKeyPairRequest(dst []byte, c *call) []byte {
	dst = append(appendKeyID(append(dst, `{"keyPairSpec":"ECC_NIST_P256",`...), c), `"encryptionContext":`...)
	return append(appendContext(dst, c), '}')
}

func reEncryptRequest(dst []byte, c *call) []byte {
	dst = append(dst, `{"sourceEncryptionAlgorithm":"SYMMETRIC_DEFAULT","sourceEncryptionContext":`...)
	dst = append(appendContext(dst, c), `,"destinationKeyId":"`...)
	dst = append(dst, c.key.partner.id...)
	dst = append(dst, `","destinationEncryptionAlgorithm":"SYMMETRIC_DEFAULT","destinationEncryptionContext":`...)
	return append(appendContext(dst, c), '}')
}

func signRequest(dst []byte, c *call) []byte {
	return append(appendKeyID(append(dst, `{"messageType":"DIGEST",`...), c), `"signingAlgorithm":"ECDSA_SHA_256"}`...)
}

func macRequest(dst []byte, c *call) []byte {
	return closeObject(appendKeyID(append(dst, `{"macAlgorithm":"HMAC_SHA_256",`...), c))
}

func keyRequest(dst []byte, c *call) []byte { return closeObject(appendKeyID(append(dst, '{'), c)) }

func policyRequest(dst []byte, c *call) []byte {
	return append(appendKeyID(append(dst, '{'), c), `"policyName":"default"}`...)
}

func tagRequest(dst []byte, c *call) []byte {
	return append(appendKeyID(append(dst, '{'), c), `"tags":[{"tagKey":"owner","tagValue":"platform"}]}`...)
}

func keyResponse(dst []byte, c *call) []byte {
	return closeObject(appendField(append(dst, '{'), "keyId", c.key.arn))
}

// createGrantRequest is EC2's grant for an encrypted volume.
func createGrantRequest(dst []byte, c *call) []byte {
	dst = append(appendKeyID(append(dst, '{'), c), `"granteePrincipal":"arn:`...)
	dst = append(append(dst, c.key.partition...), `:sts::`...)
	dst = append(append(dst, c.key.account...), `:assumed-role/aws:ec2-infrastructure/i-`...)
	dst = append(appendHex(dst, uint64(c.object)^c.who.seed, 17),
		`","operations":["GenerateDataKeyWithoutPlaintext","Decrypt","CreateGrant"],`...)
	dst = append(dst, `"constraints":{"encryptionContextSubset":`...)
	return append(appendContext(dst, c), "}}"...)
}

func createGrantResponse(dst []byte, c *call) []byte {
	dst = append(appendHex(append(dst, `{"grantId":"`...), c.id[0], 64), `",`...)
	return closeObject(appendField(dst, "keyId", c.key.arn))
}

func grantExtra(dst []byte, c *call) []byte {
	return append(appendHex(append(dst, `{"grantId":"`...), c.id[0], 64), `"}`...)
}

// appendKeyID appends keyId in the call's form, and a comma.
func appendKeyID(dst []byte, c *call) []byte {
	dst = append(dst, `"keyId":"`...)
	switch c.form {
	case byID:
		dst = append(dst, c.key.id...)
	case byAlias:
		dst = append(dst, c.key.alias...)
	case byAliasARN:
		dst = append(dst, c.key.arn[:len(c.key.arn)-len("key/")-len(c.key.id)]...)
		dst = append(dst, c.key.alias...)
	default:
		dst = append(dst, c.key.arn...)
	}
	return append(dst, `",`...)
}

// appendContext appends the encryption context of the call's object.
func appendContext(dst []byte, c *call) []byte {
	k := c.key
	arn := func(dst []byte, name, service, account string) []byte {
		dst = append(append(append(dst, '"'), name...), `":"arn:`...)
		dst = append(append(append(dst, k.partition...), ':'), service...)
		if service == "s3" {
			return append(dst, ":::"...)
		}
		return append(append(append(append(append(dst, ':'), k.region...), ':'), account...), ':')
	}
	dst = append(dst, '{')
	if c.who.kind == isService {
		dst = append(append(append(dst, '"'), c.who.service.context...), `":"arn:`...)
		dst = append(append(dst, k.partition...), ':')
		dst = append(appendTarget(dst, c), '"')
		if k.purpose == forTrail {
			dst = append(appendLogFile(arn(append(dst, ','), "aws:s3:arn", "s3", ""), c), '"')
		}
		return append(dst, '}')
	}
	switch k.purpose {
	case forS3:
		dst = append(append(arn(dst, "aws:s3:arn", "s3", ""), k.project...), "-data"...)
		if !k.bucketKeys {
			dst = append(appendPadded(append(append(append(dst, "/objects/"...), k.project...), '-'), c.object, 6),
				".parquet"...)
		}
	case forSSM:
		dst = append(append(arn(dst, "PARAMETER_ARN", "ssm", k.account), "parameter/"...), k.project...)
		dst = strconv.AppendInt(append(dst, "/credentials/c-"...), int64(c.object), 10)
	case forSecrets:
		dst = append(append(arn(dst, "SecretARN", "secretsmanager", k.account), "secret:"...), k.project...)
		dst = append(strconv.AppendInt(append(dst, "/s-"...), int64(c.object), 10), '-')
		dst = append(appendBase32(dst, uint64(c.object), 6), `","SecretVersionId":"`...)
		dst = appendUUID(dst, uuid{mix(uint64(c.object)), mix(uint64(c.object) + 1)})
	case forEBS:
		dst = appendHex(append(dst, `"aws:ebs:id":"vol-0`...), uint64(c.object)^c.who.seed, 16)
	case forLambda:
		dst = append(append(arn(dst, "aws:lambda:FunctionArn", "lambda", k.account), "function:"...), c.who.name...)
	case forTrail:
		dst = append(arn(dst, "aws:cloudtrail:arn", "cloudtrail", k.account), `trail/management-events",`...)
		dst = appendLogFile(arn(dst, "aws:s3:arn", "s3", ""), c)
	default:
		dst = append(append(append(dst, `"app":"`...), k.project...), `","tenant":"t-`...)
		dst = appendPadded(dst, c.object, 4)
	}
	return append(dst, `"}`...)
}

// appendTarget appends a service's target with its placeholders replaced.
func appendTarget(dst []byte, c *call) []byte {
	target := c.who.service.target
	for i := range len(target) {
		switch target[i] {
		case 'R':
			dst = append(dst, c.key.region...)
		case 'A':
			dst = append(dst, c.key.account...)
		case 'N':
			dst = strconv.AppendInt(dst, int64(c.object), 10)
		default:
			dst = append(dst, target[i])
		}
	}
	return dst
}

// appendLogFile appends the bucket and name of one of CloudTrail's files.
func appendLogFile(dst []byte, c *call) []byte {
	k, at := c.key, time.Unix(c.at-c.at%300-int64(c.object)*300, 0).UTC()
	dst = append(append(append(dst, "trail-"...), k.account...), "/AWSLogs/"...)
	dst = append(append(append(append(dst, k.account...), "/CloudTrail/"...), k.region...), '/')
	dst = append(at.AppendFormat(dst, "2006/01/02/"), k.account...)
	dst = append(append(append(dst, "_CloudTrail_"...), k.region...), '_')
	dst = at.AppendFormat(dst, "20060102T1504Z_")
	return append(appendBase32(dst, k.seed^uint64(at.Unix()), 16), ".json.gz"...)
}
