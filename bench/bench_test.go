package main

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/corpus"
)

// TestDecodersAgree checks that the compared decoders do the same work.
func TestDecodersAgree(t *testing.T) {
	if err := agree(decoders(), slices.Collect(corpus.Records(3000))); err != nil {
		t.Error(err)
	}
}

// TestDisagreementIsFound: agree looks at every field, at the lists and at errors.
func TestDisagreementIsFound(t *testing.T) {
	_, _, records := corpus.File(0)
	list := decoders()
	spoil := func(name string, change func(f *fields)) {
		t.Helper()
		spoilt := list[1]
		spoilt.fields = func(raw []byte, f *fields) {
			list[1].fields(raw, f)
			change(f)
		}
		if err := agree([]decoder{list[0], spoilt}, records[:20]); err == nil {
			t.Errorf("another %s is not noticed", name)
		}
	}
	for l := noLeaf; l < leaves; l++ {
		spoil("text", func(f *fields) { f.text[l] += "x" })
	}
	spoil("context", func(f *fields) { f.context = append(f.context, cloudtrail.KV{Key: "k", Value: "v"}) })
	spoil("target", func(f *fields) { f.targets = append(f.targets, cloudtrail.Target{ARN: "arn"}) })
	refusing := list[1]
	refusing.decode = func([]byte) error { return errors.New("no") }
	if err := agree([]decoder{list[0], refusing}, records); err == nil {
		t.Error("an error is not noticed")
	}
}

// TestRefuses checks the known results of that column: Keytrail refuses every flaw,
// encoding/json misses two.
func TestRefuses(t *testing.T) {
	for _, d := range decoders() {
		want := map[string]string{keytrailName: "centud", yardstickName: "cent--"}[d.name]
		if got := d.refuses(); want != "" && got != want {
			t.Errorf("%s refuses %s, want %s", d.name, got, want)
		}
	}
}

// TestPdataSaysTheSame checks that Keytrail and the collector's data model encode the
// same record.
func TestPdataSaysTheSame(t *testing.T) {
	k := newKeytrail()
	for raw := range corpus.Records(1000) {
		if err := k.record(raw); err != nil {
			t.Fatal(err)
		}
		samePdata(t, k, raw)
	}
}

// FuzzPdata checks that the collector's data model reads any encoded event, and writes
// the same record.
func FuzzPdata(f *testing.F) {
	for raw := range corpus.Records(20) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		k := newKeytrail()
		for range 2 { // new, and with reused memory
			if k.record(raw) == nil {
				samePdata(t, k, raw)
			}
		}
	})
}

// samePdata compares k.out, made from raw, with the record that pdata makes.
func samePdata(t *testing.T, k *keytrail, raw []byte) {
	t.Helper()
	theirs, err := k.pdata(raw)
	if err != nil {
		t.Fatal(err)
	}
	var u plog.ProtoUnmarshaler
	logs, err := u.UnmarshalLogs(k.out)
	if err != nil {
		t.Fatal(err)
	}
	var m plog.ProtoMarshaler
	if ours, err := m.MarshalLogs(logs); err != nil || !bytes.Equal(ours, theirs) {
		t.Fatalf("%v: %q\nis not\n%q", err, ours, theirs)
	}
}

// TestTables runs everything once over two files: it measures every row, compares the
// inflaters' results with the texts, and prints the ratios.
func TestTables(t *testing.T) {
	d, err := load(2)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.records) != 2*corpus.FileRecords {
		t.Fatalf("%d records", len(d.records))
	}
	tables, err := measure(d, decoders(), 2)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	report(&out, tables)
	if n := strings.Count(out.String(), "\nRATIO "); n != 2 || !strings.Contains(out.String(), "the target is 7") || !strings.Contains(out.String(), "the target is 4") {
		t.Errorf("the two ratios are missing:\n%s", &out)
	}
	for _, table := range tables {
		if table.base != "" && table.row(table.base) == nil {
			t.Errorf("%s has no row %q", table.title, table.base)
		}
		for _, r := range table.rows {
			if !strings.Contains(out.String(), r.name) || len(r.samples) != 2 {
				t.Errorf("%s was measured %d times, or is not told", r.name, len(r.samples))
			}
		}
	}
}

// TestDamageIsNotMeasured: a failing run gives no figure.
func TestDamageIsNotMeasured(t *testing.T) {
	d, err := load(1)
	if err != nil {
		t.Fatal(err)
	}
	d.packed[0] = d.packed[0][:len(d.packed[0])/2]
	if _, err := measure(d, decoders(), 1); err == nil {
		t.Error("a file that is cut is measured")
	}
	d.packed[0] = corpus.Gzip([]byte(strings.Repeat(" ", len(d.texts[0]))))
	if _, err := d.inflateTable(); err == nil {
		t.Error("a file with another text is measured")
	}
}

func TestReadStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stream.json.gz")
	size, err := writeStream(path, 1234)
	if err != nil {
		t.Fatal(err)
	}
	s, err := readStream(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.Records != 1234 || s.CPU <= 0 || s.Peak < 1<<20 || s.Heap <= 0 || size < 100*1234 {
		t.Errorf("%+v of a stream of %d bytes", s, size)
	}
}
