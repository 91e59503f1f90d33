package source

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// DefaultMaxObjects bounds what a Follower keeps in mind when its Config does
// not say: 500,000 objects. At about 250 bytes each (a path of 150, the entry,
// the map) that is 125 MB of memory and 100 MB of checkpoint; 1,000 accounts
// that deliver every five minutes write as many in 42 hours.
const DefaultMaxObjects = 500_000

// maxRetries bounds how often Retry lets one object be read again.
const maxRetries = 5

// FollowerConfig says what a Follower follows.
type FollowerConfig struct {
	// Path is a directory (walked as Objects does), a file, or a pattern of
	// path/filepath.Match whose matches are either.
	Path string
	// Checkpoint is the file that remembers what is done; "" remembers for this
	// run only.
	Checkpoint string
	// FromBeginning tells what the first poll does where there is no checkpoint
	// yet: true offers the files that are already there, false takes them for
	// done.
	FromBeginning bool
	// Exclude names files that are never offered though they lie in Path, under any
	// name that leads to them (Outputs): the checkpoint itself is always among them.
	Exclude []string
	// MaxObjects bounds the objects in mind; 0 means DefaultMaxObjects.
	MaxObjects int
}

// Follower finds new files by polling. It reads no clock: whoever calls Poll
// decides when.
//
// A file is complete, and offered, when its size and modification time are the
// same in two polls that follow each other. Poll at an interval longer than
// any pause a writer makes inside one file; a writer that renames finished
// files into the directory, as "aws s3 sync" does, is safe at any interval. A
// file that changes after it was offered is offered again as a whole, so a
// growing NDJSON file repeats its first events each time it has come to rest;
// consumers drop the repetition by the event's id. Reading on inside a growing
// file is not done.
//
// A Follower is not safe for concurrent use.
type Follower struct {
	cfg     FollowerConfig
	outputs *Outputs
	known   map[string]*entry // by Object.Name; at most cfg.MaxObjects
	poll    uint64            // the number of the current poll
	skip    bool              // take what is found for done: no checkpoint and not FromBeginning
	dirty   bool              // the checkpoint on disk is not what known says
}

// entry is what the Follower knows of one file: its identity when last seen.
type entry struct {
	size, mtime int64
	poll        uint64 // the last poll that saw it
	state       state
	retries     uint8
}

type state uint8

const (
	waiting state = iota // seen, and not yet twice the same
	offered              // returned by Poll, not yet Done
	done                 // in the checkpoint
)

// NewFollower reads the checkpoint, if there is one, and returns a Follower.
// It fails when the checkpoint can not be read or the pattern is malformed.
func NewFollower(cfg FollowerConfig) (*Follower, error) {
	if cfg.MaxObjects == 0 {
		cfg.MaxObjects = DefaultMaxObjects
	}
	if _, err := filepath.Match(cfg.Path, ""); err != nil {
		return nil, fmt.Errorf("cannot follow %q: %w", cfg.Path, err)
	}
	f := &Follower{cfg: cfg, known: map[string]*entry{}, skip: !cfg.FromBeginning}
	f.outputs = NewOutputs(append([]string{cfg.Checkpoint}, cfg.Exclude...)...)
	if cfg.Checkpoint == "" {
		return f, nil
	}
	c, found, err := loadCheckpoint(cfg.Checkpoint)
	if err != nil {
		return nil, err
	}
	if len(c.Done) > cfg.MaxObjects {
		return nil, fmt.Errorf("cannot use checkpoint %q: it holds %d objects and the bound is %d", cfg.Checkpoint, len(c.Done), cfg.MaxObjects)
	}
	f.skip = f.skip && !found
	for _, d := range c.Done {
		f.known[d.Name] = &entry{size: d.Size, mtime: d.MTime, state: done}
	}
	return f, nil
}

// Poll looks at every file once and returns those that have become complete,
// in the order of their delivery (ByDelivery). An error does not void the objects returned beside
// it: it tells what could not be looked at. Each object must be given to Done
// or Retry in the end.
//
// Poll also forgets what is no longer there, so that memory and checkpoint
// stay as large as the directory is. It forgets nothing after an error, nor
// when it finds no file at all: a folder that can not be listed is not an empty
// one, and a mount that went away looks like one. Forgetting too much would
// have every file read again.
func (f *Follower) Poll() ([]Object, error) {
	f.poll++
	f.outputs.Look()
	paths, err := f.paths()
	if err != nil {
		return nil, err
	}
	var ready []Object
	var first error
	found := false
	for o, err := range Objects(paths) {
		if err == nil && (o.Size < 0 || f.outputs.Has(&o)) {
			continue
		}
		var complete bool
		if err == nil {
			found = true
			complete, err = f.see(o)
		}
		if err != nil && first == nil {
			first = err
		}
		if complete {
			ready = append(ready, o)
		}
	}
	slices.SortFunc(ready, ByDelivery)
	if first != nil {
		return ready, first
	}
	f.skip = false
	if !found {
		return ready, nil
	}
	for name, e := range f.known {
		if e.poll != f.poll {
			f.dirty = f.dirty || e.state == done
			delete(f.known, name)
		}
	}
	return ready, nil
}

// paths expands the pattern. A path that exists, or that has no pattern's
// signs, stands for itself, so that its absence is an error; a pattern without
// a match is none.
func (f *Follower) paths() ([]string, error) {
	if _, err := os.Stat(f.cfg.Path); err == nil || !strings.ContainsAny(f.cfg.Path, `*?[\`) {
		return []string{f.cfg.Path}, nil
	}
	paths, err := filepath.Glob(f.cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("cannot follow %q: %w", f.cfg.Path, err)
	}
	return paths, nil
}

// see takes note of o and reports whether it has just become complete.
func (f *Follower) see(o Object) (bool, error) {
	mtime := o.ModTime.UnixNano()
	e := f.known[o.Name]
	if e == nil {
		if len(f.known) >= f.cfg.MaxObjects {
			return false, fmt.Errorf("cannot follow %q: it is one more than the %d objects that are kept in mind; "+
				"move files that are done out of %q", o.Name, f.cfg.MaxObjects, f.cfg.Path)
		}
		e = &entry{size: o.Size, mtime: mtime, poll: f.poll}
		f.known[o.Name] = e
		if f.skip {
			e.state, f.dirty = done, true
		}
		return false, nil
	}
	if e.poll == f.poll {
		return false, nil // the pattern matches it twice; two sights in one poll prove nothing
	}
	e.poll = f.poll
	if e.size != o.Size || e.mtime != mtime {
		f.dirty = f.dirty || e.state == done
		*e = entry{size: o.Size, mtime: mtime, poll: f.poll}
		return false, nil
	}
	if e.state != waiting {
		return false, nil
	}
	e.state = offered
	return true, nil
}

// Done marks an object that Poll returned as done: it is not offered again
// unless it changes. An object that has changed since Poll returned it is not
// marked. The checkpoint follows at the next Save.
func (f *Follower) Done(o Object) {
	if e := f.match(o); e != nil {
		e.state, f.dirty = done, true
	}
}

// Retry gives back an object that could not be read: the next Poll offers it
// again. It reports false, and does nothing, when that happened maxRetries
// times already or when the object is gone or has changed.
func (f *Follower) Retry(o Object) bool {
	e := f.match(o)
	if e == nil || e.retries >= maxRetries {
		return false
	}
	e.retries++
	e.state = waiting
	return true
}

// match returns the entry of an offered object that has not changed, or nil.
func (f *Follower) match(o Object) *entry {
	e := f.known[o.Name]
	if e == nil || e.state != offered || e.size != o.Size || e.mtime != o.ModTime.UnixNano() {
		return nil
	}
	return e
}

// Save writes the checkpoint, if there is one and it has changed. It replaces
// the file as a whole and syncs it: after Save returns nil the objects marked
// as done stay done over a crash. After an error the next Save tries again.
func (f *Follower) Save() error {
	if f.cfg.Checkpoint == "" || !f.dirty {
		return nil
	}
	c := checkpoint{Version: checkpointVersion, Done: []doneEntry{}}
	for name, e := range f.known {
		if e.state == done {
			c.Done = append(c.Done, doneEntry{Name: name, Size: e.size, MTime: e.mtime})
		}
	}
	if err := c.save(f.cfg.Checkpoint); err != nil {
		return err
	}
	f.dirty = false
	return nil
}

// absolute returns path made absolute, or path itself where the working
// directory is unknown.
func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}
