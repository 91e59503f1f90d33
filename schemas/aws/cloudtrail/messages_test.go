package cloudtrail

import (
	"encoding/base64"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
)

func packed(t *testing.T, text string) string {
	return base64.StdEncoding.EncodeToString([]byte(zip(t, text)))
}

// noEvents wants an object without events, counted in NotEvents or reported as
// unknown_shape, and the events beside it.
func noEvents(t *testing.T, name, text string) {
	t.Helper()
	for place, text := range map[string]string{"alone": text, "SNS": snsMessage(text), "SQS": sqsMessage(text), "SNS in SQS": sqsMessage(snsMessage(text))} {
		r := NewReader(strings.NewReader(text+"\n"+odd(1)), "object", decoding.Limits{})
		events, faults := parted(readAll(t, r, 9))
		if len(events) != 1 || events[0].raw != odd(1) || len(faults)+r.NotEvents == 0 {
			t.Errorf("%s, %s: %d events, %d counted, %d bad", name, place, len(events), r.NotEvents, len(faults))
		}
	}
}

// S3's notifications use the field names of events but are not events: the file that
// they name must not pass for a filtered event.
func TestNotificationsAreNoEvents(t *testing.T) {
	record := func(source, name string) string {
		return `{"Records":[{"eventVersion":"2.6","eventSource":"` + source + `","awsRegion":"eu-central-1","eventTime":"2026-11-20T09:05:12.345Z","eventName":"` + name + `",` +
			`"userIdentity":{"principalId":"x"},"s3":{"s3SchemaVersion":"1.0","bucket":{"name":"b"},"object":{"key":"AWSLogs/k"}}}]}`
	}
	noEvents(t, "S3", record("aws:s3", "ObjectCreated:Put"))
	noEvents(t, "S3 removed", record("aws:s3", "ObjectRemoved:Delete"))
	noEvents(t, "MinIO", record("minio:s3", "s3:ObjectCreated:Put"))
}

// Lambda's records of SQS and Kinesis have an eventSource, and carry events.
func TestLambdaRecords(t *testing.T) {
	a, b := odd(1), odd(2)
	gives(t, "SQS", `{"Records":[{"messageId":"m","receiptHandle":"r","body":`+quoted(list(a, b))+`,"attributes":{},"eventSource":"aws:sqs","eventSourceARN":"x","awsRegion":"r"}]}`, a, b)
	gives(t, "SNS", `{"Records":[{"EventSource":"aws:sns","EventVersion":"1.0","EventSubscriptionArn":"x","Sns":`+snsMessage(list(a, b))+`}]}`, a, b)
	gives(t, "Kinesis", `{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"p","sequenceNumber":"1","data":"`+packed(t, subscription(a, b))+`","approximateArrivalTimestamp":1.5},`+
		`"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000000:1","eventName":"aws:kinesis:record","awsRegion":"r","eventSourceARN":"y"}]}`, a, b)
}

// base64 of gzip: Firehose's HTTP requests and its Lambda events, CloudWatch
// Logs' Lambda events, Kinesis GetRecords.
func TestPacked(t *testing.T) {
	a, b := odd(1), odd(2)
	plain := base64.StdEncoding.EncodeToString([]byte(a))
	gives(t, "awslogs", `{"awslogs":{"data":"`+packed(t, subscription(a, b))+`"}}`, a, b)
	gives(t, "Firehose over HTTP", `{"requestId":"r","timestamp":1795165201000,"records":[{"data":"`+packed(t, subscription(a))+`"},{"data":"`+packed(t, subscription(b))+`"}]}`, a, b)
	gives(t, "Firehose to Lambda", `{"invocationId":"i","deliveryStreamArn":"d","region":"r","records":[{"recordId":"1","approximateArrivalTimestamp":1,"data":"`+packed(t, subscription(a, b))+`"}]}`, a, b)
	gives(t, "Firehose, not packed", `{"requestId":"r","timestamp":1,"records":[{"data":"`+plain+`"}]}`, a)
	gives(t, "GetRecords", `{"Records":[{"SequenceNumber":"1","ApproximateArrivalTimestamp":1.5,"Data":"`+packed(t, subscription(a, b))+`","PartitionKey":"p"}],"NextShardIterator":"n","MillisBehindLatest":0}`, a, b)
	gives(t, "awslogs in SNS in SQS", sqsMessage(snsMessage(`{"awslogs":{"data":"`+packed(t, subscription(a))+`"}}`)), a)
}

// CloudWatch Logs checks its destinations with its own message.
func TestControlMessage(t *testing.T) {
	text := `{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],` +
		`"logEvents":[{"id":"","timestamp":1795165201000,"message":"CWL CONTROL MESSAGE: Checking health of destination Firehose."}]}`
	for _, text := range []string{text, sqsMessage(text), text + "\n" + subscription(odd(1))} {
		r := NewReader(strings.NewReader(text), "object", decoding.Limits{})
		if _, faults := parted(readAll(t, r, 9)); len(faults) != 0 || r.NotEvents != 1 {
			t.Errorf("%.50s: %d counted, %d bad", text, r.NotEvents, len(faults))
		}
	}
}

// What ReceiveMessage prints.
func TestReceiveMessage(t *testing.T) {
	a, b := odd(1), odd(2)
	gives(t, "Messages", `{"Messages":[`+sqsMessage(list(a))+`,`+sqsMessage(snsMessage(list(b)))+`]}`, a, b)
}

// Several members of one object may carry an event; additions of shippers beside
// the line are not events.
func TestTwoCarriers(t *testing.T) {
	a, b := odd(1), odd(2)
	gives(t, "two events", `{"log":`+quoted(a)+`,"message":`+quoted(b)+`}`, a, b) // or one bad record; not one event
	gives(t, "two envelopes", `{"log":`+quoted(snsMessage(list(a)))+`,"message":`+quoted(sqsMessage(snsMessage(list(b))))+`}`, a, b)
	gives(t, "text behind", `{"log":`+quoted(a)+`,"message":"a line of text"}`, a)
	gives(t, "Filebeat", `{"@timestamp":"2026-11-20T09:00:00Z","event":{"module":"aws","dataset":"aws.cloudtrail"},"message":`+quoted(a)+`}`, a)
	gives(t, "Elastic Agent", `{"@timestamp":"2026-11-20T09:00:00Z","event":{"module":"aws","original":`+quoted(a)+`}}`, a)
}

// A byte order mark may stand at the start of a message, and of each of several
// files end to end.
func TestMarkInside(t *testing.T) {
	a, b := odd(1), odd(2)
	gives(t, "in a Body", sqsMessage("\ufeff"+list(a)), a)
	gives(t, "of the second file", "\xef\xbb\xbf"+list(a)+"\n\xef\xbb\xbf"+list(b), a, b)
}

// What `aws logs filter-log-events` and get-log-events print.
func TestFilterLogEvents(t *testing.T) {
	a := odd(1)
	gives(t, "filter-log-events", `{"events":[{"logStreamName":"s","timestamp":1,"message":`+quoted(a)+`,"ingestionTime":1,"eventId":"1"}],"searchedLogStreams":[]}`, a)
}

// An object may carry a list and something besides it; nothing of it is lost.
func TestListsAndCarriers(t *testing.T) {
	a, b := odd(1), odd(2)
	pack := func(text string) string { return `"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"` }
	gives(t, "a text before a list", `{"message":`+quoted(a)+`,"records":[`+b+`]}`, a, b)
	gives(t, "a text behind a list", `{"records":[`+b+`],"message":`+quoted(a)+`}`, b, a)
	gives(t, "packed before a list", `{"data":`+pack(a)+`,"records":[`+b+`]}`, a, b)
	gives(t, "packed behind a list", `{"records":[`+b+`],"data":`+pack(a)+`,"other":1}`, b, a)
	gives(t, "two lists", `{"detail-type":"x","records":[`+a+`],"events":[`+b+`]}`, a, b)
	gives(t, "a shipper's object behind a list", `{"Records":[`+a+`,`+b+`],"event":{"module":"aws"}}`, a, b)
}

// TestNativeBesideAnEmptyList: what stands beside KMS's own event does not touch
// it, nor does it keep the caller of another.
func TestNativeBesideAnEmptyList(t *testing.T) {
	identity := `"userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::111122223333:user/mallory","accountId":"111122223333"}`
	native := `{"source":"aws.kms",` + identity + `,"detail-type":"KMS CMK Rotation","account":"999999999999","detail":{"key-id":"k"},"records":[]}`
	r, ev := NewReader(strings.NewReader(`{"eventVersion":"1.08",`+identity+`}`+native), "object", decoding.Limits{}), Event{}
	if err := r.Next(&ev); err != nil || ev.Caller == 0 {
		t.Fatalf("%v, caller %d", err, ev.Caller)
	}
	if err := r.Next(&ev); err != nil || ev.Service.KeyID != "k" || ev.Caller != 0 || ev.Identity.Account != "999999999999" {
		t.Errorf("%v, key %q, caller %d of %+v", err, ev.Service.KeyID, ev.Caller, ev.Identity)
	}
}

// TestPackedTogether: what is packed in an object may be as large as the object,
// all together, wrapped in texts or not.
func TestPackedTogether(t *testing.T) {
	bomb := `{"data":"` + packed(t, strings.Repeat(" ", 900<<10)) + `"}` + "\n"
	for name, text := range map[string]string{"direct": bomb, "wrapped": `{"message":` + quoted(bomb) + "}\n"} {
		_, faults := parted(readAll(t, NewReader(strings.NewReader(strings.Repeat(text, 100)), "object", decoding.Limits{InflatedBytes: 1 << 20}), 200))
		if len(faults) == 0 || faults[len(faults)-1].reason != decoding.ReasonInflatedSize {
			t.Errorf("%s: %d bad records", name, len(faults))
		}
	}
}
