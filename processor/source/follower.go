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

// DefaultMaxObjects bounds what a Follower keeps in mind when its Config does
// not say: 500,000 objects. At about 250 bytes each (a path of 150, the entry,
// the map) that is 125 MB of memory and 100 MB of checkpoint; 1,000 accounts
// that deliver every five minutes write as many in 42 hours.
const DefaultMaxObjects = 500_000

// FollowerConfig says what a Follower follows.
type FollowerConfig struct {
	// Path is a directory (walked as Objects does), a file, or a pattern of
	// path/filepath.Match whose matches are either.
	Path string
	// Checkpoint is the file that remembers what is done; "" remembers for this
	// run only.
	Checkpoint string
	// FromBeginning says what the first poll does where there is no checkpoint
	// yet: true offers the files that are already there, false takes them for
	// done.
	FromBeginning bool
	// Exclude names files that are never offered though they lie in Path, under any
	// name that leads to them (Outputs): the checkpoint itself is always among them.
	Exclude []string
	// Rested reports whether a file that was last changed at that time is complete
	// although it was seen only once; nil takes two polls for every file.
	Rested func(changed time.Time) bool
	// MaxObjects bounds the objects in mind; 0 means DefaultMaxObjects.
	MaxObjects int
	// Now is the clock, time.Now unless set. It decides when to try again what could
	// not be read, and nothing else.
	Now func() time.Time
}

// Follower finds new files by polling. The caller of Poll decides when.
//
// A file is complete, and offered, when its size and modification time are the
// same in two polls that follow each other, or when Config.Rested says so. Poll at
// an interval longer than any pause a writer makes inside one file; a writer that
// renames finished files into the directory, as "aws s3 sync" does, is safe at any
// interval. A file that changes after it was offered is offered again as a whole, so a
// growing NDJSON file repeats its first events each time it has come to rest;
// consumers drop the repetition by the event's id. Reading on inside a growing
// file is not done.
//
// A file that cannot be read goes to a list (Retries), also over a restart, and the
// others go on. While the list is full nothing new is offered.
//
// A Follower is not safe for concurrent use.
type Follower struct {
	cfg     FollowerConfig
	outputs *Outputs
	known   map[string]*entry // by Object.Name; at most cfg.MaxObjects
	retries *Retries          // by Object.Name
	whole   bool              // the last poll saw the whole directory, and it was not empty
	poll    uint64            // the number of the current poll
	skip    bool              // take what is found for done: no checkpoint and not FromBeginning
	dirty   bool              // the checkpoint on disk is not what known says
	saveAt  time.Time         // not to be saved before
}

// entry is what the Follower knows of one file: its identity when last seen.
type entry struct {
	size, mtime int64
	poll        uint64 // the last poll that saw it
	state       state
}

type state uint8

const (
	waiting state = iota // to be offered, once it was twice the same
	offered              // returned by Poll, not yet Done
	parked               // on the list of retries
	done                 // in the checkpoint
)

// NewFollower reads the checkpoint, if there is one, and returns a Follower.
// It fails when the checkpoint cannot be read or the pattern is malformed.
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
		return nil, fmt.Errorf("cannot use checkpoint %q: it holds %d objects and the bound is %d", cfg.Checkpoint, len(c.Done), cfg.MaxObjects)
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

// Poll looks at every file once and returns those that have become complete, in the order
// of their delivery (ByDelivery), and then those whose time to be tried again has come.
// An error does not void the objects returned beside it: it says what could not be
// looked at. Each object must be given to Done or Retry in the end.
//
// Poll also forgets what is no longer there, so that memory and checkpoint
// stay as large as the directory is. It forgets nothing after an error, nor
// when it finds no file at all: a folder that cannot be listed is not an empty
// one, and a mount that went away looks like one. Forgetting too much would
// have every file read again.
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

// fileOf returns a file as it was once seen.
func fileOf(name string, size, mtime int64) Object {
	return Object{Name: name, Size: size, ModTime: time.Unix(0, mtime), Open: opener(name)}
}

// cut leaves the first n objects; the others wait.
func (f *Follower) cut(ready []Object, n int) []Object {
	for i := n; i < len(ready); i++ {
		f.known[ready[i].Name].state = waiting
	}
	return ready[:min(n, len(ready))]
}

// due returns the objects whose time to be tried again has come.
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

// crowded says that nothing new is offered.
func (f *Follower) crowded() error {
	if f.retries.Room() > 0 {
		return nil
	}
	return fmt.Errorf("%d files of %q cannot be read or are not acknowledged, and new ones wait until there are fewer: mend what the log says of them",
		f.retries.Len(), f.cfg.Path)
}

// paths expands the pattern. A path that exists, or that has no pattern's
// signs, stands for itself, so that its absence is an error; a pattern without
// a match is not an error.
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
		return false, nil // the pattern matches it twice; two sights in one poll prove nothing
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

// Done marks an object that Poll returned as done: it is not offered again
// unless it changes. An object that has changed since Poll returned it is not
// marked. The checkpoint follows at the next Save.
func (f *Follower) Done(o Object) {
	if r := f.retries.Get(o.Name); r != nil && same(&r.Object, &o) {
		f.dirty = f.retries.Done(o.Name) || f.dirty
	}
	if e := f.match(o); e != nil {
		e.state, f.dirty = done, true
	}
}

// Retry gives back an object that could not be read for no reason that is known: it is
// Failed with such an error.
func (f *Follower) Retry(o Object) bool { return f.Failed(o, nil) }

// Failed gives back an object that could not be read because of err: a later Poll offers
// it again. It reports false when the object is to be given up: its dead letter is
// written, and Done is called in the end; or it is given back with ErrUnrecorded.
func (f *Follower) Failed(o Object, err error) bool {
	e, v := f.known[o.Name], Judge(err)
	switch {
	case v == Damaged || errors.Is(err, ErrUnrecorded):
	case e != nil && !e.is(&o):
		return true // it has changed, and will be offered as it is now
	case e == nil && f.whole:
		v = Gone // whatever the error: the directory is there, and the file is not in it
	case v == Gone && !f.whole:
		v = Busy // a directory that cannot be seen proves nothing about its files
	}
	before := f.retries.Len()
	again := f.retries.Failed(o.Name, o, v, f.cfg.Now())
	f.dirty = f.dirty || f.retries.Len() != before
	if again && e != nil {
		e.state = parked
	}
	return again
}

// Park takes an object out of the path of progress that was read, and will not be Done
// soon: it is not offered again in this run unless it changes, and the checkpoint keeps
// it among those to be tried again. Done or Failed follows.
func (f *Follower) Park(o Object) {
	e := f.known[o.Name]
	if e != nil && !e.is(&o) {
		return // it has changed, and will be offered as it is now
	}
	f.retries.Park(o.Name, o, f.cfg.Now())
	f.dirty = true
	if e != nil {
		e.state = parked
	}
}

// Waiting returns the state of the list of what could not be read.
func (f *Follower) Waiting() RetryStats { return f.retries.Stats(f.cfg.Now()) }

// match returns the entry of an offered object that has not changed, or nil.
func (f *Follower) match(o Object) *entry {
	e := f.known[o.Name]
	if e == nil || e.state != offered && e.state != parked || !e.is(&o) {
		return nil // a file that went away and came back while it was read is parked
	}
	return e
}

// is reports whether an object is the one of the entry.
func (e *entry) is(o *Object) bool { return e.size == o.Size && e.mtime == o.ModTime.UnixNano() }

// same reports whether two objects of one name are the same.
func same(a, b *Object) bool { return a.Size == b.Size && a.ModTime.Equal(b.ModTime) }

// slowSave is from when on writing a checkpoint is slow: that of half a million files has
// 100 MB.
const slowSave = 250 * time.Millisecond

// Save writes the checkpoint, if there is one and it has changed; where writing is slow,
// not so often that it would take more than a twentieth of the time. It replaces the file as a whole and syncs it: what it holds stays done over a
// crash. After an error the next Save tries again.
func (f *Follower) Save() error {
	if wait := f.saveAt.Sub(f.cfg.Now()); wait > 0 && wait < time.Hour { // more: the clock went back
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
		c.Retry = append(c.Retry, retryEntry{doneEntry{Name: name, Size: r.Object.Size, MTime: r.Object.ModTime.UnixNano()}, r.State})
	}
	err := c.save(f.cfg.Checkpoint)
	if now := f.cfg.Now(); now.Sub(began) > slowSave {
		f.saveAt = now.Add(20 * now.Sub(began))
	}
	f.dirty = err != nil
	return err
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
