package ndjson

import (
	"errors"
	"os"
	"path/filepath"
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
