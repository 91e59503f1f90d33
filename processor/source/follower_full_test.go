package source

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// More files are unreadable than the list has room for: none is forgotten, nothing new is
// offered, and all are read once they are readable.
func TestFollowerWithAFullList(t *testing.T) {
	dir := t.TempDir()
	const room, files = 200, 230
	for i := range files {
		write(t, dir, fmt.Sprintf("%03d", i), "")
	}
	now := noon
	cfg := FollowerConfig{Path: dir, FromBeginning: true, Checkpoint: filepath.Join(t.TempDir(), "cp"), Now: func() time.Time { return now }}
	start := func() *poller {
		p := follow(t, cfg)
		p.f.retries.max = room
		return p
	}
	p := start()
	p.poll()
	fail := func(want int) {
		t.Helper()
		objects, err := p.f.Poll()
		if len(objects) != want || want == 0 && (err == nil || !strings.Contains(err.Error(), "200 files")) {
			t.Fatalf("%d are offered, %v; want %d", len(objects), err, want)
		}
		for _, o := range objects {
			if !p.f.Failed(o, fs.ErrPermission) {
				t.Fatalf("%s was given up", o.Name)
			}
		}
	}
	fail(room)
	fail(0)
	if err := p.f.Close(); err != nil {
		t.Fatal(err)
	}
	p = start()
	fail(0)
	if got := p.f.Waiting(); got.Size != room || !got.Full {
		t.Errorf("%+v wait", got)
	}
	read := map[string]bool{}
	for range 20 {
		now = now.Add(longestPause)
		objects, _ := p.f.Poll() // the error says that the list is full
		for _, o := range objects {
			read[o.Name] = true
			p.f.Done(o)
		}
	}
	if len(read) != files || p.f.Waiting().Size != 0 {
		t.Errorf("%d were read, %+v wait", len(read), p.f.Waiting())
	}
}
