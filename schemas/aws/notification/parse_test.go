package notification

import (
	"reflect"
	"strings"
	"testing"
)

// Every form is read with all of its fields.
func TestShapes(t *testing.T) {
	full := Object{Bucket: "trail-bucket", Key: logKey(1), Region: "eu-central-1", Size: 14358, ETag: "0cdef8885755dff42b6fbd91732ae506",
		VersionID: "096fKKXTRTtl3on89fVO.nfljtsv6qko", Sequencer: "0055AED6DCD90281E5"}
	ofS3, ofBridge := full, full
	ofS3.Form, ofS3.Event = FormS3, "ObjectCreated:Put"
	ofBridge.Form, ofBridge.Event, ofBridge.Account = FormEventBridge, "Object Created", "111122223333"
	ofTrail := func(i int) Object {
		return Object{Bucket: "trail-bucket", Key: logKey(i), Form: FormCloudTrail, Size: -1}
	}
	for name, c := range map[string]struct {
		body string
		want []Object
	}{
		"S3":          {put("trail-bucket", logKey(1)), []Object{ofS3}},
		"EventBridge": {bridge("Object Created", "trail-bucket", logKey(1)), []Object{ofBridge}},
		"CloudTrail":  {trail("trail-bucket", logKey(1), logKey(2)), []Object{ofTrail(1), ofTrail(2)}},
		"one record":  {s3Record("ObjectCreated:Put", "trail-bucket", logKey(1)), []Object{ofS3}},
		"Config":      {`{"s3Bucket":"trail-bucket","s3ObjectKey":` + quoted(logKey(3)) + `,"messageType":"ConfigurationHistoryDeliveryCompleted"}`, []Object{ofTrail(3)}},
		"MinIO": {`{"EventName":"s3:ObjectCreated:Put","Key":"b-1/a b","Records":[{"eventSource":"minio:s3","awsRegion":"","eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"b-1"},"object":{"key":"a+b%2Fc"}}}]}`,
			[]Object{{Form: FormS3, Bucket: "b-1", Key: "a b/c", Event: "ObjectCreated:Put", Size: -1}}},
	} {
		m := Parse([]byte(c.body), Limits{})
		mustCount(t, m, len(c.want), 0, 0, 0)
		if !reflect.DeepEqual(m.Objects, c.want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", name, m.Objects, c.want)
		}
	}
}

// A notification says the same whatever lies around it: a queue's message, a
// topic's, both, lists of them, Lambda's records; compact, indented, after a
// byte order mark.
func TestWrapped(t *testing.T) {
	wrappers := map[string]func(string) string{
		"raw":             func(s string) string { return s },
		"SNS":             sns,
		"SQS":             sqs,
		"SNS in SQS":      func(s string) string { return sqs(sns(s)) },
		"SQS list":        func(s string) string { return sqsList(s) },
		"SNS in SQS list": func(s string) string { return sqsList(sns(s)) },
		"Lambda of SQS":   lambdaSQS,
		"Lambda of SNS":   lambdaSNS,
		"SNS in Lambda":   func(s string) string { return lambdaSQS(sns(s)) },
		"array of SQS":    func(s string) string { return "[" + sqs(s) + "]" },
		"half unwrapped":  func(s string) string { return `{"Type":"Notification","Message":` + s + `}` },
		"mark and space":  func(s string) string { return "\xef\xbb\xbf\r\n " + strings.ReplaceAll(s, `":`, "\"\r\n\t: ") + " \n" },
	}
	for shape, body := range map[string]string{
		"S3":          s3Body(s3Record("ObjectCreated:Put", "b-1", "a+b %2B ü/"+logKey(1)), s3Record("ObjectRemoved:Delete", "b-1", "gone")),
		"EventBridge": bridge("Object Created", "b-1", "a+b %2B ü/"+logKey(1)),
		"removed":     bridge("Object Deleted", "b-1", "gone"),
		"CloudTrail":  trail("b-1", "a+b %2B ü/"+logKey(1), logKey(2)),
		"test event":  testEvent,
		"no shape":    `{"a":1}`,
	} {
		want := Parse([]byte(body), Limits{})
		for name, wrap := range wrappers {
			got := Parse([]byte(wrap(body)), Limits{})
			if !reflect.DeepEqual(got.Objects, want.Objects) || !reflect.DeepEqual(got.Skipped, want.Skipped) || !reflect.DeepEqual(got.Notices, want.Notices) ||
				len(got.Bad) != len(want.Bad) {
				t.Errorf("%s as %s: %s, want %s", shape, name, counts(got), counts(want))
			}
		}
	}
}

// Each message of a list is its own: what one says takes nothing from another.
func TestListOfMessages(t *testing.T) {
	m := Parse([]byte(sqsList(sns(put("b-1", "k1")), "not JSON", testEvent, sns(trail("b-1", "k2", "k3")), bridge("Object Deleted", "b-1", "k4"), `{"eventVersion":"1.11"}`)), Limits{})
	mustCount(t, m, 3, 1, 1, 2)
	for i, key := range []string{"k1", "k2", "k3"} {
		if m.Objects[i].Key != key {
			t.Errorf("object %d is %q, want %q", i, m.Objects[i].Key, key)
		}
	}
	for i, want := range []Bad{{Where: "Messages[1].Body", Reason: ReasonSyntax, Raw: []byte("not JSON")}, {Where: "Messages[5].Body", Reason: ReasonShape, Raw: []byte(`{"eventVersion":"1.11"}`)}} {
		b := m.Bad[i]
		if b.Where != want.Where || b.Reason != want.Reason || string(b.Raw) != string(want.Raw) || !b.MayHoldEvents() {
			t.Errorf("%v with %q", &b, b.Raw)
		}
	}
}

// Only what was created is fetched. Removed, restored, moved and tagged objects
// are listed separately, with their keys.
func TestSkipped(t *testing.T) {
	for event, created := range map[string]bool{
		"ObjectCreated:Put": true, "ObjectCreated:Post": true, "ObjectCreated:Copy": true, "ObjectCreated:CompleteMultipartUpload": true, "s3:ObjectCreated:Put": true,
		"ObjectRemoved:Delete": false, "ObjectRemoved:DeleteMarkerCreated": false, "ObjectRestore:Post": false, "ObjectRestore:Completed": false,
		"ObjectRestore:Delete": false, "LifecycleExpiration:Delete": false, "LifecycleExpiration:DeleteMarkerCreated": false, "LifecycleTransition": false,
		"IntelligentTiering": false, "ReducedRedundancyLostObject": false, "Replication:OperationFailedReplication": false, "ObjectTagging:Put": false,
		"ObjectAcl:Put": false, "ObjectAnnotation:Put": false, "SomethingOfTomorrow": false,
	} {
		check(t, s3Body(s3Record(event, "b-1", "a b")), strings.TrimPrefix(event, "s3:"), created)
	}
	for event, created := range map[string]bool{
		"Object Created": true, "Object Deleted": false, "Object Restore Initiated": false, "Object Restore Completed": false, "Object Restore Expired": false,
		"Object Storage Class Changed": false, "Object Access Tier Changed": false, "Object ACL Updated": false, "Object Tags Added": false, "Object Tags Deleted": false,
	} {
		check(t, bridge(event, "b-1", "a b"), event, created)
	}
}

func check(t *testing.T, body, event string, created bool) {
	t.Helper()
	m := Parse([]byte(body), Limits{})
	list := m.Skipped
	if created {
		list = m.Objects
	}
	if len(list) != 1 || list[0].Key != "a b" || list[0].Event != event || len(m.Objects)+len(m.Skipped) != 1 {
		t.Errorf("%s: %s; %+v", event, counts(m), list)
	}
}

// A removal has no size and no eTag.
func TestRemovalIsShort(t *testing.T) {
	m := Parse([]byte(`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"b-1"},"object":{"key":"a%2Bb","sequencer":"00"}}}]}`), Limits{})
	want := Object{Bucket: "b-1", Key: "a+b", Form: FormS3, Event: "ObjectRemoved:Delete", Region: "us-east-1", Size: -1, Sequencer: "00"}
	mustCount(t, m, 0, 1, 0, 0)
	if m.Skipped[0] != want {
		t.Errorf("%+v", m.Skipped[0])
	}
}

// Known messages that name nothing are told from unknown ones, and say what to do.
func TestNotices(t *testing.T) {
	for _, c := range []struct {
		body string
		kind NoticeKind
		says string
	}{
		{testEvent, NoticeTest, `"trail-bucket"`},
		{sns(testEvent), NoticeTest, `"trail-bucket"`},
		{"CloudTrail validation message.", NoticeValidation, "nothing to do"},
		{sns("CloudTrail validation message."), NoticeValidation, "nothing to do"},
		{sqs(sns("CloudTrail validation message.")), NoticeValidation, "nothing to do"},
		{confirmation("SubscriptionConfirmation"), NoticeSubscribe, "arn:aws:sns:eu-central-1:111122223333:trail"},
		{sqs(confirmation("SubscriptionConfirmation")), NoticeSubscribe, "SubscribeURL"},
		{confirmation("UnsubscribeConfirmation"), NoticeUnsubscribe, "subscribe again"},
		{`{"Records":[]}`, NoticeEmpty, "without items"},
		{`{"Messages":[ ]}`, NoticeEmpty, "without items"},
		{`[]`, NoticeEmpty, "without items"},
		{trail("b-1"), NoticeEmpty, `"b-1" without keys`},
	} {
		m := Parse([]byte(c.body), Limits{})
		mustCount(t, m, 0, 0, 1, 0)
		if n := m.Notices[0]; n.Kind != c.kind || !strings.Contains(n.Detail, c.says) {
			t.Errorf("%.60s: %+v", c.body, n)
		}
		if strings.Contains(m.Notices[0].Detail, "2336412f37") {
			t.Errorf("the token of a subscription is in a text that may be logged: %s", m.Notices[0].Detail)
		}
	}
}

// Messages that carry events are left whole to cloudtrail.Reader: a list is not taken
// apart if nothing in it is a notification.
func TestEventsAreLeftAlone(t *testing.T) {
	event := `{"eventVersion":"1.11","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"e","resources":[{"ARN":"a"}]}`
	s3Call := `{"version":"0","detail-type":"AWS API Call via CloudTrail","source":"aws.s3","detail":` + event + `}`
	for _, body := range []string{
		event, `{"Records":[` + event + `,` + event + `]}`, `[` + event + `]`, s3Call, `{"messageType":"DATA_MESSAGE","logEvents":[{"message":` + quoted(event) + `}]}`,
		`{"Events":[{"CloudTrailEvent":` + quoted(event) + `}]}`, `{"log":` + quoted(event) + `}`, event + "\n" + event, `{"Records":[[` + event + `]]}`,
	} {
		for _, around := range []func(string) string{func(s string) string { return s }, sns, sqs} {
			m := Parse([]byte(around(body)), Limits{})
			mustCount(t, m, 0, 0, 0, 1)
			if b := m.Bad[0]; !b.MayHoldEvents() || string(b.Raw) != body {
				t.Errorf("%.60s: %v with %.60q", body, &b, b.Raw)
			}
		}
	}
}
