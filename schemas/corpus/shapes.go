package corpus

import "strings"

// operation is a KMS call, with its share in a thousand and the members that its event
// holds. Members of the request stand in any order, as in real trails; none is
// null. "?" before a member means that half of the calls have it.
type operation struct {
	name             string
	share            int
	write, keyless   bool
	request          []string
	response, extras string
}

var operations = []operation{
	{name: "Decrypt", share: 435, request: []string{`"encryptionAlgorithm":"SYMMETRIC_DEFAULT"`, `"encryptionContext":$X`}},
	{name: "GenerateDataKey", share: 197, request: []string{`"keyId":"$K"`, `?"keySpec":"AES_256"`, `"encryptionContext":$X`}},
	{name: "DescribeKey", share: 81, request: []string{`"keyId":"$k"`}},
	{name: "Encrypt", share: 71, request: []string{`"keyId":"alias/$n"`, `"encryptionAlgorithm":"SYMMETRIC_DEFAULT"`, `"encryptionContext":$X`}},
	{name: "CreateGrant", share: 57, write: true, request: []string{`"keyId":"$K"`, `"granteePrincipal":"arn:$P:sts::$A:assumed-role/aws:ec2-infrastructure/i-0$H"`,
		`?"retiringPrincipal":"ec2.$R.amazonaws.com"`, `"operations":["GenerateDataKeyWithoutPlaintext","Decrypt","ReEncryptFrom","CreateGrant"]`,
		`"constraints":{"encryptionContextSubset":$X}`}, response: `{"grantId":"$D","keyId":"$K"}`},
	{name: "GenerateDataKeyWithoutPlaintext", share: 37, request: []string{`"keyId":"$K"`, `"numberOfBytes":64`, `"encryptionContext":$X`}},
	{name: "RetireGrant", share: 19, write: true, extras: `{"grantId":"$D"}`},
	{name: "ListAliases", share: 15, keyless: true, request: []string{`"limit":1000`, `?"marker":"$D"`}},
	{name: "GetKeyPolicy", share: 15, request: []string{`"keyId":"$k"`, `"policyName":"default"`}},
	{name: "ListGrants", share: 15, request: []string{`"keyId":"$K"`, `"limit":100`}},
	{name: "Sign", share: 15, request: []string{`"keyId":"$K"`, `"signingAlgorithm":"ECDSA_SHA_256"`, `"messageType":"DIGEST"`}},
	{name: "PutKeyPolicy", share: 10, write: true, request: []string{`"keyId":"$k"`, `"policyName":"default"`, policy, `"bypassPolicyLockoutSafetyCheck":false`}},
	{name: "ScheduleKeyDeletion", share: 9, write: true, request: []string{`"keyId":"$k"`, `"pendingWindowInDays":30`},
		response: `{"keyId":"$K","deletionDate":"Feb 21, 2026, 12:00:00 AM","keyState":"PendingDeletion",` +
			`"pendingWindowInDays":30}`},
	{name: "CreateKey", share: 7, write: true, request: []string{`"keySpec":"SYMMETRIC_DEFAULT"`, `"keyUsage":"ENCRYPT_DECRYPT"`, `"origin":"AWS_KMS"`, `"multiRegion":false`, `"description":"key of $W"`, `?` + policy},
		response: `{"keyMetadata":{"aWSAccountId":"$A","keyId":"$k","arn":"$K","creationDate":"Jan 1, 2026, 12:01:02 AM",` +
			`"enabled":true,"keyState":"Enabled","keyManager":"CUSTOMER","multiRegion":false}}`},
	{name: "DisableKey", share: 7, write: true, request: []string{`"keyId":"$k"`}, response: `{"keyId":"$K"}`},
	{name: "ReEncrypt", share: 3, request: []string{`"sourceEncryptionAlgorithm":"SYMMETRIC_DEFAULT"`, `"sourceEncryptionContext":$X`,
		`"destinationKeyId":"$j"`, `"destinationEncryptionContext":$X`}},
	rotation,
}

// rotation is what KMS does by itself: no request, no request id, no caller.
var rotation = operation{name: "RotateKey", share: 7, write: true,
	extras: `{"keyId":"$k","rotationType":"AUTOMATIC","keyOrigin":"AWS_KMS","previousKeyMaterialId":"$D",` +
		`"currentKeyMaterialId":"$D"}`}

const policy = `"policy":"{\n  \"Version\" : \"2012-10-17\",\n  \"Statement\" : [ {\n    \"Sid\" : \"$W\",\n` +
	`    \"Effect\" : \"Allow\",\n    \"Principal\" : { \"AWS\" : \"arn:$P:iam::$A:root\" },\n` +
	`    \"Action\" : \"kms:*\",\n    \"Resource\" : \"*\"\n  } ]\n}"`

// context is an encryption context, by the service that uses it.
type context struct {
	share int
	text  string
}

var contexts = []context{
	{30, `{"aws:s3:arn":"arn:$P:s3:::$n-data/year=2026/month=01/part-$N-$H.snappy.parquet"}`},
	{10, `{"aws:s3:arn":"arn:$P:s3:::$n-data"}`},
	{3, `{"aws:s3:arn":"arn:$P:s3:::$n-data/$W/$W-$N.pdf"}`},
	{14, `{"SecretARN":"arn:$P:secretsmanager:$R:$A:secret:$n-$N","SecretVersionId":"$U"}`},
	{10, `{"PARAMETER_ARN":"arn:$P:ssm:$R:$A:parameter/$n/credentials-$N"}`},
	{9, `{"aws:ebs:id":"vol-0$H"}`},
	{7, `{"aws:lambda:FunctionArn":"arn:$P:lambda:$R:$A:function:$n"}`},
	{5, `{"aws:cloudtrail:arn":"arn:$P:cloudtrail:$R:$A:trail/management","aws:s3:arn":"arn:$P:s3:::trail-$A/AWSLogs/$A/CloudTrail/$R/2026/01/01/$A_CloudTrail_$R_$H.json.gz"}`},
	{5, `{"aws:dynamodb:tableName":"$n","aws:dynamodb:subscriberId":"$A"}`},
	{4, `{"aws:rds:db-id":"db-$H","aws:rds:dbc-id":"cluster-$H"}`},
	{6, `{"app":"$n","tenant":"t-$N","purpose":"$W"}`},
	{2, `{"purpose":"$W","context":"$W","user_uuid":"$U"}`},
	{1, `{}`},
}

// version is an event version and how many in a hundred records have it.
type version struct {
	name  string
	share int
}

var versions = []version{
	{"1.02", 2}, {"1.03", 1}, {"1.04", 1}, {"1.05", 6}, {"1.06", 1}, {"1.07", 2}, {"1.08", 30}, {"1.09", 16}, {"1.10", 14},
	{"1.11", 27},
}

// identity is a userIdentity, with its share in a hundred.
type identity struct {
	share   int
	text    string
	service bool
}

const (
	role = `"type":"AssumedRole","principalId":"AROA$i:$s","arn":"arn:$P:sts::$A:assumed-role/$n/$s","accountId":"$A",` +
		`"accessKeyId":"ASIA$a","sessionContext":`
	issuer = `"sessionIssuer":{"type":"Role","principalId":"AROA$i","arn":"arn:$P:iam::$A:role/$n","accountId":"$A",` +
		`"userName":"$n"}`
	session = `"attributes":{"creationDate":"$c","mfaAuthenticated":"false"}`
	user    = `"principalId":"AIDA$i","arn":"arn:$P:iam::$A:user/$n","accountId":"$A",`
)

var identities = []identity{
	{21, role + `{` + issuer + `,` + session + `}`, false},
	{16, role + `{` + issuer + `,"webIdFederationData":{},` + session + `}`, false},
	{10, role + `{` + session + `,` + issuer + `}`, false},
	{10, role + `{` + issuer + `,"webIdFederationData":{"federatedProvider":"arn:$P:iam::$A:oidc-provider/oidc.eks.$R.amazonaws.com/id/$i","attributes":{}},` + session + `}`, false},
	{5, role + `{` + issuer + `,` + session + `,"sourceIdentity":"$s","ec2RoleDelivery":"2.0"}`, false},
	{23, `"type":"AWSService"`, true},
	{7, `"type":"IAMUser",` + user + `"accessKeyId":"AKIA$a","userName":"$n"`, false},
	{3, `"type":"IAMUser",` + user + `"accessKeyId":"ASIA$a","userName":"$n","sessionContext":{"sessionIssuer":{},"webIdFederationData":{},` + session + `}`, false},
	{2, `"type":"IAMUser",` + user + `"userName":"$n","sessionContext":{` + session + `}`, false},
	{3, `"type":"Root","principalId":"$A","arn":"arn:$P:iam::$A:root","accountId":"$A","accessKeyId":"ASIA$a","sessionContext":{` + session + `}`, false},
}

// compose lists the members of a record of op, in the order of real trails.
func (f *file) compose(op *operation) {
	add := func(list ...string) { f.members = append(f.members, list...) }
	v := f.vars['v']
	rotates := op.name == rotation.name
	who := f.caller.kind
	caller, via := who.text, ""
	switch {
	case rotates:
		caller, via = `"accountId":"$A"`, "AWS Internal"
	case who.service || f.chance(25):
		via = one(f.r, services)
	}
	if via != "" {
		caller += `,"invokedBy":"` + via + `"`
		f.vars['h'], f.vars['g'] = via, via
	}
	add(`"eventVersion":"$v"`, `"userIdentity":{`+caller+`}`, `"eventTime":"$t"`, `"eventSource":"kms.amazonaws.com"`,
		`"eventName":"$o"`, `"awsRegion":"$R"`, `"sourceIPAddress":"$h"`, `"userAgent":"$g"`)
	response, failed := op.response, !rotates && f.chance(3)
	if failed {
		response = ""
		f.failure()
	}
	add(f.request(op), `"responseElements":`+orNull(response))
	switch symmetric := op.name != "Sign" && !op.write && !op.keyless; {
	case op.extras != "" && !rotates:
		add(`"additionalEventData":` + op.extras)
	case v == "1.11" && symmetric && !failed:
		add(`"additionalEventData":{"keyMaterialId":"$D"}`)
	}
	if !rotates {
		add(`"requestID":"$U"`)
	}
	readOnly := `"readOnly":true`
	if op.write {
		readOnly = `"readOnly":false`
	}
	add(`"eventID":"$U"`, readOnly)
	if !op.keyless && !(failed && f.chance(50)) {
		add(f.targets(op, v))
	}
	f.tail(op, via, who.service)
}

// failure adds the error of a call: refused, or about a key that is not there.
func (f *file) failure() {
	if f.chance(80) {
		f.members = append(f.members, `"errorCode":"AccessDenied"`,
			`"errorMessage":"User: arn:$P:sts::$A:assumed-role/$n/$s is not authorized to perform: kms:$o on resource: $K because no identity-based policy allows the kms:$o action"`)
		return
	}
	f.members = append(f.members, `"errorCode":"NotFoundException"`)
	if f.chance(70) {
		f.members = append(f.members, `"errorMessage":"Key '$K' does not exist"`)
	}
}

// request returns requestParameters with its members in some order.
func (f *file) request(op *operation) string {
	var list []string
	for _, m := range op.request {
		m, maybe := strings.CutPrefix(m, "?")
		if !maybe || f.chance(50) {
			list = append(list, m)
		}
	}
	f.r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if len(list) == 0 {
		return `"requestParameters":null`
	}
	return `"requestParameters":{` + strings.Join(list, ",") + `}`
}

func (f *file) targets(op *operation, version string) string {
	switch {
	case version < "1.05":
		return `"resources":[{"ARN":"$K","accountId":"$A"}]`
	case op.name == "ReEncrypt":
		return `"resources":[{"accountId":"$A","type":"AWS::KMS::Key","ARN":"$K"},` +
			`{"accountId":"$A","type":"AWS::KMS::Key","ARN":"arn:$P:kms:$R:$A:key/$j"}]`
	case version < "1.08":
		return `"resources":[{"ARN":"$K","accountId":"$A","type":"AWS::KMS::Key"}]`
	}
	return `"resources":[{"accountId":"$A","type":"AWS::KMS::Key","ARN":"$K"}]`
}

// tail adds what follows resources.
func (f *file) tail(op *operation, via string, service bool) {
	v, rotates := f.vars['v'], op.name == rotation.name
	list := []string{`"eventType":"AwsApiCall"`}
	if rotates {
		list[0] = `"eventType":"AwsServiceEvent"`
	}
	add := func(yes bool, m ...string) {
		if yes {
			list = append(list, m...)
		}
	}
	add(v < "1.08" && f.chance(30), `"apiVersion":"2014-11-01"`)
	older := f.chance(12)
	add(v >= "1.05" && !older, `"managementEvent":true`)
	add(true, `"recipientAccountId":"$A"`)
	add(service || f.chance(2), `"sharedEventID":"$U"`)
	add(rotates, `"serviceEventDetails":`+op.extras)
	if via == "" && f.chance(20) {
		add(true, `"vpcEndpointId":"vpce-0$H"`)
		add(v >= "1.10", `"vpcEndpointAccountId":"$A"`)
	}
	add(v >= "1.05" && older, `"managementEvent":true`)
	add(v >= "1.07", `"eventCategory":"Management"`)
	add(via == "" && v >= "1.08", one(f.r, tls))
	add(via == "" && v >= "1.08" && f.chance(4), `"sessionCredentialFromConsole":"true"`)
	f.members = append(f.members, list...)
}

func orNull(value string) string {
	if value == "" {
		return "null"
	}
	return value
}
