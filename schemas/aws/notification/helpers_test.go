package notification

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// quoted returns text as a JSON string.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// formEncoded writes a key as S3 does in its notifications. It is written out
// here so that the decoder is not compared with its own library.
func formEncoded(key string) string {
	var b strings.Builder
	for _, c := range []byte(key) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._*/", c) >= 0:
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('+')
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// s3Record is one record of an S3 notification, with every member that S3 writes.
func s3Record(event, bucket, key string) string {
	return `{"eventVersion":"2.6","eventSource":"aws:s3","awsRegion":"eu-central-1","eventTime":"2026-11-20T09:05:12.345Z","eventName":` + quoted(event) +
		`,"userIdentity":{"principalId":"AWS:AROAEXAMPLEID:regionalDeliverySession"},"requestParameters":{"sourceIPAddress":"192.0.2.7"},` +
		`"responseElements":{"x-amz-request-id":"C3D13FE58DE4C810","x-amz-id-2":"FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD"},` +
		`"s3":{"s3SchemaVersion":"1.0","configurationId":"trail","bucket":{"name":` + quoted(bucket) + `,"ownerIdentity":{"principalId":"A3NL1KOZZKExample"},` +
		`"arn":"arn:aws:s3:::bucket"},"object":{"key":` + quoted(formEncoded(key)) + `,"size":14358,"eTag":"0cdef8885755dff42b6fbd91732ae506",` +
		`"versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"}}}`
}

func s3Body(records ...string) string { return `{"Records":[` + strings.Join(records, ",") + `]}` }

func put(bucket, key string) string { return s3Body(s3Record("ObjectCreated:Put", bucket, key)) }

// bridge is an EventBridge event of S3.
func bridge(detailType, bucket, key string) string {
	return `{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":` + quoted(detailType) + `,"source":"aws.s3","account":"111122223333",` +
		`"time":"2026-11-20T09:05:12Z","region":"eu-central-1","resources":["arn:aws:s3:::bucket"],"detail":{"version":"0","event-version":"1.0",` +
		`"bucket":{"name":` + quoted(bucket) + `},"object":{"key":` + quoted(key) + `,"size":14358,"etag":"0cdef8885755dff42b6fbd91732ae506",` +
		`"version-id":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"},"request-id":"N4N7GDK58NMKJ12R","requester":"cloudtrail.amazonaws.com",` +
		`"source-ip-address":"192.0.2.7","reason":"PutObject"}}`
}

// trail is CloudTrail's own notification.
func trail(bucket string, keys ...string) string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = quoted(k)
	}
	return `{"s3Bucket":` + quoted(bucket) + `,"s3ObjectKey":[` + strings.Join(list, ",") + `]}`
}

// sns wraps a text as a topic does without raw message delivery.
func sns(text string) string {
	return `{"Type":"Notification","MessageId":"e8ec0cb4-e3cc-5533-8e72-5f0cb6428101","TopicArn":"arn:aws:sns:eu-central-1:111122223333:trail",` +
		`"Subject":"Amazon S3 Notification","Message":` + quoted(text) + `,"Timestamp":"2026-11-20T09:05:12.345Z","SignatureVersion":"1","Signature":"c2lnbmF0dXJl",` +
		`"SigningCertURL":"https://sns.eu-central-1.amazonaws.com/x.pem","UnsubscribeURL":"https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe"}`
}

// sqs wraps a text as ReceiveMessage prints one message.
func sqs(text string) string {
	return `{"MessageId":"2e1424d4-f796-459a-8184-9c92662be6da","ReceiptHandle":"AQEB","MD5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3","Body":` + quoted(text) +
		`,"Attributes":{"ApproximateReceiveCount":"1"}}`
}

func sqsList(texts ...string) string {
	list := make([]string, len(texts))
	for i, text := range texts {
		list[i] = sqs(text)
	}
	return `{"Messages":[` + strings.Join(list, ",") + `]}`
}

// lambdaSQS and lambdaSNS wrap a text as Lambda hands it to a function.
func lambdaSQS(text string) string {
	return `{"Records":[{"messageId":"m","body":` + quoted(text) + `,"eventSource":"aws:sqs","awsRegion":"eu-central-1"}]}`
}

func lambdaSNS(text string) string {
	return `{"Records":[{"EventSource":"aws:sns","EventVersion":"1.0","Sns":` + sns(text) + `}]}`
}

const testEvent = `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-20T09:00:00.000Z","Bucket":"trail-bucket","RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4"}`

func confirmation(kind string) string {
	return `{"Type":"` + kind + `","MessageId":"165545c9-2a5c-472c-8df2-7ff2be2b3b1b","Token":"2336412f37","TopicArn":"arn:aws:sns:eu-central-1:111122223333:trail",` +
		`"Message":"You have chosen to subscribe to the topic.\nTo confirm the subscription, visit the SubscribeURL included in this message.",` +
		`"SubscribeURL":"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription","Timestamp":"2026-11-20T09:00:00.000Z"}`
}

// logKey is a key as CloudTrail makes them.
func logKey(i int) string {
	return fmt.Sprintf("AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/111122223333_CloudTrail_eu-central-1_20261120T0905Z_%016d.json.gz", i)
}

// counts counts a message's parts by outcome.
func counts(m Message) string {
	return fmt.Sprintf("%d objects, %d skipped, %d notices, %d bad", len(m.Objects), len(m.Skipped), len(m.Notices), len(m.Bad))
}

// mustCount fails the test when other numbers of parts came of a body.
func mustCount(t *testing.T, m Message, objects, skipped, notices, bad int) {
	t.Helper()
	want := fmt.Sprintf("%d objects, %d skipped, %d notices, %d bad", objects, skipped, notices, bad)
	if got := counts(m); got != want {
		t.Errorf("%s, want %s", got, want)
		for _, b := range m.Bad {
			t.Logf("%v", &b)
		}
	}
}
