package cloudtrail

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
	"keytrail/schemas/internal/schematest"
)

// everything has a value at each path that the decoder reads.
func everything(t testing.TB) string {
	root := map[string]any{}
	for path := range paths {
		at := root
		names := strings.Split(path, "/")
		for _, name := range names[:len(names)-1] {
			if at[name] == nil {
				at[name] = map[string]any{}
			}
			at = at[name].(map[string]any)
		}
		at[names[len(names)-1]] = path
	}
	text, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// awkward are values that are hard on a JSON decoder; hostile adds texts that
// are not JSON.
var awkward = []string{
	`null`, `true`, `false`, `"true"`, `"false"`, `""`, `0`, `-0`, `1e400`, `-1.5E-3`, `123456789012345678901234567890`,
	`{}`, `[]`, `[[]]`, `{"a":{"a":[]}}`, `[1,"x",null,{"b":2}]`, `["Decrypt",null,7,"","Encrypt",["x"]]`,
	`"\u0000"`, `"\ud800"`, `"\udc00x"`, `"\ud83d\ude00"`, `"\ud83d\u0041"`, `"\ud800\ud800\udc00"`, `"\"\\\/\b\f\n\r\t"`, `"é€😀"`,
	`"eight by"`, `"sixteen bytes st"`, `"seven b\u0041"`, `" "`, `{"k":"v","k2":"v2"}`, `{"k":null,"n":1,"o":{"x":[1]}}`,
	`[{"ARN":"a","type":"t","accountId":"1"},{"arn":"b"},{"ARN":null,"arn":"c"},{},"d",3]`, `{ "a" : [ 1 , 2 ] }`,
	`[{"eventVersion":"1.08"}]`, `[{"EventId":"x"}]`, `{"keyId":"k","keyMetadata":{"arn":"a","keyState":"s"},"keyState":null}`,
	`{"encryptionContextSubset":{"a":"b"},"encryptionContextEquals":{"c":"d"}}`,
}

var hostile = []string{
	``, ` `, `{`, `}`, `{]`, `[}`, `[`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{"a" 1}`, `{a:1}`, `{'a':1}`, `[1,]`, `[,1]`, `[1 2]`,
	`tru`, `trux`, `nul`, `falsey`, `True`, `NaN`, `-`, `+1`, `01`, `1.`, `.5`, `1e`, `1e+`, `0x1`, `1_0`, `"`, `"a`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`,
	"\"\x01\"", "\"\n\"", "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\\n\xff\"", "\"a\x80\\u0080\"", `"\ud800\u"`, `"\ud800\uzzzz"`, "\x00", "{}\x00", "{} {}", "{},", "\ufeff{}",
	`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"\ud800":1,"\udc00":2}`, `{"\ud800":1,"\uD800":2}`, `{"\ud800x":1,"\ud800\u0078":2}`, `{"\ud800":1,"\ufffd":2,"\udc00":3}`, `{"\ud83d\ude00":1,"😀":2}`, `{"\ud83d\ude00":1,"\ude00\ud83d":2}`, `{"a":{"b":1,"b":1}}`, `[{"b":1,"b":1}]`,
}

// wrap puts a value where the decoder reads values of each kind.
func wrap(value string) string {
	return fmt.Sprintf(`{"eventVersion":"1.11","eventName":%[1]s,"readOnly":%[1]s,"unknown":%[1]s,"userIdentity":{"arn":%[1]s,"sessionContext":%[1]s,`+
		`"onBehalfOf":%[1]s},"requestParameters":{"keyId":%[1]s,"keySpec":"first","customerMasterKeySpec":%[1]s,"encryptionContext":%[1]s,"operations":%[1]s,`+
		`"constraints":%[1]s,"eventSelectors":%[1]s,"policy":%[1]s,"dryRun":%[1]s},"responseElements":%[1]s,"resources":%[1]s,"tlsDetails":%[1]s}`, value)
}

// cases are the events of the comparison with encoding/json.
func cases(t testing.TB) []string {
	all := []string{everything(t), schematest.Decrypt(7), "\t " + schematest.Decrypt(8) + "\r\n"}
	for _, path := range []string{"", "userIdentity", "userIdentity/sessionContext", "requestParameters", "responseElements",
		"serviceEventDetails", "additionalEventData", "additionalEventData/recipient", "addendum", "tlsDetails", "resources", "requestParameters/constraints"} {
		for _, value := range awkward {
			open, shut := "", ""
			for name := range strings.SplitSeq(path, "/") {
				if name != "" {
					open, shut = open+`{"`+name+`":`, shut+"}"
				}
			}
			all = append(all, strings.Replace(open, "{", `{"eventVersion":"1",`, 1)+value+shut)
		}
	}
	for _, value := range append(append([]string(nil), awkward...), hostile...) {
		all = append(all, value, wrap(value), `{"eventName":"x",`+value+`}`)
	}
	for n := range 20 { // every length of a string, and of what follows it
		all = append(all, wrap(`"`+strings.Repeat("x", n)+`"`), wrap(`"`+strings.Repeat("é", n)+`"`), wrap(`"`+strings.Repeat("x", n)+`\n`+strings.Repeat("y", n)+`"`))
	}
	for c := range 256 { // every byte, at every place among the eight that are read at once
		for n := range 8 {
			all = append(all, `{"eventName":"`+strings.Repeat("x", n)+string([]byte{byte(c)})+strings.Repeat("y", 9-n)+`"}`)
		}
	}
	return append(all, deep(125), deep(126), deep(127), deep(10_000), wide(64, ""), wide(65, ""), wide(500, ""), wide(500, `,"n499":1`), wide(63, `,"n0":1`))
}

// deep returns an event with a value of n nested arrays.
func deep(n int) string {
	return `{"eventName":"Decrypt","deep":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
}

// wide returns an event with an object of n members and more.
func wide(n int, more string) string {
	var b strings.Builder
	b.WriteString(`{"eventName":"Decrypt","wide":{"first":0`)
	for i := range n {
		fmt.Fprintf(&b, `,"n%d":%d`, i, i)
	}
	return b.String() + more + `}}`
}

func TestDecodeEqualsEncodingJSON(t *testing.T) {
	for _, text := range cases(t) {
		if diff := judge([]byte(text)); diff != "" {
			t.Errorf("%.200q: %s", text, diff)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range cases(f) {
		if len(text) > 48 && len(text) < 4<<10 { // not those of a single byte
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if diff := judge(data); diff != "" {
			t.Errorf("%s", diff)
		}
		if diff := judge([]byte(wrap(string(data)))); diff != "" {
			t.Errorf("as a value: %s", diff)
		}
	})
}

// TestDecodeKeepsText: what encoding/json would round, replace or drop.
func TestDecodeKeepsText(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		text := `{"eventName":"Decrypt","requestParameters":{"keyId":` + value + `}}`
		var ev Event
		if err := NewDecoder(decoding.Limits{}).Decode([]byte(text), &ev); err != nil {
			t.Errorf("%s: %v", value, err)
		} else if ev.Request.KeyID != want || string(ev.Raw) != text {
			t.Errorf("%s: decoded to %q, want %q; Raw %q", value, ev.Request.KeyID, want, ev.Raw)
		}
	}
	f(`1e400`, "1e400")
	f(`-0`, "-0")
	f(`123456789012345678901234567890`, "123456789012345678901234567890")
	f(`0.1000`, "0.1000")
	f(`"\ud800"`, "\ufffd")
	f(`"a\udfffb"`, "a\ufffdb")
	f(`"\ud800\u0041"`, "\ufffdA")
	f(`"\ud83d\ude00"`, "😀")
	f(`"nul\u0000nul"`, "nul\x00nul")
	f(`"\u00e9\/\\\""`, `é/\"`)
	f(`{"a": [1, 2]}`, `{"a": [1, 2]}`)
	f(`null`, "")
}

// TestDecodeRefuses: each fault with its reason, and with the whole text as its
// bytes.
func TestDecodeRefuses(t *testing.T) {
	f := func(text string, want decoding.Reason, detail string) {
		t.Helper()
		ev := Event{Object: "o", Index: 3, Offset: 9}
		err := NewDecoder(decoding.Limits{}).Decode([]byte(text), &ev)
		bad, ok := err.(*decoding.BadRecord)
		if !ok {
			t.Errorf("%.80q: error %v, want a BadRecord", text, err)
			return
		}
		if bad.Reason != want || !strings.Contains(bad.Detail, detail) || string(bad.Raw) != text || bad.Cut || bad.Object != "o" || bad.Index != 3 || bad.Offset != 9 {
			t.Errorf("%.80q: %+v, want %s with %q", text, bad, want, detail)
		}
	}
	f(`{"eventName":"x","readOnly":tru}`, decoding.ReasonSyntax, "expected true")
	f(`{"eventName":"x" "a":1}`, decoding.ReasonSyntax, `expected ',' or '}', found '"'`)
	f(`{"eventName":"x",}`, decoding.ReasonSyntax, "expected a name in quotes")
	f(`{"eventName":"x"}}`, decoding.ReasonSyntax, "bytes follow")
	f(`{"eventName":"\q"}`, decoding.ReasonSyntax, "unknown escape")
	f("{\"eventName\":\"a\tb\"}", decoding.ReasonSyntax, "control character byte 0x09")
	f("{\"eventName\":\"\xff\"}", decoding.ReasonUTF8, "UTF-8")
	f(`{"eventName":"x","a":{"b":1,"b":2}}`, decoding.ReasonDuplicateKey, `"b" stands twice`)
	f(`{"eventName":"x","a":"`, decoding.ReasonTruncated, "ends inside")
	f(`{"eventName":"x","resources":[{"ARN":"a"},{"eventVersion":"1.08"}]}`, decoding.ReasonSyntax, "inside the resources of another")
	f(deep(128), decoding.ReasonDepth, "nested")
	f(`{}`, decoding.ReasonEnvelope, "no eventSource")
	f(`{"Records":[]}`, decoding.ReasonEnvelope, "no eventSource")
	f(`"text"`, decoding.ReasonEnvelope, "no eventSource")
	f(``, decoding.ReasonTruncated, "ends inside")
}

// TestDetailIsBounded: details travel as Kafka headers, whatever is in the input.
func TestDetailIsBounded(t *testing.T) {
	name := strings.Repeat("\x7f", 1<<20)
	err := NewDecoder(decoding.Limits{}).Decode([]byte(`{"`+name+`":1,"`+name+`":2}`), new(Event))
	bad, ok := err.(*decoding.BadRecord)
	if !ok || bad.Reason != decoding.ReasonDuplicateKey || len(bad.Detail) > 512 || len(bad.Raw) != decoding.MaxRawBytes || !bad.Cut {
		t.Errorf("%T, detail of %d bytes, %d raw bytes, cut %v", err, len(bad.Detail), len(bad.Raw), bad.Cut)
	}
}

// TestDecodeAgain: nothing of an event is left in the next one.
func TestDecodeAgain(t *testing.T) {
	dec, ev := NewDecoder(decoding.Limits{}), Event{Object: "o", Index: 1, Offset: 2}
	full := strings.Replace(everything(t), `"requestParameters":{`, `"resources":[{"ARN":"a"}],"requestParameters":{"encryptionContext":{"a":"b"},"operations":["Decrypt"],`, 1)
	if err := dec.Decode([]byte(full), &ev); err != nil || len(ev.Resources)*len(ev.Context)*len(ev.Lists.GrantOperations) != 1 {
		t.Fatalf("%v: %+v", err, ev)
	}
	if err := dec.Decode([]byte(`{"eventName":"x"}`), &ev); err != nil {
		t.Fatal(err)
	}
	for name, value := range fieldsOf(&ev) {
		if value != "" && name != "Name" {
			t.Errorf("%s is still %q", name, value)
		}
	}
	if len(ev.Resources)+len(ev.Context)+len(ev.Lists.GrantOperations) != 0 || ev.Object != "o" || ev.Index != 1 || ev.Offset != 2 {
		t.Errorf("lists or place: %+v", ev)
	}
}

func TestDecodeAllocates(t *testing.T) {
	text, dec, ev := []byte(schematest.Decrypt(1)), NewDecoder(decoding.Limits{}), Event{}
	n := testing.AllocsPerRun(100, func() {
		if err := dec.Decode(text, &ev); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations an event, want 0", n)
	}
}

// TestPrefixes: an event that ends anywhere asks for more, in a decoder that
// knows its names and in one that does not.
func TestPrefixes(t *testing.T) {
	rich := `{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","sessionContext":{"sessionIssuer":{},"attributes":{"mfaAuthenticated":"false"}}},` +
		`"eventName" : "CreateGrant","readOnly":false,"errorCode":null,"unknown":[1,-2.5e3,true,{"a":[]},"\u00e4\n"],` +
		`"requestParameters":{"operations":["Decrypt",null,"Encrypt"],"constraints":{"encryptionContextSubset":{"k":"v","n":1}},"eventSelectors":[{}],"pendingWindowInDays":7},` +
		`"resources":[{"ARN":"a","accountId":"1"},"b",{}],"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"h"},` +
		`"additionalEventData":{"recipient":{"attestationDocumentModuleId":"i"}},"Events":[],"message":"x","detail":{}}`
	warm := NewDecoder(decoding.Limits{})
	for _, text := range []string{rich, schematest.Decrypt(1)} {
		if err := warm.Decode([]byte(text), new(Event)); err != nil {
			t.Fatal(err)
		}
		for n := range len(text) {
			for name, dec := range map[string]*Decoder{"new": NewDecoder(decoding.Limits{}), "warm": warm} {
				data := append(make([]byte, 0, n), text[:n]...) // nothing behind it, not even room
				bad, ok := dec.Decode(data, new(Event)).(*decoding.BadRecord)
				if !ok || bad.Reason != decoding.ReasonTruncated {
					t.Fatalf("%s, the first %d bytes: %v", name, n, bad)
				}
			}
		}
	}
}
