package ndjson

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"keytrail/processor/sink/sinktest"
)

// A deletion is logged first, with the file, its size, and the times of its records.
func TestDeletionIsLogged(t *testing.T) {
	for _, zip := range []bool{false, true} {
		var log bytes.Buffer
		c := at(t)
		c.Gzip = zip
		s, err := New(c, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		s.out.(*file).limit, s.out.(*file).keep = 1, 2
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			if err := s.Deliver(t.Context(), sinktest.Batch(id)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		text := log.String()
		// the time of the suite's records, to the millisecond
		const want = "first=2026-11-18T11:06:40.000Z last=2026-11-18T11:06:40.000Z"
		if strings.Count(text, "deleting the oldest file") != 2 || strings.Count(text, " records=1 "+want) != 2 ||
			!strings.Contains(text, " file="+c.Path+".2") || !strings.Contains(text, " bytes=") {
			t.Errorf("gzip %v: the log says\n%s", zip, text)
		}
	}
}

// A lower keep deletes the surplus at the next rotation.
func TestLowerKeep(t *testing.T) {
	c := at(t)
	c.Keep = 4
	s := open(t, c)
	f := s.out.(*file)
	f.limit = 1
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		if err := s.Deliver(t.Context(), sinktest.Batch(id)); err != nil {
			t.Fatal(err)
		}
	}
	f.keep = 2
	if err := s.Deliver(t.Context(), sinktest.Batch("f")); err != nil {
		t.Fatal(err)
	}
	got := idsIn(t, c.Path) + idsIn(t, f.old(1)) + idsIn(t, f.old(2))
	if got != "fed" || f.taken(3) || f.taken(4) {
		t.Errorf("the files hold %q, and number 3 or 4 exists: %v, %v", got, f.taken(3), f.taken(4))
	}
}

// Each period has its own file, also across a restart.
func TestRotationByAge(t *testing.T) {
	c := at(t)
	c.RotateEvery = time.Hour
	now := time.Date(2026, 11, 30, 8, 59, 0, 0, time.UTC)
	deliver := func(s *Sink, id string) {
		t.Helper()
		s.out.(*file).now = func() time.Time { return now }
		if err := s.Deliver(t.Context(), sinktest.Batch(id)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, c)
	deliver(s, "a")
	deliver(s, "b")
	now = now.Add(time.Minute)
	deliver(s, "c")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(c.Path, now, now); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	deliver(s, "d")
	now = now.Add(time.Hour)
	deliver(s, "e")
	f := s.out.(*file)
	if got := idsIn(t, c.Path) + "," + idsIn(t, f.old(1)) + "," + idsIn(t, f.old(2)); got != "e,c d,a b" {
		t.Errorf("the files hold %q", got)
	}
}

// A compression is completed, whatever the step at which a process died.
func TestCompressionHalfDone(t *testing.T) {
	c := at(t)
	c.Gzip = true
	s := open(t, c)
	f := s.out.(*file)
	f.limit = 1
	deliver := func(id string) {
		t.Helper()
		if err := s.Deliver(t.Context(), sinktest.Batch(id)); err != nil {
			t.Fatal(err)
		}
	}
	deliver("a")
	deliver("b")
	plain := unpack(t, f.old(1)+compressed)
	for _, leave := range []func() error{
		func() error { return os.WriteFile(f.temporary(), []byte("half"), 0o600) },
		func() error { return os.WriteFile(f.old(1), plain, 0o600) }, // beside the compressed file
		func() error { // before the compression
			if err := os.Remove(f.old(1) + compressed); err != nil {
				return err
			}
			return os.WriteFile(f.old(1), unpack(t, f.old(2)+compressed), 0o600)
		},
	} {
		if err := leave(); err != nil {
			t.Fatal(err)
		}
		deliver("x")
	}
	files, err := filepath.Glob(c.Path + "*")
	if err != nil || len(files) != 6 {
		t.Fatalf("the files are %q (%v)", files, err)
	}
	for _, name := range files[1:5] { // without the lock
		if !strings.HasSuffix(name, compressed) || len(unpack(t, name)) == 0 {
			t.Errorf("%s is not compressed", name)
		}
	}
}

// unpack returns the content of a compressed file.
func unpack(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return content
}

// victim is the environment variable that makes the test binary the process that is killed:
// it holds the path of the file.
const victim = "KEYTRAIL_TEST_VICTIM"

// writeForever delivers batches from a number on, and prints each number after its delivery.
func writeForever(t *testing.T, path string) {
	c := DefaultConfig()
	c.Path, c.Gzip, c.Keep = path, true, mostFiles
	s, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.out.(*file).limit = 3000
	n, err := strconv.Atoi(os.Getenv(victim + "_FROM"))
	for ; err == nil; n++ {
		if err = s.Deliver(t.Context(), sinktest.Batch(strconv.Itoa(n))); err == nil {
			_, err = fmt.Fprintln(os.Stdout, "took", n)
		}
	}
	t.Fatal(err)
}

// TestKilled kills a process that rotates and compresses all the time. Each record that it
// has acknowledged is in a file once; the one on its way may be there twice, as the next
// process repeats it.
func TestKilled(t *testing.T) {
	if path := os.Getenv(victim); path != "" {
		writeForever(t, path)
	}
	path := filepath.Join(t.TempDir(), "out.ndjson")
	next, repeated := 0, map[int]bool{}
	rounds := 15
	if testing.Short() {
		rounds = 5
	}
	for range rounds {
		repeated[next] = true
		next = killOne(t, path, next, 1+rand.N(100))
	}
	if next < rounds {
		t.Fatalf("only %d records were taken in %d rounds", next, rounds)
	}
	c := DefaultConfig()
	c.Path = path
	open(t, c) // cuts a torn line
	counts := map[string]int{}
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, compressed) {
			plain := filepath.Join(t.TempDir(), "plain")
			if err := os.WriteFile(plain, unpack(t, name), 0o600); err != nil {
				t.Fatal(err)
			}
			if exists(strings.TrimSuffix(name, compressed)) {
				continue // redundant until the next rotation
			}
			name = plain
		}
		for _, id := range strings.Fields(idsIn(t, name)) {
			counts[id]++
		}
	}
	for n := range next {
		switch got := counts[strconv.Itoa(n)]; {
		case got == 0:
			t.Errorf("record %d is lost", n)
		case got > 1 && !repeated[n]:
			t.Errorf("record %d is there %d times", n, got)
		}
	}
	t.Logf("%d records in %d files", next, len(files))
}

// killOne runs the process from a record on until it has taken some, kills it a random time
// later, and returns the first record that it has not acknowledged.
func killOne(t *testing.T, path string, next, some int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), victim+"="+path, victim+"_FROM="+strconv.Itoa(next))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "took ")
		n, err := strconv.Atoi(text)
		if !ok || err != nil || n != next {
			t.Fatalf("the process says %q, want that it took %d", lines.Text(), next)
		}
		next++
		if some--; some == 0 {
			time.AfterFunc(rand.N(3*time.Millisecond), func() { _ = cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	return next
}
