package notification

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var allReasons = []Reason{ReasonSyntax, ReasonUTF8, ReasonDuplicateKey, ReasonShape, ReasonPart, ReasonName, ReasonDepth, ReasonTooMany, ReasonSize}

func seeds() []string {
	all := []string{
		"", "{}", "null", testEvent, confirmation("SubscriptionConfirmation"), confirmation("UnsubscribeConfirmation"), "CloudTrail validation message.",
		put("b-1", "k"), s3Body(s3Record("ObjectRemoved:Delete", "b-1", "a b"), "1", `{"s3":{}}`), bridge("Object Created", "b-1", "a+b"), bridge("Object Deleted", "b-1", "%"),
		trail("b-1", odd...), trail("b-1"), `{"s3Bucket":"b-1","s3ObjectKey":["\ud83d\ude00","\ud800",7]}`, `{"s3Bucket":"b-1","s3ObjectKey":"k"}`,
		`{"Records":[],"Records":[]}`, `{"Records":[{"eventVersion":"1.11"}]}`, "[[[[[[1]]]]]]", "\xff", "\xef\xbb\xbf {}", lambdaSNS(put("b-1", "k")), lambdaSQS(testEvent),
		`{"Message":{"Records":[]}}`, `{"Message":7}`, `{"s3":{},"Body":"x"}`, sqsList(put("b-1", "k"), "x", testEvent),
	}
	for _, key := range odd {
		all = append(all, put("b-1", key), bridge("Object Created", "b-1", key))
	}
	for _, s := range all[:26] {
		all = append(all, sns(s), sqs(sns(s)))
	}
	return all
}

// FuzzParse: whatever the body, nothing panics, the bounds hold, what is returned
// can be used, and the laws of wrapping hold.
func FuzzParse(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	lim := Limits{BodyBytes: 64 << 10, Items: 40, Wrappers: 4}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		m := Parse(body, lim)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if n := len(m.Objects) + len(m.Skipped) + len(m.Notices) + len(m.Bad); n == 0 || n > lim.Items+1 {
			t.Fatalf("%d items, want 1 to %d", n, lim.Items+1)
		}
		for _, b := range m.Bad {
			if !slices.Contains(allReasons, b.Reason) || b.Detail == "" || len(b.Raw) > len(body) || !utf8.ValidString(b.Detail) {
				t.Fatalf("%+v", b)
			}
		}
		for i, list := range [][]Object{m.Objects, m.Skipped} {
			for _, o := range list {
				usable(t, o, i == 0)
			}
		}
		wrapping(t, string(body), m, lim)
	})
}

// usable fails the test when a client could not ask for o, or when o does not
// come back from a message written again in its form.
func usable(t *testing.T, o Object, fetched bool) {
	t.Helper()
	if o.Key == "" || len(o.Key) > 1024 || !utf8.ValidString(o.Key) || strings.ContainsAny(o.Bucket+o.Region, "/#?@:%\\ \n\x00") || len(o.Bucket) < 3 || o.Size < -1 {
		t.Fatalf("no object can be named so: %+v", o)
	}
	body := trail(o.Bucket, o.Key)
	switch o.Form {
	case FormS3:
		body = s3Body(s3Record(o.Event, o.Bucket, o.Key))
	case FormEventBridge:
		body = bridge(o.Event, o.Bucket, o.Key)
	}
	again := Parse([]byte(body), Limits{})
	list := again.Skipped
	if fetched {
		list = again.Objects
	}
	if len(list) != 1 || list[0].Bucket != o.Bucket || list[0].Key != o.Key || list[0].Event != o.Event || list[0].Form != o.Form {
		t.Fatalf("%+v\nwritten anew is %+v\n%s", o, again, body)
	}
}

// wrapping: a message inside a topic's and a queue's says the same at another
// place, and two in a list say both.
func wrapping(t *testing.T, text string, m Message, lim Limits) {
	t.Helper()
	if !utf8.ValidString(text) || len(text) > lim.BodyBytes {
		return // JSON cannot quote it as it is; it is refused whole
	}
	for place, wrap := range map[string]func(string) string{"Message": sns, "Body": sqs, "Body.Message": func(s string) string { return sqs(sns(s)) }} {
		wide := Limits{BodyBytes: 40 * lim.BodyBytes, Items: lim.Items, Wrappers: lim.Wrappers + 1 + strings.Count(place, ".")}
		got := Parse([]byte(wrap(text)), wide)
		if !reflect.DeepEqual(got.Objects, m.Objects) || !reflect.DeepEqual(got.Skipped, m.Skipped) || !reflect.DeepEqual(got.Notices, m.Notices) || len(got.Bad) != len(m.Bad) {
			t.Fatalf("in %s: %s, want %s", place, counts(got), counts(m))
		}
		for i, b := range got.Bad {
			want := m.Bad[i]
			if b.Reason != want.Reason || b.Reason != ReasonTooMany && (string(b.Raw) != string(want.Raw) || !strings.HasPrefix(b.Where, place) || !strings.HasSuffix(b.Where, want.Where)) {
				t.Fatalf("in %s: %v, want %v", place, &b, &want)
			}
		}
	}
	if slices.ContainsFunc(m.Bad, func(b Bad) bool { return b.Reason == ReasonTooMany }) {
		return
	}
	twice := Parse([]byte(sqsList(text, text)), Limits{BodyBytes: 40 * lim.BodyBytes, Items: 2 * lim.Items, Wrappers: lim.Wrappers + 2})
	if counts(twice) != counts(Message{Objects: append(m.Objects, m.Objects...), Skipped: append(m.Skipped, m.Skipped...), Notices: append(m.Notices, m.Notices...), Bad: append(m.Bad, m.Bad...)}) {
		t.Fatalf("two of them: %s, of one: %s", counts(twice), counts(m))
	}
}
