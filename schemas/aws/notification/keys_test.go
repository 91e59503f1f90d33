package notification

import (
	"strings"
	"testing"
)

// odd are keys that one decoding too many, or one too few, makes another key of.
var odd = []string{
	"plain.json.gz", "a b", "a  b", " a", "a ", "a+b", "a%2Bb", "a%20b", "%2B+ %20", "%", "%%%", "100%", "%zz", "+", "++", "%2F", "a/b//c/", "/a", "../a", "a?b=c&d#e",
	"ü", "日本語/ログ", "😀", "e\u0301", "a\u00a0b", "\"quoted\"", `back\slash`, `\u0041`, "new\nline", "tab\t", "\x00", "\x7f", "<&>", "a;b", "a=b:c@d,e$f!g'(h)*~|`^[]{}",
	"\ufffd", "\ufeff", "\u2028", strings.Repeat("k", 1024), strings.Repeat("ü", 512),
}

// Every key comes back exactly: S3 encodes it, EventBridge and CloudTrail do not.
// The names of the cases are the encoded forms.
func TestKeys(t *testing.T) {
	for _, key := range odd {
		for form, body := range map[Form]string{FormS3: put("b-1", key), FormEventBridge: bridge("Object Created", "b-1", key), FormCloudTrail: trail("b-1", key)} {
			for _, body := range []string{body, sns(body), sqs(sns(body))} {
				m := Parse([]byte(body), Limits{})
				if len(m.Objects) != 1 || m.Objects[0].Key != key || m.Objects[0].Form != form {
					t.Errorf("%s: key %q became %+v %v", form, key, m.Objects, m.Bad)
				}
			}
		}
	}
}

// Texts in messages and their keys. The encoded texts are as
// published: "red flower.jpg becomes red+flower.jpg" (S3 User Guide); a slash is
// encoded by some senders and not by others.
func TestEncodedKeys(t *testing.T) {
	record := func(key string) string {
		return `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b-1"},"object":{"key":` + key + `}}}]}`
	}
	event := func(key string) string {
		return `{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b-1"},"object":{"key":` + key + `}}}`
	}
	own := func(key string) string { return `{"s3Bucket":"b-1","s3ObjectKey":[` + key + `]}` }
	for written, want := range map[string]struct{ s3, plain string }{
		`"red+flower.jpg"`:       {"red flower.jpg", "red+flower.jpg"},
		`"red%20flower.jpg"`:     {"red flower.jpg", "red%20flower.jpg"},
		`"a%2Bb%252Bc"`:          {"a+b%2Bc", "a%2Bb%252Bc"},
		`"AWSLogs%2F1%2FCloud"`:  {"AWSLogs/1/Cloud", "AWSLogs%2F1%2FCloud"},
		`"AWSLogs/1/Cloud"`:      {"AWSLogs/1/Cloud", "AWSLogs/1/Cloud"},
		`"%C3%BC"`:               {"ü", "%C3%BC"},
		`"%c3%bc"`:               {"ü", "%c3%bc"},
		`"\u00fc\ud83d\ude00\/"`: {"ü😀/", "ü😀/"},
		`"ü"`:                    {"ü", "ü"},
		`"a%00b"`:                {"a\x00b", "a%00b"},
		`"100%25"`:               {"100%", "100%25"},
	} {
		for form, c := range map[Form]struct{ body, want string }{FormS3: {record(written), want.s3}, FormEventBridge: {event(written), want.plain}, FormCloudTrail: {own(written), want.plain}} {
			m := Parse([]byte(c.body), Limits{})
			if len(m.Objects) != 1 || m.Objects[0].Key != c.want {
				t.Errorf("%s: %s became %+v %v, want %q", form, written, m.Objects, m.Bad, c.want)
			}
		}
	}
}

// What can be no name of an object is refused with its reason: a bucket or a
// region becomes a part of the address that a client asks.
func TestNames(t *testing.T) {
	f := func(body string, reason Reason, says string) {
		t.Helper()
		m := Parse([]byte(body), Limits{})
		mustCount(t, m, 0, 0, 0, 1)
		if b := m.Bad[0]; b.Reason != reason || !strings.Contains(b.Detail, says) || b.MayHoldEvents() {
			t.Errorf("%v, want %s: %s", &b, reason, says)
		}
	}
	for _, bucket := range []string{"", "a", "ab", "b/../c", "evil.example/", "evil.example#", "a@b.c", "a b c", "-ab", "ab-", ".ab", "büc", "b%2Fc", "b\x00c", "abc\n", strings.Repeat("b", 256)} {
		f(put(bucket, "k"), ReasonName, "no bucket")
		f(bridge("Object Created", bucket, "k"), ReasonName, "no bucket")
		f(trail(bucket, "k"), ReasonName, "no bucket")
	}
	for _, region := range []string{"evil.example/", "eu central", "eu-central-1.", strings.Repeat("r", 41)} {
		f(strings.Replace(put("b-1", "k"), `"eu-central-1"`, quoted(region), 1), ReasonName, "no region")
		f(strings.Replace(bridge("Object Created", "b-1", "k"), `"eu-central-1"`, quoted(region), 1), ReasonName, "no region")
	}
	for _, body := range []string{put("b-1", ""), bridge("Object Deleted", "b-1", ""), trail("b-1", "")} {
		f(body, ReasonName, "empty")
	}
	long := strings.Repeat("ü", 512) + "x"
	for _, body := range []string{put("b-1", long), bridge("Object Created", "b-1", long), trail("b-1", long)} {
		f(body, ReasonName, "1025 bytes")
	}
	for _, key := range []string{"%", "%z", "a%2", "100%"} {
		f(strings.Replace(put("b-1", "KEY"), "KEY", key, 1), ReasonName, "not encoded as S3")
	}
	f(strings.Replace(put("b-1", "KEY"), "KEY", "%FF", 1), ReasonUTF8, "UTF-8")
	for _, bucket := range []string{"abc", "a.b-c", "Old_Bucket", strings.Repeat("b", 255), "123"} {
		m := Parse([]byte(put(bucket, "k")), Limits{})
		mustCount(t, m, 1, 0, 0, 0)
	}
}
