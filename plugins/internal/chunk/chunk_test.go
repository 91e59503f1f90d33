package chunk

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"keytrail/plugins/internal/ack"
)

// pack encodes v with msgp's own reflection, an encoder that this package does
// not share code with.
func pack(t testing.TB, v any) []byte {
	t.Helper()
	b, err := msgp.AppendIntf(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// eventTime is an event time as Fluent Bit writes it.
func eventTime(sec uint32) []byte {
	return []byte{0xd7, 0, byte(sec >> 24), byte(sec >> 16), byte(sec >> 8), byte(sec), 0, 0, 0, 0}
}

// record puts a header and a body together in the legacy form.
func record(head, body []byte) []byte { return slices.Concat([]byte{0x92}, head, body) }

// recordV2 puts them together with metadata.
func recordV2(t testing.TB, head, body []byte) []byte {
	return record(slices.Concat([]byte{0x92}, head, pack(t, map[string]any{"k": "v"})), body)
}

// walk returns the JSON of every record, or "!" and the reason of a bad one.
func walk(b []byte, key string) []string {
	w := Walker{EventKey: key}
	w.Reset(b, 0)
	var got []string
	for e := (Entry{}); w.Next(&e); {
		if e.Bad != "" {
			got = append(got, "!"+e.Bad)
			continue
		}
		got = append(got, string(e.JSON))
	}
	return got
}

func TestAppendRoundTrip(t *testing.T) {
	want := Record{
		Time:  time.Date(2026, 3, 1, 12, 0, 1, 5, time.UTC),
		Event: []byte(`{"eventName":"Decrypt","é":"\n"}`), Account: "111122223333", Region: "eu-west-1",
		Object: "dir/a.json.gz", Index: 70000, Offset: 1 << 40,
	}
	b := Append(nil, &want)
	w := Walker{}
	w.Reset(b, 0)
	var e Entry
	if !w.Next(&e) || e.Bad != "" {
		t.Fatalf("got %+v", e)
	}
	if string(e.JSON) != string(want.Event) || !e.Placed || e.Object != want.Object || e.Index != want.Index || e.Offset != want.Offset {
		t.Errorf("got %+v, want %+v", e, want)
	}
	if w.Next(&e) || w.Pos() != len(b) {
		t.Errorf("stopped at %d of %d", w.Pos(), len(b))
	}
	// The same by an independent reader: the body's fields and the time.
	_, rest, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	body, err := msgp.Skip(rest)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := msgp.ReadMapStrIntfBytes(body, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m["account"] != "111122223333" || m["region"] != "eu-west-1" || m["event"] != string(want.Event) || len(m) != 6 {
		t.Errorf("body is %v", m)
	}
	ext := msgp.RawExtension{Type: 0}
	if _, err := msgp.ReadExtensionBytes(rest[1:], &ext); err != nil {
		t.Fatal(err)
	}
	if got := []byte{0x69, 0xa4, 0x2a, 0x41, 0, 0, 0, 5}; !bytes.Equal(ext.Data, got) {
		t.Errorf("time is %x, want %x", ext.Data, got)
	}
}

func TestAppendTimesThatFluentBitCanNotHold(t *testing.T) {
	for _, at := range []time.Time{{}, time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2039, 1, 1, 0, 0, 0, 0, time.UTC)} {
		b := Append(nil, &Record{Time: at, Event: []byte("{}")})
		if !bytes.Equal(b[2:12], eventTime(0)) {
			t.Errorf("%v became %x", at, b[2:12])
		}
	}
}

func TestWalkerForms(t *testing.T) {
	event := `{"eventName":"Decrypt"}`
	str := func(k, v string) []byte { return pack(t, map[string]any{k: v}) }
	f := func(name string, b []byte, want ...string) {
		t.Helper()
		if got := walk(b, ""); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	f("empty chunk", nil)
	f("legacy event time", record(eventTime(1700000000), str("log", event)), event)
	f("event time as ext 8", record(append([]byte{0xc7, 8, 0}, eventTime(1)[2:]...), str("log", event)), event)
	f("with metadata", recordV2(t, eventTime(1), str("message", event)), event)
	f("integer time", record(pack(t, uint64(1700000000)), str("log", event)), event)
	f("float time", record(pack(t, 1700000000.5), str("log", event)), event)
	f("binary text", record(eventTime(1), pack(t, map[string]any{"log": []byte(event)})), event)
	f("group markers", slices.Concat(
		recordV2(t, eventTime(math.MaxUint32), str("log", "no")),
		recordV2(t, eventTime(1), str("log", event)),
		recordV2(t, eventTime(math.MaxUint32-1), pack(t, map[string]any{})),
	), event)
	f("a legacy group marker", record(eventTime(math.MaxUint32), str("log", "no")))
	f("the body is the event", record(eventTime(1), str("eventName", "Decrypt")), event)
	f("a map under log", record(eventTime(1), pack(t, map[string]any{"log": map[string]any{"eventName": "Decrypt"}})), event)
	f("an array under message", record(eventTime(1), pack(t, map[string]any{"message": []any{"a", nil}})), `["a",null]`)
	f("a nil field is no field", record(eventTime(1), pack(t, map[string]any{"log": nil})), `{"log":null}`)
}

func TestWalkerOrderOfFields(t *testing.T) {
	body := msgp.AppendMapHeader(nil, 5)
	for _, k := range []string{"message", "log", "event", "mine"} {
		body = msgp.AppendString(msgp.AppendString(body, k), k+"!")
	}
	body = msgp.AppendString(msgp.AppendInt(body, 7), "a name that is no text is passed over")
	b := record(eventTime(1), body)
	if got := walk(b, "mine"); !slices.Equal(got, []string{"mine!"}) {
		t.Errorf("with an event key: %q", got)
	}
	if got := walk(b, "absent"); !slices.Equal(got, []string{"event!"}) {
		t.Errorf("with an event key that is absent: %q", got)
	}
	var e Entry
	w := Walker{}
	w.Reset(b, 0)
	if !w.Next(&e) || e.Placed {
		t.Errorf("an event field alone does not place the record: %+v", e)
	}
}

func TestWalkerBadRecordsCostThemselvesOnly(t *testing.T) {
	good := record(eventTime(1), pack(t, map[string]any{"log": "{}"}))
	deep := bytes.Repeat([]byte{0x91}, MaxDepth+1)
	f := func(name string, bad []byte, reason string) {
		t.Helper()
		got := walk(slices.Concat(good, bad, good), "")
		if len(got) != 3 || got[0] != "{}" || got[2] != "{}" || !strings.HasPrefix(got[1], "!") || !strings.Contains(got[1], reason) {
			t.Errorf("%s: got %q, want the reason %q between two good records", name, got, reason)
		}
	}
	f("an integer", []byte{7}, "array")
	f("nil", []byte{0xc0}, "array")
	f("a map", []byte{0x80}, "array")
	f("three elements", []byte{0x93, 1, 0x80, 0x80}, "array")
	f("a header of one", record([]byte{0x91, 1}, []byte{0x80}), "header")
	f("a time that is text", record(pack(t, "now"), []byte{0x80}), "time")
	f("a time of another type", record([]byte{0xd7, 1, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0x80}), "time")
	f("a time of four bytes", record([]byte{0xd6, 0, 0, 0, 0, 0}, []byte{0x80}), "time")
	f("a body that is text", record(eventTime(1), pack(t, "x")), "body must be a map")
	f("a log that is a number", record(eventTime(1), pack(t, map[string]any{"log": 5})), `field "log" holds a number, want text or a map`)
	f("a number that JSON lacks", record(eventTime(1), pack(t, map[string]any{"x": math.NaN()})), "NaN")
	f("an extension inside", record(eventTime(1), append(pack(t, map[string]any{"log": "x"})[:5], eventTime(1)...)), "holds an extension")
	f("too deep", record(eventTime(1), slices.Concat([]byte{0x81, 0xa1, 'x'}, deep, []byte{0xc0})), "nests more than 128")
	f("a name that is a number", record(eventTime(1), []byte{0x81, 0xa1, 'x', 0x81, 1, 2}), "name")
}

func TestWalkerDamageEndsTheChunk(t *testing.T) {
	good := record(eventTime(1), pack(t, map[string]any{"log": "{}"}))
	for name, tail := range map[string][]byte{
		"cut record":      good[:len(good)-2],
		"reserved byte":   {0xc1, 0x90, 0x90},
		"array of 4 GiB":  {0xdd, 0xff, 0xff, 0xff, 0xff, 1},
		"text of 4 GiB":   {0xdb, 0xff, 0xff, 0xff, 0xff, 'x'},
		"endless nesting": bytes.Repeat([]byte{0x91}, 1<<20),
	} {
		b := slices.Concat(good, tail)
		w := Walker{}
		w.Reset(b, 0)
		var e Entry
		if !w.Next(&e) || string(e.JSON) != "{}" {
			t.Fatalf("%s: the first record is %+v", name, e)
		}
		if !w.Next(&e) || e.Bad == "" || !bytes.Equal(e.Raw, tail) {
			t.Errorf("%s: got bad %q with %d bytes, want the rest of the chunk", name, e.Bad, len(e.Raw))
		}
		if w.Next(&e) || w.Pos() != len(b) {
			t.Errorf("%s: not at the end", name)
		}
	}
}

func TestWalkerResumes(t *testing.T) {
	var b []byte
	for _, s := range []string{"1", "2", "3"} {
		b = append(b, record(eventTime(1), pack(t, map[string]any{"log": s}))...)
	}
	var w Walker
	var e Entry
	w.Reset(b, 0)
	w.Next(&e)
	pos := w.Pos()
	var other Walker
	other.Reset(b, pos)
	if !other.Next(&e) || string(e.JSON) != "2" {
		t.Errorf("resumed at %s, want 2", e.JSON)
	}
}

func TestJSONKeepsValues(t *testing.T) {
	in := map[string]any{
		"text": "a\"b\\c\n\u0001é\u2028", "max": uint64(math.MaxUint64), "min": int64(math.MinInt64),
		"float": 0.1, "small": 1e-300, "yes": true, "no": false, "none": nil, "f32": float32(0.25),
		"list": []any{1, "x", []any{}, map[string]any{}},
	}
	got, rest, err := appendJSON(nil, pack(t, in), MaxDepth)
	if err != nil || len(rest) != 0 {
		t.Fatal(err, len(rest))
	}
	dec := json.NewDecoder(bytes.NewReader(got))
	dec.UseNumber()
	var out map[string]any
	if err := dec.Decode(&out); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	for name, want := range map[string]any{
		"text": in["text"], "max": json.Number("18446744073709551615"), "min": json.Number("-9223372036854775808"),
		"float": json.Number("0.1"), "small": json.Number("1e-300"), "yes": true, "no": false, "none": nil, "f32": json.Number("0.25"),
	} {
		if out[name] != want {
			t.Errorf("%s became %v, want %v", name, out[name], want)
		}
	}
	if list, _ := json.Marshal(out["list"]); string(list) != `[1,"x",[],{}]` {
		t.Errorf("list became %s", list)
	}
	// Bytes that are no UTF-8 are passed on for the decoder to judge.
	if got := appendString(nil, []byte("a\xff")); string(got) != "\"a\xff\"" {
		t.Errorf("got %q", got)
	}
}

// FuzzChunk: whatever the bytes, every one of them belongs to exactly one
// record or to the rest that is not msgpack; what was turned into JSON is JSON; a walk
// that resumes anywhere sees the same; and Numbers finds the numbers that the walk finds.
func FuzzChunk(f *testing.F) {
	f.Add(Append(nil, &Record{Event: []byte(`{"eventID":"1"}`), Object: "o", Index: 1, Offset: 2}), "")
	f.Add(record(eventTime(1), pack(f, map[string]any{"log": map[string]any{"a": 1.5, "b": []any{"x"}}})), "log")
	f.Add(slices.Concat(recordV2(f, eventTime(math.MaxUint32), []byte{0x80}), []byte{7}, []byte{0xc1}), "k")
	f.Add(bytes.Repeat([]byte{0x91}, 300), "")
	numbered := Append(nil, &Record{Event: []byte(`{}`), Numbered: true})
	SetNumber(numbered, &ack.Run{1}, 5)
	bare, err := msgp.Skip(numbered[1:])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(slices.Concat(numbered, numbered, record(eventTime(1), bare)), "")
	f.Add(slices.Concat(record(eventTime(1), bare), numbered[:40]), "ack")
	f.Fuzz(func(t *testing.T, b []byte, key string) {
		before := bytes.Clone(b)
		var w, again Walker
		w.EventKey, again.EventKey = key, key
		w.Reset(b, 0)
		var e, e2 Entry
		type number struct {
			run ack.Run
			n   uint64
		}
		var numbers, want []number
		again.Numbers(b, func(run ack.Run, n uint64) { numbers = append(numbers, number{run, n}) })
		for {
			from := w.Pos()
			if !w.Next(&e) {
				break
			}
			if w.Pos() <= from || w.Pos() > len(b) {
				t.Fatalf("moved from %d to %d of %d", from, w.Pos(), len(b))
			}
			if e.Numbered {
				want = append(want, number{e.Run, e.Number})
			}
			if e.Bad != "" && (len(e.Raw) == 0 || !bytes.HasSuffix(b[:w.Pos()], e.Raw)) {
				t.Fatalf("a bad record with bytes that are not its own: %x", e.Raw)
			}
			if e.Bad == "" && len(w.scratch) > 0 && len(e.JSON) > 0 && &e.JSON[0] == &w.scratch[0] && !json.Valid(e.JSON) {
				t.Fatalf("not JSON: %q", e.JSON)
			}
			again.Reset(b, from)
			if !again.Next(&e2) || !bytes.Equal(e.JSON, e2.JSON) || e.Bad != e2.Bad || again.Pos() != w.Pos() {
				t.Fatalf("resumed at %d: %+v, want %+v", from, e2, e)
			}
		}
		if !slices.Equal(numbers, want) {
			t.Fatalf("Numbers finds %v, and Next %v", numbers, want)
		}
		if w.Pos() != len(b) || !bytes.Equal(b, before) {
			t.Fatalf("stopped at %d of %d, or wrote to the chunk", w.Pos(), len(b))
		}
	})
}

func BenchmarkWalker(b *testing.B) {
	event := bytes.Repeat([]byte(`{"eventName":"Decrypt"}`), 60)
	var c []byte
	for i := range 1000 {
		c = Append(c, &Record{Event: event, Object: "dir/object.json.gz", Index: i})
	}
	var w Walker
	var e Entry
	b.SetBytes(int64(len(c)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for w.Reset(c, 0); w.Next(&e); {
			n++
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
}

func TestSelf(t *testing.T) {
	for _, self := range []bool{false, true} {
		var w Walker
		w.Reset(Append(nil, &Record{Event: []byte(`{}`), Object: "o", Self: self}), 0)
		var e Entry
		if !w.Next(&e) || e.Bad != "" || !e.Placed || e.Self != self {
			t.Errorf("self %v came back as %+v", self, e)
		}
	}
}

// Every type of msgpack has a name that a reader of logs knows.
func TestKinds(t *testing.T) {
	for b := range 256 {
		got := kind(msgp.NextType([]byte{byte(b), 5, 5, 5, 5, 5, 5, 5, 5, 5}))
		if undefined := got == "a type that msgpack does not define"; undefined != (b == 0xc1) {
			t.Errorf("%#x is %s", b, got)
		}
	}
}
