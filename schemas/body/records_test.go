package body_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/corpus"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/registry"
)

// observed is the time of reading of all records of the tests.
const observed = 1772443000123456789

// corpusRecords calls f with the log records of n files of the corpus, decoded from the
// bytes that Kafka holds, as a sink gets them.
func corpusRecords(t testing.TB, n int, f func(r *otellog.Record, stored []byte)) {
	t.Helper()
	for i := range n {
		name, text, _ := corpus.File(i)
		if fileRecords(t, name, text, f) == 0 {
			t.Fatalf("file %d has no record", i)
		}
	}
}

// fileRecords is corpusRecords for the events of one object, and returns their number.
func fileRecords(t testing.TB, name string, text []byte, f func(r *otellog.Record, stored []byte)) (n int) {
	t.Helper()
	norm := normalize.New(normalize.Options{})
	reader := cloudtrail.NewReader(bytes.NewReader(text), name, decoding.Limits{})
	var ev cloudtrail.Event
	var made, r otellog.Record
	var stored []byte
	for {
		err := reader.Next(&ev)
		if err == io.EOF {
			return n
		}
		made.Reset()
		ok := false
		if err == nil {
			ok, err = norm.Record(&ev, observed, &made)
		}
		if bad := (*decoding.BadRecord)(nil); err != nil && !errors.As(err, &bad) {
			t.Fatal(err)
		}
		if !ok || err != nil {
			continue
		}
		stored = otellog.AppendRequest(stored[:0], &made)
		if err := r.Decode(stored); err != nil {
			t.Fatal(err)
		}
		f(&r, stored)
		n++
	}
}

// examples returns a record of every event in the registry, with every attribute that
// the event may carry; pick says which of its examples.
func examples(t testing.TB, pick int) map[string]*otellog.Record {
	t.Helper()
	reg, err := registry.Load(registry.Files())
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]*otellog.Record{}
	for _, e := range reg.Events {
		r := &otellog.Record{Time: 1772442764000000000, Observed: observed, Severity: otellog.SeverityWarn, EventName: e.Name, Body: `{"eventName":"Decrypt"}`}
		for _, u := range reg.Resource.Uses() {
			r.Where(u.ID, u.Examples[0].(string))
		}
		for _, u := range e.Uses() {
			set(r, u, u.Examples[pick%len(u.Examples)])
		}
		records[e.Name] = r
	}
	return records
}

// set gives the record an attribute with an example of the registry.
func set(r *otellog.Record, u registry.Use, example any) {
	switch v := example.(type) {
	case bool:
		r.Bool(u.ID, v)
	case int:
		r.Int(u.ID, int64(v))
	case float64:
		r.Double(u.ID, v)
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, item.(string))
		}
		r.Strings(u.ID, items)
	case string:
		r.String(u.ID, v)
	}
}

// hostile are texts that break what is written carelessly.
var hostile = []string{
	"\x00\x1f\x7f\"\\/", "a\nb\r\nc\td", "=|=\\|\\=", " blanks ", `","keytrail.outcome":"ok`, `"}]}`, "a=b cs1=c", "CEF:0|a|b",
	"\u2028<>&", "\ufffd", "\U0001f600", "a\xffb\xc3\xe2\x82c", strings.Repeat("\u00e9", 3000), "x09", "a\tusrName=root",
}
