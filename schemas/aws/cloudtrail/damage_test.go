package cloudtrail

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
	"keytrail/schemas/internal/schematest"
)

// framings are the ways in which records stand one after the other.
var framings = []struct{ name, open, between, shut string }{
	{"file", `{"Records":[`, ",", `]}`},
	{"array", "[", ",", "]"},
	{"lines", "", "\n", "\n"},
	{"end to end", "", "", ""},
	{"file by line", "{\"Records\": [\n", ",\n", "\n]}\n"},
	{"late list", `{"owner":"1","other":["x",{"a":1}],"Records":[`, ",", `],"more":1}`},
}

// damages are ways in which one record is damaged that have been seen, or that
// hurt, and the reason that they give.
var damages = []struct {
	name   string
	reason decoding.Reason
	damage func(record string) string
}{
	{"bad literal", decoding.ReasonSyntax, swap(`"readOnly":true`, `"readOnly":tru`)},
	{"bad literal at the end", decoding.ReasonSyntax, swap(`"eventCategory":"Management",`, `"eventCategory":Management,`)},
	{"missing brace", decoding.ReasonSyntax, swap(`"mfaAuthenticated":"false"}}}`, `"mfaAuthenticated":"false"}}`)},
	{"missing last brace", decoding.ReasonSyntax, func(s string) string { return s[:len(s)-1] }},
	{"missing first brace", decoding.ReasonSyntax, swap(`{"eventVersion"`, `"eventVersion"`)},
	{"missing quote", decoding.ReasonSyntax, swap(`"eventName":"Decrypt",`, `"eventName":"Decrypt,`)},
	{"missing opening quote", decoding.ReasonSyntax, swap(`"awsRegion":"`, `"awsRegion":`)},
	{"missing last quote", decoding.ReasonSyntax, swap(`.amazonaws.com"}}`, `.amazonaws.com}}`)},
	{"missing comma", decoding.ReasonSyntax, swap(`"eventName":"Decrypt",`, `"eventName":"Decrypt"`)},
	{"trailing comma", decoding.ReasonSyntax, swap(`"ASIAQRSTUVWXYZ012345",`, `"ASIAQRSTUVWXYZ012345",,`)},
	{"image link of the documents", decoding.ReasonSyntax, swap(`"eventName":"Decrypt",`, `"eventName":"Decrypt",![\[Image NOT FOUND\]](http://docs.aws.amazon.com/1.png)`)},
	{"brace too many", decoding.ReasonSyntax, swap(`"mfaAuthenticated":"false"}}}`, `"mfaAuthenticated":"false"}}}}`)},
	{"brace too many early", decoding.ReasonSyntax, swap(`{"eventVersion":"1.11",`, `{"eventVersion":"1.11"},`)},
	{"unbalanced context", decoding.ReasonSyntax, swap(`"requestParameters":{`, `"requestParameters":{"encryptionContext":{`)},
	{"cut in the name", decoding.ReasonSyntax, before(`ntVersion`)},
	{"cut in the identity", decoding.ReasonSyntax, before(`"accessKeyId"`)},
	{"cut in a string", decoding.ReasonSyntax, before(`payments-archive`)},
	{"cut behind a colon", decoding.ReasonSyntax, before(`{"aws:s3:arn"`)},
	{"cut in the resources", decoding.ReasonSyntax, before(`,"type":"AWS::KMS::Key"`)},
	{"cut behind a resource", decoding.ReasonSyntax, before(`],"eventType"`)},
	{"cut behind the resources", decoding.ReasonSyntax, before(`,"eventType"`)},
	{"cut and its comma lost", decoding.ReasonSyntax, before(`"eventType"`)},
	{"duplicate name", decoding.ReasonDuplicateKey, swap(`"readOnly":true`, `"readOnly":true,"readOnly":false`)},
	{"duplicate name inside", decoding.ReasonDuplicateKey, swap(`"type":"Role"`, `"type":"Role","type":"User"`)},
	{"duplicate name, escaped", decoding.ReasonDuplicateKey, swap(`"readOnly":true`, `"readOnly":true,"read\u004fnly":false`)},
	{"not UTF-8", decoding.ReasonUTF8, swap(`payments-archive`, "payments-\xffarchive")},
	{"raw control character", decoding.ReasonSyntax, swap(`payments-archive`, "payments\x01archive")},
	{"NUL bytes", decoding.ReasonSyntax, swap(`"readOnly"`, "\x00\x00\x00\x00\"readOnly\"")},
	{"too deep", decoding.ReasonDepth, swap(`"responseElements":null`, `"responseElements":`+strings.Repeat(`{"a":[`, 5000)+strings.Repeat(`]}`, 5000))},
}

func swap(old, new string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, new, 1) }
}

func before(mark string) func(string) string {
	return func(s string) string { head, _, _ := strings.Cut(s, mark); return head }
}

// TestDamaged: in each framing one record of five is damaged. That gives one bad
// record with the reason, index, offset and bytes; the other four come out byte
// for byte.
func TestDamaged(t *testing.T) {
	good := schematest.Decrypt
	for _, d := range damages {
		broken := d.damage(good(2))
		if broken == good(2) {
			t.Fatalf("%s: nothing was damaged", d.name)
		}
		for _, frame := range framings {
			t.Run(d.name+"/"+frame.name, func(t *testing.T) {
				text := frame.open + strings.Join([]string{good(0), good(1), broken, good(3), good(4)}, frame.between) + frame.shut
				at := int64(len(frame.open) + len(good(0)) + len(good(1)) + 2*len(frame.between))
				events, faults := parted(read(t, text))
				wantOne(t, events, faults, []string{good(0), good(1), good(3), good(4)}, d.reason, 2, at)
				if f := faults[0]; f.cut || f.raw != strings.TrimRight(broken, ", \n") {
					t.Errorf("bytes %q (cut %v), want %q", f.raw, f.cut, broken)
				}
				if i := slices.IndexFunc(events, func(e outcome) bool { return e.raw == good(3) }); i >= 0 && events[i].index != 3 {
					t.Errorf("the record behind has index %d, want 3", events[i].index)
				}
			})
		}
	}
}

// TestDamageAtChunkEnd: what is looked at behind a record may still have to be
// read. The brace too many falls on every byte around the end of the first read.
func TestDamageAtChunkEnd(t *testing.T) {
	const head, part = `{"eventVersion":"1.08"}`, `,"eventName":"Decrypt","eventID":"x"}`
	for shift := range len(part) + 8 {
		fill := padded(0, chunk-len(`{"Records":[,`)-len(head)-shift+2)
		text := list(fill, head+part, short(2))
		events, faults := parted(read(t, text))
		wantOne(t, events, faults, []string{fill, short(2)}, decoding.ReasonSyntax, 1, int64(strings.Index(text, head+part)))
	}
}

// TestStartAtChunkEnd: behind a broken record, the start of the next one may
// stand in two reads.
func TestStartAtChunkEnd(t *testing.T) {
	for shift := range 60 {
		broken := strings.Replace(padded(0, chunk-len(`{"Records":[,`)-shift), `"readOnly":true`, `"readOnly":trux`, 1)
		text := list(broken, short(1), short(2))
		events, faults := parted(read(t, text))
		wantOne(t, events, faults, shorts(1, 3), decoding.ReasonSyntax, 0, int64(len(`{"Records":[`)))
		if !t.Failed() && faults[0].raw != broken {
			t.Errorf("shift %d: %d bytes, want the %d of the record", shift, len(faults[0].raw), len(broken))
		}
	}
}

// TestEveryDamage cuts a record at every byte, and leaves out, replaces and
// doubles every byte. The records beside it come out byte for byte, each once.
// The record itself gives one bad record when it was cut, at most one when a
// byte is gone, both at its place, and at most three when a byte is wrong or too
// many: a bracket or a line feed can part it.
func TestEveryDamage(t *testing.T) {
	whole := short(2)
	for _, frame := range framings {
		t.Run(frame.name, func(t *testing.T) {
			f := func(record string, least, most int) {
				t.Helper()
				text := frame.open + strings.Join([]string{short(0), short(1), record, short(3), short(4)}, frame.between) + frame.shut
				at := len(frame.open) + len(short(0)) + len(short(1)) + 2*len(frame.between)
				if wrong := judgeDamage(read(t, text), record, at, least, most); wrong != "" {
					t.Errorf("%s: record %q", wrong, record)
				}
			}
			try := sampled()
			for k := range whole {
				if !try() {
					continue
				}
				if k > 0 {
					f(whole[:k], 1, 1)
				}
				f(whole[:k]+whole[k+1:], 0, 1)
				for _, c := range []byte("{}[]\",:\\x \n\x00\xff") {
					if frame.name != "file" && frame.name != "lines" {
						break
					}
					f(whole[:k]+string([]byte{c})+whole[k+1:], 0, 3)
					f(whole[:k]+string([]byte{c})+whole[k:], 0, 3)
				}
				if t.Failed() {
					t.Fatalf("stopped at byte %d", k)
				}
			}
		})
	}
}

// judgeDamage says what is wrong with the outcomes of four good records around
// a damaged one, which stands at the given offset, or "".
func judgeDamage(all []outcome, record string, at, least, most int) string {
	events, faults := parted(all)
	var others []string
	own := 0
	for _, e := range events {
		if int(e.offset) < at || int(e.offset) >= at+len(record) {
			others = append(others, e.raw)
		} else {
			own++
		}
	}
	switch {
	case !slices.Equal(others, []string{short(0), short(1), short(3), short(4)}):
		return fmt.Sprintf("the other records are not as they were: %.60q", others)
	case len(faults) < least || len(faults) > most:
		return fmt.Sprintf("%d bad records, want %d to %d: %.300s", len(faults), least, most, fmt.Sprint(faults))
	case own > 0 && least > 0:
		return "a part of the record is an event"
	case own == 0 && len(faults) == 0:
		return "the record is gone without a report"
	}
	if len(faults) == 1 && most == 1 && (int(faults[0].offset) < at || int(faults[0].offset) > at+len(record) || faults[0].index != 2+own) {
		return fmt.Sprintf("index %d, offset %d, want %d and %d", faults[0].index, faults[0].offset, 2+own, at)
	}
	return ""
}

// TestCutFile cuts a file of three records at every byte: what was whole is
// there, and one bad record says that it is cut.
func TestCutFile(t *testing.T) {
	text := list(shorts(0, 3)...)
	starts := []int{strings.Index(text, short(0)), strings.Index(text, short(1)), strings.Index(text, short(2))}
	for k := 1; k < len(text); k++ {
		var want []string
		for i, s := range starts {
			if k >= s+len(short(i)) {
				want = append(want, short(i))
			}
		}
		events, faults := parted(read(t, text[:k]))
		if !slices.Equal(raws(events), want) || len(faults) != 1 || faults[0].reason != decoding.ReasonTruncated || faults[0].index != len(want) {
			t.Fatalf("cut at %d: %d events, want %d; %+v", k, len(events), len(want), faults)
		}
	}
}

// TestCutGzip cuts a gzip file at many places.
func TestCutGzip(t *testing.T) {
	packed := zip(t, fileOf(400))
	most := 0
	for k := 2; k < len(packed); k += max(1, len(packed)/200) {
		events, faults := parted(read2(t, packed[:k]))
		for i, e := range events {
			if e.raw != schematest.Decrypt(i) {
				t.Fatalf("cut at %d: event %d is not itself", k, i)
			}
		}
		if len(faults) != 1 || faults[0].reason != decoding.ReasonTruncated || faults[0].index != len(events) {
			t.Fatalf("cut at %d, %d events: %+v", k, len(events), faults)
		}
		most = max(most, len(events))
	}
	if most < 300 {
		t.Errorf("at most %d events before the cut", most)
	}
}

// read2 reads an object that may inflate.
func read2(t testing.TB, packed string) []outcome {
	t.Helper()
	return readAll(t, NewReader(strings.NewReader(packed), "object", decoding.Limits{}), 1<<24)
}

func TestBadGzip(t *testing.T) {
	text := fileOf(50)
	flip := []byte(zip(t, text))
	flip[len(flip)-6] ^= 1 // the checksum
	f := func(name, packed string, want decoding.Reason, least int) {
		t.Helper()
		events, faults := parted(read2(t, packed))
		if len(events) < least || len(faults) != 1 || faults[0].reason != want {
			t.Errorf("%s: %d events; %.300v", name, len(events), faults)
		}
	}
	f("checksum", string(flip), decoding.ReasonGzip, 50)
	f("bytes behind", zip(t, text)+"this is no gzip member", decoding.ReasonGzip, 50)
	f("only the magic", "\x1f\x8b", decoding.ReasonTruncated, 0)
	f("half a header", "\x1f\x8b\x08\x00\x00", decoding.ReasonTruncated, 0)
	f("no header", "\x1f\x8bxxxxxxxxxxxx", decoding.ReasonGzip, 0)
	f("no deflate", zip(t, "")[:10]+strings.Repeat("\xff", 50), decoding.ReasonGzip, 0)
	half := len(text) / 2
	mustBe(t, read2(t, zip(t, text[:half])+zip(t, text[half:])+zip(t, "")), raws(read2(t, text))...)
	mustBe(t, read2(t, zip(t, "\xef\xbb\xbf"+text)), raws(read2(t, text))...)
}

// TestFalseStarts: inside a broken record, an object that only looks like the
// start of one does not make the rest derail.
func TestFalseStarts(t *testing.T) {
	for _, inner := range []string{
		`"mount":{"readOnly":true,"path":"/"}`, `"source":{"eventSource":"x","a":1}`, `"list":[{"eventName":"a"},{"b":1}],"c":{"d":[2]}`, `"filters":[{"eventType":"x"}]`,
	} {
		broken := `{"eventVersion":"1.08","eventName":"RunTask","bad":tru,"requestParameters":{` + inner + `},"eventID":"x"}`
		text := list(short(0), broken, short(2), short(3))
		events, faults := parted(read(t, text))
		var got []string
		for _, e := range events {
			if !strings.Contains(broken, e.raw) {
				got = append(got, e.raw)
			}
		}
		if !slices.Equal(got, []string{short(0), short(2), short(3)}) || len(faults) == 0 || len(faults) > 3 {
			t.Errorf("%s: %d events, %d bad records %.600s", inner, len(events), len(faults), fmt.Sprint(faults))
		}
	}
}

// TestDamagedEnvelopes: other lists, and what stands around the records.
func TestDamagedEnvelopes(t *testing.T) {
	a, b, c := short(1), short(2), short(3)
	f := func(name, text string, want decoding.Reason, records ...string) {
		t.Helper()
		events, faults := parted(read(t, text))
		if !slices.Equal(raws(events), records) || len(faults) != 1 || faults[0].reason != want {
			t.Errorf("%s: %d events, want %d; bad records %.500v, want one with %s", name, len(events), len(records), faults, want)
		}
	}
	item := func(e string) string {
		return `{"EventId":"e","Resources":[{"ResourceType":"t"},{"ResourceName":"k"}],"CloudTrailEvent":` + quoted(e) + `}`
	}
	f("LookupEvents cut in its resources", `{"Events":[`+item(a)+`,{"EventId":"e","Resources":[{"ResourceType":"t"},`+item(b)+`,`+item(c)+`]}`, decoding.ReasonSyntax, a, b, c)
	f("LookupEvents with a broken event", `{"Events":[`+item(a)+`,`+item(b[:40])+`,`+item(c)+`]}`, decoding.ReasonTruncated, a, c)
	f("subscription with a broken event", `{"owner":"1","logEvents":[{"id":"1","message":`+quoted(a)+`},{"id":"2","message":`+quoted(`{"eventVersion":1,}`)+`},{"id":"3","message":`+quoted(c)+`}]}`, decoding.ReasonSyntax, a, c)
	f("two lists", `{"Records":[`+a+`],"Records":[`+b+`,`+c+`]}`, decoding.ReasonDuplicateKey, a, b, c)
	f("a bad member behind the list", `{"Records":[`+a+`,`+b+`],"x":tru}`+"\n"+list(c), decoding.ReasonSyntax, a, b, c)
	f("cut, and another file behind", `{"Records":[`+a+`,`+b[:200]+list(c, a), decoding.ReasonSyntax, a, c, a)
	f("cut between records, and another file behind", `{"Records":[`+a+`,`+list(b, c)[:20]+list(b, c), decoding.ReasonSyntax, a, b, c)
	f("no end", `{"Records":[`+a+`,`+b, decoding.ReasonTruncated, a, b)
	f("no last brace", `{"Records":[`+a+`,`+b+`]`, decoding.ReasonTruncated, a, b)
	f("end to end in an unknown envelope", `{"version":"0","detail-type":"x","detail":`+a+`}{"version":"0","detail":tru}{"version":"0","detail":`+b+`}`, decoding.ReasonSyntax, a, b)
	for _, text := range []string{
		`{"Records":[` + a + `],` + b + `,` + c + `]}`,                                     // a bracket too many
		`{"Records":[` + a + b + `,,` + c + `]}`,                                           // a comma too few, one too many
		`[[` + a + `],[` + b + `,` + c + `]]`, `{"Records":[[` + a + `],[` + b + `]]}` + c, // lists of lists
	} {
		mustBe(t, read(t, text), a, b, c)
	}
}
