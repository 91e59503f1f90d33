package cloudtrail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
	"keytrail/schemas/internal/schematest"
)

// The envelopes that carry events, one test each, and what carries none.

func TestEnvelopeFile(t *testing.T) {
	inEnvelope(t, list)
	inEnvelope(t, func(events ...string) string {
		return `{ "version":1, "Records" : [ ` + strings.Join(events, " , ") + ` ] , "more" : {"Records":[1]} }`
	})
}

// Records alone, end to end and by line: nothing is around them.
func TestEnvelopeRecord(t *testing.T) {
	inEnvelope(t, func(events ...string) string { return strings.Join(events, "") })
	inEnvelope(t, func(events ...string) string { return strings.Join(events, "\n") })
}

func TestEnvelopeArray(t *testing.T) {
	inEnvelope(t, func(events ...string) string { return "[" + strings.Join(events, ",") + "]" })
	inEnvelope(t, func(events ...string) string { return "[\n" + strings.Join(events, ",\n") + "\n]" })
}

// EventBridge gives a target one event at a time.
func TestEnvelopeEventBridge(t *testing.T) {
	for _, kind := range []string{"AWS API Call via CloudTrail", "AWS Service Event via CloudTrail", "AWS Console Sign In via CloudTrail"} {
		for _, source := range []string{"aws.kms", "aws.s3"} {
			inEnvelope(t, each("\n", func(e string) string {
				return `{"version":"0","id":"36eb8523-97d0-4518-b33d-ee3579ff19f0","detail-type":"` + kind + `","source":"` + source + `","account":"111122223333",` +
					`"time":"2026-11-20T09:00:01Z","region":"eu-central-1","resources":[],"detail":` + e + `}`
			}))
		}
	}
}

func TestEnvelopeCloudWatchLogs(t *testing.T) {
	inEnvelope(t, subscription)
}

// subscription is what CloudWatch Logs sends for a subscription filter.
func subscription(events ...string) string {
	return `{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"trail","logStream":"111122223333_CloudTrail_eu-central-1","subscriptionFilters":["kms"],` +
		`"logEvents":[` + each(",", func(e string) string {
		return `{"id":"37123456789012345678901234567890123456789012345678901234","timestamp":1795165201000,"message":` + quoted(e) + `}`
	})(events...) + `]}`
}

// LookupEvents gives 50 events a page and a token for the next one.
func TestEnvelopeLookupEvents(t *testing.T) {
	item := each(",", func(e string) string {
		return `{"EventId":"e","EventName":"Decrypt","ReadOnly":"true","AccessKeyId":"ASIA","EventTime":1795165201.0,"EventSource":"kms.amazonaws.com","Username":"u",` +
			`"Resources":[{"ResourceType":"AWS::KMS::Key","ResourceName":"k"}],"CloudTrailEvent":` + quoted(e) + `}`
	})
	inEnvelope(t, func(events ...string) string { return `{"Events":[` + item(events...) + `],"NextToken":"AAAA=="}` })
	inEnvelope(t, func(events ...string) string { return `{"NextToken":"AAAA==","Events":[` + item(events...) + `]}` })
	inEnvelope(t, func(events ...string) string { return `{"Events":[` + item(events...) + `]}` }) // the last page
	inEnvelope(t, func(events ...string) string {                                                  // the items alone, as jq's .Events[] prints them
		return each("\n", func(e string) string { return item(e) })(events...)
	})
	gives(t, "a page without events", `{"Events":[],"NextToken":"AAAA=="}`)
}

// Fluent Bit's outputs write records by line, end to end or as an array; the
// event is a string (of the parser "none", of Docker) or a map (of a JSON
// parser), and the date has the form that json_date_format says.
func TestEnvelopeFluentBit(t *testing.T) {
	for name, c := range map[string]struct {
		date, field string
		value       func(string) string
	}{
		"tail":                {`"date":1795165201.250000,`, "log", quoted},
		"tail, ISO date":      {`"date":"2026-11-20T09:00:01.250000Z",`, "log", quoted},
		"Docker":              {`"date":1795165201,"stream":"stdout",`, "log", func(e string) string { return quoted(e + "\n") }},
		"journal":             {`"date":1795165201.25,`, "message", quoted},
		"parsed":              {`"date":1795165201.25,`, "log", func(e string) string { return e }},
		"parsed, as message":  {`"@timestamp":"2026-11-20T09:00:01Z","tag":"kms",`, "message", func(e string) string { return e }},
		"in_kms":              {`"date":1795165201.25,`, "event", quoted},
		"no date":             {``, "log", quoted},
		"Kubernetes, no date": {`"kubernetes":{"pod_name":"p"},`, "log", quoted},
	} {
		t.Run(name, func(t *testing.T) {
			record := func(e string) string { return `{` + c.date + `"` + c.field + `":` + c.value(e) + `,"more":"x"}` }
			inEnvelope(t, each("\n", record)) // json_lines
			inEnvelope(t, each("", record))   // json_stream
			inEnvelope(t, func(events ...string) string { return "[" + each(",", record)(events...) + "]" })
		})
	}
}

// Other envelopes inside a queue's or a topic's message are a part of each test;
// here messages are inside messages, and several in a row.
func TestEnvelopeMessages(t *testing.T) {
	for name, around := range messages {
		t.Run(name, func(t *testing.T) {
			inEnvelope(t, func(events ...string) string { return around(strings.Join(events, "\n")) })
			inEnvelope(t, each("\n", around))
		})
	}
	a, b := odd(1), odd(2)
	gives(t, "the Message is no string", `{"Type":"Notification","Message":`+list(a, b)+`}`, a, b)
	gives(t, "as Lambda writes SQS", `{"messageId":"m","body":`+quoted(list(a, b))+`}`, a, b)
	gives(t, "a file, a message and a record", list(a)+"\n"+sqsMessage(snsMessage(list(b)))+"\n"+a, a, b, a)
}

// A form that is known to carry no events yields none. It is counted or reported once,
// and its neighbors are read. Messages that name objects are for package
// notification.
func TestEnvelopeWithoutEvents(t *testing.T) {
	const confirm = `"MessageId":"m","Token":"2336412f37","TopicArn":"arn:aws:sns:eu-central-1:111122223333:trail","Message":"You have chosen to subscribe.","SubscribeURL":"https://x"}`
	a, b := odd(1), odd(2)
	for name, text := range map[string]string{
		"digest":              `{"awsAccountId":"111122223333","digestS3Bucket":"b","digestS3Object":"o","logFiles":[{"s3Bucket":"b","s3Object":"o","hashValue":"h"}]}`,
		"S3 test event":       `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-20T09:00:00.000Z","Bucket":"b","RequestId":"r","HostId":"h"}`,
		"CloudTrail's own":    `{"s3Bucket":"b","s3ObjectKey":["AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/x.json.gz"]}`,
		"S3 over EventBridge": `{"version":"0","detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"b"},"object":{"key":"k","size":5}}}`,
		"subscribe":           `{"Type":"SubscriptionConfirmation",` + confirm,
		"unsubscribe":         `{"Type":"UnsubscribeConfirmation",` + confirm,
		"validation":          snsMessage("CloudTrail validation message."),
		"control message": `{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],` +
			`"logEvents":[{"id":"","timestamp":1795165201000,"message":"CWL CONTROL MESSAGE: Checking health of destination Firehose."}]}`,
	} {
		for place, text := range map[string]string{"alone": text, "in SNS in SQS": sqsMessage(snsMessage(text))} {
			r := NewReader(strings.NewReader(a+"\n"+text+"\n"+b), "object", decoding.Limits{})
			events, faults := parted(readAll(t, r, 9))
			if len(events) != 2 || events[0].raw != a || events[1].raw != b || len(faults)+r.NotEvents != 1 {
				t.Errorf("%s, %s: %d events, %d counted, %+v", name, place, len(events), r.NotEvents, faults)
			}
			for _, f := range faults {
				if f.reason != decoding.ReasonEnvelope || f.index != 1 || f.offset <= int64(len(a)) || f.offset > int64(len(a)+len(text)) {
					t.Errorf("%s, %s: %+v", name, place, f)
				}
			}
		}
	}
}

// messages are what queues and topics put around a text. Raw message delivery
// puts nothing around it.
var messages = map[string]func(string) string{
	"SNS":        snsMessage,
	"SQS":        sqsMessage,
	"SNS in SQS": func(s string) string { return sqsMessage(snsMessage(s)) },
}

func snsMessage(text string) string {
	return `{"Type":"Notification","MessageId":"e8ec0cb4","TopicArn":"arn:aws:sns:eu-central-1:111122223333:trail","Subject":"s","Message":` + quoted(text) +
		`,"Timestamp":"2026-11-20T09:05:12.345Z","SignatureVersion":"1","Signature":"c2ln","SigningCertURL":"https://x","UnsubscribeURL":"https://y"}`
}

func sqsMessage(text string) string {
	return `{"MessageId":"2e1424d4","ReceiptHandle":"AQEB","MD5OfBody":"e4e68fb7","Body":` + quoted(text) + `,"Attributes":{"ApproximateReceiveCount":"1"}}`
}

// each returns a wrapper that puts something around every event.
func each(between string, around func(string) string) func(...string) string {
	return func(events ...string) string {
		all := make([]string, len(events))
		for i, e := range events {
			all[i] = around(e)
		}
		return strings.Join(all, between)
	}
}

// odd returns an event with everything in it that an envelope could change:
// white space, escapes, numbers that no float holds, text outside ASCII.
func odd(i int) string {
	return fmt.Sprintf(`{ "eventVersion" : "1.11",  "eventSource":"kms.amazonaws.com", "eventName":"Decrypt","eventTime":"2026-11-20T09:00:%02dZ", "awsRegion":"eu-central-1",`+
		`"requestParameters": {"encryptionContext":{"a\/b\u003c\ud83d\ude00 \"\\":"ü日本 <&>\t{[\u0000"}, "n":[1e400,-0,12345678901234567890.10, 1E+2 ]},"responseElements":null ,`+
		`"eventID":"odd-%d","recipientAccountId":"111122223333"}`, i%60, i)
}

// inEnvelope holds the Reader to one envelope, which wrap puts around events:
// alone, end to end, by line as Unix and Windows write it, indented, behind a
// byte order mark, and inside the messages of queues and topics.
func inEnvelope(t *testing.T, wrap func(events ...string) string) {
	t.Helper()
	a, b, c := odd(1), schematest.Decrypt(2), short(3)
	one, two := wrap(a), wrap(b, c)
	gives(t, "one", one, a)
	gives(t, "two", two, b, c)
	for name, between := range map[string]string{"end to end": "", "by line": "\n", "by line of Windows": "\r\n", "empty lines": "\n\n\r\n \n", "tabs": "\t"} {
		gives(t, name, one+between+two+between+one+between, a, b, c, a)
	}
	gives(t, "byte order mark", "\xef\xbb\xbf"+one+"\n"+two, a, b, c)
	gives(t, "white space around", " \r\n\t"+two+" \n", b, c)
	nice := indented(t, one+two)
	givesIndented(t, "indented", nice, a, b, c)
	givesIndented(t, "indented by Windows", "\xef\xbb\xbf"+strings.ReplaceAll(nice, "\n", "\r\n"), a, b, c)
	for name, around := range messages {
		gives(t, name, around(two), b, c)
		gives(t, name+", by line", around(one)+"\r\n"+around(two), a, b, c)
		gives(t, name+", lines inside", around(" \n"+one+"\r\n"+two+"\n"), a, b, c)
		givesIndented(t, name+", indented", indented(t, around(one)+around(two)), a, b, c)
		givesIndented(t, name+", indented inside", around(nice), a, b, c)
	}
}

// TestEnvelopesInChunks: an object of many envelopes, longer than what is read
// at once.
func TestEnvelopesInChunks(t *testing.T) {
	for name, wrap := range map[string]func(...string) string{"file": list, "subscription": subscription, "records": each("\n", func(e string) string { return e }),
		"SNS in SQS": func(events ...string) string { return sqsMessage(snsMessage(list(events...))) }} {
		var text strings.Builder
		var want []string
		for i := 0; text.Len() < 3*chunk; i++ {
			want = append(want, schematest.Decrypt(i), odd(i))
			text.WriteString(wrap(want[2*i:]...) + "\n")
		}
		gives(t, name, text.String(), want...)
	}
}

// gives reads an object, plain and gzip, and wants these events and nothing
// else, each byte for byte, numbered from 0, at places that do not go back.
func gives(t *testing.T, name, text string, want ...string) {
	t.Helper()
	givesLike(t, name, text, want, func(e outcome, want string) bool { return e.raw == want })
}

// givesIndented is gives for an object that a tool has indented, and with it the
// events that are not strings there. They differ from the originals only in white
// space.
func givesIndented(t *testing.T, name, text string, want ...string) {
	t.Helper()
	givesLike(t, name, text, want, func(e outcome, want string) bool { return compact(t, e.raw) == compact(t, want) })
}

func givesLike(t *testing.T, name, text string, want []string, alike func(e outcome, want string) bool) {
	t.Helper()
	for form, stored := range map[string]string{"plain": text, "gzip": zip(t, text)} {
		events, faults := parted(readAll(t, NewReader(strings.NewReader(stored), "object", decoding.Limits{}), len(text)+1))
		for _, f := range faults {
			t.Errorf("%s, %s: %s: %s (%.80q)", name, form, f.reason, f.detail, f.raw)
		}
		if len(events) != len(want) {
			t.Errorf("%s, %s: %d events, want %d", name, form, len(events), len(want))
			continue
		}
		at := int64(0)
		for i, e := range events {
			if !alike(e, want[i]) || e.index != i || e.offset < at || e.offset >= int64(len(text)) {
				t.Errorf("%s, %s: event %d is number %d at %d:\n%.300q\nwant\n%.300q", name, form, i, e.index, e.offset, e.raw, want[i])
			}
			at = e.offset
		}
	}
}

// indented indents every value of a text.
func indented(t *testing.T, text string) string {
	t.Helper()
	var all strings.Builder
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		var value json.RawMessage
		if err := dec.Decode(&value); err == io.EOF {
			return all.String()
		} else if err != nil {
			t.Fatalf("%v in %.200q", err, text)
		}
		all.WriteString(pretty(string(value)) + "\n")
	}
}

// compact returns JSON without the white space between its tokens.
func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatalf("%v in %.200q", err, text)
	}
	return b.String()
}
