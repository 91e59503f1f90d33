package main

import (
	"fmt"
	"slices"
	"strings"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/corpus"
)

// leaf is a text field of the yardstick.
type leaf uint8

const (
	noLeaf leaf = iota
	eventVersion
	eventTime
	eventSource
	eventName
	awsRegion
	sourceIP
	userAgent
	errorCode
	errorMessage
	requestID
	eventID
	sharedEventID
	eventType
	eventCategory
	recipient
	vpcEndpoint
	readOnly // "true" or "false", like the next
	management
	callerType
	callerPrincipal
	callerARN
	callerAccount
	callerAccessKey
	callerName
	invokedBy
	issuerType
	issuerPrincipal
	issuerARN
	issuerAccount
	issuerName
	sessionCreated
	sessionMFA
	keyID
	algorithm
	keyMaterial
	tlsVersion
	tlsCipher
	tlsHost
	targetARN // of the current entry of resources, like the next two
	targetAccount
	targetType
	contextValue // of the current entry of the encryption context
	leaves
)

// node is an object or list with fields of the yardstick.
type node uint8

const (
	other node = iota // skipped
	top
	caller
	session
	issuer
	attributes
	request
	context
	extra
	targets
	target
	tls
)

// member returns the field, or the object with fields, of an object's member name. All
// hand-written readers share it, so they differ only in their parsers.
func member(in node, name string) (leaf, node) {
	switch in {
	case top:
		return topMember(name)
	case caller:
		return callerMember(name)
	case session:
		switch name {
		case "sessionIssuer":
			return noLeaf, issuer
		case "attributes":
			return noLeaf, attributes
		}
	case issuer:
		return issuerMember(name)
	case attributes:
		switch name {
		case "creationDate":
			return sessionCreated, other
		case "mfaAuthenticated":
			return sessionMFA, other
		}
	case context:
		return contextValue, other
	case request, extra, target, tls:
		return partMember(in, name)
	}
	return noLeaf, other
}

func topMember(name string) (leaf, node) {
	switch name {
	case "eventVersion":
		return eventVersion, other
	case "eventTime":
		return eventTime, other
	case "eventSource":
		return eventSource, other
	case "eventName":
		return eventName, other
	case "awsRegion":
		return awsRegion, other
	case "sourceIPAddress":
		return sourceIP, other
	case "userAgent":
		return userAgent, other
	case "errorCode":
		return errorCode, other
	case "errorMessage":
		return errorMessage, other
	case "requestID":
		return requestID, other
	case "eventID":
		return eventID, other
	case "sharedEventID":
		return sharedEventID, other
	case "eventType":
		return eventType, other
	case "eventCategory":
		return eventCategory, other
	case "recipientAccountId":
		return recipient, other
	case "vpcEndpointId":
		return vpcEndpoint, other
	case "readOnly":
		return readOnly, other
	case "managementEvent":
		return management, other
	case "userIdentity":
		return noLeaf, caller
	case "requestParameters":
		return noLeaf, request
	case "additionalEventData":
		return noLeaf, extra
	case "resources":
		return noLeaf, targets
	case "tlsDetails":
		return noLeaf, tls
	}
	return noLeaf, other
}

func callerMember(name string) (leaf, node) {
	switch name {
	case "type":
		return callerType, other
	case "principalId":
		return callerPrincipal, other
	case "arn":
		return callerARN, other
	case "accountId":
		return callerAccount, other
	case "accessKeyId":
		return callerAccessKey, other
	case "userName":
		return callerName, other
	case "invokedBy":
		return invokedBy, other
	case "sessionContext":
		return noLeaf, session
	}
	return noLeaf, other
}

func issuerMember(name string) (leaf, node) {
	switch name {
	case "type":
		return issuerType, other
	case "principalId":
		return issuerPrincipal, other
	case "arn":
		return issuerARN, other
	case "accountId":
		return issuerAccount, other
	case "userName":
		return issuerName, other
	}
	return noLeaf, other
}

func partMember(in node, name string) (leaf, node) {
	switch {
	case in == request && name == "keyId":
		return keyID, other
	case in == request && name == "encryptionAlgorithm":
		return algorithm, other
	case in == request && name == "encryptionContext":
		return noLeaf, context
	case in == extra && name == "keyMaterialId":
		return keyMaterial, other
	case in == target && name == "ARN":
		return targetARN, other
	case in == target && name == "accountId":
		return targetAccount, other
	case in == target && name == "type":
		return targetType, other
	case in == tls && name == "tlsVersion":
		return tlsVersion, other
	case in == tls && name == "cipherSuite":
		return tlsCipher, other
	case in == tls && name == "clientProvidedHostHeader":
		return tlsHost, other
	}
	return noLeaf, other
}

// fields is a reader's result for one record. Texts are views into the record or into the
// reader's memory.
type fields struct {
	text    [leaves]string
	context []cloudtrail.KV
	targets []cloudtrail.Target
}

func (f *fields) reset() { *f = fields{context: f.context[:0], targets: f.targets[:0]} }

// set stores a text under its name.
func (f *fields) set(l leaf, name, text string) {
	switch l {
	case contextValue:
		f.context = append(f.context, cloudtrail.KV{Key: name, Value: text})
	case targetARN:
		f.targets[len(f.targets)-1].ARN = text
	case targetAccount:
		f.targets[len(f.targets)-1].Account = text
	case targetType:
		f.targets[len(f.targets)-1].Type = text
	default:
		f.text[l] = text
	}
}

// same returns the difference between two results, or "".
func (f *fields) same(g *fields) string {
	for l := range leaves {
		if f.text[l] != g.text[l] {
			return fmt.Sprintf("field %d is %q, not %q", l, g.text[l], f.text[l])
		}
	}
	byName := func(a, b cloudtrail.KV) int { return strings.Compare(a.Key, b.Key) }
	slices.SortFunc(f.context, byName)
	slices.SortFunc(g.context, byName)
	if !slices.Equal(f.context, g.context) {
		return fmt.Sprintf("the encryption context is %q, not %q", g.context, f.context)
	}
	if !slices.Equal(f.targets, g.targets) {
		return fmt.Sprintf("resources are %q, not %q", g.targets, f.targets)
	}
	return ""
}

// fromEvent returns the result of Keytrail's decoder. An Event has more under some names
// than the yardstick: the algorithm of Sign, the context of a grant.
func (f *fields) fromEvent(ev *cloudtrail.Event) {
	f.reset()
	id, flags := &ev.Identity, [...]string{"", "false", "true"}
	f.text = [leaves]string{eventVersion: ev.Version, eventTime: ev.Time, eventSource: ev.Source,
		eventName: ev.Name, awsRegion: ev.Region,
		sourceIP: ev.SourceIP, userAgent: ev.UserAgent, errorCode: ev.ErrorCode, errorMessage: ev.ErrorMessage,
		requestID: ev.RequestID, eventID: ev.ID,
		sharedEventID: ev.SharedID, eventType: ev.Type, eventCategory: ev.Category, recipient: ev.RecipientAccount,
		vpcEndpoint: ev.VPCEndpoint,
		readOnly:    flags[ev.ReadOnly], management: flags[ev.Management],
		callerType: id.Type, callerPrincipal: id.PrincipalID, callerARN: id.ARN, callerAccount: id.Account,
		callerAccessKey: id.AccessKeyID,
		callerName:      id.UserName, invokedBy: id.InvokedBy, issuerType: id.IssuerType, issuerPrincipal: id.IssuerPrincipal,
		issuerARN:     id.IssuerARN,
		issuerAccount: id.IssuerAccount, issuerName: id.IssuerName, sessionCreated: id.SessionCreated,
		sessionMFA: flags[id.MFA],
		keyID:      ev.Request.KeyID, keyMaterial: ev.Extra.KeyMaterialID, tlsVersion: ev.TLS.Version,
		tlsCipher: ev.TLS.Cipher, tlsHost: ev.TLS.Host}
	f.targets = append(f.targets, ev.Resources...)
	switch ev.Name {
	case "Sign", "ReEncrypt", "CreateGrant":
	default:
		f.text[algorithm] = ev.Request.Algorithm
		f.context = append(f.context, ev.Context...)
	}
}

// fromStruct returns the result of a library that fills the yardstick, in which an absent
// flag equals a false one; missing is the record's own text.
func (f *fields) fromStruct(y *corpus.Yardstick, raw []byte) {
	f.reset()
	flag := func(name string, v bool) string {
		if v || strings.Contains(string(raw), `"`+name+`":`) {
			return fmt.Sprint(v)
		}
		return ""
	}
	id, s := &y.UserIdentity, &y.UserIdentity.SessionContext
	f.text = [leaves]string{eventVersion: y.EventVersion, eventTime: y.EventTime, eventSource: y.EventSource,
		eventName: y.EventName, awsRegion: y.Region,
		sourceIP: y.SourceIP, userAgent: y.UserAgent, errorCode: y.ErrorCode, errorMessage: y.ErrorMessage,
		requestID: y.RequestID, eventID: y.EventID,
		sharedEventID: y.SharedEventID, eventType: y.EventType, eventCategory: y.EventCategory,
		recipient: y.RecipientAccountID, vpcEndpoint: y.VPCEndpointID,
		readOnly: flag("readOnly", y.ReadOnly), management: flag("managementEvent", y.ManagementEvent),
		callerType: id.Type, callerPrincipal: id.PrincipalID, callerARN: id.ARN, callerAccount: id.AccountID,
		callerAccessKey: id.AccessKeyID,
		callerName:      id.UserName, invokedBy: id.InvokedBy, issuerType: s.SessionIssuer.Type,
		issuerPrincipal: s.SessionIssuer.PrincipalID,
		issuerARN:       s.SessionIssuer.ARN, issuerAccount: s.SessionIssuer.AccountID, issuerName: s.SessionIssuer.UserName,
		sessionCreated: s.Attributes.CreationDate, sessionMFA: s.Attributes.MFAAuthenticated,
		keyID: y.RequestParameters.KeyID, algorithm: y.RequestParameters.EncryptionAlgorithm,
		keyMaterial: y.AdditionalEventData.KeyMaterialID,
		tlsVersion:  y.TLSDetails.TLSVersion, tlsCipher: y.TLSDetails.CipherSuite,
		tlsHost: y.TLSDetails.ClientProvidedHostHeader}
	for _, t := range y.Resources {
		f.targets = append(f.targets, cloudtrail.Target{ARN: t.ARN, Account: t.AccountID, Type: t.Type})
	}
	for k, v := range y.RequestParameters.EncryptionContext {
		f.context = append(f.context, cloudtrail.KV{Key: k, Value: v})
	}
}
