package normalize

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/decoding"
	"keytrail/schemas/jsonschema"
	"keytrail/schemas/otellog"
)

var update = flag.Bool("update", false, "write the golden files anew")

// observed is when the tests' events are read: 2026-03-02T10:00:00Z.
const observed = 1772445600000000000

// result is the outcome of one event: the record, or the reason for having none.
type result struct {
	rec      otellog.Record
	line     string // the record as OTLP/JSON, without its body
	filtered bool
	why      decoding.Filter
	bad      *decoding.BadRecord
}

// text returns an attribute as text, or "" when it is absent.
func (r *result) text(name string) string {
	a := r.rec.Get(name)
	switch {
	case a == nil:
		return ""
	case a.Kind == otellog.KindString:
		return a.Str
	case a.Kind == otellog.KindBool:
		return fmt.Sprint(a.Int != 0)
	case a.Kind == otellog.KindInt:
		return fmt.Sprint(a.Int)
	}
	return strings.Join(a.Strs, " ")
}

// normalizeAll reads an object and normalizes each of its events, once with and
// once without body. Every record is valid by its JSON Schema, and its body is
// the event byte for byte.
func normalizeAll(t testing.TB, object string, text []byte) []result {
	t.Helper()
	var all []result
	with, without := New(Options{}), New(Options{OmitBody: true})
	r, ev := cloudtrail.NewReader(bytes.NewReader(text), object, decoding.Limits{}), cloudtrail.Event{}
	for {
		err := r.Next(&ev)
		if err == io.EOF {
			return all
		}
		res := result{}
		if bad, ok := err.(*decoding.BadRecord); ok {
			res.bad = bad
		} else if err != nil {
			t.Fatal(err)
		} else {
			res.fill(t, with, without, &ev)
		}
		all = append(all, res)
	}
}

// veteran makes direct records, and has kept runs of all that was made before.
var veteran = New(Options{Direct: true})

// sameDirect: a direct record is encoded as rec, when it is new and when its runs
// are kept.
func sameDirect(t testing.TB, ev *cloudtrail.Event, rec *otellog.Record) {
	t.Helper()
	want := otellog.AppendRequest(nil, rec)
	for round := range 3 {
		var direct otellog.Record
		if ok, err := veteran.Record(ev, observed, &direct); !ok || err != nil {
			t.Fatalf("a direct record is refused: %v", err)
		}
		if got := otellog.AppendRequest(nil, &direct); !bytes.Equal(got, want) || direct.CallID != rec.CallID {
			t.Fatalf("round %d: the direct record is another: %q, want %q", round, got, want)
		}
	}
}

func (r *result) fill(t testing.TB, with, without *Normalizer, ev *cloudtrail.Event) {
	t.Helper()
	var rec otellog.Record
	ok, err := with.Record(ev, observed, &rec)
	if err != nil {
		r.bad = err.(*decoding.BadRecord)
		return
	}
	if r.filtered, r.why = !ok, FilterOf(ev); r.filtered != (r.why != decoding.Kept) {
		t.Errorf("filtered %v, and the reason is %q", r.filtered, r.why)
	}
	if r.filtered {
		return
	}
	if rec.Body != string(ev.Raw) {
		t.Errorf("the body is not the event: %q", rec.Body)
	}
	validate(t, string(otellog.AppendJSON(nil, &rec)))
	sameDirect(t, ev, &rec)
	if _, err := without.Record(ev, observed, &rec); err != nil || rec.Body != "" {
		t.Errorf("without body: %v, body %q", err, rec.Body)
	}
	r.line = string(otellog.AppendJSON(nil, &rec))
	validate(t, r.line)
	// A copy that outlives the event.
	if err := r.rec.Decode(otellog.AppendRequest(nil, &rec)); err != nil {
		t.Fatal(err)
	}
}

var compiled struct {
	sync.Mutex
	schemas map[string]*validator.Schema
}

// validate holds a record in OTLP/JSON to the JSON Schema of its event name.
func validate(t testing.TB, line string) {
	t.Helper()
	doc, err := validator.UnmarshalJSON(strings.NewReader(line))
	if err != nil {
		t.Fatalf("not JSON: %v\n%s", err, line)
	}
	_, rest, _ := strings.Cut(line, `"eventName":"`)
	name, _, _ := strings.Cut(rest, `"`)
	if err := schema(t, name).Validate(doc); err != nil {
		t.Errorf("the record is not valid: %v\n%s", err, line)
	}
}

func schema(t testing.TB, name string) *validator.Schema {
	t.Helper()
	compiled.Lock()
	defer compiled.Unlock()
	if s := compiled.schemas[name]; s != nil {
		return s
	}
	text, err := jsonschema.Schema(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("urn:test", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("urn:test")
	if err != nil {
		t.Fatal(err)
	}
	if compiled.schemas == nil {
		compiled.schemas = map[string]*validator.Schema{}
	}
	compiled.schemas[name] = s
	return s
}

// row normalizes testdata/NAME.jsonl and compares the records with the golden
// file beside it.
func row(t *testing.T, name string) []result {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	all := normalizeAll(t, name+".jsonl", text)
	var lines []byte
	for _, r := range all {
		switch {
		case r.bad != nil:
			lines = fmt.Appendf(lines, "{\"bad_record\":{\"reason\":%q,\"index\":%d,\"offset\":%d}}\n", r.bad.Reason, r.bad.Index, r.bad.Offset)
		case r.filtered:
			lines = append(lines, "{\"filtered\":true}\n"...)
		default:
			lines = append(append(lines, r.line...), '\n')
		}
	}
	path := filepath.Join("testdata", name+".golden.jsonl")
	if *update {
		if err := os.WriteFile(path, lines, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := strings.Split(string(lines), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(wanted)) {
		if i >= len(got) || i >= len(wanted) || got[i] != wanted[i] {
			t.Errorf("%s line %d (go test -update writes it anew):\n%s\nwant\n%s", path, i+1, at(got, i), at(wanted, i))
		}
	}
	return all
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

// column wants these values of one attribute, one for each event; "" is absent.
func column(t *testing.T, all []result, name string, want ...string) {
	t.Helper()
	var got []string
	for i := range all {
		got = append(got, all[i].text(name))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// all repeats a value.
func all(n int, value string) []string { return slices.Repeat([]string{value}, n) }

// severities and names of the records, as columns.
func severities(all []result) (list []string) {
	for i := range all {
		list = append(list, all[i].rec.Severity.Text())
	}
	return list
}

func names(all []result) (list []string) {
	for i := range all {
		list = append(list, all[i].rec.EventName)
	}
	return list
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
