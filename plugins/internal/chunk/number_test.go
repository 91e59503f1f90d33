package chunk

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"keytrail/plugins/internal/ack"
)

// A number is found in the metadata, or in the body where a filter has dropped that, and
// nothing else is taken for one.
func TestNumbers(t *testing.T) {
	run := ack.Run{7, 15: 1}
	b := Append(nil, &Record{Event: []byte(`{"a":1}`), Object: "o", Index: 3, Self: true, Numbered: true})
	read := func(b []byte) (e Entry) {
		t.Helper()
		var w Walker
		w.Reset(b, 0)
		if !w.Next(&e) || e.Bad != "" || string(e.JSON) != `{"a":1}` || !e.Placed || e.Object != "o" || e.Index != 3 || !e.Self {
			t.Errorf("the record became %+v", e)
		}
		return e
	}
	if e := read(b); e.Numbered {
		t.Errorf("a record before its number is set has number %d", e.Number)
	}
	SetNumber(b, &run, 1<<40+5)
	body, err := msgp.Skip(b[1:]) // what follows the header
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"as it is": b, "without metadata": record(eventTime(1), body)} {
		if e := read(b); !e.Numbered || e.Run != run || e.Number != 1<<40+5 {
			t.Errorf("%s: numbered %v, %d of %x", what, e.Numbered, e.Number, e.Run)
		}
	}
	for _, value := range []any{"short", 5, nil, strings.Repeat("A", ack.IDSize), strings.Repeat("*", ack.IDSize), []any{}} {
		b := record(eventTime(1), pack(t, map[string]any{"event": "{}", "ack": value}))
		var w Walker
		var e Entry
		w.Reset(b, 0)
		if !w.Next(&e) || e.Bad != "" || e.Numbered {
			t.Errorf("%v is taken for a number, or makes the record bad: %+v", value, e)
		}
	}
}

// BenchmarkNumbers measures what finding the numbers costs beside a walk.
func BenchmarkNumbers(b *testing.B) {
	event := bytes.Repeat([]byte(`{"eventName":"Decrypt"}`), 60)
	var c []byte
	for i := range 1000 {
		at := len(c)
		c = Append(c, &Record{Event: event, Object: "dir/object.json.gz", Index: i, Numbered: true})
		SetNumber(c[at:], &ack.Run{1}, uint64(i+1))
	}
	var w Walker
	b.SetBytes(int64(len(c)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if w.Numbers(c, func(ack.Run, uint64) { n++ }); n != 1000 {
			b.Fatal(n)
		}
	}
}
