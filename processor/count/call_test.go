package count

import (
	"strings"
	"testing"
	"time"

	"keytrail/processor/rule"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// record decodes and normalizes an event, sends it through protobuf as Kafka
// would, and returns the log record that stage count reads.
func record(t testing.TB, event string, o normalize.Options) *otellog.Record {
	t.Helper()
	var ev cloudtrail.Event
	if err := cloudtrail.NewDecoder(decoding.Limits{}).Decode([]byte(event), &ev); err != nil {
		t.Fatal(err)
	}
	var made, rec otellog.Record
	if ok, err := normalize.New(o).Record(&ev, 1, &made); !ok || err != nil {
		t.Fatalf("the event is not taken: %v, %v", ok, err)
	}
	if err := rec.Decode(otellog.AppendRequest(nil, &made)); err != nil {
		t.Fatal(err)
	}
	return &rec
}

const decrypt = `{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:i-1","arn":"arn:aws:sts::111122223333:assumed-role/payments/i-1",
"accountId":"111122223333","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/payments","accountId":"111122223333"}}},
"eventTime":"2026-03-02T09:01:02Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"eu-central-1","sourceIPAddress":"192.0.2.7",
"requestParameters":{"encryptionContext":{"SecretARN":"arn:aws:secretsmanager:eu-central-1:111122223333:secret:db-AbCdEf","SecretVersionId":"1"},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"},
"responseElements":null,"requestID":"00000000-0000-4000-8000-000000000001","eventID":"91B9E9C5-5d1a-4d0c-9c71-6a3f1f0f2b7e","readOnly":true,
"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-central-1:111122223333:key/a"}],
"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}`

// change returns decrypt with texts replaced, in pairs; each must be there.
func change(t testing.TB, pairs ...string) string {
	t.Helper()
	event := decrypt
	for i := 0; i < len(pairs); i += 2 {
		next := strings.Replace(event, pairs[i], pairs[i+1], 1)
		if next == event {
			t.Fatalf("the event has no %s", pairs[i])
		}
		event = next
	}
	return event
}

func TestFromRecord(t *testing.T) {
	base := Call{
		IDText: "91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b7e", Time: time.Date(2026, 3, 2, 9, 1, 2, 0, time.UTC).UnixNano(), Copy: kms.CopyCaller,
		Key: "arn:aws:kms:eu-central-1:111122223333:key/a", Principal: "arn:aws:iam::111122223333:role/payments",
		Class: kms.ClassDecrypt, Context: kms.ContextSecret, Object: wire.EntityHash("arn:aws:secretsmanager:eu-central-1:111122223333:secret:db-AbCdEf"),
		Direct: true, Network: Network("192.0.2.7"),
	}
	f := func(name, event string, o normalize.Options, edit func(*Call)) {
		t.Helper()
		want := base
		edit(&want)
		want.ID = wire.ParseCallID(want.IDText)
		got := Call{IDText: "of the call before", SecondKey: "x", Object: 1, Self: true, Cross: true, Rules: 7} // it is used again
		FromRecord(record(t, event, o), &got)
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
	var usual normalize.Options
	f("a Decrypt", decrypt, usual, func(*Call) {})
	f("a record without a body", decrypt, normalize.Options{OmitBody: true}, func(*Call) {})
	f("a refused one", change(t, `"responseElements":null`, `"errorCode":"AccessDenied","responseElements":null`), usual, func(c *Call) { c.Outcome = kms.OutcomeDenied })
	f("a failed one", change(t, `"responseElements":null`, `"errorCode":"DisabledException","responseElements":null`), usual, func(c *Call) { c.Outcome, c.Unusable = kms.OutcomeFailed, true })
	for message, is := range map[string]bool{
		"arn:aws:kms:eu-central-1:111122223333:key/a is pending deletion.": true, "key/a Is Pending Replica Deletion.": true, "key/a is disabled.": true,
		"key/a is pending import.": false, "The external key store proxy did not respond to the request in time. Retry the request.": false,
		"KMS cannot communicate with the external key store proxy. This might be a transient error.": false, "The custom key store is not connected.": false,
		"key/a is unavailable.": false, "key/a is creating.": false, "": false, "is disable": false,
	} {
		f("of a key in some state", change(t, `"responseElements":null`, `"errorCode":"KMSInvalidStateException","errorMessage":"`+message+`","responseElements":null`), usual,
			func(c *Call) { c.Outcome, c.Unusable = kms.OutcomeFailed, is })
	}
	f("for a service", change(t, `"accountId":"111122223333","sessionContext"`, `"accountId":"111122223333","invokedBy":"secretsmanager.amazonaws.com","sessionContext"`),
		usual, func(c *Call) { c.Direct = false })
	f("on another account's KMS key", change(t, "kms:eu-central-1:111122223333:key/a", "kms:eu-central-1:444455556666:key/a"), usual, func(c *Call) {
		c.Key, c.Cross = "arn:aws:kms:eu-central-1:444455556666:key/a", true
	})
	f("the owner's copy of such a call", change(t, `"eventID"`, `"sharedEventID":"5d1a4d0c-0000-4000-8000-0123456789ab","eventID"`,
		`"recipientAccountId":"111122223333"`, `"recipientAccountId":"444455556666"`, "kms:eu-central-1:111122223333:key/a", "kms:eu-central-1:444455556666:key/a"), usual, func(c *Call) {
		c.IDText, c.Copy, c.Key, c.Cross = "5d1a4d0c-0000-4000-8000-0123456789ab", kms.CopyOwner, "arn:aws:kms:eu-central-1:444455556666:key/a", true
	})
	f("an addendum", change(t, `"eventID"`, `"addendum":{"reason":"UPDATED_DATA","updatedFields":"responseElements","originalEventID":"00000000-0000-4000-8000-00000000000a"},"eventID"`),
		usual, func(c *Call) { c.IDText, c.Copy = "00000000-0000-4000-8000-00000000000a", kms.CopyAddendum })
	own := normalize.Options{SelfPrincipals: []string{base.Principal}}
	f("the collector's own", change(t, `"SecretARN"`, `"aws:cloudtrail:arn"`), own, func(c *Call) {
		c.Self, c.Context = true, kms.ContextCloudTrailTrail
	})
	f("the collector's, of a secret", decrypt, own, func(*Call) {})
	f("ReEncrypt by its request", change(t, `"Decrypt"`, `"ReEncrypt"`, `"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-central-1:111122223333:key/a"}],`, "",
		`"encryptionAlgorithm":"SYMMETRIC_DEFAULT"`, `"sourceKeyId":"a","destinationKeyId":"arn:aws:kms:eu-central-1:111122223333:key/b"`, `"encryptionContext":{`, `"x":{`), usual, func(c *Call) {
		c.Class, c.SecondKey, c.Context, c.Object = kms.ClassReencrypt, "arn:aws:kms:eu-central-1:111122223333:key/b", kms.ContextNone, 0
	})
	f("ReEncrypt by its resources", change(t, `"Decrypt"`, `"ReEncrypt"`, `key/a"}`, `key/a"},{"ARN":"arn:aws:kms:eu-central-1:111122223333:key/b"}`), usual, func(c *Call) {
		c.Class, c.SecondKey = kms.ClassReencrypt, "arn:aws:kms:eu-central-1:111122223333:key/b"
	})
	f("no KMS key", change(t, `"Decrypt"`, `"GenerateRandom"`, `"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-central-1:111122223333:key/a"}],`, "",
		`"encryptionContext":{`, `"x":{`), usual, func(c *Call) {
		c.Class, c.Key, c.Context, c.Object = kms.ClassRandom, kms.NoEntity, kms.ContextNone, 0
	})
	f("a rule", change(t, `"Decrypt"`, `"DisableKey"`, `"encryptionContext":{`, `"x":{`), usual, func(c *Call) {
		c.Class, c.Context, c.Object, c.Rules = kms.ClassDestroy, kms.ContextNone, 0, 1<<1
	})
	f("a rule that the collector matches, as anybody", change(t, `"Decrypt"`, `"DisableKey"`, `"encryptionContext":{`, `"x":{`), own, func(c *Call) {
		c.Class, c.Context, c.Object, c.Rules = kms.ClassDestroy, kms.ContextNone, 0, 1<<1
	})
	f("a trail change", change(t, "kms.amazonaws.com", "cloudtrail.amazonaws.com", `"Decrypt"`, `"StopLogging"`, `"encryptionContext":{`, `"name":"main","x":{`), usual, func(c *Call) {
		c.Class, c.Key, c.Context, c.Object, c.Rules = kms.ClassTrail, kms.NoEntity, kms.ContextNone, 0, rule.Set(1)<<11
	})
}

// A record that Keytrail did not make is not a call, and breaks nothing.
func TestFromRecordOfAForeignRecord(t *testing.T) {
	var c Call
	FromRecord(&otellog.Record{}, &c)
	if c.IDText != "" || c.Key != kms.NoEntity || c.Principal != kms.NoEntity {
		t.Errorf("an empty record is %+v", c)
	}
	var rec otellog.Record
	for _, key := range []string{"keytrail.call.id", "keytrail.call.copy", "aws.kms.key.arn", "keytrail.principal.id", "keytrail.operation.class", "keytrail.outcome", "keytrail.context.class"} {
		rec.String(key, strings.Repeat("é\xff\n", 300))
	}
	FromRecord(&rec, &c)
	table := NewTable(size)
	table.Add(&c, 1)
	var e wire.Encoder
	for p := range table.All() {
		e.Reset()
		e.Partial(p)
		if d := wire.NewDecoder(e.B); d.Partial().Start != p.Start || !d.Done() {
			t.Errorf("the partial of a foreign record does not come back: %v", d.Err())
		}
	}
}
