package cloudtrail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"keytrail/schemas/decoding"
)

// This file says once more, on top of encoding/json, what the decoder does: the
// tests hold the two equal, field by field.

// member is one name and value of a JSON object, in the order of the text.
type member struct {
	name  string
	value json.RawMessage
}

// membersOf returns the members of a valid JSON object; ok is false for any
// other value.
func membersOf(raw json.RawMessage) (list []member, ok bool) {
	if len(raw) == 0 || raw[0] != '{' {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		panic(err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			panic(err)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			panic(err)
		}
		list = append(list, member{name.(string), v})
	}
	return list, true
}

func itemsOf(raw json.RawMessage) (list []json.RawMessage, ok bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		panic(err)
	}
	return list, true
}

// textOf is what a text field holds for a value; set is false for null.
func textOf(raw json.RawMessage) (text string, set bool) {
	switch {
	case string(raw) == "null":
		return "", false
	case raw[0] == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			panic(err)
		}
		return text, true
	}
	return string(raw), true
}

// shape measures valid JSON: how deep it is, and whether an object has a name
// twice.
func shape(raw []byte) (depth int, duplicate bool) {
	type level struct {
		names map[string]bool
		value bool
	}
	var open []level
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	for {
		at := dec.InputOffset()
		token, err := dec.Token()
		if err == io.EOF {
			return depth, duplicate
		}
		if err != nil {
			panic(err)
		}
		if d, ok := token.(json.Delim); ok && (d == '}' || d == ']') {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 && open[n-1].names != nil {
			top := &open[n-1]
			if !top.value {
				name := exactName(raw[at:dec.InputOffset()])
				duplicate = duplicate || top.names[name]
				top.names[name], top.value = true, true
				continue
			}
			top.value = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		}
		depth = max(depth, len(open))
	}
}

// exactName returns the name in a piece of JSON as UTF-16, in which halves of
// surrogate pairs stand as they were written.
func exactName(piece []byte) string {
	var units []uint16
	text := string(piece[bytes.IndexByte(piece, '"')+1 : bytes.LastIndexByte(piece, '"')])
	for text != "" {
		if strings.HasPrefix(text, `\u`) {
			unit, err := strconv.ParseUint(text[2:6], 16, 16)
			if err != nil {
				panic(err)
			}
			units, text = append(units, uint16(unit)), text[6:]
			continue
		}
		n := 1
		if text[0] == '\\' {
			n = 2
		} else if _, n = utf8.DecodeRuneInString(text); n < 1 {
			panic("no rune")
		}
		var part string
		if err := json.Unmarshal([]byte(`"`+text[:n]+`"`), &part); err != nil {
			panic(err)
		}
		units, text = append(units, utf16.Encode([]rune(part))...), text[n:]
	}
	return fmt.Sprint(units)
}

var isDocument = map[string]bool{"Request.InsightSelectors": true, "Request.EventSelectors": true, "Request.AdvancedSelectors": true}

// fieldsOf returns the strings and Bools of an Event by their names.
func fieldsOf(ev *Event) map[string]string {
	m := map[string]string{}
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			name, f := prefix+v.Type().Field(i).Name, v.Field(i)
			switch {
			case name == "Object", !v.Type().Field(i).IsExported():
			case f.Type() == reflect.TypeFor[Bool]():
				m[name] = [...]string{"", "false", "true"}[f.Uint()]
			case f.Kind() == reflect.String:
				m[name] = f.String()
			case f.Kind() == reflect.Struct:
				walk(name+".", f)
			}
		}
	}
	walk("", reflect.ValueOf(ev).Elem())
	return m
}

// expected is what an event should decode to.
type expected struct {
	fields     map[string]string
	context    []KV
	toContext  []KV
	operations []string
	targets    []Target
	swallowed  bool // a target is a record
}

func expect(raw json.RawMessage) *expected {
	e := &expected{fields: fieldsOf(&Event{})}
	e.walk("", raw)
	return e
}

func (e *expected) walk(prefix string, raw json.RawMessage) {
	list, _ := membersOf(raw)
	for _, m := range list {
		path := prefix + strings.ReplaceAll(m.name, "/", "~")
		field, known := paths[path]
		text, set := textOf(m.value)
		switch {
		case !known:
			e.list(path, m.value)
			e.walk(path+"/", m.value)
		case !set:
		case isDocument[field]:
			e.fields[field] = string(m.value)
		case isBool[field]:
			if text == "true" || text == "false" {
				e.fields[field] = text
			}
		default:
			e.fields[field] = text
		}
	}
}

var isBool = func() map[string]bool {
	all := Event{ReadOnly: True, Management: True, ConsoleCredential: True}
	all.Identity.MFA, all.Request.BypassPolicyLockout, all.Request.MultiRegion, all.Request.DryRun = True, True, True, True
	all.Request.MultiRegionTrail = True
	all.Request.OrganizationTrail = True
	all.Request.Omitted, all.Response.Omitted, all.Service.Omitted, all.Extra.Omitted = True, True, True, True
	m := map[string]bool{}
	for name, v := range fieldsOf(&all) {
		m[name] = v == "true"
	}
	return m
}()

// list takes the values that become lists.
func (e *expected) list(path string, raw json.RawMessage) {
	switch path {
	case "requestParameters/destinationEncryptionContext":
		e.toContext = pairsOf(raw)
	case "requestParameters/encryptionContext", "requestParameters/sourceEncryptionContext",
		"requestParameters/constraints/encryptionContextSubset", "requestParameters/constraints/encryptionContextEquals":
		if len(e.context) == 0 {
			e.context = pairsOf(raw)
		}
	case "requestParameters/operations":
		items, _ := itemsOf(raw)
		for _, item := range items {
			if text, _ := textOf(item); item[0] == '"' && text != "" {
				e.operations = append(e.operations, text)
			}
		}
	case "resources":
		e.targetsOf(raw)
	case "Resources":
		var none expected
		none.targetsOf(raw)
		e.swallowed = e.swallowed || none.swallowed
	}
}

func pairsOf(raw json.RawMessage) (list []KV) {
	pairs, _ := membersOf(raw)
	for _, p := range pairs {
		text, _ := textOf(p.value)
		list = append(list, KV{p.name, text})
	}
	return list
}

func (e *expected) targetsOf(raw json.RawMessage) {
	items, _ := itemsOf(raw)
	for _, item := range items {
		var t Target
		if item[0] == '"' {
			t.ARN, _ = textOf(item)
		}
		lower := ""
		pairs, _ := membersOf(item)
		for _, p := range pairs {
			text, _ := textOf(p.value)
			switch p.name {
			case "accountId":
				t.Account = text
			case "type":
				t.Type = text
			case "ARN":
				t.ARN = text
			case "arn":
				lower = text
			case "eventVersion", "EventId":
				e.swallowed = e.swallowed || text != ""
			}
		}
		if t.ARN == "" {
			t.ARN = lower
		}
		if t != (Target{}) {
			e.targets = append(e.targets, t)
		}
	}
}

// veteran is a decoder that has learned from all that was judged before.
var veteran = NewDecoder(decoding.Limits{})

// judge decodes data both ways and returns what differs, or "". It does so with
// a new decoder; again with the same one, which then knows the names; with one
// that has seen much else; and with one that can learn nothing.
func judge(data []byte) string {
	fresh, full := NewDecoder(decoding.Limits{}), NewDecoder(decoding.Limits{})
	full.nodes = maxNodes
	for _, d := range []struct {
		name string
		*Decoder
	}{{"new", fresh}, {"again", fresh}, {"veteran", veteran}, {"full", full}} {
		if diff := judgeWith(d.Decoder, data); diff != "" {
			return d.name + ": " + diff
		}
	}
	return ""
}

func judgeWith(dec *Decoder, data []byte) string {
	var ev Event
	err := dec.Decode(data, &ev)
	var reason decoding.Reason
	if bad, ok := err.(*decoding.BadRecord); ok {
		reason = bad.Reason
	} else if err != nil {
		return fmt.Sprintf("error of type %T", err)
	}
	if !json.Valid(data) {
		if reason == "" || reason == decoding.ReasonEnvelope {
			return fmt.Sprintf("encoding/json refuses it, the decoder says %q", reason)
		}
		return ""
	}
	raw := bytes.Trim(data, whiteSpace)
	want := expect(raw)
	depth, duplicate := shape(raw)
	isEvent := raw[0] == '{' && want.fields["Name"]+want.fields["Source"]+want.fields["Version"] != ""
	allowed := map[decoding.Reason]bool{
		decoding.ReasonUTF8: !utf8.Valid(raw), decoding.ReasonDuplicateKey: duplicate, decoding.ReasonDepth: depth > 128,
		decoding.ReasonSyntax: want.swallowed,
	}
	refused := false
	for _, is := range allowed {
		refused = refused || is
	}
	allowed[decoding.ReasonEnvelope], allowed[""] = !refused && !isEvent, !refused && isEvent
	// A number that ends the data could go on.
	allowed[decoding.ReasonTruncated] = strings.ContainsRune("0123456789", rune(raw[len(raw)-1]))
	if !allowed[reason] {
		return fmt.Sprintf("reason %q, want one of %v", reason, allowed)
	}
	if reason != "" {
		return ""
	}
	return want.compare(&ev, raw)
}

func (e *expected) compare(ev *Event, raw []byte) string {
	if !bytes.Equal(ev.Raw, raw) {
		return fmt.Sprintf("Raw is %q", ev.Raw)
	}
	for name, got := range fieldsOf(ev) {
		if got != e.fields[name] {
			return fmt.Sprintf("%s is %q, want %q", name, got, e.fields[name])
		}
	}
	switch {
	case !slices.Equal(ev.Context, e.context):
		return fmt.Sprintf("Context is %q, want %q", ev.Context, e.context)
	case !slices.Equal(ev.ToContext, e.toContext):
		return fmt.Sprintf("ToContext is %q, want %q", ev.ToContext, e.toContext)
	case !slices.Equal(ev.Lists.GrantOperations, e.operations):
		return fmt.Sprintf("GrantOperations are %q, want %q", ev.Lists.GrantOperations, e.operations)
	case !slices.Equal(ev.Resources, e.targets):
		return fmt.Sprintf("Resources are %q, want %q", ev.Resources, e.targets)
	}
	return ""
}

// TestOracleKnowsEveryField fails when Event gets a field that the comparison
// with encoding/json does not cover.
func TestOracleKnowsEveryField(t *testing.T) {
	covered := map[string]bool{}
	for _, field := range paths {
		covered[field] = true
	}
	for field := range fieldsOf(&Event{}) {
		if !covered[field] {
			t.Errorf("no path leads to Event.%s", field)
		}
		delete(covered, field)
	}
	for field := range covered {
		t.Errorf("Event has no field %s", field)
	}
}
