package cli

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"keytrail/processor/explain"
)

const fuzzID = "29b84a8a493c6f62994c0f096f049b77"

// fuzzLine is an anomaly and its window, as a collector may batch them.
const fuzzLine = `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1772452800000000000","eventName":"keytrail.anomaly","attributes":[` +
	`{"key":"keytrail.anomaly.id","value":{"stringValue":"` + fuzzID + `"}},{"key":"keytrail.window.start","value":{"stringValue":"2026-03-02T12:00:00Z"}},` +
	`{"key":"keytrail.window.end","value":{"stringValue":"2026-03-02T12:05:00Z"}},{"key":"keytrail.anomaly.observed","value":{"doubleValue":"NaN"}}]},` +
	`{"eventName":"keytrail.window","attributes":[{"key":"keytrail.window.start","value":{"stringValue":"2026-03-02T12:00:00Z"}},` +
	`{"key":"keytrail.window.end","value":{"stringValue":"2026-03-02T12:05:00Z"}},{"key":"keytrail.window.calls","value":{"intValue":7}}]}]}]}]}`

// FuzzExplain explains whatever a line holds, where it holds an anomaly: nothing of it
// breaks the picture.
func FuzzExplain(f *testing.F) {
	f.Add(fuzzLine)
	f.Add(strings.ReplaceAll(fuzzLine, "12:05:00", "12:00:01"))
	f.Add(strings.ReplaceAll(fuzzLine, "2026-03-02T12:05:00", "2200-01-01T00:00:00"))
	f.Add(strings.ReplaceAll(fuzzLine, "12:00:00", "11:59:59"))
	f.Add(strings.ReplaceAll(fuzzLine, "12:05:00", "12:00:00.000000001"))
	f.Fuzz(func(t *testing.T, line string) {
		finder, err := explain.NewFinder(fuzzID)
		if err != nil {
			t.Fatal(err)
		}
		decodeJSON([]byte(line), finder) // an error is an answer, as below
		a, err := finder.Anomaly()
		if err != nil {
			return
		}
		ef := explainFlags{before: time.Hour}
		s := explain.NewSeries(a, ef.keep(a), false)
		decodeJSON([]byte(line), s)
		var out bytes.Buffer
		r := report{screen: screen{width: minWidth}, out: bufio.NewWriter(&out), a: a, s: s, before: ef.before}
		r.write()
		r.out.Flush()
		if text := out.String(); !strings.Contains(text, fuzzID) || strings.Contains(text, "\x1b") {
			t.Errorf("%q", text)
		}
	})
}

// FuzzReadLine compares with splitting at the ends of lines.
func FuzzReadLine(f *testing.F) {
	f.Add("a\n\nbcdefghijklmnopqrstuvwxyz\nlast")
	f.Add("\n")
	f.Fuzz(func(t *testing.T, text string) {
		in := bufio.NewReaderSize(strings.NewReader(text), 16)
		var long []byte
		for want := range strings.Lines(text) {
			if got, err := readLine(in, &long); err != nil || string(got) != want {
				t.Fatalf("%q, %v; want %q", got, err, want)
			}
		}
		if got, err := readLine(in, &long); err != io.EOF {
			t.Errorf("behind the end: %q, %v", got, err)
		}
	})
}
