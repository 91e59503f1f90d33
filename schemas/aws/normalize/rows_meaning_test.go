package normalize

import (
	"slices"
	"testing"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/decoding"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	sc "keytrail/schemas/semconv"
)

const mrkUS = "arn:aws:kms:us-west-2:111122223333:key/mrk-0001"

// TestRowB5TrailEncryption: a trail's configuration, the writing of each file and a person's reading differ in operation and context class.
func TestRowB5TrailEncryption(t *testing.T) {
	r := row(t, "B5")
	column(t, r, sc.KeytrailOperationClass, "generate", "generate", "generate", "decrypt")
	column(t, r, sc.KeytrailContextClass, "cloudtrail_trail", "cloudtrail_file", "cloudtrail_file", "cloudtrail_file")
	file := "arn:aws:s3:::logs/AWSLogs/111122223333/CloudTrail/eu-central-1/2026/03/02/111122223333_CloudTrail_eu-central-1_20260302T0915Z_a1b2c3d4e5f60718.json.gz"
	column(t, r, sc.KeytrailContextObject, trail, file, file, file)
	column(t, r, sc.KeytrailPrincipalID, "arn:aws:iam::086441151436:user/AWSCloudTrail", "arn:aws:iam::086441151436:role/AWSCloudTrail",
		"cloudtrail.amazonaws.com", "arn:aws:iam::111122223333:role/analyst")
	column(t, r, sc.KeytrailVia, "internal.amazonaws.com", "internal.amazonaws.com", kms.Direct, "AWS Internal")
	column(t, r, sc.AWSKMSKeyARN, all(4, key1)...)
	column(t, r, sc.AWSKMSAliasARN, "arn:aws:kms:eu-central-1:111122223333:alias/trail key", "", "", "")
	column(t, r, sc.KeytrailCallCopy, all(4, "caller")...) // one copy each, whatever the accounts
	equal(t, "event names", names(r), all(4, sc.EventAWSKMSAPICall)...)
}

// TestRowB6OwnReads: reading encrypted log files is tagged when the collector does it, and otherwise the same as a person's reading.
func TestRowB6OwnReads(t *testing.T) {
	text := func(role string) string {
		return kmsEvent("Decrypt", `,"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/`+role+`/s","accountId":"111122223333"},`+
			`"requestParameters":{"encryptionContext":{"aws:cloudtrail:arn":"`+trail+`","aws:s3:arn":"arn:aws:s3:::logs/f.json.gz"}},"resources":[{"ARN":"`+key1+`"}]`)
	}
	attributes := func(role string) []otellog.Attr {
		n := New(Options{SelfPrincipals: []string{"arn:aws:iam::111122223333:role/keytrail"}})
		var ev cloudtrail.Event
		var rec otellog.Record
		if err := cloudtrail.NewDecoder(decoding.Limits{}).Decode([]byte(text(role)), &ev); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Record(&ev, observed, &rec); err != nil {
			t.Fatal(err)
		}
		if class := rec.Str(sc.KeytrailContextClass); class != "cloudtrail_file" {
			t.Errorf("%s: context class %q", role, class)
		}
		return slices.DeleteFunc(rec.Attrs, func(a otellog.Attr) bool {
			return a.Key == sc.KeytrailPrincipalID || a.Key == sc.AWSPrincipalARN || a.Key == sc.UserRoles
		})
	}
	own, person := attributes("keytrail"), attributes("analyst")
	tag := slices.IndexFunc(own, func(a otellog.Attr) bool { return a.Key == sc.KeytrailSelf })
	if tag < 0 || own[tag].Int != 1 {
		t.Fatalf("the collector's own call is not tagged: %+v", own)
	}
	own = slices.Delete(own, tag, tag+1)
	if !slices.EqualFunc(own, person, func(a, b otellog.Attr) bool { return a.Key == b.Key && a.Str == b.Str && a.Int == b.Int }) {
		t.Errorf("apart from the tag\n%+v\n%+v", own, person)
	}
}

// TestRowB6OwnRoleIsJudged: what the collector's role does besides reading files of a trail is not marked as the collector's own.
func TestRowB6OwnRoleIsJudged(t *testing.T) {
	const role, session = "arn:aws:iam::111122223333:role/team/keytrail", "arn:aws:sts::111122223333:assumed-role/keytrail/i-1"
	issued := `"userIdentity":{"type":"AssumedRole","arn":"` + session + `","sessionContext":{"sessionIssuer":{"type":"Role","arn":"` + role + `"}}},`
	bare := `"userIdentity":{"type":"AssumedRole","arn":"` + session + `"},`
	other := `"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/other/i-1"},`
	context := func(pairs string) string { return `"requestParameters":{"encryptionContext":{` + pairs + `}}` }
	ofTrail := context(`"aws:s3:arn":"arn:aws:s3:::logs/f.json.gz","aws:cloudtrail:arn":"` + trail + `"`)
	ofFile := context(`"aws:s3:arn":"arn:aws:s3:::logs/org/AWSLogs/o-1/111122223333/CloudTrail-Digest/eu-west-1/f.json.gz"`)
	ofBucket := context(`"aws:s3:arn":"arn:aws:s3:::logs"`)
	for _, c := range []struct {
		name, who, rest string
		own             bool
	}{
		{"Decrypt", issued, ofTrail, true}, {"Decrypt", bare, ofTrail, true}, {"Decrypt", issued, ofFile, true}, {"Decrypt", issued, ofBucket, true},
		{"Decrypt", other, ofTrail, false},
		{"Decrypt", issued, context(`"aws:s3:arn":"arn:aws:s3:::billing/x"`), false},
		{"Decrypt", issued, context(`"aws:s3:arn":"arn:aws:s3:::billing"`), false},
		{"Decrypt", issued, context(`"aws:s3:arn":"arn:aws:s3:::logs/AWSLogs/111122223333/Config/f.json.gz"`), false},
		{"Decrypt", issued, context(`"SecretARN":"s"`), false},
		{"Decrypt", issued, `"requestParameters":null`, false},
		{"Decrypt", issued, ofTrail + `,"errorCode":"AccessDenied"`, false},
		{"Decrypt", issued, ofTrail + `,"errorMessage":"no"`, false},
		{"Encrypt", issued, ofTrail, false}, {"GenerateDataKey", issued, ofTrail, false}, {"ReEncrypt", issued, ofTrail, false},
		{"ScheduleKeyDeletion", issued, `"requestParameters":{"pendingWindowInDays":7}`, false},
	} {
		text := kmsEvent(c.name, `,`+c.who+c.rest+`,"resources":[{"ARN":"`+key1+`"}]`)
		byOption := New(Options{SelfPrincipals: []string{"arn:aws:iam::111122223333:role/team/keytrail"}})
		bySession := New(Options{SelfPrincipals: []string{session}, Direct: true})
		byReader := New(Options{})
		byReader.Self = c.who != other
		for i, n := range []*Normalizer{byOption, bySession, byReader, byOption} {
			var ev cloudtrail.Event
			var rec, read otellog.Record
			if err := cloudtrail.NewDecoder(decoding.Limits{}).Decode([]byte(text), &ev); err != nil {
				t.Fatal(err)
			}
			ev.Object = "s3://logs/org/AWSLogs/o-1/111122223333/CloudTrail/eu-west-1/g.json.gz"
			if ok, err := n.Record(&ev, observed, &rec); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if err := read.Decode(otellog.AppendRequest(nil, &rec)); err != nil {
				t.Fatal(err)
			}
			if own := read.Get(sc.KeytrailSelf) != nil; own != c.own {
				t.Errorf("normalizer %d: own %v, want %v: %s", i, own, c.own, text)
			}
		}
	}
}

// TestRowB7ChimeVoice: the grant, the uses and the retirement of a voice profile domain share key, grant and service.
func TestRowB7ChimeVoice(t *testing.T) {
	r := row(t, "B7")
	service := "chimevoiceconnector.amazonaws.com"
	column(t, r, sc.KeytrailOperationClass, "grant", "generate", "decrypt", "grant")
	column(t, r, sc.AWSKMSKeyARN, all(4, key1)...)
	column(t, r, sc.AWSKMSGrantID, "b7grant", "", "", "b7grant")
	column(t, r, sc.KeytrailContextClass, "chime", "chime", "chime", "none")
	domain := "arn:aws:chime:eu-central-1:111122223333:voice-profile-domain/d"
	column(t, r, sc.KeytrailContextObject, domain, domain, domain, "")
	column(t, r, sc.KeytrailPrincipalID, "arn:aws:iam::111122223333:role/admin", service, service, service)
	column(t, r, sc.KeytrailVia, service, kms.Direct, kms.Direct, kms.Direct)
	column(t, r, sc.AWSSourceService, all(4, service)...)
}

// TestRowB8TrailKey: a change of a trail names the key that encrypts it, without using it.
func TestRowB8TrailKey(t *testing.T) {
	r := row(t, "B8")
	column(t, r, sc.AWSCloudTrailKMSKeyARN, key1, "arn:aws:kms:eu-central-1:111122223333:alias/trail", key1, keyB, "")
	column(t, r, sc.AWSCloudTrailMultiRegion, "true", "false", "", "", "")
	column(t, r, sc.KeytrailOutcome, "ok", "ok", "failed", "ok", "ok")
	column(t, r, sc.AWSKMSKeyARN, all(5, "")...)
	column(t, r, sc.AWSKMSAliasName, all(5, "")...)
}

// TestRowB9AccessKeys: root, users, roles and federated users each show the access key of their credential; services have none.
func TestRowB9AccessKeys(t *testing.T) {
	r := row(t, "B9")
	column(t, r, sc.AWSPrincipalType, "Root", "IAMUser", "AssumedRole", "AssumedRole", "FederatedUser", "AWSService")
	column(t, r, sc.AWSAccessKeyID, "ASIAQRSTUVWXYZ00ROOT", "AKIAQRSTUVWXYZ000001", "ASIAQRSTUVWXYZ000002", "ASIAQRSTUVWXYZ000003", "ASIAQRSTUVWXYZ000004", "")
	app := "arn:aws:iam::111122223333:role/app" // two sessions of one role: two access keys, one principal
	column(t, r, sc.KeytrailPrincipalID, "arn:aws:iam::111122223333:root", alice, app, app, "arn:aws:sts::111122223333:federated-user/bob", "s3.amazonaws.com")
	column(t, r, sc.KeytrailPrincipalSession, "", "", "s", "s2", "", "")
	column(t, r, sc.AWSUserIdentitySessionContextIssuerType, "", "", "Role", "Role", "IAMUser", "")
	column(t, r, sc.AWSUserIdentitySessionContextAttributesMFAAuthenticated, "true", "", "false", "false", "", "")
}

// TestRowB9Federated: web and SAML identities are their role, or their own id, with the provider that vouched for them.
func TestRowB9Federated(t *testing.T) {
	r := row(t, "B9federated")
	column(t, r, sc.KeytrailPrincipalID, "arn:aws:iam::111122223333:role/deploy", "accounts.example.com:app:user7", "arn:aws:iam::111122223333:role/engineer", "SampleUserID:saml")
	column(t, r, sc.KeytrailPrincipalSession, "run-7", "", "ann@example.com", "")
	column(t, r, sc.AWSUserIdentityIdentityProvider, "arn:aws:iam::111122223333:oidc-provider/token.example.com", "accounts.example.com", "", "SampleUserID")
	column(t, r, sc.UserName, "deploy", "user7", "engineer", "ann@example.com")
}

// TestRowB9IdentityCenter: people of IAM Identity Center are their permission set's role, or their own id when they call by themselves.
func TestRowB9IdentityCenter(t *testing.T) {
	r := row(t, "B9identitycenter")
	column(t, r, sc.KeytrailPrincipalID, "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-central-1/AWSReservedSSO_Engineer_0123456789abcdef",
		"arn:aws:iam::111122223333:role/analytics", "identitycenter:906704c1d2-0a1b2c3d", "account:111122223333")
	column(t, r, sc.KeytrailPrincipalSession, "ann@example.com", "ann", "", "")
	column(t, r, sc.AWSUserIdentityOnBehalfOfUserID, "", "906704c1d2-0a1b2c3d", "906704c1d2-0a1b2c3d", "")
	column(t, r, sc.AWSUserIdentityCredentialID, "", "", "VAZM1234", "VAZM1234")
	column(t, r, sc.KeytrailCrossAccount, all(4, "false")...)
}

// TestRowB9ForeignAccount: in the owner's record a caller of another account is that account; the caller's record has the name.
func TestRowB9ForeignAccount(t *testing.T) {
	r := row(t, "B9foreign")
	column(t, r, sc.KeytrailPrincipalID, "account:444455556666", "arn:aws:iam::444455556666:role/app", "account:444455556666", "account:anonymous")
	column(t, r, sc.KeytrailCallCopy, "owner", "caller", "owner", "caller")
	column(t, r, sc.KeytrailCallID, "b9000001-26b2-427a-908f-025bf71241f6", "b9000001-26b2-427a-908f-025bf71241f6", "b9000002-26b2-427a-908f-025bf71241f6", r[3].text(sc.LogRecordUID))
	column(t, r, sc.KeytrailCrossAccount, all(4, "true")...)
	column(t, r, sc.AWSPrincipalID, "AROAQRSTUVWXYZ0000009:s", "AROAQRSTUVWXYZ0000002:s", "AIDAQRSTUVWXYZ0000009", "anonymous")
	column(t, r, sc.KeytrailOutcome, "ok", "ok", "denied", "ok")
}

// TestRowC3WhatATrailStillRecords: which events of KMS a set of selectors records; of write-only events none that uses a key.
func TestRowC3WhatATrailStillRecords(t *testing.T) {
	f := func(parameters, want string) {
		t.Helper()
		text := `{"eventVersion":"1.11","eventTime":"2026-03-02T09:00:00Z","eventSource":"cloudtrail.amazonaws.com","eventName":"PutEventSelectors","eventID":"e","requestParameters":{` + parameters + `}}`
		if got := one(t, text).text(sc.KeytrailTrailKMSEvents); got != want {
			t.Errorf("%s: %q, want %q", parameters, got, want)
		}
	}
	basic := func(selectors string) string { return `"eventSelectors":[` + selectors + `]` }
	f(basic(`{}`), "all")
	f(basic(`{"readWriteType":"All","includeManagementEvents":true}`), "all")
	f(basic(`{"readWriteType":"WriteOnly"}`), "write_only")
	f(basic(`{"readWriteType":"ReadOnly"}`), "read_only")
	f(basic(`{"readWriteType":"ReadOnly"},{"readWriteType":"WriteOnly"}`), "all")
	f(basic(`{"readWriteType":"ReadOnly","excludeManagementEventSources":["kms.amazonaws.com"]},{"readWriteType":"WriteOnly"}`), "write_only")
	f(basic(`{"readWriteType":"All","includeManagementEvents":false}`), "none")
	f(basic(``), "none")
	advanced := func(fields ...string) string {
		list := ""
		for i, fields := range fields {
			if i > 0 {
				list += ","
			}
			list += `{"name":"n","fieldSelectors":[` + fields + `]}`
		}
		return `"advancedEventSelectors":[` + list + `]`
	}
	management := `{"field":"eventCategory","equals":["Management"]}`
	f(advanced(management), "all")
	f(advanced(management+`,{"field":"readOnly","equals":["false"]}`), "write_only")
	f(advanced(management+`,{"field":"readOnly","equals":["true"]}`), "read_only")
	f(advanced(management+`,{"field":"readOnly","equals":["true","false"]}`), "all")
	f(advanced(management+`,{"field":"eventSource","notEquals":["rdsdata.amazonaws.com"]}`), "all")
	f(advanced(management+`,{"field":"eventSource","notEquals":["rdsdata.amazonaws.com","kms.amazonaws.com"]}`), "none")
	f(advanced(management+`,{"field":"eventSource","startsWith":["kms"]}`), "all")
	f(advanced(management+`,{"field":"eventSource","notStartsWith":["k"]}`), "none")
	f(advanced(management+`,{"field":"eventSource","endsWith":[".amazonaws.com"],"notEndsWith":["s.amazonaws.com"]}`), "none")
	f(advanced(management+`,{"field":"eventName","notEquals":["Decrypt"]}`), "partial")
	f(advanced(management+`,{"field":"eventName","notEquals":["Decrypt"]}`, management+`,{"field":"readOnly","equals":["false"]}`), "partial")
	f(advanced(management+`,{"field":"eventName","notEquals":["Decrypt"]}`, management), "all")
	f(advanced(management+`,{"field":"eventName","equals":["PutObject"]},{"field":"eventSource","equals":["s3.amazonaws.com"]}`), "none")
	f(advanced(`{"field":"eventCategory","equals":["Data"]}`), "none")
	f(advanced(`{"field":"eventCategory","notEquals":["Data"]}`), "none") // CloudTrail takes only equals here
	f(advanced(), "none")
	f(`"eventSelectors":"text"`, "")
	f(`"advancedEventSelectors":{"fieldSelectors":[]}`, "")
	f(`"trailName":"main"`, "")
}

// TestRowC12MultiRegion: related keys keep their own ARNs, and records that show the primary key name it.
func TestRowC12MultiRegion(t *testing.T) {
	r := row(t, "C12")
	column(t, r, sc.AWSKMSKeyARN, mrk, mrk, mrkUS, mrkUS, mrk, mrkUS, mrk, mrkUS, mrkUS)
	column(t, r, sc.AWSKMSKeyMultiRegion, all(9, "true")...)
	column(t, r, sc.AWSKMSKeyPrimaryARN, mrk, mrk, mrk, "", mrkUS, mrkUS, "", "", "")
	column(t, r, sc.AWSKMSKeyReplicaARN, "", mrkUS, "", "", "", "", "", "", "")
	column(t, r, sc.KeytrailOperationClass, "manage", "replicate", "manage", "replicate", "replicate", "replicate", "decrypt", "decrypt", "destroy")
	column(t, r, sc.AWSKMSKeyState, "Enabled", "", "Creating", "", "", "", "", "", "PendingReplicaDeletion")
	column(t, r, sc.AWSKMSReplicaRegion, "", "us-west-2", "", "", "", "", "", "", "")
	// UpdatePrimaryRegion is recorded in both Regions: one request, two calls on two keys.
	column(t, r[4:6], sc.AWSRequestID, all(2, r[4].text(sc.AWSRequestID))...)
	if r[4].text(sc.KeytrailCallID) == r[5].text(sc.KeytrailCallID) {
		t.Error("the records of UpdatePrimaryRegion share a call id")
	}
}
