package report

import (
	"bufio"
	"encoding/csv"
	"strings"
	"testing"
	"unicode/utf8"

	"keytrail/schemas/printable"
)

// written is a row as CSV.
func written(cells ...string) string {
	var b strings.Builder
	out := bufio.NewWriter(&b)
	NewCSV(out, "header").Row(cells...)
	out.Flush()
	return strings.TrimPrefix(b.String(), "header\n")
}

func TestCSVCells(t *testing.T) {
	f := func(cell, want string) {
		t.Helper()
		if got := written(cell, "x"); got != want+",x\n" {
			t.Errorf("%q is written %q, want %q", cell, got, want+",x\n")
		}
	}
	f("", "")
	f("arn:aws:iam::1:role/app", "arn:aws:iam::1:role/app")
	f(`a "b", c`, `"a ""b"", c"`)
	// a spreadsheet would evaluate these
	f(`=HYPERLINK("x")`, `"'=HYPERLINK(""x"")"`)
	f("+1", "'+1")
	f("-1+1", "'-1+1")
	f("@SUM(A1)", "'@SUM(A1)")
	f("\t=1", `'\t=1`)
	f("\r=1", `'\r=1`)
	f("\n=1", `'\n=1`)
	f("＝1", "'＝1")
	// inside a cell they are text
	f("a=b", "a=b")
	f("a\nb", `a\nb`)
}

// FuzzCSV reads back what is written: the cells, escaped, none of which is a formula.
func FuzzCSV(f *testing.F) {
	for _, cell := range []string{"", "=1", "a,b", `"`, "'", "\x00=", "\xff", " =1", "\u202e", "\r\n", "＠", "'=1"} {
		f.Add(cell, "x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		text := written(a, b, "end")
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(rows) != 1 || len(rows[0]) != 3 {
			t.Fatalf("%q, %q are written %q: %v, %v", a, b, text, rows, err)
		}
		for i, cell := range []string{a, b} {
			got := rows[0][i]
			first, _ := utf8.DecodeRuneInString(got)
			if got != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) || strings.ContainsFunc(got, printable.Unsafe) {
				t.Errorf("the cell %q is read as %q", cell, got)
			}
			if plain := printable.Text(cell); got != plain && got != "'"+plain {
				t.Errorf("the cell %q is read as %q", cell, got)
			}
		}
	})
}
