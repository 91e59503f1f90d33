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
