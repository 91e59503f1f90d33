package cloudtrail

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"keytrail/schemas/corpus"
	"keytrail/schemas/decoding"
)

// rebuild writes the value at pos as the Walker sees it, without white space, and
// holds Over to the place where the value ends. It returns that place.
func rebuild(t *testing.T, w *Walker, out *bytes.Buffer, pos int) int {
	t.Helper()
	pos, c := w.At(pos)
	over := w.Over(pos)
	end := over
	switch c {
	case '"':
		var text string
		text, end = w.String(pos)
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(quoted)
	case '{', '[':
		out.WriteByte(c)
		first := true
		for at := w.Enter(pos); at >= 0; first = false {
			name, value, more := "", 0, false
			if c == '{' {
				name, value, more = w.Member(at)
			} else {
				value, more = w.Item(at)
			}
			if !more {
				end = value
				break
			}
			if !first {
				out.WriteByte(',')
			}
			if c == '{' {
				quoted, err := json.Marshal(name)
				if err != nil {
					t.Fatal(err)
				}
				out.Write(append(quoted, ':'))
			}
			at = rebuild(t, w, out, value)
		}
		out.WriteByte(c + 2)
	default:
		out.WriteString(w.Raw(pos, over))
	}
	if end != over || end < 0 {
		t.Fatalf("the value at %d ends at %d, and Over says %d: %v", pos, end, over, w.Err())
	}
	return end
}

// same reports whether two JSON texts are equal except for escapes and white space.
func same(t *testing.T, got, want []byte) bool {
	t.Helper()
	canonical := func(text []byte) string {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var out strings.Builder
		for {
			token, err := d.Token()
			if err != nil {
				return out.String()
			}
			b, err := json.Marshal(token)
			if delim, ok := token.(json.Delim); ok {
				b = []byte(delim.String())
			} else if err != nil {
				t.Fatal(err)
			}
			out.Write(append(b, ' '))
		}
	}
	return canonical(got) == canonical(want)
}

// A Walker sees in an event what encoding/json sees.
func TestWalker(t *testing.T) {
	f := func(text string) {
		t.Helper()
		var w Walker
		var out bytes.Buffer
		w.Reset([]byte(text), 128)
		rebuild(t, &w, &out, 0)
		if !same(t, out.Bytes(), []byte(text)) {
			t.Errorf("%s is seen as %s", text, out.Bytes())
		}
	}
	for record := range corpus.Records(50) {
		f(string(record))
	}
	f(` { "a" : [ ] , "b" : { } , "c" : [ 1 , -2.5e3 , [ true ] , { "d" : null } ] } `)
	f(`{"\u0041\"":"\\","b":"\\\"","c":"]}","long":"` + strings.Repeat(`\\x`, 100) + `","ü":"` + strings.Repeat("é", 70) + `"}`)
	f(`"\\"`)
	f(`17`)
}

// Values that are not events end with an error, also at the allowed nesting.
func TestWalkerErrors(t *testing.T) {
	f := func(text string, walk func(w *Walker) int) {
		t.Helper()
		var w Walker
		w.Reset([]byte(text), 2)
		if pos := walk(&w); pos != -1 || w.Err() == nil {
			t.Errorf("%q ends at %d with error %v", text, pos, w.Err())
		}
	}
	over := func(w *Walker) int { return w.Over(0) }
	member := func(w *Walker) int { _, value, _ := w.Member(w.Enter(0)); return value }
	f(``, over)
	f(`}`, over)
	f(`{"a":[1,2`, over)
	f(`{"a":1,`, over)
	f(`{"a":"b`, over)
	f(`"a\`, over)
	f(`"a\"`, over)
	f(`{`, member)
	f(`{a:1}`, member)
	f(`{"a"}`, member)
	f(`{"a`, member)
	f(`[`, func(w *Walker) int { value, _ := w.Item(w.Enter(0)); return value })
	f(`[[[1]]]`, func(w *Walker) int { w.Enter(0); w.Enter(1); return w.Enter(2) })
}

// FuzzWalker walks over anything; what the decoder takes is seen as encoding/json
// sees it.
func FuzzWalker(f *testing.F) {
	for record := range corpus.Records(3) {
		f.Add(record)
	}
	f.Add([]byte(`{"a":[1,{"b":"\u00e9\\"},null],"eventVersion":"1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var w Walker
		w.Reset(data, 128)
		walkAll(&w, 0)
		var ev Event
		if NewDecoder(decoding.Limits{}).Decode(data, &ev) != nil {
			return
		}
		w.Reset(data, 128)
		var out bytes.Buffer
		rebuild(t, &w, &out, 0)
		if !same(t, out.Bytes(), data) {
			t.Errorf("%s is seen as %s", data, out.Bytes())
		}
	})
}

// walkAll goes wherever a Walker lets it, on any input, and comes to an end.
func walkAll(w *Walker, pos int) int {
	pos, c := w.At(pos)
	w.Over(pos)
	switch c {
	case '"':
		_, pos = w.String(pos)
		return pos
	case '{', '[':
		for pos = w.Enter(pos); pos >= 0; {
			value, more := 0, false
			if c == '{' {
				_, value, more = w.Member(pos)
			} else {
				value, more = w.Item(pos)
			}
			if !more {
				return value
			}
			pos = walkAll(w, value)
		}
		return pos
	}
	return w.Over(pos)
}
