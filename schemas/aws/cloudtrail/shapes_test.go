package cloudtrail

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"keytrail/schemas/decoding"
	"keytrail/schemas/internal/schematest"
)

// wide16 encodes text as UTF-16.
func wide16(order binary.AppendByteOrder, text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

// writings are the ways in which tools write a text to a file.
func writings(t testing.TB, text string) map[string]string {
	windows := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	return map[string]string{
		"plain": text, "gzip": zip(t, text), "double gzip": zip(t, zip(t, text)), "triple gzip": zip(t, zip(t, zip(t, text))), "UTF-8 with a mark": mark + text,
		"UTF-16LE": wide16(binary.LittleEndian, mark+text), "UTF-16BE": wide16(binary.BigEndian, mark+text),
		"UTF-16LE without a mark": wide16(binary.LittleEndian, text), "UTF-16BE without a mark": wide16(binary.BigEndian, text),
		"UTF-16 in gzip": zip(t, wide16(binary.LittleEndian, mark+text)), "Windows": windows,
	}
}

func testFiles(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

// TestRowD13Shapes: events come byte for byte out of exports of CloudWatch Logs, CloudTrail Lake, Splunk and Elasticsearch, out of CSV, lines with a time in front and strings, in UTF-16 and in gzip inside gzip.
func TestRowD13Shapes(t *testing.T) {
	files := testFiles(t, "testdata/shapes")
	want := strings.Split(strings.TrimSuffix(files["events.ndjson"], "\n"), "\n")
	for name, text := range files {
		for writing, stored := range writings(t, text) {
			t.Run(name+"/"+writing, func(t *testing.T) {
				mustBe(t, readAll(t, NewReader(strings.NewReader(stored), "object", decoding.Limits{}), 20), want...)
			})
		}
	}
}

// TestShapesAreLines: a broken line among others is one dead letter, with the
// line's bytes or the text's.
func TestShapesAreLines(t *testing.T) {
	files := testFiles(t, "testdata/shapes")
	for name, text := range files {
		lines := strings.SplitAfter(text, "\n")
		if !strings.HasSuffix(name, ".log") && name != "events.ndjson" && name != "lines-of-strings.json" && name != "elastic-lines.json" {
			continue
		}
		for i := range lines[:3] {
			for spoil, broken := range map[string]string{
				"cut": lines[i][:len(lines[i])*2/3] + "\n", "literal": strings.Replace(strings.Replace(lines[i], "null", "nul", 1), "nul,", "nulx,", 1),
				"twice": strings.NewReplacer(`"eventID"`, `"eventName"`, `\"eventID\"`, `\"eventName\"`).Replace(lines[i]), "text": "-- a line of text --\n",
			} {
				if i == 0 && spoil == "cut" && name == "lines-of-strings.json" {
					continue // nothing has said yet that records stand one a line
				}
				all := append([]string{}, lines...)
				all[i] = broken
				events, faults := parted(read(t, strings.Join(all, "")))
				if len(events) != 2 || len(faults) != 1 {
					t.Errorf("%s, line %d, %s: %d events, %d bad records %.500s", name, i, spoil, len(events), len(faults), fmt.Sprint(faults))
				}
			}
		}
	}
}

// TestRowD13Named: what holds no original event is named, one dead letter a record or line.
func TestRowD13Named(t *testing.T) {
	files := testFiles(t, "testdata/named")
	for name, want := range map[string]struct {
		n    int
		says string
	}{
		"athena.ndjson": {3, "Athena"}, "athena.csv": {3, "CSV from Athena"}, "lake.csv": {3, "CSV from CloudTrail Lake: export eventJson"}, "console.csv": {3, "CloudTrail's console"},
		"lake.json": {3, "select eventJson"}, "insights.json": {3, "@message in CloudWatch Logs Insights"}, "splunk.json": {3, "export _raw"}, "elastic.json": {3, "keep event.original"},
		"ocsf.json": {3, "OCSF"}, "guardduty.json": {3, "GuardDuty"}, "guardduty-bridge.json": {3, "GuardDuty"}, "lookup-without.json": {3, "CloudTrailEvent"},
		"text.log": {3, `begins with "PREFIX`}, "access.log": {3, `begins with "198.51`}, "page.html": {1, "HTML"}, "error.xml": {1, "XML"}, "lookup.yaml": {1, "YAML"}, "lookup.table": {1, "--output json"},
	} {
		text, had := files[name]
		if delete(files, name); !had {
			t.Errorf("no file %s", name)
			continue
		}
		for writing, stored := range writings(t, text) {
			events, faults := parted(readAll(t, NewReader(strings.NewReader(stored), "object", decoding.Limits{}), 20))
			if len(events) != 0 || len(faults) != want.n {
				t.Errorf("%s, %s: %d events, %d bad records, want %d: %.300s", name, writing, len(events), len(faults), want.n, fmt.Sprint(faults))
			}
			for _, f := range faults {
				if f.reason != decoding.ReasonEnvelope || !strings.Contains(f.detail, want.says) || f.raw == "" {
					t.Errorf("%s, %s: %s: %s; want %q", name, writing, f.reason, f.detail, want.says)
				}
			}
		}
	}
	for name := range files {
		t.Errorf("nothing is said about %s", name)
	}
}

// TestRowD13BinaryFormats: an archive, a column file, an encrypted or another binary object is one dead letter that names the format.
func TestRowD13BinaryFormats(t *testing.T) {
	more := string(bytes.Repeat([]byte{0, 1, '\n', 0xfe, '{', '"', 'e', 0x80}, 5000))
	f := func(text, says string) {
		t.Helper()
		for writing, stored := range map[string]string{"plain": text, "gzip": zip(t, text), "double gzip": zip(t, zip(t, text))} {
			events, faults := parted(readAll(t, NewReader(strings.NewReader(stored), "object", decoding.Limits{}), 9))
			if len(events) != 0 || len(faults) != 1 || faults[0].reason != decoding.ReasonEnvelope || !strings.Contains(faults[0].detail, says) || faults[0].offset != 0 || faults[0].raw != text {
				t.Errorf("%.10q, %s: %d events, %.300s; want %q", text, writing, len(events), fmt.Sprint(faults), says)
			}
		}
	}
	for _, format := range formats {
		f(format.magic+more, format.name)
	}
	f("PK\x03\x04", "zip")
	f(strings.Repeat("x", 257)+"ustar\x0000"+more, "tar")
	f("\x01\x02\x02\x00x"+more, "binary data") // a ciphertext of KMS
	f("\x8f\xe2\x11\x00"+more, "binary data")
	packed := "x"
	for range maxZips + 1 {
		packed = zip(t, packed)
	}
	_, faults := parted(readAll(t, NewReader(strings.NewReader(packed), "object", decoding.Limits{}), 9))
	if len(faults) != 1 || !strings.Contains(faults[0].detail, "gzip inside gzip") {
		t.Errorf("%+v", faults)
	}
}

// TestEmptyInside: gzip that inflates to gzip of nothing, again and again, is bounded by
// the ratio as gzip of much is.
func TestEmptyInside(t *testing.T) {
	bomb := zip(t, strings.Repeat(zip(t, ""), 40<<20/len(zip(t, ""))))
	_, faults := parted(readAll(t, NewReader(strings.NewReader(bomb), "object", decoding.Limits{}), 9))
	if len(faults) != 1 || faults[0].reason != decoding.ReasonInflatedSize {
		t.Errorf("%d compressed bytes: %+v", len(bomb), faults)
	}
}

// TestOriginalFirst: beside the original event nothing else is read, and without it none
// of the fields that a tool made of it.
func TestOriginalFirst(t *testing.T) {
	a := odd(1)
	for _, name := range []string{"_raw", "eventJson", "@message", "event.original", "raw_data"} {
		for _, text := range []string{
			`{"` + name + `":` + quoted(a) + `,"eventSource":"kms.amazonaws.com","eventName":"x","message":` + quoted(forged) + `,"Records":[` + forged + `]}`,
			`{"eventVersion":"1","message":` + quoted(forged) + `,"log":` + forged + `,"` + name + `":` + quoted(a) + `}`,
			`{"result":{"eventName":"x","log":` + quoted(forged) + `,"_raw":` + quoted(a) + `,"message":` + quoted(forged) + `}}`,
		} {
			mustBe(t, read(t, text), a)
		}
		events, faults := parted(read(t, `{"`+name+`":"not JSON","eventSource":"kms.amazonaws.com","eventName":"x","message":`+quoted(forged)+`}`))
		if len(events) != 0 || len(faults) != 1 || faults[0].reason != decoding.ReasonEnvelope {
			t.Errorf("%s: %d events, %+v", name, len(events), faults)
		}
	}
	events, faults := parted(read(t, `[[`+quoted(a)+`,`+quoted(forged)+`]]`))
	if len(events) != 0 || len(faults) != 1 {
		t.Errorf("a row with two texts: %d events, %+v", len(events), faults)
	}
}

// TestOtherText: JSON inside a line of text that no log shipper writes is not a record.
func TestOtherText(t *testing.T) {
	for _, front := range []string{
		"2026-04-01T10:00:00Z INFO user said ", "2026-04-01 ERROR a b c ", "Apr  1 10:00:00 host app: user agent ", "<13>Apr  1 10:00:00 host app[1]: x ", "user ", "x=", "1775037600 login failed for ",
		`2026-04-01T10:00:00Z "GET /" `, "(", "// ", "<134>1 2026-04-01T10:00:00Z host trail 123 - - said ", "EVENTS ", "2026-04-01T10:00:00Z {} ",
	} {
		events, faults := parted(read(t, front+forged+"\n"+front+forged+"\n"))
		if len(events) != 0 || len(faults) != 2 || faults[1].offset < int64(len(front+forged)+1) {
			t.Errorf("%s: %d events, %.300s", front, len(events), fmt.Sprint(faults))
		}
	}
}

// TestDeepest: a record with more open brackets than are remembered costs itself, in bounded
// memory.
func TestDeepest(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: 64 MB of brackets are NOT read with -short; go test without it reads them")
	}
	text := short(0) + `,{"eventVersion":"1","x":` + strings.Repeat("[", maxOpen+9) + strings.Repeat("]", maxOpen+9) + "}," + short(1)
	r := NewReader(strings.NewReader("["+text+"]"), "object", decoding.Limits{})
	events, faults := parted(readAll(t, r, 9))
	if len(events) != 2 || len(faults) != 1 || faults[0].reason != decoding.ReasonDepth {
		t.Errorf("%d events, %d bad records", len(events), len(faults))
	}
	if n := len(r.balance.of[0].open.words); n > maxOpen/64 {
		t.Errorf("%d words", n)
	}
}

// TestTableBounds: a table with a quote that does not end, or a row that is too long,
// keeps no more than a record of it, and all of it is accounted for.
func TestTableBounds(t *testing.T) {
	head := "eventID,eventJson\nx," + csvCell(short(1)) + "\n"
	for name, c := range map[string]struct {
		text string
		want decoding.Reason
	}{
		"a quote too many": {head + "x,\"{\"\"a\n" + strings.Repeat("y,"+csvCell(short(2))+"\n", 10), decoding.ReasonSyntax},
		"no end":           {head + "x,\"" + strings.Repeat(`{""a"":1}`+"\n", 1<<20), decoding.ReasonRecordSize},
	} {
		r := NewReader(strings.NewReader(c.text), "object", decoding.Limits{RecordBytes: 64 << 10})
		events, faults := parted(readAll(t, r, 9))
		if len(events) != 1 || len(faults) != 1 || faults[0].reason != c.want || faults[0].offset != int64(len(head)) ||
			!strings.Contains(faults[0].detail, fmt.Sprintf("%d bytes", len(c.text)-len(head))) {
			t.Errorf("%s: %d events, %.300s", name, len(events), fmt.Sprint(faults))
		}
		if cap(r.csv.from.kept) > 1<<20 {
			t.Errorf("%s: %d bytes are kept", name, cap(r.csv.from.kept))
		}
	}
	events, faults := parted(read(t, head+"x\ny,z\n"+"x,"+csvCell(short(2))+"\n"))
	if len(events) != 2 || len(faults) != 2 || faults[0].raw != "x" || faults[1].raw != "y,z" {
		t.Errorf("%d events, %+v", len(events), faults)
	}
}

func csvCell(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }

// TestReportedShapes reads the shapes that others have reported, in place.
func TestReportedShapes(t *testing.T) {
	dir := filepath.Join(schematest.DataDir(t), "reports", "shapes")
	f := func(folder string, events, faults int, says string) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(dir, folder, "*"))
		if err != nil || len(names) < 2 {
			t.Errorf("%s: %d files, %v", folder, len(names), err)
			return
		}
		var gotEvents, gotFaults int
		for _, name := range names {
			if filepath.Base(name) == "expect.txt" {
				continue
			}
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			e, bad := parted(readAll(t, NewReader(io.Reader(file), "object", decoding.Limits{}), 100))
			file.Close()
			gotEvents, gotFaults = gotEvents+len(e), gotFaults+len(bad)
			for _, b := range bad {
				if b.reason != decoding.ReasonEnvelope || !strings.Contains(b.detail, says) {
					t.Errorf("%s: %s: %s", name, b.reason, b.detail)
				}
			}
		}
		if gotEvents != events || gotFaults != faults {
			t.Errorf("%s: %d events and %d bad records, want %d and %d", folder, gotEvents, gotFaults, events, faults)
		}
	}
	f("03-cwlogs-export-task", 2, 0, "")
	f("04-utf16-powershell", 2, 0, "")
	f("09-cli-query-strings", 3, 0, "")
	f("12-logs-insights", 3, 0, "")
	f("13-lake-query", 3, 0, "")
	f("14-splunk-export", 3, 0, "")
	f("15-elastic-hits", 5, 0, "")
	f("16-double-gzip", 2, 0, "")
	f("34-athena-lowercase", 0, 3, "Athena")
	f("45-lake-csv", 6, 0, "")
}
