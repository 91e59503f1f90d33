package demo

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"keytrail/processor/screen"
	"keytrail/processor/stream"
)

// The demo's progress line stays on its line, with a column to spare.
func TestProgressStaysOnItsLine(t *testing.T) {
	for columns, most := range map[string]int{"20": 19, "60": 59} {
		t.Setenv("COLUMNS", columns)
		var out bytes.Buffer
		s := NewShow(screen.NewOutput(&out, func() {}), true)
		s.Progress(1, 3, stream.PublishCounts{Received: 1 << 60})
		for _, line := range strings.Split(out.String(), screen.Wipe)[1:] {
			if n := utf8.RuneCountInString(line); n == 0 || n > most || strings.ContainsRune(line, '\x1b') {
				t.Errorf("%s columns: %q", columns, line)
			}
		}
	}
}
