package lockfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the lock has the mode %v, %v", info.Mode(), err)
	}
	if _, err := Take(path); !errors.Is(err, ErrTaken) {
		t.Errorf("a second lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	again, err := Take(path)
	if err != nil {
		t.Fatalf("the lock was not released: %v", err)
	}
	again.Close()
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(link); err == nil || errors.Is(err, ErrTaken) {
		t.Errorf("a link is followed: %v", err)
	}
}
