package screen

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// Of two columns are these, of one the others: East Asian Width of Unicode.
const wideRunes, narrowRunes = "鍵日本語한글🔑（）", "abcXYZ 0123éß—…|"

// A progress line stays on its line, with a column to spare, however narrow the terminal
// is and whatever the text.
func TestProgressStaysOnItsLine(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	wide, all := []rune(wideRunes), []rune(wideRunes+narrowRunes)
	for range 2000 {
		var b strings.Builder
		for range rng.IntN(200) {
			b.WriteRune(all[rng.IntN(len(all))])
		}
		text, columns := b.String(), []int{1, 2, 19, 20, 59, 60, 120}[rng.IntN(7)]
		got, n := Fit(text, columns), 0
		for _, r := range got {
			n++
			if strings.ContainsRune(string(wide), r) {
				n++
			}
		}
		if n > columns || !strings.HasPrefix(text, got) {
			t.Fatalf("%q takes %d columns of %d", got, n, columns)
		}
		if rest := text[len(got):]; rest != "" && n < columns-1 {
			t.Fatalf("%q has room for more of %q in %d columns", got, rest, columns)
		}
	}
	for _, columns := range []string{"20", "60"} {
		t.Setenv("COLUMNS", columns)
		var screen bytes.Buffer
		d := NewDiagnostics(&screen)
		d.Status("123456789 objects, 123456789012 records read, 鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵 \x1b[2J")
		for _, line := range strings.Split(screen.String(), Wipe)[1:] {
			if n := utf8.RuneCountInString(line); n == 0 || n > 59 || columns == "20" && n > 19 || strings.ContainsRune(line, '\x1b') {
				t.Errorf("%s columns: %q", columns, line)
			}
		}
	}
}

// A wrapped row of a table fits, and loses only spaces.
func TestWrapRow(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	all := []rune(wideRunes + narrowRunes + strings.Repeat(" ", 20))
	for range 5000 {
		var b strings.Builder
		for range rng.IntN(300) {
			b.WriteRune(all[rng.IntN(len(all))])
		}
		row, width := b.String(), MinWidth+rng.IntN(100)
		lines := WrapRow(row, width)
		for _, line := range lines {
			if Fit(line, width) != line {
				t.Fatalf("%q is wider than %d", line, width)
			}
		}
		if got := strings.Join(lines, ""); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(row, " ", "") {
			t.Fatalf("%q becomes %q", row, got)
		}
	}
	row := "TIME   1  a sentence of some words, which is wider"
	if got := strings.Join(WrapRow(row, 40), "|"); got != "TIME   1  a sentence of some words,|          which is wider" {
		t.Errorf("%s", got)
	}
}

// Output wraps whole lines, however they are cut into writes.
func TestFitTables(t *testing.T) {
	t.Setenv("COLUMNS", "40")
	text := strings.Repeat("ROW  "+strings.Repeat("word ", 20)+"\n", 3) + "rest"
	var whole string
	for _, size := range []int{1, 7, 1000} {
		var out bytes.Buffer
		o := NewOutput(&out, func() {})
		o.FitTables(func(string) string { return "40" })
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			o.Write([]byte(rest[:min(size, len(rest))]))
		}
		o.Close()
		for _, line := range strings.Split(out.String(), "\n") {
			if Fit(line, 40) != line {
				t.Errorf("%q", line)
			}
		}
		if whole == "" {
			whole = out.String()
		}
		if out.String() != whole || !strings.HasSuffix(whole, "\nrest") {
			t.Errorf("in writes of %d bytes: %q", size, out.String())
		}
	}
}
