package explain

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

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
