package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DefaultMaxObjects is the default bound on the objects that a Follower remembers:
// 500,000. At about 250 bytes each (a path of 150, the entry, the map) that is 125 MB of
// memory and 100 MB of checkpoint; 1,000 accounts that deliver every five minutes write
// as many in 42 hours.
const DefaultMaxObjects = 500_000

// FollowerConfig configures a Follower.
type FollowerConfig struct {
	// Path is a directory (walked like Objects), a file, or a pattern of
	// path/filepath.Match for either.
	Path string
	// Checkpoint is the file that records finished objects; "" records them for this run
	// only.
	Checkpoint string
	// FromBeginning applies to the first poll without a checkpoint: true offers the
	// existing files, false treats them as done.
	FromBeginning bool
	// Exclude are files in Path that are never offered, under any name that leads to them
	// (Outputs); the checkpoint is always excluded.
	Exclude []string
	// Rested reports whether a file last changed at that time is complete after one look;
	// nil requires two polls for every file.
	Rested func(changed time.Time) bool
	// MaxObjects bounds the remembered objects; 0 means DefaultMaxObjects.
	MaxObjects int
	// Now is the clock, time.Now by default. It only schedules retries.
	Now func() time.Time
}

// Follower finds new files by polling. The caller decides when to call Poll.
//
// A file is complete, and offered, if its size and modification time are the same in two
// consecutive polls, or if Config.Rested says so. Poll at an interval longer than a
// writer's pauses within a file; a writer that renames finished files into the directory,
// as "aws s3 sync" does, is safe at any interval. A file that changes after it was
// offered is offered again as a whole. A growing NDJSON file therefore repeats its first
// events each time it comes to rest; consumers drop repeated event ids. A Follower does
// not continue inside a growing file.
//
// A file that cannot be read goes to a list (Retries), which survives restarts, and the
// others go on. While the list is full nothing new is offered.
//
// A Follower is not safe for concurrent use.
type Follower struct {
	cfg     FollowerConfig
	outputs *Outputs
	known   map[string]*entry // by Object.Name; at most cfg.MaxObjects
	retries *Retries          // by Object.Name
	whole   bool              // the last poll saw the whole directory, and it had files
	poll    uint64            // the number of the current poll
	skip    bool              // treat found files as done: no checkpoint and not FromBeginning
	dirty   bool              // the checkpoint on disk is outdated
	saveAt  time.Time         // earliest time of the next save
}

// entry is a Follower's record of one file: its identity at the last look.
type entry struct {
	size, mtime int64
	poll        uint64 // the last poll that saw it
	state       state
}

type state uint8

const (
	waiting state = iota // to be offered after two equal looks
	offered              // returned by Poll, not yet Done
	parked               // on the list of retries
	done                 // in the checkpoint
)

// NewFollower reads the checkpoint, if any, and returns a Follower. It fails if the
// checkpoint is unreadable or the pattern malformed.
func NewFollower(cfg FollowerConfig) (*Follower, error) {
	if cfg.MaxObjects == 0 {
		cfg.MaxObjects = DefaultMaxObjects
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if _, err := filepath.Match(cfg.Path, ""); err != nil {
		return nil, fmt.Errorf("cannot follow %q: %w", cfg.Path, err)
	}
	f := &Follower{cfg: cfg, known: map[string]*entry{}, retries: NewRetries(), skip: !cfg.FromBeginning}
	f.outputs = NewOutputs(append([]string{cfg.Checkpoint}, cfg.Exclude...)...)
	if cfg.Checkpoint == "" {
		return f, nil
	}
	c, found, err := loadCheckpoint(cfg.Checkpoint)
	if err != nil {
		return nil, err
	}
	if len(c.Done) > cfg.MaxObjects {
		return nil, fmt.Errorf("cannot use checkpoint %q: it has %d objects, at most %d are allowed", cfg.Checkpoint,
			len(c.Done), cfg.MaxObjects)
	}
	f.skip = f.skip && !found
	for _, d := range c.Done {
		f.known[d.Name] = &entry{size: d.Size, mtime: d.MTime, state: done}
	}
	for _, e := range c.Retry {
		f.retries.Restore(e.Name, fileOf(e.Name, e.Size, e.MTime), e.RetryState)
		f.known[e.Name] = &entry{size: e.Size, mtime: e.MTime, state: parked}
	}
	return f, nil
}

// Poll looks at every file once and returns those that are now complete, in order of
// delivery (ByDelivery), followed by due retries. An error says what Poll could not look
// at; the objects returned with it are valid. Pass each object to Done, Retry or Failed
// in the end.
//
// Poll also forgets missing files, so that memory and checkpoint are bounded by the
// directory's size. It forgets nothing after an error or if it finds no file at all: an
// unlistable folder is not empty, and a lost mount looks empty. Forgetting too much would
// read every file again.
func (f *Follower) Poll() ([]Object, error) {
	f.poll++
	f.outputs.Look()
	again := f.due()
	f.whole = false
	paths, err := f.paths()
	if err != nil {
		return again, err
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
	ready = append(f.cut(ready, f.retries.Room()), again...)
	if first != nil {
		return ready, first
	}
	f.skip = false
	if !found {
		return ready, f.crowded()
	}
	for name, e := range f.known {
		if e.poll != f.poll {
			f.dirty = f.dirty || e.state == done
			delete(f.known, name)
		}
	}
	f.whole = true
	return ready, f.crowded()
}

// fileOf returns a file in the state of an earlier look.
func fileOf(name string, size, mtime int64) Object {
	return Object{Name: name, Size: size, ModTime: time.Unix(0, mtime), Open: opener(name)}
}

// cut keeps the first n objects; the others wait.
func (f *Follower) cut(ready []Object, n int) []Object {
	for i := n; i < len(ready); i++ {
		f.known[ready[i].Name].state = waiting
	}
	return ready[:min(n, len(ready))]
}

// due returns the objects that are due for a retry.
func (f *Follower) due() (ready []Object) {
	for _, name := range f.retries.Due(f.cfg.Now()) {
		o := f.retries.Get(name).Object
		if e := f.known[name]; e != nil && e.is(&o) {
			e.state = offered
		}
		ready = append(ready, o)
	}
	return ready
}

// crowded returns the error that nothing new is offered.
func (f *Follower) crowded() error {
	if f.retries.Room() > 0 {
		return nil
	}
	return fmt.Errorf("%d files of %q cannot be read or are not acknowledged, so new ones wait: resolve the errors "+
		"in the log",
		f.retries.Len(), f.cfg.Path)
}

// paths expands the pattern. A path that exists or has no wildcard stands for itself, so
// that its absence is an error; a pattern without a match is not an error.
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

// see records o and reports whether it has just become complete.
func (f *Follower) see(o Object) (bool, error) {
	mtime := o.ModTime.UnixNano()
	e := f.known[o.Name]
	if e == nil {
		if len(f.known) >= f.cfg.MaxObjects {
			return false, fmt.Errorf("cannot follow %q: it exceeds the %d objects that are remembered; "+
				"move finished files out of %q", o.Name, f.cfg.MaxObjects, f.cfg.Path)
		}
		e = &entry{size: o.Size, mtime: mtime, poll: f.poll}
		f.known[o.Name] = e
		switch r := f.retries.Get(o.Name); {
		case r != nil && e.is(&r.Object): // it is back
			e.state = parked
			return false, nil
		case r != nil: // another file in its place
			f.retries.Drop(o.Name)
			f.dirty = true
		case f.skip:
			e.state, f.dirty = done, true
			return false, nil
		}
		if f.cfg.Rested == nil || !f.cfg.Rested(o.ModTime) {
			return false, nil
		}
		e.state = offered
		return true, nil
	}
	if e.poll == f.poll {
		return false, nil // the pattern matches it twice; two looks in one poll prove nothing
	}
	e.poll = f.poll
	if e.size != o.Size || e.mtime != mtime {
		f.dirty = f.dirty || e.state == done || f.retries.Get(o.Name) != nil
		f.retries.Drop(o.Name) // the new content will be offered as a whole
		*e = entry{size: o.Size, mtime: mtime, poll: f.poll}
		return false, nil
	}
	if e.state != waiting {
		return false, nil
	}
	e.state = offered
	return true, nil
}

// Done marks an object of Poll as done: it is not offered again unless it changes. An
// object that has changed since Poll is not marked. The next Save writes the checkpoint.
func (f *Follower) Done(o Object) {
	if r := f.retries.Get(o.Name); r != nil && same(&r.Object, &o) {
		f.dirty = f.retries.Done(o.Name) || f.dirty
	}
	if e := f.match(o); e != nil {
		e.state, f.dirty = done, true
	}
}

// Retry returns an object that could not be read for an unknown reason: it calls Failed
// with such an error.
func (f *Follower) Retry(o Object) bool { return f.Failed(o, nil) }

// Failed returns an object that could not be read because of err: a later Poll offers it
// again. It reports false if the object must be given up: the caller then writes its dead
// letter and calls Done, or returns it with ErrUnrecorded.
func (f *Follower) Failed(o Object, err error) bool {
	e, v := f.known[o.Name], Judge(err)
	switch {
	case v == Damaged || errors.Is(err, ErrUnrecorded):
	case e != nil && !e.is(&o):
		return true // it has changed, and is offered again as it is now
	case e == nil && f.whole:
		v = Gone // for any error: the directory is there, but the file is not
	case v == Gone && !f.whole:
		v = Busy // an invisible directory proves nothing about its files
	}
	before := f.retries.Len()
	again := f.retries.Failed(o.Name, o, v, f.cfg.Now())
	f.dirty = f.dirty || f.retries.Len() != before
	if again && e != nil {
		e.state = parked
	}
	return again
}

// Park removes an object that was read, but is not Done soon, from the path of progress.
// It is not offered again in this run unless it changes, and the checkpoint lists it for
// a retry. Done or Failed follows.
func (f *Follower) Park(o Object) {
	e := f.known[o.Name]
	if e != nil && !e.is(&o) {
		return // it has changed, and is offered again as it is now
	}
	f.retries.Park(o.Name, o, f.cfg.Now())
	f.dirty = true
	if e != nil {
		e.state = parked
	}
}

// Waiting returns the state of the retry list.
func (f *Follower) Waiting() RetryStats { return f.retries.Stats(f.cfg.Now()) }

// match returns the entry of an offered, unchanged object, or nil.
func (f *Follower) match(o Object) *entry {
	e := f.known[o.Name]
	if e == nil || e.state != offered && e.state != parked || !e.is(&o) {
		return nil // a file that disappeared and returned during reading is parked
	}
	return e
}

// is reports whether the object is the entry's.
func (e *entry) is(o *Object) bool { return e.size == o.Size && e.mtime == o.ModTime.UnixNano() }

// same reports whether two objects of one name are the same.
func same(a, b *Object) bool { return a.Size == b.Size && a.ModTime.Equal(b.ModTime) }

// slowSave is the duration from which a checkpoint write is slow: half a million files
// take 100 MB.
const slowSave = 250 * time.Millisecond

// Save writes the checkpoint if it has changed; slow writes happen only so often that
// they take at most a twentieth of the time. It replaces and syncs the file, so done
// files stay done after a crash. After an error the next Save tries again.
func (f *Follower) Save() error {
	if wait := f.saveAt.Sub(f.cfg.Now()); wait > 0 && wait < time.Hour { // larger only if the clock went back
		return nil
	}
	return f.save(false)
}

// Close writes the checkpoint for the last time.
func (f *Follower) Close() error { return f.save(true) }

func (f *Follower) save(last bool) error {
	began := f.cfg.Now()
	f.dirty = f.dirty || f.retries.Unsaved(began, last)
	if f.cfg.Checkpoint == "" || !f.dirty {
		return nil
	}
	f.retries.Saved(began)
	c := checkpoint{Version: CheckpointVersion, Done: []doneEntry{}}
	for name, e := range f.known {
		if e.state == done {
			c.Done = append(c.Done, doneEntry{Name: name, Size: e.size, MTime: e.mtime})
		}
	}
	for name, r := range f.retries.All() {
		c.Retry = append(c.Retry, retryEntry{doneEntry{Name: name, Size: r.Object.Size, MTime: r.Object.ModTime.UnixNano()},
			r.State})
	}
	err := c.save(f.cfg.Checkpoint)
	if now := f.cfg.Now(); now.Sub(began) > slowSave {
		f.saveAt = now.Add(20 * now.Sub(began))
	}
	f.dirty = err != nil
	return err
}

// absolute returns path made absolute, or path itself if the working directory is
// unknown.
func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}
