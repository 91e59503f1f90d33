package cloudtrail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
	"keytrail/schemas/internal/schematest"
)

// quoted returns text as a JSON string.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func pretty(text string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", "    "); err != nil {
		panic(err)
	}
	return b.String()
}

// TestEnvelopes: every envelope that the package comment names gives its events
// and nothing else, plain and gzip.
func TestEnvelopes(t *testing.T) {
	a, b, c := schematest.Decrypt(1), schematest.Decrypt(2), short(3)
	f := func(name, text string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			mustBe(t, read(t, text), want...)
			all := readAll(t, NewReader(strings.NewReader(zip(t, text)), "object", decoding.Limits{}), len(text)+1)
			mustBe(t, all, want...)
		})
	}
	f("nothing", "")
	f("white space", " \r\n\t")
	f("file", list(a, b, c), a, b, c)
	f("empty file", `{"Records":[]}`)
	f("file with more members", `{ "Records" : [ `+a+` , `+b+` ] , "next": {"a":[1]}, "x":"]}" }`, a, b)
	f("file with its list late", `{"version":1,"Records":[`+a+`,`+b+`]}`, a, b)
	f("two files", list(a, b)+list(c), a, b, c)
	f("two files by line", list(a, b)+"\n"+list(c)+"\n", a, b, c)
	f("array", `[`+a+","+b+`]`, a, b)
	f("empty array", `[]`)
	f("array by line", "[\n"+a+",\n"+b+"\n]\n", a, b)
	f("one", a, a)
	f("lines", a+"\n"+b+"\n"+c, a, b, c)
	f("lines of Windows", "\xef\xbb\xbf"+a+"\r\n\r\n"+b+"\r\n", a, b)
	f("end to end", a+b+c, a, b, c)
	f("byte order mark", "\xef\xbb\xbf"+list(a, b), a, b)
	f("SQS body", `{"MessageId":"m","ReceiptHandle":"r","Body":`+quoted(list(a, b))+`}`, a, b)
	f("SNS in SQS", `{"MessageId":"m","Body":`+quoted(`{"Type":"Notification","Message":`+quoted(list(a))+`}`)+`}`, a)
	f("SNS", `{"Type":"Notification","TopicArn":"t","Message":`+quoted(a)+`}`, a)
	f("subscription", `{"messageType":"DATA_MESSAGE","owner":"1","logEvents":[{"id":"1","timestamp":1,"message":`+quoted(a)+`},{"id":"2","message":`+quoted(b)+`}]}`, a, b)
	f("subscription, list first", `{"logEvents":[{"id":"1","message":`+quoted(a)+`}],"owner":"1"}`, a)
	item := func(e string) string {
		return `{"EventId":"e","EventName":"Decrypt","ReadOnly":"true","EventTime":1.7e9,"Username":"u","Resources":[{"ResourceType":"AWS::KMS::Key","ResourceName":"k"}],"CloudTrailEvent":` + quoted(e) + `}`
	}
	f("LookupEvents", `{"Events":[`+item(a)+`,`+item(b)+`],"NextToken":"n"}`, a, b)
	f("LookupEvents, token first", `{"NextToken":"n","Events":[`+item(a)+`,`+item(b)+`]}`, a, b)
	f("LookupEvents by the AWS CLI", pretty(`{"Events":[`+item(a)+`,`+item(b)+`]}`), a, b)
	f("LookupEvents item", item(a), a)
	f("LookupEvents items by line", item(a)+"\n"+item(b), a, b)
	bridge := func(source, e string) string {
		return `{"version":"0","id":"i","detail-type":"AWS API Call via CloudTrail","source":"` + source + `","account":"1","time":"2026-03-02T09:00:00Z","region":"eu-central-1","resources":[],"detail":` + e + `}`
	}
	f("EventBridge", bridge("aws.kms", a), a)
	f("EventBridge by line", bridge("aws.kms", a)+"\n"+bridge("aws.cloudtrail", b), a, b)
	f("EventBridge in SQS", `{"Body":`+quoted(bridge("aws.kms", a))+`}`, a)
	f("Fluent Bit log", `{"date":1.5,"log":`+quoted(a)+`}`+"\n"+`{"date":2,"log":`+quoted(b+"\n")+`}`, a, b)
	f("Fluent Bit message", `{"message":`+quoted(a)+`,"tag":"t"}`, a)
	f("Fluent Bit map", `{"log":`+a+`}`, a)
	f("Fluent Bit message map", `{"date":1,"message":`+a+`}`, a)
	f("Fluent Bit event", `{"event":`+quoted(a)+`,"object":"o"}`, a)
	f("Fluent Bit array", `[{"date":1,"log":`+quoted(a)+`},{"date":2,"log":`+quoted(b)+`}]`, a, b)
	f("Fluent Bit with a file", `{"log":`+quoted(list(a, b))+`}`, a, b)
	f("five deep", wrapped(5, list(a, b)), a, b)
}

// wrapped puts text n times into a Fluent Bit record.
func wrapped(n int, text string) string {
	for range n {
		text = `{"log":` + quoted(text) + `}`
	}
	return text
}

func TestPrettyPrinted(t *testing.T) {
	for _, text := range []string{pretty(list(short(1), short(2))), pretty(short(1)) + "\n" + pretty(short(2)), pretty("[" + short(1) + "," + short(2) + "]")} {
		events, faults := parted(read(t, text))
		if len(events) != 2 || len(faults) != 0 {
			t.Fatalf("%d events, %d bad records", len(events), len(faults))
		}
		for i, e := range events {
			var b bytes.Buffer
			if err := json.Compact(&b, []byte(e.raw)); err != nil || b.String() != short(i+1) || text[e.offset:int(e.offset)+len(e.raw)] != e.raw {
				t.Errorf("event %d at %d: %v\n%s", e.index, e.offset, err, b.String())
			}
		}
	}
}

// TestPlaces: index and offset count within the inflated object; what an
// envelope's text holds has the envelope's place.
func TestPlaces(t *testing.T) {
	a, b := short(1), short(2)
	text := "\xef\xbb\xbf" + list(a, b) + "\n" + b + `{"log":` + quoted(list(a, b)) + "}" + a
	for i, o := range read(t, text) {
		want := int64(3 + len(`{"Records":[`))
		switch i {
		case 0:
		case 1:
			want += int64(len(a) + 1)
		case 2:
			want = int64(3 + len(list(a, b)) + 1)
		case 3, 4:
			want = int64(strings.Index(text, `{"log"`))
		case 5:
			want = int64(len(text) - len(a))
		}
		if o.index != i || o.offset != want || o.reason != "" {
			t.Errorf("outcome %d: %+v, want offset %d", i, o, want)
		}
	}
}

// TestNative: an EventBridge event that KMS itself sends is itself an
// event; its bytes are the envelope.
func TestNative(t *testing.T) {
	text := `{"version":"0","id":"6a7e8feb-b491-4cf7-a9f1-bf3703467718","detail-type":"KMS CMK Rotation","source":"aws.kms","account":"111122223333",` +
		`"time":"2026-05-23T03:11:54Z","region":"us-west-2","resources":["arn:aws:kms:us-west-2:111122223333:key/k"],"detail":{"key-id":"k"}}`
	for _, in := range []string{text, `{"Body":` + quoted(text) + `}`, `[` + text + `]`} {
		var ev Event
		r := NewReader(strings.NewReader(in), "object", decoding.Limits{})
		if err := r.Next(&ev); err != nil {
			t.Fatal(err)
		}
		if string(ev.Raw) != text || ev.Name != "KMS CMK Rotation" || ev.Source != "kms.amazonaws.com" || ev.Type != "AwsServiceEvent" ||
			ev.Time != "2026-05-23T03:11:54Z" || ev.ID != "6a7e8feb-b491-4cf7-a9f1-bf3703467718" || ev.Region != "us-west-2" ||
			ev.RecipientAccount != "111122223333" || ev.Identity.InvokedBy != "kms.amazonaws.com" ||
			len(ev.Resources) != 1 || ev.Resources[0].ARN != "arn:aws:kms:us-west-2:111122223333:key/k" {
			t.Errorf("%+v", ev)
		}
		mustBe(t, readAll(t, r, 1))
	}
}

// TestCustomSource: who may put events on a bus may not make an event of CloudTrail.
func TestCustomSource(t *testing.T) {
	for _, source := range []string{"my.app", "aws.partner/example.com/x", "awskms"} {
		text := `{"version":"0","id":"i","detail-type":"AWS API Call via CloudTrail","source":"` + source + `","account":"1","detail":` + forged + `}`
		for _, text := range []string{text, sqsMessage(text), `{"Events":[` + text + `]}`} {
			events, faults := parted(read(t, text))
			if len(events) != 0 || len(faults) != 1 || faults[0].reason != decoding.ReasonEnvelope || !strings.Contains(faults[0].detail, source) {
				t.Errorf("%s: %d events, %+v", source, len(events), faults)
			}
		}
	}
}

// TestNotEvents: what is known and carries no events is counted, at any depth.
func TestNotEvents(t *testing.T) {
	digest := `{"awsAccountId":"1","digestStartTime":"2026-03-02T08:00:00Z","digestS3Bucket":"b","digestS3Object":"o","logFiles":[{"s3Object":"x"}],"previousDigestS3Bucket":null}`
	for text, want := range map[string]int{
		digest: 1, digest + "\n" + digest: 2, `{"Body":` + quoted(digest) + `}`: 1, `[` + digest + `,` + short(1) + `,{"log":` + digest + `}]`: 2,
	} {
		r := NewReader(strings.NewReader(text), "object", decoding.Limits{})
		if _, faults := parted(readAll(t, r, 9)); r.NotEvents != want || len(faults) != 0 {
			t.Errorf("%.40s: NotEvents %d, want %d; %v", text, r.NotEvents, want, faults)
		}
	}
}

// TestUnknownShape: JSON that carries no events is one bad record, and reading
// continues.
func TestUnknownShape(t *testing.T) {
	a, b := short(1), short(2)
	for _, odd := range []string{
		`{}`, `{"a":1}`, `true`, `null`, `"text"`, `17`, `{"log":"not json"}`, `{"log":"{}"}`, `{"Records":null}`, `{"Message":"{\"s3Bucket\":\"b\",\"s3ObjectKey\":[\"k\"]}"}`,
		wrapped(6, a),
	} {
		for name, text := range map[string]string{"file": list(a, odd, b), "array": `[` + a + `,` + odd + `,` + b + `]`, "lines": a + "\n" + odd + "\n" + b} {
			events, faults := parted(read(t, text))
			if fmt.Sprint(raws(events)) != fmt.Sprint([]string{a, b}) {
				t.Errorf("%s, %.40s: %d events", name, odd, len(events))
			}
			if len(faults) != 1 || faults[0].reason != decoding.ReasonEnvelope || faults[0].index != 1 || faults[0].offset != int64(strings.Index(text, a)+len(a)+1) {
				t.Errorf("%s, %.40s: %+v", name, odd, faults)
			}
		}
	}
}

// TestRawIsInTheInput: the events' bytes stand in the input, in order.
func TestRawIsInTheInput(t *testing.T) {
	text, at := fileOf(3000), 0 // 4 MB: many chunks
	events, faults := parted(read(t, text))
	if len(events) != 3000 || len(faults) != 0 {
		t.Fatalf("%d events, %d bad records", len(events), len(faults))
	}
	for i, e := range events {
		n := strings.Index(text[at:], e.raw)
		if n < 0 || at+n != int(e.offset) || e.index != i || e.raw != schematest.Decrypt(i) {
			t.Fatalf("event %d: not at %d, or not itself", i, e.offset)
		}
		at += n + len(e.raw)
	}
}

// TestReaderAllocates: a Reader allocates for its object and for the names that
// it learns, not for its events.
func TestReaderAllocates(t *testing.T) {
	line := schematest.Decrypt(1) + "\n"
	for name, text := range map[string][2]string{
		"file":  {fileOf(500), fileOf(3000)},
		"lines": {strings.Repeat(line, 500), strings.Repeat(line, 3000)},
	} {
		count := func(text string) float64 {
			return testing.AllocsPerRun(5, func() {
				r, ev := NewReader(strings.NewReader(text), "object", decoding.Limits{}), Event{}
				for r.Next(&ev) == nil {
				}
			})
		}
		if few, many := count(text[0]), count(text[1]); many > few+10 { // the buffer grows
			t.Errorf("%s: %v allocations for 500 events, %v for 3,000", name, few, many)
		}
	}
}

// TestListAtTheBorder: the available bytes may end right behind the bracket of a list
// inside a record.
func TestListAtTheBorder(t *testing.T) {
	rec := `{"eventVersion":"1.08","eventName":"CreateGrant","requestParameters":{"operations":["Decrypt"]},"resources":[{"ARN":"a"}]}`
	for _, bracket := range []string{`["D`, `[{"A`} {
		head := `{"Records":[`
		text := head + strings.Repeat(" ", chunk-len(head)-strings.Index(rec, bracket)-1) + rec + "]}"
		events, faults := parted(read(t, text))
		if len(events) != 1 || len(faults) != 0 || events[0].raw != rec {
			t.Errorf("%s: %d events, %d bad records", bracket, len(events), len(faults))
		}
	}
}
