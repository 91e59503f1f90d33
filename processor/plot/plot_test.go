package plot_test

import (
	"cmp"
	"encoding/binary"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"keytrail/processor/plot"
)

var update = flag.Bool("update", false, "write the golden files")

var nan = math.NaN()

// examples are charts by the name of their golden file.
var examples = map[string]plot.Chart{
	"burst": {
		Values: []float64{5, 7, 6, 8, 7, 6, 34, 9, 7, 0, 0, 6, 7}, Height: 6, Line: 7.2,
		Marks: []plot.Mark{{Column: 6, Hot: true}, {Column: 7}}, Ticks: []plot.Tick{{Column: 0, Text: "23:00"}, {Column: 3, Text: "none"}, {Column: 6, Text: "23:30"}, {Column: 12, Text: "00:00"}},
	},
	"holes":   {Values: []float64{nan, nan, 3, nan, 12, nan, math.Inf(1), -1}, Height: 4, Line: nan, Marks: []plot.Mark{{Column: 4, Hot: true}, {Column: 99}}},
	"zeros":   {Values: []float64{0, 0, 0, 0}, Height: 3, Line: 0},
	"nothing": {Line: nan},
	"above":   {Values: []float64{1, 2, 3}, Height: 4, Line: 10},
	"small":   {Values: []float64{1, 1e6}, Height: 3, Line: 1, Ticks: []plot.Tick{{Column: 0, Text: "too long"}}},
}

func TestGolden(t *testing.T) {
	for name, c := range examples {
		var text strings.Builder
		for _, form := range []struct{ ascii, color bool }{{false, false}, {true, false}, {false, true}} {
			c.ASCII, c.Color = form.ascii, form.color
			for _, line := range c.Lines() {
				text.WriteString(strings.ReplaceAll(line, "\x1b", "^") + "\n")
			}
			text.WriteString("\n")
		}
		path := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if text.String() != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, text.String(), want)
		}
	}
}

func TestNumber(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := plot.Number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
	f(0, "0")
	f(34, "34")
	f(9999, "9999")
	f(7.213, "7.21")
	f(0.5, "0.5")
	f(0.0004, "<0.001")
	f(99.96, "100")
	f(999.9, "1000")
	f(1234.5, "1234")
	f(12345, "12.3k")
	f(999_999, "1000k")
	f(1_234_567, "1.23M")
	f(5e9, "5G")
	f(7e12, "7T")
	f(1e300, "1e+300")
	f(nan, "?")
	f(-1, "?")
	f(math.Inf(1), "?")
}

// FuzzLines checks the invariants of every chart, whatever is in it.
func FuzzLines(f *testing.F) {
	f.Add([]byte("0123456701234567"), 4, 2.5, 1, "23:00", false)
	f.Add([]byte{}, -1, nan, -1, "", true)
	f.Add(make([]byte, 800), 1000, math.Inf(1), 3, "äöü", false)
	f.Fuzz(func(t *testing.T, data []byte, height int, level float64, column int, text string, ascii bool) {
		if !utf8.ValidString(text) || strings.ContainsAny(text, " \n") {
			return
		}
		data = data[:min(len(data), 8*300)]
		c := plot.Chart{Height: height, Line: level, ASCII: ascii, Marks: []plot.Mark{{Column: column, Hot: true}}, Ticks: []plot.Tick{{Column: max(column, 0), Text: text}}}
		for ; len(data) >= 8; data = data[8:] {
			c.Values = append(c.Values, math.Float64frombits(binary.LittleEndian.Uint64(data)))
		}
		lines := c.Lines()
		height = min(max(height, 1), plot.MaxHeight)
		if n := len(lines) - height; n != 2 && (n != 3 || !strings.HasSuffix(lines[len(lines)-1], text)) {
			t.Fatalf("%d lines, want %d and the labels", len(lines), height+2)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > plot.Gutter+len(c.Values) {
				t.Errorf("%d characters of %d: %q", n, plot.Gutter+len(c.Values), line)
			}
			if ascii && text == "" && strings.ContainsFunc(line, func(r rune) bool { return r >= utf8.RuneSelf }) {
				t.Errorf("not ASCII: %q", line)
			}
		}
		tallest, at := 0, math.Inf(-1) // of the bars that are at most as high
		for _, i := range byValue(c.Values) {
			drawn := bar(lines[:height], i)
			if drawn < tallest && c.Values[i] > at {
				t.Fatalf("%v is drawn %d high, and less is drawn %d high:\n%s", c.Values[i], drawn, tallest, strings.Join(lines, "\n"))
			}
			tallest, at = max(tallest, drawn), c.Values[i]
		}
	})
}

// byValue returns the columns with known values, lowest value first.
func byValue(values []float64) (columns []int) {
	for i, v := range values {
		if known(v) {
			columns = append(columns, i)
		}
	}
	slices.SortFunc(columns, func(i, j int) int { return cmp.Compare(values[i], values[j]) })
	return columns
}

func known(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// bar returns the drawn height of a column.
func bar(bars []string, column int) (height int) {
	for _, line := range bars {
		if r := []rune(line); plot.Gutter+column < len(r) {
			switch at := r[plot.Gutter+column]; {
			case at >= '▁' && at <= '█':
				height += int(at-'▁') + 1
			case at == '.':
				height++
			case at == '#':
				height += 2
			}
		}
	}
	return height
}
