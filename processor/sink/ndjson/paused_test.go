package ndjson

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

// A folder that goes away pauses the sink, which goes on when it is back; what may pass,
// as a full disk, does not. Files are for their owner alone.
func TestMissingFolderPauses(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "out")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Path, c.RotateBytes = filepath.Join(folder, "out.ndjson"), 1<<10
	s := open(t, c)
	for _, id := range []string{"a", "b", "c", "d", "e"} { // more than one file
		if err := s.Deliver(t.Context(), sinktest.Batch(id)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) < 2 {
		t.Fatalf("%d files (%v), want some", len(entries), err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v), want 0600", e.Name(), info.Mode(), err)
		}
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	var paused *sink.Paused
	for i := 0; paused == nil; i++ {
		if i > 10 {
			t.Fatal("the sink never noticed that its folder is gone")
		}
		// An open file that nobody can see any more takes what is written, up to its rotation.
		_ = errors.As(s.Deliver(t.Context(), sinktest.Batch("x")), &paused)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Deliver(t.Context(), sinktest.Batch("y")); err != nil {
		t.Errorf("with the folder back: %v", err)
	}
	if got := idsIn(t, c.Path); got != "y" {
		t.Errorf("the file has %s, want y", got)
	}
}

// While one process writes a file, another one is paused, and changes nothing of it. It goes on
// after the end of the first.
func TestSecondProcessPauses(t *testing.T) {
	c := at(t)
	first := open(t, c)
	if err := first.Deliver(t.Context(), sinktest.Batch("a")); err != nil {
		t.Fatal(err)
	}
	if err := appendTo(c.Path, lineStart); err != nil { // the first one is writing
		t.Fatal(err)
	}
	second := open(t, c)
	if err := second.Deliver(t.Context(), sinktest.Batch("b")); sinktest.Verdict(err) != "paused target" {
		t.Errorf("got %q (%v), want a pause", sinktest.Verdict(err), err)
	}
	if text, err := os.ReadFile(c.Path); err != nil || !strings.HasSuffix(string(text), lineStart) {
		t.Errorf("the second process cut the line of the first: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Deliver(t.Context(), sinktest.Batch("b")); err != nil || idsIn(t, c.Path) != "a b" {
		t.Errorf("afterwards: %v, the file has %s", err, idsIn(t, c.Path))
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
