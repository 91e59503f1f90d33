package source

import (
	"io/fs"
	"path/filepath"
	"testing"
	"time"
)

// The checkpoint records retry states once a minute and at the end: after a restart, a
// missing object is given up as without one.
func TestTriesAreSaved(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "")
	now := noon
	path := filepath.Join(t.TempDir(), "cp")
	p := follow(t, FollowerConfig{Path: dir, FromBeginning: true, Checkpoint: path, Now: func() time.Time { return now }})
	p.poll()
	a := p.poll("a")[0]
	tries := func(want int, s string) {
		t.Helper()
		c, _, err := loadCheckpoint(path)
		if err != nil || len(c.Retry) != 1 || c.Retry[0].Tries != want {
			t.Errorf("%s: %+v, %v; want %d tries", s, c.Retry, err, want)
		}
	}
	fail := func() {
		t.Helper()
		if !p.f.Failed(a, fs.ErrPermission) {
			t.Fatal("given up")
		}
		if err := p.f.Save(); err != nil {
			t.Fatal(err)
		}
	}
	fail()
	tries(1, "a new object")
	fail()
	fail()
	tries(1, "within a minute")
	now = now.Add(saveEvery)
	if err := p.f.Save(); err != nil {
		t.Fatal(err)
	}
	tries(3, "a minute later")
	fail()
	tries(3, "within the next")
	if err := p.f.Close(); err != nil {
		t.Fatal(err)
	}
	tries(4, "at the end")
}
