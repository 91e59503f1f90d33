package oracle

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// parse decodes a test's event.
func parse(t *testing.T, text string) object {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var event object
	if err := dec.Decode(&event); err != nil {
		t.Fatalf("cannot decode the test's event %s: %v", text, err)
	}
	return event
}

const (
	keyA = "arn:aws:kms:eu-west-1:222233334444:key/aaaa"
	keyB = "arn:aws:kms:eu-west-1:222233334444:key/bbbb"

	aliasX = "arn:aws:kms:eu-west-1:222233334444:alias/x"
)

func TestKeys(t *testing.T) {
	f := func(body string, want ...string) {
		t.Helper()
		event := parse(t, `{"eventSource":"kms.amazonaws.com","awsRegion":"eu-west-1","recipientAccountId":"222233334444",`+
			`"userIdentity":{"accountId":"999900001111"},`+body+`}`)
		if got := keysOf(event); !slices.Equal(got, want) {
			t.Errorf("keys of %s:\n got %q\nwant %q", body, got, want)
		}
	}
	// The target takes precedence over the request, in any form.
	f(`"requestParameters":{"keyId":"alias/x"},"resources":[{"ARN":"`+keyA+`"}]`, keyA)
	f(`"responseElements":{"keyId":"`+keyB+`"},"resources":[{"arn":" `+keyA+` "}]`, keyA)
	// The first target of type key, not the alias next to it.
	f(`"resources":[{"ARN":"arn:aws:kms:eu-west-1:222233334444:alias/x"},{"ARN":"`+keyA+`"},{"ARN":"`+keyB+`"}]`, keyA)
	// Without a target: response, metadata, service details, request.
	f(`"responseElements":{"keyId":"`+keyA+`"},"requestParameters":{"keyId":"`+keyB+`"}`, keyA)
	f(`"responseElements":{"keyMetadata":{"arn":"`+keyA+`","keyId":"bbbb"}}`, keyA)
	f(`"responseElements":null,"serviceEventDetails":{"keyId":"aaaa"},"requestParameters":{"keyId":"bbbb"}`, keyA)
	f(`"additionalEventData":{"keyId":"aaaa"},"requestParameters":{"keyId":"bbbb"}`, keyA)
	f(`"requestParameters":{"keyId":"bbbb","targetKeyId":"aaaa"}`, keyB)
	f(`"requestParameters":{"targetKeyId":" aaaa "}`, keyA)
	f(`"requestParameters":{"keyId":"  ","targetKeyId":"aaaa"}`, keyA)
	f(`"requestParameters":{"keyId":1234}`, "arn:aws:kms:eu-west-1:222233334444:key/1234")
	f(`"requestParameters":{"keyId":"mrk-1"}`, "arn:aws:kms:eu-west-1:222233334444:key/mrk-1")
	// Aliases stay aliases.
	f(`"requestParameters":{"keyId":"alias/aws/s3"}`, "arn:aws:kms:eu-west-1:222233334444:alias/aws/s3")
	f(`"requestParameters":{"keyId":"arn:aws:kms:eu-west-1:222233334444:alias/Example key"}`, "arn:aws:kms:eu-west-1:222233334444:alias/Example key")
	f(`"resources":[{"ARN":"arn:aws:kms:eu-west-1:222233334444:alias/x"}]`, "arn:aws:kms:eu-west-1:222233334444:alias/x")
	f(`"requestParameters":{"keyId":"aaaa"},"resources":[{"ARN":"arn:aws:kms:eu-west-1:222233334444:alias/x"}]`, keyA)
	f(`"requestParameters":{"aliasName":"alias/x"}`, aliasX)
	f(`"requestParameters":{"aliasName":"alias/y"},"resources":[{"ARN":"`+aliasX+`"}]`, aliasX)
	f(`"requestParameters":{"aliasName":"alias/x","targetKeyId":"aaaa"}`, keyA)
	// None, and shapes that are neither list nor object.
	f(`"requestParameters":null`, "-")
	f(`"requestParameters":"x","resources":{"ARN":"`+keyA+`"}`, "-")
	f(`"resources":[null,"x",{"type":"AWS::KMS::Key"}]`, "-")
	// ReEncrypt counts for two keys.
	f(`"eventName":"ReEncrypt","resources":[{"ARN":"`+keyB+`"},{"ARN":"`+keyA+`"},{"ARN":"`+keyB+`"}]`, keyB, keyA)
	f(`"eventName":"ReEncrypt","requestParameters":{"destinationKeyId":"bbbb","sourceKeyId":"aaaa"}`, keyA, keyB)
	f(`"eventName":"ReEncrypt","requestParameters":{"destinationKeyId":"aaaa","sourceKeyId":"`+keyA+`"}`, keyA)
	f(`"eventName":"ReEncryptTo","resources":[{"ARN":"`+keyB+`"},{"ARN":"`+keyA+`"}],"requestParameters":{"destinationKeyId":"bbbb"}`, keyA, keyB)
	f(`"eventName":"ReEncrypt","requestParameters":{"destinationKeyId":"bbbb"},"resources":[{"ARN":"`+keyA+`"}]`, keyA, keyB)
	f(`"eventName":"ReEncrypt","requestParameters":{"sourceKeyId":"alias/x","destinationKeyId":"aaaa"},"resources":[{"ARN":"`+keyA+`"}]`, aliasX, keyA)
	f(`"eventName":"ReEncrypt","requestParameters":{"sourceKeyId":"alias/x"},"resources":[{"ARN":"`+keyA+`"}]`, keyA)
	f(`"eventName":"ReEncrypt","requestParameters":{"sourceKeyId":"bbbb"},"resources":[{"ARN":"`+keyA+`"}]`, keyB, keyA)
	f(`"eventName":"ReEncrypt","requestParameters":{"destinationKeyId":"alias/x"},"resources":[{"ARN":"`+keyA+`"},{"ARN":"`+keyA+`"}]`, keyA)
	f(`"eventName":"ReEncrypt","resources":[{"ARN":"`+keyA+`"}]`, keyA)
	f(`"eventName":"ReEncrypt","requestParameters":{"destinationKeyId":" "}`, "-")
	f(`"eventName":"Decrypt","resources":[{"ARN":"`+keyA+`"},{"ARN":"`+keyB+`"}]`, keyA)
}

func TestKeyIsCompletedWithPartitionAndAccount(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := keysOf(parse(t, text)); len(got) != 1 || got[0] != want {
			t.Errorf("keys of %s: got %q, want %q", text, got, want)
		}
	}
	f(`{"awsRegion":"cn-north-1","recipientAccountId":"1","requestParameters":{"keyId":"k"}}`, "arn:aws-cn:kms:cn-north-1:1:key/k")
	f(`{"awsRegion":"us-isob-east-1","recipientAccountId":"1","requestParameters":{"keyId":"k"}}`, "arn:aws-iso-b:kms:us-isob-east-1:1:key/k")
	f(`{"awsRegion":"us-gov-east-1","recipientAccountId":"1","requestParameters":{"keyId":"alias/k"}}`, "arn:aws-us-gov:kms:us-gov-east-1:1:alias/k")
	f(`{"awsRegion":"us-east-1","userIdentity":{"accountId":"2"},"requestParameters":{"keyId":"k"}}`, "arn:aws:kms:us-east-1:2:key/k")
	f(`{"requestParameters":{"keyId":"k"}}`, "arn:aws:kms:::key/k")
	// A change of a trail has no KMS key, even if it names one.
	f(`{"eventSource":"cloudtrail.amazonaws.com","eventName":"UpdateTrail","awsRegion":"us-east-1","requestParameters":{"keyId":"k"},"resources":[{"ARN":"`+keyA+`"}]}`, "-")
}

func TestPrincipal(t *testing.T) {
	f := func(identity, want string) {
		t.Helper()
		event := parse(t, `{"awsRegion":"us-gov-west-1","userIdentity":`+identity+`}`)
		if got := principalOf(event); got != want {
			t.Errorf("principal of %s: got %q, want %q", identity, got, want)
		}
	}
	session := `"arn":"arn:aws:sts::1:assumed-role/Admin/ann","principalId":"AROA:ann","accountId":"1"`
	f(`{"type":"AssumedRole",`+session+`,"sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::1:role/p/Admin"}}}`, "arn:aws:iam::1:role/p/Admin")
	f(`{"type":"AssumedRole",`+session+`,"sessionContext":{"sessionIssuer":{}}}`, "arn:aws:iam::1:role/Admin")
	f(`{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"arn":"arn:aws:sts::1:assumed-role/Admin/ann"}}}`, "arn:aws:iam::1:role/Admin")
	f(`{"type":"AssumedRole",`+session+`,"invokedBy":"AWS Internal"}`, "arn:aws:iam::1:role/Admin")
	f(`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/tester","principalId":"AROA:x"}`, "arn:aws:iam::1:role/tester")
	f(`{"type":"AssumedRole","principalId":"AROA:x","accountId":"1"}`, "AROA:x")
	f(`{"type":"Root","arn":"arn:aws:iam::1:root","accountId":"1"}`, "arn:aws-us-gov:iam::1:root")
	f(`{"type":"Root","arn":"arn:aws:iam::1:root"}`, "arn:aws:iam::1:root")
	f(`{"type":"AWSService","invokedBy":"cloudtrail.amazonaws.com"}`, "cloudtrail.amazonaws.com")
	f(`{"type":"AWSService","accountId":"1"}`, "account:1")
	f(`{"accountId":"1","invokedBy":"AWS Internal"}`, "AWS Internal")
	f(`{"principalId":"AROA:x","invokedBy":"AWS Internal"}`, "AWS Internal")
	f(`{"principalId":"AROA:x","accountId":"1"}`, "AROA:x")
	f(`{"accountId":"1","invokedBy":"AWS Internal","arn":"arn:aws:iam::1:user/u"}`, "arn:aws:iam::1:user/u")
	f(`{"type":"AWSAccount","accountId":"3","principalId":"AROA:x"}`, "account:3")
	f(`{"type":"AWSAccount","principalId":"AROA:x"}`, "AROA:x")
	f(`{"type":"IAMUser","arn":"arn:aws:iam::1:user/u","accountId":"1"}`, "arn:aws:iam::1:user/u")
	f(`{"type":"IAMUser","arn":"arn:aws:iam::1:role/cloudtrail-admin"}`, "arn:aws:iam::1:role/cloudtrail-admin")
	f(`{"type":"FederatedUser","arn":"arn:aws:sts::1:federated-user/u"}`, "arn:aws:sts::1:federated-user/u")
	f(`{"type":"IdentityCenterUser","onBehalfOf":{"userId":"u-1"},"accountId":"1"}`, "identitycenter:u-1")
	f(`{"type":"WebIdentityUser","principalId":"idp:app:u","userName":"u"}`, "idp:app:u")
	f(`{"type":"SAMLUser","invokedBy":"x","accountId":"1"}`, "x")
	f(`{"type":"Unknown","accountId":4455}`, "account:4455")
	f(`{}`, "-")
	f(`null`, "-")
}

func TestOutcome(t *testing.T) {
	f := func(code string, denied, failed bool) {
		t.Helper()
		gotDenied, gotFailed := outcomeOf(object{"errorCode": code})
		if gotDenied != denied || gotFailed != failed {
			t.Errorf("outcome of errorCode %q: denied %v, failed %v; want %v, %v", code, gotDenied, gotFailed, denied, failed)
		}
	}
	f("", false, false)
	f("AccessDenied", true, false)
	f("AccessDeniedException", true, false)
	f("UnauthorizedOperation", true, false)
	f("Client.UnauthorizedOperation", true, false)
	f("KMS.AccessDenied", true, false)
	f("KmsAccessDeniedException", true, false)
	f("NotFoundException", false, true)
	f("AccessDeniedElsewhere", false, true)
	f("Server.UnauthorizedOperation", false, true)
}

func TestClass(t *testing.T) {
	f := func(want string, names ...string) {
		t.Helper()
		for _, name := range names {
			if got := classOf(object{"eventSource": "kms.amazonaws.com", "eventName": name}); got != want {
				t.Errorf("class of %s: got %q, want %q", name, got, want)
			}
		}
	}
	f("decrypt", "Decrypt")
	f("encrypt", "Encrypt")
	f("generate", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext")
	f("reencrypt", "ReEncrypt", "ReEncryptFrom", "ReEncryptTo")
	f("sign", "Sign")
	f("verify", "Verify", "VerifyMac")
	f("mac", "GenerateMac")
	f("random", "GenerateRandom")
	f("derive", "DeriveSharedSecret")
	f("grant", "CreateGrant", "RetireGrant", "RevokeGrant")
	f("destroy", "DisableKey", "ScheduleKeyDeletion", "DeleteKey", "DeleteImportedKeyMaterial", "DeleteExpiredKeyMaterial",
		"DeleteAlias", "DeleteCustomKeyStore", "DisconnectCustomKeyStore")
	f("policy", "PutKeyPolicy")
	f("rotate", "RotateKey", "RotateKeyOnDemand", "EnableKeyRotation", "DisableKeyRotation")
	f("replicate", "ReplicateKey", "SynchronizeMultiRegionKey", "UpdatePrimaryRegion")
	f("read", "DescribeKey", "GetKeyPolicy", "GetPublicKey", "ListAliases", "ListGrants")
	f("manage", "CreateKey", "EnableKey", "CancelKeyDeletion", "ImportKeyMaterial", "TagResource", "")
	if got := classOf(object{"eventSource": "cloudtrail.amazonaws.com", "eventName": "DeleteTrail"}); got != "trail" {
		t.Errorf("class of DeleteTrail: got %q, want trail", got)
	}
}

func TestScope(t *testing.T) {
	f := func(source, name string, want bool) {
		t.Helper()
		if got := inScope(object{"eventSource": source, "eventName": name}); got != want {
			t.Errorf("in scope %s %s: got %v, want %v", source, name, got, want)
		}
	}
	f("kms.amazonaws.com", "AnythingNew", true)
	f("KMS.amazonaws.com", "Decrypt", false)
	f("s3.amazonaws.com", "PutEventSelectors", false)
	f("cloudtrail.amazonaws.com", "DescribeTrails", false)
	f("cloudtrail.amazonaws.com", "CreateEventDataStore", false)
	for _, name := range []string{"PutEventSelectors", "StopLogging", "StartLogging", "DeleteTrail", "UpdateTrail", "CreateTrail",
		"PutInsightSelectors", "DeleteEventDataStore", "UpdateEventDataStore", "StopEventDataStoreIngestion",
		"RestoreEventDataStore", "StartEventDataStoreIngestion"} {
		f("cloudtrail.amazonaws.com", name, true)
	}
}

func TestTime(t *testing.T) {
	good := func(text, want string) {
		t.Helper()
		got, ok := timeOf(object{"eventTime": text})
		if !ok || got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("time of %q: got %v, %v; want %s", text, got, ok, want)
		}
	}
	good("2025-10-27T00:00:52Z", "2025-10-27T00:00:52Z")
	good("2025-10-27T00:00:52.120Z", "2025-10-27T00:00:52.12Z")
	good("2025-10-27T02:00:52+02:00", "2025-10-27T00:00:52Z")
	good("1970-01-01T00:00:00.000000001Z", "1970-01-01T00:00:00.000000001Z")
	good("2262-01-01T00:30:00+01:00", "2261-12-31T23:30:00Z")
	good("2024-01-01 00:00:00.000", "2024-01-01T00:00:00Z")
	good("2021-10-19 00:56:05", "2021-10-19T00:56:05Z")
	bad := func(value any) {
		t.Helper()
		if got, ok := timeOf(object{"eventTime": value}); ok {
			t.Errorf("time of %v: got %v, want none", value, got)
		}
	}
	bad("")
	bad(nil)
	bad("Oct 21, 2024, 2:25:29 PM")
	bad("2025-10-27")
	bad("2025-10-27T00:00:52")
	bad("2025-10-27T00:00:52,5Z")
	bad("2025-13-27T00:00:52Z")
	bad("2025-10-27T24:00:00Z")
	bad("2025-10-27 00:00:52Z")
	bad("1970-01-01T00:00:00Z")
	bad("1969-12-31T23:59:59Z")
	bad("2262-01-01T00:00:00Z")
	bad("2600-01-01T00:00:00Z")
	bad(json.Number("1761523252"))
}
