package ndjson

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

// readAll decodes every line of the file at path, or of none if there is none.
func readAll(t *testing.T, path string) []*logs.LogsData {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []*logs.LogsData
	for line := range bytes.Lines(content) {
		data := &logs.LogsData{}
		if err := protojson.Unmarshal(line, data); err != nil || !bytes.HasSuffix(line, []byte("\n")) {
			t.Fatalf("line %q: %v", line, err)
		}
		list = append(list, data)
	}
	return list
}

func idsIn(t *testing.T, path string) string {
	t.Helper()
	var ids []string
	for _, data := range readAll(t, path) {
		ids = append(ids, sinktest.IDs(data)...)
	}
	return strings.Join(ids, " ")
}

func open(t *testing.T, c Config) *Sink {
	t.Helper()
	s, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// at returns the default Config for a file in a new folder.
func at(t *testing.T) Config {
	c := DefaultConfig()
	c.Path = filepath.Join(t.TempDir(), "out.ndjson")
	return c
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Subject {
		c := at(t)
		return sinktest.Subject{Sink: open(t, c), Arrived: func(t *testing.T) []*logs.LogsData { return readAll(t, c.Path) }}
	})
}

// TestStdout runs the same suite against standard output, a file in its place.
func TestStdout(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Subject {
		path := filepath.Join(t.TempDir(), "stdout")
		into, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		before := os.Stdout
		os.Stdout = into
		c := DefaultConfig()
		c.Path = sink.Stdout
		s := open(t, c)
		os.Stdout = before
		t.Cleanup(func() {
			if err := into.Close(); err != nil {
				t.Errorf("Close has closed standard output: %v", err)
			}
		})
		return sinktest.Subject{Sink: s, Arrived: func(t *testing.T) []*logs.LogsData { return readAll(t, path) }}
	})
}

func TestRejectsWhatIsNoRecord(t *testing.T) {
	c := at(t)
	s := open(t, c)
	batch := sinktest.Batch("a", "b", "c")
	batch[1].Value = []byte("\xff\xff\xff")
	err := s.Deliver(t.Context(), batch)
	var rejected *sink.Rejected
	if !errors.As(err, &rejected) || len(rejected.Records) != 1 || rejected.Records[0] != 1 ||
		rejected.Reason != sink.ReasonInvalid {
		t.Errorf("got %v, want record 1 rejected as invalid", err)
	}
	if got := idsIn(t, c.Path); got != "a c" {
		t.Errorf("the file holds %q, want %q", got, "a c")
	}
}

func TestRotation(t *testing.T) {
	c := at(t)
	deliver := func(s *Sink, ids ...string) {
		t.Helper()
		if err := s.Deliver(t.Context(), sinktest.Batch(ids...)); err != nil {
			t.Fatal(err)
		}
	}
	probe := open(t, c)
	deliver(probe, "00")
	info, err := os.Stat(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	line := info.Size()
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	// three lines a file, two old files: less than Validate allows
	s := open(t, c)
	s.out.(*file).limit, s.out.(*file).keep = 3*line, 2
	f := func(ids []string, want ...string) {
		t.Helper()
		deliver(s, ids...)
		for i, text := range want {
			path := c.Path
			if i > 0 {
				path = s.out.(*file).old(i)
			}
			if got := idsIn(t, path); got != text {
				t.Errorf("%s holds %q, want %q", filepath.Base(path), got, text)
			}
		}
	}
	f([]string{"01", "02"}, "00 01 02")                                  // exactly full
	f([]string{"03"}, "03", "00 01 02")                                  // one more: a new file
	f([]string{"04", "05", "06", "07"}, "04 05 06 07", "03", "00 01 02") // a batch is never cut
	f([]string{"08"}, "08", "04 05 06 07", "03")                         // the oldest is gone
	entries, err := os.ReadDir(filepath.Dir(c.Path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4 {
		t.Errorf("%d files, want 3 and the lock: %v", len(entries), entries)
	}
}

func TestRotationHalfDone(t *testing.T) {
	c := at(t)
	s := open(t, c)
	f := s.out.(*file)
	f.limit, f.keep = 1, 3
	deliver := func(id string) error { return s.Deliver(t.Context(), sinktest.Batch(id)) }
	for _, id := range []string{"a", "b", "c", "d"} {
		if err := deliver(id); err != nil {
			t.Fatal(err)
		}
	}
	// As if the process had died after moving the old files: number 1 is free.
	// The repetition must not push "a" or "b" over the edge.
	if err := os.Rename(f.old(1), filepath.Join(t.TempDir(), "c")); err != nil {
		t.Fatal(err)
	}
	if err := deliver("e"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"d", "b", "a"} {
		if got := idsIn(t, f.old(i+1)); got != want {
			t.Errorf("old file %d holds %q, want %q", i+1, got, want)
		}
	}
	// A file that cannot be moved: an error, and the next attempt goes on.
	blocked := filepath.Join(f.old(3), "x")
	if err := errors.Join(os.Remove(f.old(3)), os.Mkdir(f.old(3), 0o750), os.WriteFile(blocked, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := deliver("f"); err == nil || !strings.Contains(err.Error(), "cannot rotate sink file") {
		t.Errorf("got %v, want an error about the rotation", err)
	}
	if err := os.RemoveAll(f.old(3)); err != nil {
		t.Fatal(err)
	}
	if err := deliver("f"); err != nil {
		t.Errorf("after the obstacle is gone: %v", err)
	}
	if got := idsIn(t, c.Path) + " " + idsIn(t, f.old(1)); got != "f e" {
		t.Errorf("the two youngest files hold %q, want %q", got, "f e")
	}
}

func TestTornLine(t *testing.T) {
	whole := lineStart + "[]}\n"
	f := func(before, want string) {
		t.Helper()
		c := at(t)
		if err := os.WriteFile(c.Path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := New(c, nil)
		if err == nil {
			err = s.Close()
		}
		after, readErr := os.ReadFile(c.Path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if strings.HasPrefix(want, "error: ") {
			if err == nil || !strings.Contains(err.Error(), want[len("error: "):]) || string(after) != before {
				t.Errorf("%.40q: got %v and %.40q, want an error and the file untouched", before, err, after)
			}
			return
		}
		if err != nil || string(after) != want {
			t.Errorf("%.40q became %.40q (%v), want %.40q", before, after, err, want)
		}
	}
	f("", "")
	f(whole, whole)
	f(whole+whole, whole+whole)
	f(whole+lineStart+`[{"resource":{"attri`, whole)
	f(whole+`{"res`, whole)
	f(`{`, "")
	// longer than one block of the search
	f(whole+lineStart+strings.Repeat("x", 200<<10), whole)
	f(strings.Repeat(whole, 10_000)+lineStart, strings.Repeat(whole, 10_000))
	// somebody else's file
	f("kafka: {}", "error: it is not a file of this sink")
	f(whole+"password", "error: it is not a file of this sink")
	f(strings.Repeat("x", maxTail+200<<10), "error: no end of a line")
}

func TestNewRefuses(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		c := DefaultConfig()
		c.Path = path
		if _, err := New(c, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("path %q: got %v, want an error with %q", path, err, want)
		}
	}
	f("", "path: is missing")
	f(t.TempDir(), "cannot open sink file")
	f("/dev/null", "want a regular file")
	f(filepath.Join(t.TempDir(), "none", "out"), "no such file")
}

func TestBufferIsReleased(t *testing.T) {
	c := at(t)
	s := open(t, c)
	s.buf = make([]byte, 0, keepBuffer+1)
	if err := s.Deliver(t.Context(), sinktest.Batch("a")); err != nil {
		t.Fatal(err)
	}
	if cap(s.buf) > keepBuffer {
		t.Errorf("%d bytes stay allocated, want at most %d", cap(s.buf), keepBuffer)
	}
}
