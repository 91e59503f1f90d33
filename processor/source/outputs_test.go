package source

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The program's own output files are skipped under any name.
func TestOutputsUnderEveryName(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := os.Mkdir(real, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	write(t, real, "dead", "{}\n")
	write(t, real, "dead.1", "{}\n")
	write(t, real, "dead.2", "{}\n")
	write(t, real, "dead.json", "{}\n") // of somebody else
	write(t, real, "log", "{}\n")
	for from, to := range map[string]string{"hard": "dead", "hard1": "dead.1"} {
		if err := os.Link(filepath.Join(real, to), filepath.Join(real, from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("dead", filepath.Join(real, "soft")); err != nil {
		t.Fatal(err)
	}
	write(t, real, "other.deadletter.ndjson", "{}\n")
	write(t, real, "other.deadletter.ndjson.1", "{}\n")
	t.Chdir(dir)
	for _, output := range []string{filepath.Join(real, "dead"), filepath.Join(link, "dead"), "real/../link/./dead", "real/soft"} {
		for _, followed := range []string{real, link, "real", "./link/.", filepath.Join(link, "*")} {
			p := follow(t, FollowerConfig{Path: followed, FromBeginning: true, Exclude: []string{output}})
			p.poll()
			if output == "real/soft" { // its rotated names are soft.1 and so on
				objects, err := p.f.Poll()
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range objects {
					if name := filepath.Base(o.Name); slices.Contains([]string{"dead", "soft", "hard"}, name) {
						t.Errorf("output %s, followed %s: %s was offered", output, followed, name)
					}
				}
				continue
			}
			p.poll("dead.json", "log")
		}
	}
}

// The files change while the directory is followed: they are created, rotated and replaced.
func TestOutputsThatAppear(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "dead")
	p := follow(t, FollowerConfig{Path: link, FromBeginning: true, Exclude: []string{path}})
	write(t, dir, "log", "{}\n")
	p.poll()
	p.poll("log")
	write(t, dir, "dead", "1\n")
	p.poll()
	p.poll()
	for range 3 {
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "dead", "2\n")
		p.poll()
		p.poll()
	}
	o := NewOutputs(path)
	write(t, dir, "dead.7", "since the look\n")
	info, err := os.Stat(filepath.Join(link, "dead.7"))
	if err != nil {
		t.Fatal(err)
	}
	if object := file(filepath.Join(link, "dead.7"), info); !o.Is(&object) {
		t.Error("a file that was rotated since the last look is taken for input")
	}
}
