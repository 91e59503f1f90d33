package printable_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"keytrail/schemas/printable"
)

// Everything here may steer a terminal, break a line or deceive a reader.
var dangerous = []string{
	"\x00", "\x07", "\x1b[2J", "\x7f", "\u0085", "\u009b31m", "\u202e", "\u2066", "\u200e", "\u061c", "\u2028", "\u2029",
	"\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u180e", "\u034f", "\ufe0f", "\u3164", "\u115f", "\U000e0041", "\U000e0100", "\u00a0", "\ue000", "\U0010ffff", "\xff", "\xc0\x80", "\xed\xa0\x80",
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain, é and 鍵": "plain, é and 鍵", "a\x1b[2Jb": `a\x1b[2Jb`, "\u202e": `\u202e`, "\U000e0041": `\U000e0041`, "a\nb\tc\r": `a\nb\tc\r`, "\xff": `\xff`,
		`C:\dir "x"`: `C:\dir "x"`,
	} {
		if got := printable.Text(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	for _, s := range dangerous {
		if got := printable.Text("a" + s + "b"); unsafe(got, "") || got == "a"+s+"b" {
			t.Errorf("%q becomes %q", s, got)
		}
	}
}

// unsafe reports whether text has an unsafe character that is not allowed.
func unsafe(text, allowed string) bool {
	return !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return printable.Unsafe(r) && !strings.ContainsRune(allowed, r) })
}

// Whatever bytes come, in whatever pieces: nothing unsafe is left, and what is safe is
// there as it was.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\x1b[31m\nb\xe9\x8d\xb5"), 3)
	for _, s := range dangerous {
		f.Add([]byte("x"+s+"é\n"), 2)
	}
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		piece = max(piece, 1)
		var out, rest []byte
		for from := 0; from < len(data); from += piece {
			out, rest = printable.AppendLines(out, append(bytes.Clone(rest), data[from:min(from+piece, len(data))]...))
			if len(rest) > 3 {
				t.Fatalf("%d bytes are kept", len(rest))
			}
		}
		whole := string(out) + printable.Text(string(rest))
		if unsafe(whole, "\n\t") {
			t.Fatalf("%q becomes %q", data, whole)
		}
		if text := string(data); !unsafe(text, "\n\t") && whole != text {
			t.Fatalf("%q becomes %q", text, whole)
		}
	})
}

// A JSON text says the same, and has nothing unsafe left.
func FuzzJSON(f *testing.F) {
	for _, s := range dangerous {
		f.Add("é" + s + "\"\\\n")
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := json.Marshal(map[string]string{s: s})
		if err != nil {
			t.Fatal(err)
		}
		got := printable.JSON(text)
		if unsafe(string(got), "") {
			t.Fatalf("%q becomes %q", text, got)
		}
		var a, b map[string]string
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got, &b); err != nil || len(b) != 1 {
			t.Fatalf("%q: %v", got, err)
		}
		for k, v := range a {
			if b[k] != v {
				t.Fatalf("%q says %q, want %q", got, b[k], v)
			}
		}
	})
}
