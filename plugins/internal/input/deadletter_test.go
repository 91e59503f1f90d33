package input

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keytrail/schemas/wire"
)

func TestDeadLettersRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead")
	write := func(max int64, details ...string) {
		t.Helper()
		l := deadLetters{path: path, max: max}
		for _, d := range details {
			if err := l.write(&wire.DeadLetter{Stage: stage, Reason: "x", Detail: d}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
	}
	details := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			_, rest, _ := strings.Cut(line, `"detail":"`)
			detail, _, _ := strings.Cut(rest, `"`)
			got = append(got, detail)
		}
		return strings.Join(got, " ")
	}
	write(1<<20, "a", "b")
	write(1<<20, "c") // the next run appends
	if got := details(path); got != "a b c" {
		t.Errorf("the file holds %q", got)
	}
	write(250, "d", "e", "f") // a line has about 110 bytes: two fit
	if got := details(path); got != "f" {
		t.Errorf("after rotating the file holds %q, want f", got)
	}
	if got := details(path + ".1"); got != "d e" {
		t.Errorf("the older file holds %q", got)
	}
}

func TestDeadLettersWithoutAFile(t *testing.T) {
	l := deadLetters{}
	if err := l.write(&wire.DeadLetter{}); err != nil {
		t.Error(err)
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
}
