package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// poller drives a Follower over a directory and fails on unexpected errors.
type poller struct {
	t   *testing.T
	dir string
	f   *Follower
}

func follow(t *testing.T, cfg FollowerConfig) *poller {
	t.Helper()
	f, err := NewFollower(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &poller{t: t, dir: cfg.Path, f: f}
}

// poll polls once and compares the base names of the offered files.
func (p *poller) poll(want ...string) []Object {
	p.t.Helper()
	objects, err := p.f.Poll()
	if err != nil {
		p.t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, filepath.Base(o.Name))
	}
	if !slices.Equal(got, want) {
		p.t.Fatalf("poll offered %q, want %q", got, want)
	}
	return objects
}

func (p *poller) done(objects []Object) {
	p.t.Helper()
	for _, o := range objects {
		p.f.Done(o)
	}
	if err := p.f.Save(); err != nil {
		p.t.Fatal(err)
	}
}

func TestFollowerWaitsUntilAFileRests(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "1")
	p := follow(t, FollowerConfig{Path: dir, FromBeginning: true})
	p.poll()
	write(t, dir, "a", "12") // grows between two polls
	write(t, dir, "b", "")
	p.poll()
	p.done(p.poll("a", "b"))
	p.poll()
	write(t, dir, "a", "123") // changed after it was done: offered again as a whole
	p.poll()
	p.poll("a")
	p.poll()
}

func TestFollowerOffersRestedFilesAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "fresh", "1")
	write(t, dir, "old", "1")
	write(t, dir, "old-later", "1")
	hourAgo := time.Now().Add(-time.Hour)
	for _, name := range []string{"old", "old-later"} {
		if err := os.Chtimes(filepath.Join(dir, name), hourAgo, hourAgo); err != nil {
			t.Fatal(err)
		}
	}
	rested := func(changed time.Time) bool { return time.Since(changed) > time.Minute }
	p := follow(t, FollowerConfig{Path: dir, FromBeginning: true, Rested: rested})
	p.done(p.poll("old", "old-later"))
	write(t, dir, "old", "12") // it grows after all: it is offered again as a whole
	p.poll("fresh")
	p.poll("old")
	p = follow(t, FollowerConfig{Path: dir, Rested: rested}) // from now on
	p.poll()
	p.poll()
}

func TestFollowerSameSizeOtherTime(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "a", "1")
	p := follow(t, FollowerConfig{Path: dir, FromBeginning: true})
	p.poll()
	later := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	p.poll()
	p.poll("a")
}

func TestFollowerCheckpointSurvives(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	cfg := FollowerConfig{Path: dir, FromBeginning: true, Checkpoint: filepath.Join(state, "cp.json")}
	write(t, dir, "a", "1")
	write(t, dir, "b", "1")
	p := follow(t, cfg)
	p.poll()
	p.done(p.poll("a", "b")[:1]) // only a is done; b was in flight

	p = follow(t, cfg) // the next run
	write(t, dir, "c", "1")
	p.poll()
	p.done(p.poll("b", "c"))

	p = follow(t, cfg)
	p.poll()
	p.poll()
	left, err := os.ReadDir(state)
	if err != nil || len(left) != 1 {
		t.Errorf("the checkpoint's folder holds %v, %v; want the checkpoint alone", left, err)
	}
}

func TestFollowerForgetsRemovedFiles(t *testing.T) {
	dir := t.TempDir()
	cfg := FollowerConfig{Path: dir, FromBeginning: true, Checkpoint: filepath.Join(t.TempDir(), "cp")}
	a := write(t, dir, "a", "1")
	b := write(t, dir, "b", "1")
	p := follow(t, cfg)
	p.poll()
	p.done(p.poll("a", "b"))
	names := func() []string {
		c, found, err := loadCheckpoint(cfg.Checkpoint)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		var names []string
		for _, d := range c.Done {
			names = append(names, d.Name)
		}
		return names
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	p.poll()
	p.done(nil)
	if got := names(); !slices.Equal(got, []string{b}) {
		t.Errorf("the checkpoint holds %q, want %q", got, b)
	}
	// An empty directory looks like a lost mount, so nothing is forgotten.
	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	p.poll()
	p.done(nil)
	if got := names(); !slices.Equal(got, []string{b}) {
		t.Errorf("after an empty listing the checkpoint holds %q, want %q", got, b)
	}
	// Nor after an error.
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := p.f.Poll(); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want an error that names %q", err, dir)
	}
	if len(p.f.known) != 1 {
		t.Errorf("after an error %d objects are known, want 1", len(p.f.known))
	}
}

func TestFollowerFromNow(t *testing.T) {
	dir := t.TempDir()
	cfg := FollowerConfig{Path: dir, Checkpoint: filepath.Join(t.TempDir(), "cp")}
	write(t, dir, "old", "1")
	p := follow(t, cfg)
	p.poll()
	p.poll()
	write(t, dir, "new", "1")
	p.poll()
	p.done(p.poll("new"))
	// With a checkpoint, files that arrived between two runs are new.
	write(t, dir, "newer", "1")
	p = follow(t, cfg)
	p.poll()
	p.poll("newer")
}

func TestFollowerPatternAndExclusions(t *testing.T) {
	dir := t.TempDir()
	cp := filepath.Join(dir, "cp.json")
	cfg := FollowerConfig{
		Path: filepath.Join(dir, "*"), FromBeginning: true,
		Checkpoint: cp, Exclude: []string{filepath.Join(dir, "dead.json")},
	}
	write(t, dir, "a.json", "1")
	write(t, dir, "sub/b.json", "1")
	write(t, dir, "dead.json", "1")
	p := follow(t, cfg)
	p.poll()
	p.done(p.poll("a.json", "b.json")) // writes cp.json into the directory
	p.poll()
	p.poll()

	if _, err := NewFollower(FollowerConfig{Path: "[a"}); err == nil {
		t.Error("a malformed pattern was taken")
	}
	p = follow(t, FollowerConfig{Path: filepath.Join(dir, "none-*"), FromBeginning: true})
	p.poll() // a pattern may match later
}

func TestFollowerAPatternThatMatchesTwice(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x/x", "1")
	// Both the folder x and the file in it are seen in one poll.
	f, err := NewFollower(FollowerConfig{Path: dir, FromBeginning: true})
	if err != nil {
		t.Fatal(err)
	}
	f.poll++
	for o := range Objects([]string{dir, filepath.Join(dir, "x")}) {
		if complete, err := f.see(o); complete || err != nil {
			t.Errorf("one poll made %s complete (%v)", o.Name, err)
		}
	}
}

// A temporary error is retried as long as the follower lives, other files go on
// meanwhile, and a restart forgets nothing.
func TestFollowerTriesAgain(t *testing.T) {
	dir := t.TempDir()
	now := noon
	cfg := FollowerConfig{Path: dir, FromBeginning: true, Checkpoint: filepath.Join(t.TempDir(), "cp"), Now: func() time.Time { return now }}
	write(t, dir, "a", "1")
	p := follow(t, cfg)
	p.poll()
	for range 100 {
		if !p.f.Failed(p.poll("a")[0], cannotRead("a", fs.ErrPermission)) {
			t.Fatal("a file that may become readable was given up")
		}
		if got := p.f.Waiting(); got.Size != 1 || got.Oldest != now.Sub(noon) {
			t.Fatalf("after %v: %+v", now.Sub(noon), got)
		}
		p.poll()
		p.done(nil)
		p = follow(t, cfg) // a restart
		now = now.Add(longestPause * 5 / 4)
	}
	write(t, dir, "b", "1")
	p.done(p.poll("a"))
	p.done(p.poll("b"))
	p = follow(t, cfg)
	p.poll()
	p.poll()
	if got := p.f.Waiting(); got != (RetryStats{}) {
		t.Errorf("%+v wait", got)
	}
}

// A file removed before it could be read is given up at the second look; an empty
// directory proves nothing.
func TestFollowerGone(t *testing.T) {
	dir := t.TempDir()
	now := noon
	write(t, dir, "other", "1")
	path := write(t, dir, "a", "1")
	p := follow(t, FollowerConfig{Path: dir, FromBeginning: true, Now: func() time.Time { return now }})
	p.poll()
	a := p.poll("a", "other")[0]
	if err := os.Rename(dir, dir+"2"); err != nil { // the mount goes away
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	missing := cannotRead(path, fs.ErrNotExist)
	for range 10 {
		if !p.f.Failed(a, missing) {
			t.Fatal("given up, though the directory cannot be seen")
		}
		now = now.Add(time.Hour)
		p.poll("a")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"2", dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p.poll()
	if !p.f.Failed(a, missing) {
		t.Fatal("given up at the first look")
	}
	now = now.Add(time.Hour)
	p.poll("a")
	if p.f.Failed(a, missing) {
		t.Error("not given up at the second look")
	}
	p.done([]Object{a})
	now = now.Add(time.Hour)
	p.poll()
}

func TestFollowerDoneAfterAChange(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "1")
	p := follow(t, FollowerConfig{Path: dir, FromBeginning: true})
	p.poll()
	first := p.poll("a")
	write(t, dir, "a", "12") // while the first content is being read
	p.poll()
	p.done(first)
	p.poll("a")
}

func TestFollowerBound(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		write(t, dir, name, "1")
	}
	f, err := NewFollower(FollowerConfig{Path: dir, FromBeginning: true, MaxObjects: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Poll(); err == nil || !strings.Contains(err.Error(), `"`+filepath.Join(dir, "c")+`"`) {
		t.Errorf("got %v, want an error that names the third file", err)
	}
	if objects, err := f.Poll(); len(objects) != 2 || err == nil {
		t.Errorf("got %d objects and %v, want 2 and an error", len(objects), err)
	}
}

func TestCheckpointIsReadStrictly(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"no JSON":       "x",
		"empty":         "",
		"newer version": `{"version":3,"done":[]}`,
		"older version": `{"version":1,"done":[]}`,
		"unknown field": `{"version":2,"done":[],"offset":3}`,
		"cut":           `{"version":2,"done":[{"name":"a"`,
	} {
		path := write(t, dir, "cp", content)
		_, err := NewFollower(FollowerConfig{Path: dir, Checkpoint: path})
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: got %v, want an error that names the file and says what to do", name, err)
		}
		if name == "older version" && !strings.Contains(err.Error(), "start over; docs/operations.md") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCheckpointSaveKeepsTheOldOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cp")
	c := checkpoint{Version: CheckpointVersion, Done: []doneEntry{{Name: "a", Size: 1, MTime: 2}}}
	if err := c.save(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A folder blocks the rename: the write fails and leaves nothing behind.
	blocked := filepath.Join(dir, "blocked")
	if err := os.Mkdir(blocked, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.save(blocked); err == nil {
		t.Error("a checkpoint was written over a folder")
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the checkpoint changed: %q, %v", after, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%d files are left, %v; want the checkpoint and the folder", len(entries), err)
	}
}
