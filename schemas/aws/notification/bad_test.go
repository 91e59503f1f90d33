package notification

import (
	"fmt"
	"strings"
	"testing"
)

// The error for an unusable message names the expected and the found form.
func TestUnknown(t *testing.T) {
	for body, want := range map[string]struct {
		reason Reason
		says   string
	}{
		``:                                       {ReasonSyntax, "unexpected end of JSON input"},
		" \n":                                    {ReasonSyntax, "unexpected end of JSON input"},
		`{"Records":[`:                           {ReasonSyntax, "unexpected end"},
		`{"a":1}}`:                               {ReasonSyntax, "at byte 8"},
		`not JSON`:                               {ReasonSyntax, "invalid character 'o' in literal null"},
		`{}`:                                     {ReasonShape, "found an object with no names"},
		`{"b":1,"a":2}`:                          {ReasonShape, `found an object with the names "a", "b"`},
		`[1,{"a":1}]`:                            {ReasonShape, "found a list of which no item is one"},
		`{"Records":[1,{"a":1}]}`:                {ReasonShape, `found an object with the names "Records"`},
		`17`:                                     {ReasonShape, "found a value that is not an object"},
		`"text"`:                                 {ReasonShape, "found a value that is not an object"},
		`null`:                                   {ReasonShape, "found a value that is not an object"},
		`{"Records":null}`:                       {ReasonShape, `"Records"`},
		`{"Records":{"s3":{}}}`:                  {ReasonShape, `"Records"`},
		`{"Type":"Notification"}`:                {ReasonShape, `"Type"`},
		`{"Message":7,"Body":8}`:                 {ReasonShape, `"Body", "Message"`},
		`{"records":[{"S3":{}}]}`:                {ReasonShape, `"records"`}, // names are compared exactly
		`{"s3":{},"Records":[]}`:                 {ReasonShape, "two shapes in one object: it has s3 and Records"},
		`{"Body":"{}","Message":"{}"}`:           {ReasonShape, "two shapes in one object: it has Message and Body"},
		`{"s3ObjectKey":["k"]}`:                  {ReasonPart, `expected a string under "s3Bucket", found nothing`},
		`{"s3Bucket":["b"],"s3ObjectKey":["k"]}`: {ReasonPart, `expected a string under "s3Bucket", found a list`},
		`{"s3Bucket":"b-1","s3ObjectKey":5}`:     {ReasonPart, `expected a list of keys under "s3ObjectKey", found a number`},
		`{"s3":{}}`:                              {ReasonPart, `expected "aws:s3" or "minio:s3" under "eventSource", found ""`},
		`{"eventSource":"ceph:s3","s3":{}}`:      {ReasonPart, `found "ceph:s3"`},
		`{"eventSource":"aws:s3","s3":{}}`:       {ReasonPart, `expected an object under "bucket", found nothing`},
		`{"eventSource":"aws:s3","s3":{"bucket":{},"object":true}}`:        {ReasonPart, `expected an object under "object", found a boolean`},
		strings.Replace(put("b-1", "k"), `"ObjectCreated:Put"`, "null", 1): {ReasonPart, `expected a string under "eventName", found nothing`},
		strings.Replace(put("b-1", "k"), `"b-1"`, "17", 1):                 {ReasonPart, `expected a string under "name", found a number`},
		`{"source":"aws.s3","detail-type":"Object Created"}`:               {ReasonPart, `expected an object under "detail", found nothing`},
		`{"source":"aws.s3","detail-type":"Something"}`:                    {ReasonShape, "found an object with the names"},
	} {
		m := Parse([]byte(body), Limits{})
		mustCount(t, m, 0, 0, 0, 1)
		if b := m.Bad[0]; b.Reason != want.reason || !strings.Contains(b.Detail, want.says) || !strings.Contains(b.Error(), string(b.Reason)) || !strings.Contains(body, string(b.Raw)) ||
			b.MayHoldEvents() != (b.Reason == ReasonShape || b.Reason == ReasonSyntax) || b.Where == "" && string(b.Raw) != body {
			t.Errorf("%s: %v with %q, want %s: %s", body, &b, b.Raw, want.reason, want.says)
		}
	}
}

// One bad part of a list costs that part only, with its place and its bytes.
func TestPartlyBad(t *testing.T) {
	good := func(key string) string { return s3Record("ObjectCreated:Put", "b-1", key) }
	double := `{"s3":{},"s3":{}}`
	m := Parse([]byte(sns(s3Body(good("a"), `{"a":1}`, `7`, good("b"), double, s3Record("ObjectCreated:Put", "x", "c"), good("d")))), Limits{})
	mustCount(t, m, 3, 0, 0, 4)
	for i, key := range []string{"a", "b", "d"} {
		if m.Objects[i].Key != key {
			t.Errorf("object %d: %q", i, m.Objects[i].Key)
		}
	}
	found := map[string]string{}
	for _, b := range m.Bad {
		found[b.Where] = string(b.Reason) + " " + string(b.Raw[:min(len(b.Raw), 20)])
	}
	for where, want := range map[string]string{
		"Message.Records[1]": `unknown_shape {"a":1}`, "Message.Records[2]": "unknown_shape 7",
		"Message.Records[4]": "duplicate_key " + double, "Message.Records[5]": `bad_name {"eventVersion":"2.6`,
	} {
		if found[where] != want {
			t.Errorf("%s: %q, want %q", where, found[where], want)
		}
	}

	m = Parse([]byte(`{"s3Bucket":"b-1","s3ObjectKey":["a",7,"","b",null,["c"]]}`), Limits{})
	mustCount(t, m, 2, 0, 0, 4)
	for i, want := range []string{"s3ObjectKey[1]: bad_notification: expected a key in quotes, found a number", "s3ObjectKey[2]: bad_name: the key is empty",
		"s3ObjectKey[4]: bad_notification: expected a key in quotes, found nothing", "s3ObjectKey[5]: bad_notification: expected a key in quotes, found a list"} {
		if got := m.Bad[i].Error(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A name twice in an object that is read is refused: two readers might see two
// different objects. In an object that is not read it does not matter.
func TestDuplicateNames(t *testing.T) {
	for _, body := range []string{
		`{"Records":[],"Records":[]}`, `{"s3Bucket":"a-1","s3Bucket":"b-1","s3ObjectKey":["k"]}`, `{"s3Bucket":"b-1","s3ObjectKey":["k"],"s3ObjectKey":["l"]}`,
		`{"s3Bucket":"b-1","s3\u004fbjectKey":["k"],"s3ObjectKey":["l"]}`, // the same name, written in two ways
		strings.Replace(put("b-1", "k"), `"name":`, `"name":"a-1","name":`, 1), strings.Replace(put("b-1", "k"), `"key":`, `"key":"a","key":`, 1),
		strings.Replace(put("b-1", "k"), `"eventName":`, `"eventName":"ObjectRemoved:Delete","eventName":`, 1),
		strings.Replace(bridge("Object Created", "b-1", "k"), `"key":`, `"key":"a","key":`, 1), `{"Body":"{}","Body":"{}"}`,
	} {
		m := Parse([]byte(body), Limits{})
		mustCount(t, m, 0, 0, 0, 1)
		if b := m.Bad[0]; b.Reason != ReasonDuplicateKey || b.MayHoldEvents() {
			t.Errorf("%s: %v", body, &b)
		}
	}
	m := Parse([]byte(strings.Replace(put("b-1", "k"), `"principalId":`, `"principalId":"x","principalId":`, 1)), Limits{})
	mustCount(t, m, 1, 0, 0, 0)
	m = Parse([]byte(strings.Replace(put("b-1", "k"), `"name":`, `"Name":"a-1","name":`, 1)), Limits{})
	mustCount(t, m, 1, 0, 0, 0) // a name of other case is another name
	if m.Objects[0].Bucket != "b-1" {
		t.Errorf("bucket %q: a name of other case was taken", m.Objects[0].Bucket)
	}
}

// Text that is not UTF-8, or has half of a pair of surrogates, names no object:
// package json would put U+FFFD there, and that is another key.
func TestUTF8(t *testing.T) {
	f := func(body string, objects int) {
		t.Helper()
		m := Parse([]byte(body), Limits{})
		mustCount(t, m, objects, 0, 0, 1)
		if m.Bad[0].Reason != ReasonUTF8 {
			t.Errorf("%q: %v", body, &m.Bad[0])
		}
	}
	f("{\"s3Bucket\":\"b-1\",\"s3ObjectKey\":[\"a\",\"\xff\"]}", 0) // the whole text is damaged
	f("\xff", 0)
	for _, half := range []string{`\ud800`, `\udc00`, `\uDBFFx`, `\ud800\ud800`, `\ud800\u0041`, `\ud800\\udc00`, `\ud83d\ude00\ude00`, `x\\\ud800`, `\udfff\ud800`} {
		f(`{"s3Bucket":"b-1","s3ObjectKey":["a","`+half+`","b"]}`, 2)
		f(strings.Replace(put("b-1", "KEY"), "KEY", half, 1), 0)
		f(strings.Replace(bridge("Object Created", "b-1", "KEY"), "KEY", half, 1), 0)
		f(strings.Replace(put("b-1", "k"), "0055AED6DCD90281E5", half, 1), 0)
	}
	for _, whole := range []string{`\ud83d\ude00`, `\uD83D\uDE00\ud83d\ude00`, `\\ud800`, `\ud7ff\ue000`, `\\\\udc00`, `\n\"\/\b`} {
		m := Parse([]byte(`{"s3Bucket":"b-1","s3ObjectKey":["`+whole+`"]}`), Limits{})
		mustCount(t, m, 1, 0, 0, 0)
	}
}

// Bounds: what is over them is reported, and what is within them is read.
func TestLimits(t *testing.T) {
	body := trail("b-1", "a", "b", "c", "d")
	m := Parse([]byte(body), Limits{Items: 2})
	mustCount(t, m, 2, 0, 0, 1)
	if b := m.Bad[0]; b.Reason != ReasonTooMany || string(b.Raw) != body || !strings.Contains(b.Detail, "2 items over the limit of 2") {
		t.Errorf("%v with %s", &b, b.Raw)
	}
	m = Parse([]byte(body), Limits{Items: 4})
	mustCount(t, m, 4, 0, 0, 0)

	m = Parse([]byte(s3Body(s3Record("ObjectCreated:Put", "b-1", "k"), "1", "2", "3", "4", "5")), Limits{Items: 3})
	mustCount(t, m, 1, 0, 0, 3)
	if b := m.Bad[2]; b.Reason != ReasonTooMany || !strings.Contains(b.Detail, " 3 items over") {
		t.Errorf("%v", &b)
	}

	m = Parse([]byte(body), Limits{BodyBytes: len(body) - 1})
	mustCount(t, m, 0, 0, 0, 1)
	if b := m.Bad[0]; b.Reason != ReasonSize || !strings.Contains(b.Detail, fmt.Sprintf("%d bytes; the limit is %d", len(body), len(body)-1)) {
		t.Errorf("%v", &b)
	}
	m = Parse([]byte(body), Limits{BodyBytes: len(body)})
	mustCount(t, m, 4, 0, 0, 0)

}

// Four wrappers around a notification are read, and five are not, whether or not
// it has its own list.
func TestWrappersLimit(t *testing.T) {
	for _, text := range []string{put("b-1", "k"), bridge("Object Created", "b-1", "k"), trail("b-1", "k")} {
		for n := range 7 {
			m := Parse([]byte(text), Limits{})
			if n <= 4 {
				mustCount(t, m, 1, 0, 0, 0)
			} else {
				mustCount(t, m, 0, 0, 0, 1)
				if m.Bad[0].Reason != ReasonDepth {
					t.Errorf("%d wrappers: %v", n, &m.Bad[0])
				}
			}
			text = sqs(text)
		}
		mustCount(t, Parse([]byte(text), Limits{Wrappers: 7}), 1, 0, 0, 0)
		mustCount(t, Parse([]byte(text), Limits{Wrappers: 6}), 0, 0, 0, 1)
	}
}

// Nesting far beyond the bounds costs no stack.
func TestDeepNesting(t *testing.T) {
	for _, body := range []string{
		strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat(`{"a":`, 9_999) + "1" + strings.Repeat("}", 9_999),
		strings.Repeat(`{"Records":[`, 4_000) + "1" + strings.Repeat("]}", 4_000), strings.Repeat("[", 100_000), strings.Repeat(`{"Message":`, 9_000) + "1" + strings.Repeat("}", 9_000),
	} {
		m := Parse([]byte(body), Limits{})
		mustCount(t, m, 0, 0, 0, 1)
	}
}
