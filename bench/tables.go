package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"

	"keytrail/schemas/corpus"
	"keytrail/schemas/otellog"
)

// encoded is the number of records for the encoders: ready records take four times the
// memory of their JSON.
const encoded = 10_000

// measure runs everything except the growth of streams, and returns the tables.
func measure(d data, peers []decoder, n int) ([]*table, error) {
	k := newKeytrail()
	encode, err := d.encodeTable(k)
	if err != nil {
		return nil, err
	}
	inflate, err := d.inflateTable()
	if err != nil {
		return nil, err
	}
	decode := d.decodeTable(peers)
	record, file := d.recordTable(k), d.fileTable(k)
	tables := []*table{record, file, decode, encode, inflate}
	if err := rounds(tables, n); err != nil {
		return nil, err
	}
	whole := median(file.rows[0].times(file.count))
	for _, r := range inflate.rows {
		inflate.values = append(inflate.values, fmt.Sprintf("%.0f %%", 100*median(r.times(inflate.count))/whole))
	}
	return tables, nil
}

// each runs f over every record.
func (d *data) each(f func(raw []byte) error) func() error {
	return func() error {
		for _, raw := range d.records {
			if err := f(raw); err != nil {
				return err
			}
		}
		return nil
	}
}

// eachFile runs f over every file.
func eachFile(files [][]byte, f func(b []byte) error) func() error {
	return func() error {
		for _, b := range files {
			if err := f(b); err != nil {
				return err
			}
		}
		return nil
	}
}

// recordTable measures the first target: from a JSON record to OTLP.
func (d *data) recordTable(k *keytrail) *table {
	return &table{title: "JSON record to OTLP bytes: all attributes and the body",
		base: yardstickName, target: 7, size: d.recordBytes, count: len(d.records),
		rows: []*row{
			{name: "Keytrail: JSON record to OTLP", run: d.each(k.record)},
			{name: "Keytrail: decode and normalize, then build and marshal the collector's pdata", run: d.each(func(raw []byte) error {
				_, err := k.pdata(raw)
				return err
			})},
			{name: yardstickName, run: d.each(func(raw []byte) error { return json.Unmarshal(raw, new(corpus.Yardstick)) })},
		}}
}

// fileTable measures the second target: from a packed file to OTLP.
func (d *data) fileTable(k *keytrail) *table {
	const yardstick = "compress/gzip, then encoding/json, struct (the yardstick)"
	return &table{title: ".json.gz file to OTLP bytes",
		base: yardstick, target: 4, size: d.recordBytes, count: len(d.records),
		rows: []*row{
			{name: "Keytrail: .json.gz file to OTLP", run: eachFile(d.packed, k.file)},
			{name: "Keytrail, from the same files already inflated", run: eachFile(d.texts, k.file)},
			{name: yardstick, run: eachFile(d.packed, func(packed []byte) error {
				z, err := gzip.NewReader(bytes.NewReader(packed))
				if err != nil {
					return err
				}
				text, err := io.ReadAll(z)
				if err != nil {
					return err
				}
				return json.Unmarshal(text, new(struct{ Records []corpus.Yardstick }))
			})},
			{name: "compress/gzip, then encoding/json's Decoder, struct by struct", run: eachFile(d.packed, oneByOne)},
		}}
}

// oneByOne reads a packed file as a stream with encoding/json, one record at a time.
func oneByOne(packed []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	dec := json.NewDecoder(z)
	for range 3 { // {, "Records", [
		if _, err := dec.Token(); err != nil {
			return err
		}
	}
	for dec.More() {
		if err := dec.Decode(new(corpus.Yardstick)); err != nil {
			return err
		}
	}
	return nil
}

func (d *data) decodeTable(peers []decoder) *table {
	t := &table{title: "JSON record to fields, without output", base: yardstickName, size: d.recordBytes,
		count: len(d.records), column: "refuses",
		notes: []string{"refuses: c control character in a string, e unknown escape, n number 01, t half a literal, u " +
			"invalid UTF-8, d a name twice; in an unread field"}}
	for _, p := range peers {
		t.rows = append(t.rows, &row{name: p.name, run: d.each(p.decode)})
		t.values = append(t.values, p.refuses())
	}
	return t
}

func (d *data) encodeTable(k *keytrail) (*table, error) {
	ready, size := make([]otellog.Record, min(encoded, len(d.records))), 0
	for i := range ready {
		if err := k.record(d.records[i]); err != nil {
			return nil, err
		}
		// A second decode owns its memory.
		if err := ready[i].Decode(bytes.Clone(k.out)); err != nil {
			return nil, err
		}
		size += len(k.out)
	}
	const repeat = 10
	over := func(f func(rec *otellog.Record) error) func() error {
		return func() error {
			for range repeat {
				for i := range ready {
					if err := f(&ready[i]); err != nil {
						return err
					}
				}
			}
			return nil
		}
	}
	return &table{title: fmt.Sprintf("Ready record to OTLP bytes (MB/s are of OTLP, %d bytes a record)", size/len(ready)),
		base: "pdata: build, then marshal", size: repeat * size, count: repeat * len(ready),
		rows: []*row{
			{name: "Keytrail: AppendRequest", run: over(func(rec *otellog.Record) error {
				k.out = otellog.AppendRequest(k.out[:0], rec)
				return nil
			})},
			{name: "pdata: build, then marshal", run: over(func(rec *otellog.Record) error {
				_, err := viaPdata(rec)
				return err
			})},
		}}, nil
}

func (d *data) inflateTable() (*table, error) {
	t := &table{title: "Inflate (MB/s are of inflated bytes)", base: stdGzip, size: d.recordBytes, count: len(d.records),
		column: "share of file to OTLP"}
	largest := 0
	for _, packed := range d.packed {
		largest = max(largest, room(packed))
	}
	dst := make([]byte, 0, largest)
	for _, i := range inflaters() {
		if err := d.inflateAll(i, dst, true); err != nil {
			return nil, fmt.Errorf("%s: %w", i.name, err)
		}
		t.rows = append(t.rows, &row{name: i.name, run: func() error { return d.inflateAll(i, dst, false) }})
	}
	t.notes = append(
		t.notes, "share: of the time of the first line of the files' table. Keytrail inflates with "+klauspost+".")
	if len(optional) == 0 {
		t.notes = append(t.notes, "libdeflate is not in this build: it requires the C library and -tags libdeflate.")
	}
	return t, nil
}
