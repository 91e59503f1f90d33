package source

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// world is a directory whose files are sometimes unreadable, with a follower that is
// sometimes killed. A seed determines everything.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	dir   string
	now   time.Time
	cfg   FollowerConfig
	f     *Follower
	serve map[string]error // the error of reading a file; nil for none
	state map[string]int   // by version of a file: bits of wasRead, wasDead, wasGone
	saved map[string]bool  // versions done at the last checkpoint
	since []string         // versions done since
}

const (
	wasRead = 1 << iota
	wasDead
	wasGone // removed, or replaced
)

func version(o *Object) string {
	return fmt.Sprintf("%s %d %d", filepath.Base(o.Name), o.Size, o.ModTime.UnixNano())
}

func (w *world) start() {
	f, err := NewFollower(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.f, w.since = f, nil
}

// step performs one random action.
func (w *world) step() {
	name := fmt.Sprint("f", w.rng.IntN(12))
	path := filepath.Join(w.dir, name)
	switch w.rng.IntN(10) {
	case 0, 1:
		w.change(path)
		content := make([]byte, w.rng.IntN(1000))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			w.t.Fatal(err)
		}
		if err := os.Chtimes(path, w.now, w.now); err != nil {
			w.t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			w.t.Fatal(err)
		}
		o := file(path, info)
		w.state[version(&o)] |= 0
	case 2:
		w.change(path)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.t.Fatal(err)
		}
	case 3:
		w.serve[path] = []error{fs.ErrPermission, errors.New("busy"), &Rejected{Reason: ReasonArchived}}[w.rng.IntN(3)]
	case 4:
		delete(w.serve, path)
	case 5:
		w.start() // killed
	case 6:
		if err := w.f.Save(); err != nil {
			w.t.Fatal(err)
		}
		for _, v := range w.since {
			w.saved[v] = true
		}
		w.since = nil
		if w.rng.IntN(2) == 0 {
			w.start()
		}
	default:
		w.now = w.now.Add(time.Duration(w.rng.IntN(20)) * time.Minute)
		w.poll()
	}
}

// change marks the present version of a file as gone.
func (w *world) change(path string) {
	if info, err := os.Stat(path); err == nil {
		o := file(path, info)
		w.state[version(&o)] |= wasGone
	}
}

// poll reads the offered files.
func (w *world) poll() {
	objects, err := w.f.Poll()
	if err != nil {
		w.t.Fatal(err)
	}
	offered := map[string]bool{}
	for _, o := range objects {
		v := version(&o)
		if offered[o.Name] {
			w.t.Fatalf("%s is offered twice at once", v)
		}
		offered[o.Name] = true
		if w.saved[v] {
			w.t.Fatalf("%s is offered again, though it was done in the checkpoint", v)
		}
		err := w.serve[o.Name]
		if err == nil {
			body, oerr := o.Open()
			if err = oerr; err == nil {
				body.Close()
			}
		}
		mark := wasRead
		if err != nil {
			if w.f.Failed(o, err) {
				continue
			}
			mark = wasDead
			if j := Judge(err); j != Damaged && w.state[v]&wasGone == 0 {
				w.t.Fatalf("%s is given up because of %v", version(&o), err)
			}
		}
		if w.state[v]&wasGone == 0 || mark == wasDead { // what was read is what is there
			w.state[v] |= mark
		}
		w.f.Done(o)
		w.since = append(w.since, v)
	}
}

// Whatever happens to files and follower, each file that stays is read or becomes a dead
// letter, only damaged or missing ones become dead letters, and nothing in a checkpoint
// is repeated.
func TestFollowerSimulation(t *testing.T) {
	for seed := range uint64(40) {
		w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 2)), dir: t.TempDir(), now: noon, serve: map[string]error{}, state: map[string]int{}, saved: map[string]bool{}}
		w.cfg = FollowerConfig{Path: w.dir, FromBeginning: true, Checkpoint: filepath.Join(t.TempDir(), "cp"), Now: func() time.Time { return w.now }}
		write(t, w.dir, "always", "") // an empty directory proves nothing
		w.start()
		for range 150 {
			w.step()
		}
		clear(w.serve)
		for range 100 { // everything can be read now
			w.now = w.now.Add(longestPause)
			w.poll()
		}
		for v, s := range w.state {
			if s == 0 {
				t.Fatalf("seed %d: %s was neither read nor given up", seed, v)
			}
		}
		if got := w.f.Waiting(); got.Size != 0 {
			t.Fatalf("seed %d: %+v wait at the end", seed, got)
		}
	}
}
