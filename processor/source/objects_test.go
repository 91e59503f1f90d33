package source

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// write creates a file below dir and the folders on the way.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// list reads every object and returns "name=content" for each, relative to
// dir, and the errors.
func list(t *testing.T, dir string, paths ...string) (got []string, errs []error) {
	t.Helper()
	for o, err := range Objects(paths) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r, err := o.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if o.Size >= 0 && (o.Size != int64(len(b)) || o.ModTime.IsZero()) {
			t.Errorf("%s: size %d and time %v, but %d bytes were read", o.Name, o.Size, o.ModTime, len(b))
		}
		name, err := filepath.Rel(dir, o.Name)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name+"="+string(b))
	}
	return got, errs
}

func TestObjectsWalksInNameOrder(t *testing.T) {
	dir := t.TempDir()
	outside := t.TempDir()
	write(t, dir, "b.json", "b")
	write(t, dir, "a/2.json.gz", "a2")
	write(t, dir, "a/1", "a1")
	write(t, dir, "CloudTrail-Digest/d.json.gz", "digest")
	write(t, dir, ".hidden.json", "no")
	write(t, dir, ".git/config", "no")
	target := write(t, outside, "real.json", "linked")
	for link, to := range map[string]string{"c-link": target, "d-loop": dir, "e-dangling": filepath.Join(outside, "gone")} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "f-pipe"), 0o600); err != nil {
		t.Fatal(err)
	}

	got, errs := list(t, dir, dir)
	want := []string{"CloudTrail-Digest/d.json.gz=digest", "a/1=a1", "a/2.json.gz=a2", "b.json=b", "c-link=linked"}
	if !slices.Equal(got, want) || errs != nil {
		t.Errorf("got %q, errors %v; want %q", got, errs, want)
	}
}

func TestObjectsGoesOnAfterAnError(t *testing.T) {
	dir := t.TempDir()
	a, b := write(t, dir, "a", "1"), write(t, dir, ".b", "2")
	missing := filepath.Join(dir, "missing")
	got, errs := list(t, dir, a, missing, b)
	if want := []string{"a=1", ".b=2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(errs) != 1 || !errors.Is(errs[0], fs.ErrNotExist) || strings.Count(errs[0].Error(), missing) != 1 {
		t.Errorf("got errors %v, want one that names %q once", errs, missing)
	}
}

func TestObjectsStopsWhenAsked(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"x/1", "x/2", "y"} {
		write(t, dir, name, "")
	}
	n := 0
	for range Objects([]string{dir, dir}) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("the sequence went on after the loop ended: %d objects", n)
	}
}

func TestObjectsStandardInput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	saved := os.Stdin
	os.Stdin = r
	t.Cleanup(func() { os.Stdin = saved; r.Close() })
	if _, err := w.WriteString("{}"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for o, err := range Objects([]string{Stdin}) {
		if err != nil || o.Name != "-" || o.Size != -1 {
			t.Fatalf("got %+v, %v", o, err)
		}
		in, err := o.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		if err != nil || string(b) != "{}" {
			t.Errorf("read %q, %v", b, err)
		}
		in.Close()
		if _, err := r.Stat(); err != nil {
			t.Errorf("closing the reader closed standard input: %v", err)
		}
	}
}

func TestObjectsRefusesASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	_, errs := list(t, "/", path)
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), path) {
		t.Errorf("got %v, want an error that names %q", errs, path)
	}
}
