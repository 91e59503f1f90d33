package generate

import (
	"strconv"
	"time"
)

const timeForm = "2006-01-02T15:04:05Z"

// sessionHours is the lifetime of a role's credentials, by flavor.
var sessionHours = [...]int64{onInstance: 6, inFunction: 4, inPod: 1, byPerson: 8}

// session returns when the credentials began that the principal uses at a Unix second.
func (p *principal) session(second int64) int64 {
	length := sessionHours[p.flavor] * 3600
	shift := int64(p.seed % uint64(length))
	return second - (second+shift)%length
}

// appendSessionName appends the session's name: who or what assumed the role.
func appendSessionName(dst []byte, p *principal, began int64) []byte {
	switch p.flavor {
	case onInstance:
		return appendHex(append(dst, "i-0"...), p.seed+uint64(began/86400), 16)
	case inFunction:
		return append(dst, p.name...)
	case inPod:
		return strconv.AppendInt(append(dst, "botocore-session-"...), began, 10)
	}
	n := int(p.seed % uint64(len(firstNames)*len(lastNames)))
	dst = append(append(dst, firstNames[n%len(firstNames)]...), '.')
	return append(append(dst, lastNames[n/len(firstNames)]...), "@example.com"...)
}

// appendIdentity appends userIdentity and a comma, in the form for the recipient account.
func appendIdentity(dst []byte, c *call, recipient string) []byte {
	p := c.who
	began := p.session(c.at)
	dst = append(dst, `"userIdentity":{`...)
	switch {
	case p.kind == isService:
		dst = appendField(append(dst, `"type":"AWSService",`...), "invokedBy", p.service.name)
		return append(closeObject(dst), ',')
	case p.kind == isInternal:
		dst = appendField(dst, "accountId", recipient)
		return append(closeObject(appendField(dst, "invokedBy", internalName)), ',')
	case recipient != p.account: // the key's owner sees the account and the unique id
		dst = append(dst, `"type":"AWSAccount","principalId":"`...)
		dst = append(appendSessionName(append(append(dst, p.uniqueID...), ':'), p, began), `",`...)
		return append(closeObject(appendField(dst, "accountId", p.account)), ',')
	case p.kind == isRole:
		dst = appendRole(dst, p, began)
	case p.kind == isUser:
		dst = appendUser(dst, p, began, c.via() != "" || p.console())
	case p.kind == isFederated:
		dst = appendFederated(dst, p, began)
	default:
		dst = appendCaller(dst, p, "Root", began)
		dst = appendAttributes(append(dst, `"sessionContext":{`...), began, true)
		dst = append(dst, "},"...)
	}
	if via := c.via(); via != "" {
		dst = appendField(dst, "invokedBy", via)
	}
	return append(closeObject(dst), ',')
}

// appendCaller appends the fields common to all identities with an ARN.
func appendCaller(dst []byte, p *principal, kind string, began int64) []byte {
	dst = appendField(dst, "type", kind)
	dst = appendField(dst, "principalId", p.uniqueID)
	dst = appendField(dst, "arn", p.arn)
	dst = appendField(dst, "accountId", p.account)
	return append(appendBase32(append(dst, `"accessKeyId":"ASIA`...), p.seed^uint64(began), 16), `",`...)
}

// appendAttributes appends the attributes of a session.
func appendAttributes(dst []byte, began int64, mfa bool) []byte {
	dst = append(dst, `"attributes":{"creationDate":"`...)
	dst = time.Unix(began, 0).UTC().AppendFormat(dst, timeForm)
	return append(strconv.AppendBool(append(dst, `","mfaAuthenticated":"`...), mfa), `"}`...)
}

// appendIssuer appends the sessionIssuer of a session.
func appendIssuer(dst []byte, kind, uniqueID, arn, account, name string) []byte {
	dst = appendField(append(dst, `"sessionIssuer":{`...), "type", kind)
	dst = appendField(dst, "principalId", uniqueID)
	dst = appendField(dst, "arn", arn)
	dst = appendField(dst, "accountId", account)
	return append(closeObject(appendField(dst, "userName", name)), ',')
}

// appendRole appends the identity of an assumed role.
func appendRole(dst []byte, p *principal, began int64) []byte {
	part := partitionOf(p.arn)
	dst = append(append(append(dst, `"type":"AssumedRole","principalId":"`...), p.uniqueID...), ':')
	dst = append(appendSessionName(dst, p, began), `","arn":"arn:`...)
	dst = append(append(append(append(dst, part...), ":sts::"...), p.account...), ":assumed-role/"...)
	dst = append(append(dst, p.name...), '/')
	dst = append(appendSessionName(dst, p, began), `",`...)
	dst = appendField(dst, "accountId", p.account)
	dst = append(appendBase32(append(dst, `"accessKeyId":"ASIA`...), p.seed^uint64(began), 16), `","sessionContext":{`...)
	dst = appendIssuer(dst, "Role", p.uniqueID, p.arn, p.account, p.name)
	switch {
	case p.flavor == inPod:
		dst = append(append(dst, `"webIdFederationData":{"federatedProvider":"arn:`...), part...)
		dst = append(append(append(dst, ":iam::"...), p.account...), ":oidc-provider/oidc.eks.amazonaws.com/id/"...)
		dst = append(appendBase32(dst, p.seed&3, 32), `","attributes":{}},`...)
	case p.version < "1.10": // older versions write it although empty
		dst = append(dst, `"webIdFederationData":{},`...)
	}
	return append(appendAttributes(dst, began, false), "},"...)
}

// appendUser appends the identity of an IAM user. Calls from the console and by a service
// on the user's behalf have a session with an empty issuer.
func appendUser(dst []byte, p *principal, began int64, session bool) []byte {
	if session {
		dst = appendField(appendCaller(dst, p, "IAMUser", began), "userName", p.name)
		dst = append(dst, `"sessionContext":{"sessionIssuer":{},"webIdFederationData":{},`...)
		return append(appendAttributes(dst, began, false), "},"...)
	}
	dst = append(dst, `"type":"IAMUser",`...)
	dst = appendField(dst, "principalId", p.uniqueID)
	dst = appendField(dst, "arn", p.arn)
	dst = appendField(dst, "accountId", p.account)
	dst = append(appendBase32(append(dst, `"accessKeyId":"AKIA`...), p.seed, 16), `",`...)
	return appendField(dst, "userName", p.name)
}

// appendFederated appends the identity of a user of GetFederationToken.
func appendFederated(dst []byte, p *principal, began int64) []byte {
	dst = append(appendCaller(dst, p, "FederatedUser", began), `"sessionContext":{`...)
	issuer := "arn:" + partitionOf(p.arn) + ":iam::" + p.account + ":user/federation-proxy"
	dst = appendIssuer(dst, "IAMUser", "AIDA"+string(appendBase32(nil, p.seed&3, 17)), issuer,
		p.account, "federation-proxy")
	return append(appendAttributes(dst, began, false), "},"...)
}

// partitionOf returns the partition of an ARN.
func partitionOf(arn string) string {
	arn = arn[len("arn:"):]
	for i := range len(arn) {
		if arn[i] == ':' {
			return arn[:i]
		}
	}
	return arn
}
