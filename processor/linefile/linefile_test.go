package linefile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A crash may truncate the file anywhere: every later line is whole, and no line that was
// whole before is lost.
func TestLinesStayWhole(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		path := filepath.Join(t.TempDir(), "lines")
		var want []string
		for run := range 5 {
			l, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := rng.IntN(4)
			for i := range lines {
				line := fmt.Sprintf("%d.%d %s", run, i, strings.Repeat("x", rng.IntN(30)))
				if _, err := l.Write([]byte(line + "\n")); err != nil {
					t.Fatal(err)
				}
				want = append(want, line)
			}
			size := l.Size()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Size() != size || info.Mode().Perm() != 0o600 {
				t.Fatalf("size %d of a file %v, %v", size, info, err)
			}
			if n := len(want); lines > 0 && rng.IntN(2) == 0 { // a crash in the last line
				cut := 1 + rng.Int64N(min(size, int64(len(want[n-1]))))
				if err := os.Truncate(path, size-cut); err != nil {
					t.Fatal(err)
				}
				if cut > 1 {
					want = want[:n-1]
				}
			}
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(string(content), "\n")
		for _, line := range want {
			if !slices.Contains(got, line) {
				t.Fatalf("seed %d: line %q is not in\n%s", seed, line, content)
			}
		}
	}
}

// A temporarily full disk leaves the beginning of a line. The test runs in its own
// process, because the limit applies to all its files.
func TestAfterAFullDisk(t *testing.T) {
	if path := os.Getenv("LINEFILE_FULL"); path != "" {
		fullDisk(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "lines")
	cmd := exec.Command(os.Args[0], "-test.run=^TestAfterAFullDisk$")
	cmd.Env = append(os.Environ(), "LINEFILE_FULL="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.ReadFile(path)
	if want := "one\ntw\ntwo\n"; err != nil || string(content) != want {
		t.Errorf("the file holds %q, %v; want %q", content, err, want)
	}
}

func fullDisk(t *testing.T, path string) {
	signal.Ignore(syscall.SIGXFSZ)
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := func(n uint64) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	limit(6)
	if n, err := l.Write([]byte("two\n")); n != 2 || err == nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if n, err := l.Write([]byte("two\n")); n != 0 || err == nil {
		t.Errorf("on a full disk: wrote %d, %v", n, err)
	}
	limit(before.Cur)
	if _, err := l.Write([]byte("two\n")); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenWhatIsNotAFile(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a directory was opened")
	}
	l, err := Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Write(bytes.Repeat([]byte("x\n"), 10)); n != 20 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
}

// A file that others may read, because an older program or a person made it, becomes
// private.
func TestOpenNarrowsTheMode(t *testing.T) {
	for _, mode := range []os.FileMode{0o644, 0o666, 0o777, 0o640, 0o600} {
		path := filepath.Join(t.TempDir(), "lines")
		if err := os.WriteFile(path, []byte("a\n"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // past the umask
			t.Fatal(err)
		}
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 || l.Size() != 2 {
			t.Errorf("%o became %v with %d bytes, %v", mode, info.Mode(), l.Size(), err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
