package body_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"keytrail/schemas/body"
	"keytrail/schemas/otellog"
)

func encoder(t testing.TB, name string) body.Encoder {
	t.Helper()
	e, err := body.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// encode returns the body of a record, written behind other bytes.
func encode(t testing.TB, e body.Encoder, r *otellog.Record) []byte {
	t.Helper()
	dst, err := e.Append([]byte("before{"), r)
	if err != nil {
		t.Fatalf("%s: %v", r.EventName, err)
	}
	if !bytes.HasPrefix(dst, []byte("before{")) {
		t.Fatalf("what stood before is gone: %.100s", dst)
	}
	return dst[len("before{"):]
}

// object decodes JSON of one object with exact numbers, and holds that no member stands
// twice in it.
func object(t testing.TB, text []byte) map[string]any {
	t.Helper()
	m := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%v: %.2000s", err, text)
	}
	if d.More() || bytes.ContainsAny(text, "\n\r") {
		t.Fatalf("not one object on one line: %.2000s", text)
	}
	again, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if count(again) != count(text) {
		t.Fatalf("a member stands twice: %.2000s", text)
	}
	return m
}

// count counts the members of all objects in a JSON text, twice those that stand twice.
func count(text []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return n
		}
		if _, isDelim := token.(json.Delim); !isDelim {
			n++
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range body.Names() {
		encoder(t, name)
		if body.ContentType(name) == "" {
			t.Errorf("%s has no content type", name)
		}
	}
	if _, err := body.New("ecss"); err == nil || !strings.Contains(err.Error(), `"ecss"`) || !strings.Contains(err.Error(), "json") {
		t.Errorf("error %v, want one that lists the names", err)
	}
	if body.ContentType("ecss") != "" {
		t.Error("there is a content type without a body")
	}
}

// The body otlp is what Kafka holds.
func TestOTLP(t *testing.T) {
	e := encoder(t, "otlp")
	corpusRecords(t, 4, func(r *otellog.Record, stored []byte) {
		if got := encode(t, e, r); !bytes.Equal(got, stored) {
			t.Fatalf("got\n%x\nwant\n%x", got, stored)
		}
	})
}

// flat is what the body json must hold, by name.
func flat(r *otellog.Record) map[string]any {
	stamp := func(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
	want := map[string]any{
		"@timestamp": stamp(r.Time), "observed_timestamp": stamp(r.Observed), "event_name": r.EventName,
		"severity_number": json.Number(strconv.Itoa(int(r.Severity))), "body": valid(r.Body),
	}
	if r.Severity.Text() != "" {
		want["severity_text"] = r.Severity.Text()
	}
	for _, a := range slices.Concat(r.Resource, r.Attrs) {
		switch a.Kind {
		case otellog.KindString:
			want[a.Key] = valid(a.Str)
		case otellog.KindBool:
			want[a.Key] = a.Int != 0
		case otellog.KindInt:
			want[a.Key] = json.Number(strconv.FormatInt(a.Int, 10))
		case otellog.KindDouble:
			want[a.Key] = json.Number(strconv.FormatFloat(a.Num, 'g', -1, 64))
		case otellog.KindStrings:
			var items []any
			for _, s := range a.Strs {
				items = append(items, valid(s))
			}
			want[a.Key] = items
		case otellog.KindMap:
			pairs := map[string]string{}
			for _, e := range a.Map {
				pairs[valid(e.Key)] = valid(e.Str)
			}
			want[a.Key] = pairs
		}
	}
	for name, v := range want {
		if v == "" {
			delete(want, name)
		}
	}
	return want
}

// valid is s with bytes that are not UTF-8 replaced one by one.
func valid(s string) string { return string([]rune(s)) }

// compare reports where the body json differs from the record.
func compare(t testing.TB, got map[string]any, r *otellog.Record) {
	t.Helper()
	want := flat(r)
	for name, v := range want {
		if pairs, isMap := v.(map[string]string); isMap {
			var inner map[string]string
			if err := json.Unmarshal([]byte(got[name].(string)), &inner); err != nil || !maps.Equal(inner, pairs) {
				t.Errorf("%s: the text %v, want a map %v (%v)", name, got[name], pairs, err)
			}
			continue
		}
		if fmt.Sprint(got[name]) != fmt.Sprint(v) {
			t.Errorf("%s: %v, want %v", name, got[name], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d members, want %d: %v", len(got), len(want), got)
	}
}

func TestJSON(t *testing.T) {
	e := encoder(t, "json")
	corpusRecords(t, 10, func(r *otellog.Record, _ []byte) { compare(t, object(t, encode(t, e, r)), r) })
	for pick := range 3 {
		for _, r := range examples(t, pick) {
			compare(t, object(t, encode(t, e, r)), r)
		}
	}
}

// No text that a caller controls is part of a name.
func TestHostileJSON(t *testing.T) {
	e := encoder(t, "json")
	for _, s := range hostile {
		r := &otellog.Record{Time: 1, Observed: 2, Severity: 255, EventName: "e", Body: s}
		r.String("text", s)
		r.Strings("list", []string{s, "", s})
		r.Map("map", []otellog.Attr{{Key: s, Kind: otellog.KindString, Str: s}, {Key: "class", Kind: otellog.KindString, Str: "s3_object"}})
		compare(t, object(t, encode(t, e, r)), r)
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, s, int64(-1), 0.1)
	}
	e := encoder(f, "json")
	f.Fuzz(func(t *testing.T, key, s string, n int64, x float64) {
		r := &otellog.Record{Time: n, Observed: 1, Severity: 9, EventName: "e", Body: s}
		r.String("text", s)
		r.Int("int", n)
		r.Double("double", x)
		r.Map("map", []otellog.Attr{{Key: key, Kind: otellog.KindString, Str: s}})
		got := object(t, encode(t, e, r))
		if x-x != 0 { // JSON has neither infinities nor NaN
			r.Attrs = slices.DeleteFunc(r.Attrs, func(a otellog.Attr) bool { return a.Kind == otellog.KindDouble })
		}
		if n == 0 {
			return // a time of 0 is unknown
		}
		compare(t, got, r)
	})
}

// An encoder neither changes a record nor remembers the one before.
func TestEncodersKeepNothing(t *testing.T) {
	for _, name := range body.Names() {
		used := encoder(t, name)
		for event, r := range examples(t, 0) {
			before := fmt.Sprintf("%+v", *r)
			got, want := encode(t, used, r), encode(t, encoder(t, name), r)
			if after := fmt.Sprintf("%+v", *r); after != before || !bytes.Equal(got, want) {
				t.Errorf("%s of %s: %.300s, want %.300s; the record was\n%s\nand is\n%s", name, event, got, want, before, after)
			}
		}
	}
}

func TestAppendMember(t *testing.T) {
	for object, want := range map[string]string{`{}`: `{"@id":"a\"b"}`, `{"x":1}`: `{"x":1,"@id":"a\"b"}`} {
		if got := string(body.AppendMember([]byte("x"+object), "@id", `a"b`)); got != "x"+want {
			t.Errorf("%s became %s, want %s", object, got, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	for _, name := range body.Names() {
		e := encoder(t, name)
		for event, r := range examples(t, 0) {
			r.Attrs = slices.DeleteFunc(r.Attrs, func(a otellog.Attr) bool { return a.Kind == otellog.KindMap })
			dst := make([]byte, 0, 64<<10)
			if n := testing.AllocsPerRun(100, func() {
				if _, err := e.Append(dst, r); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s of %s: %v allocations, want 0", name, event, n)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, name := range body.Names() {
		b.Run(name, func(b *testing.B) {
			e := encoder(b, name)
			var dst []byte
			var r otellog.Record
			var all [][]byte
			corpusRecords(b, 1, func(_ *otellog.Record, stored []byte) { all = append(all, bytes.Clone(stored)) })
			b.ReportAllocs()
			size := 0
			for i := 0; b.Loop(); i++ {
				if err := r.Decode(all[i%len(all)]); err != nil {
					b.Fatal(err)
				}
				var err error
				if dst, err = e.Append(dst[:0], &r); err != nil {
					b.Fatal(err)
				}
				size += len(dst)
			}
			b.ReportMetric(float64(size)/float64(b.N), "B/record")
		})
	}
}
