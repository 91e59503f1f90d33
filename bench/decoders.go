package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bytedance/sonic"
	jsonv2 "github.com/go-json-experiment/json"
	gojson "github.com/goccy/go-json"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/corpus"
	"keytrail/schemas/decoding"
)

// decoder is one way to read the yardstick's fields of a record.
type decoder struct {
	name   string
	decode func(raw []byte) error      // the measured part
	fields func(raw []byte, f *fields) // fields of the last decode; not measured
}

// The names of the two decoders that are the bases of comparison.
const (
	keytrailName  = "Keytrail: decode"
	yardstickName = "encoding/json, struct (the yardstick)"
)

// decoders are Keytrail's and its peers.
func decoders() []decoder {
	dec, ev := cloudtrail.NewDecoder(decoding.Limits{}), new(cloudtrail.Event)
	return []decoder{
		{keytrailName, func(raw []byte) error { return dec.Decode(raw, ev) }, func(_ []byte, f *fields) { f.fromEvent(ev) }},
		intoStruct(yardstickName, func(raw []byte, y *corpus.Yardstick) error { return json.Unmarshal(raw, y) }),
		intoStruct(
			"go-json-experiment v2, struct", func(raw []byte, y *corpus.Yardstick) error { return jsonv2.Unmarshal(raw, y) }),
		intoStruct("goccy/go-json, struct", func(raw []byte, y *corpus.Yardstick) error { return gojson.Unmarshal(raw, y) }),
		intoStruct("sonic, struct, as encoding/json", func(raw []byte,
			y *corpus.Yardstick) error {
			return sonic.ConfigStd.Unmarshal(raw, y)
		}),
		intoStruct("sonic, struct, default", func(raw []byte, y *corpus.Yardstick) error {
			return sonic.ConfigDefault.Unmarshal(raw, y)
		}),
		withJSONText(),
		withFastJSON(),
		withPreorder(),
	}
}

// intoStruct is a library that fills the yardstick, a new one per record.
func intoStruct(name string, unmarshal func(raw []byte, y *corpus.Yardstick) error) decoder {
	var y *corpus.Yardstick
	return decoder{name,
		func(raw []byte) error {
			y = new(corpus.Yardstick)
			return unmarshal(raw, y)
		},
		func(raw []byte, f *fields) { f.fromStruct(y, raw) }}
}

// agree runs every decoder over every record and compares its fields with those of the
// first one, Keytrail's.
func agree(list []decoder, records [][]byte) error {
	var want, got fields
	for i, raw := range records {
		for n, d := range list {
			if err := d.decode(raw); err != nil {
				return fmt.Errorf("%s cannot read record %d: %w", d.name, i, err)
			}
			if n == 0 {
				d.fields(raw, &want)
				continue
			}
			d.fields(raw, &got)
			if difference := want.same(&got); difference != "" {
				return fmt.Errorf("%s reads record %d differently: %s: %s", d.name, i, difference, raw)
			}
		}
	}
	return nil
}

// flaws are texts that are not JSON, or JSON that two readers may read differently, each
// with its letter. They are inside responseElements, in no field that is read.
var flaws = []struct{ letter, value string }{
	{"c", "\"a\x01b\""}, // a control character in a string
	{"e", `"a\xb"`},     // an unknown escape
	{"n", `01`},         // a number that begins with zero
	{"t", `tru`},        // half a literal
	{"u", "\"a\xff\""},  // bytes that are not UTF-8
	{"d", `1,"name":2`}, // a name twice
}

// refuses returns the letters of the flaws that a decoder finds.
func (d *decoder) refuses() string {
	found := ""
	for _, flaw := range flaws {
		raw := `{"eventVersion":"1.11","eventName":"Decrypt","responseElements":{"name":` + flaw.value + `},"eventID":"1"}`
		if d.decode([]byte(raw)) != nil {
			found += flaw.letter
		} else {
			found += "-"
		}
	}
	return strings.TrimSpace(found)
}
