package report

import (
	"bufio"
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"keytrail/processor/explain"
	"keytrail/processor/screen"
)

const fuzzID = "29b84a8a493c6f62994c0f096f049b77"

// fuzzLine is an anomaly and its window, as a collector may batch them.
const fuzzLine = `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1772452800000000000","eventName":"keytrail.anomaly","attributes":[` +
	`{"key":"keytrail.anomaly.id","value":{"stringValue":"` + fuzzID + `"}},{"key":"keytrail.window.start","value":{"stringValue":"2026-03-02T12:00:00Z"}},` +
	`{"key":"keytrail.window.end","value":{"stringValue":"2026-03-02T12:05:00Z"}},{"key":"keytrail.anomaly.observed","value":{"doubleValue":"NaN"}}]},` +
	`{"eventName":"keytrail.window","attributes":[{"key":"keytrail.window.start","value":{"stringValue":"2026-03-02T12:00:00Z"}},` +
	`{"key":"keytrail.window.end","value":{"stringValue":"2026-03-02T12:05:00Z"}},{"key":"keytrail.window.calls.total","value":{"intValue":7}}]}]}]}]}`

// FuzzExplain explains any line with an anomaly: no text in it breaks the picture.
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
		lines := explain.NewLines(func() error { return nil }, func(string) {}) // bad lines are an answer
		lines.AddFile("line", strings.NewReader(line))
		list := explain.NewList(math.MinInt64, math.MaxInt64)
		if err := errors.Join(lines.Find(fuzzID, finder), lines.Find("", list)); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		b := bufio.NewWriter(&out)
		p := NewPrinter(CSV, b)
		for rec := range list.Records() {
			p.Anomaly(rec)
		}
		a, err := finder.Anomaly()
		if err != nil {
			return
		}
		s := explain.NewSeries(a, max(Day, screen.MaxWidth*time.Duration(a.End-a.Start)), false)
		if err := lines.Gather(s); err != nil {
			t.Fatal(err)
		}
		r := Explanation{Screen: screen.Screen{Width: screen.MinWidth}, Anomaly: a, Series: s, Before: time.Hour}
		r.Write(b)
		b.Flush()
		if text := out.String(); !strings.Contains(text, fuzzID) || strings.Contains(text, "\x1b") {
			t.Errorf("%q", text)
		}
	})
}
