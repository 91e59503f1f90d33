package source

import (
	"cmp"
	"hash/fnv"
	"iter"
	"maps"
	"slices"
	"time"
)

// MaxRetries bounds the objects that wait to be read again: 10,000. With their names
// and times they take some 5 MB of memory and 4 MB of a checkpoint. At longestPause
// they are eleven tries a second.
const MaxRetries = 10_000

const (
	// firstPause is the pause after the first failure. Each next pause is twice as
	// long, up to longestPause: what is mended is read soon, at most a quarter of an
	// hour later, and what is not costs little.
	firstPause, longestPause = 5 * time.Second, 15 * time.Minute
	// goneAfter is the least distance between two looks that both find an object gone:
	// attribute caches of NFS last a minute.
	goneAfter = 5 * time.Minute
	// maxDue is how many objects one Due offers, and fewProbes how many are tried at a
	// time of those that were busy when they keep failing. A try that is refused takes
	// milliseconds; one that runs into a time-out may take minutes, in which it holds up a
	// reader: there are other readers for what is new.
	maxDue, fewProbes = 64, 1
)

// Retries is the list of objects that could not be read and may be readable later. An
// object on it is out of the path of progress: what comes after it goes on. It is
// tried again with growing pauses for as long as the source lives, and the source's
// checkpoint, or its queue, keeps it over a restart.
//
// An object whose reader still waits for something, such as an acknowledgement that may
// never come, is on the list, too (Park), and is not offered again in this run.
//
// The list is bounded by what a source offers: no more new objects than there is Room,
// and nothing new while the list is full. Then the source waits, and nothing is lost.
//
// It reads no clock and is not safe for concurrent use.
type Retries struct {
	max    int // MaxRetries, but in tests
	list   map[string]*Retry
	probes int // of busy objects, at a time

	changed bool      // the state of an object, since Saved
	savedAt time.Time // when that was
}

// Retry is one object on the list.
type Retry struct {
	Object Object
	State  RetryState

	offered bool // by Due, and neither Failed nor Done since
	parked  bool // by Park: it is offered for good
}

// RetryState is what a checkpoint keeps of an object's failures.
type RetryState struct {
	Verdict Verdict   `json:"verdict"` // of the last failure
	First   time.Time `json:"first"`   // when it failed first
	Next    time.Time `json:"next"`    // when to try again
	Tries   int       `json:"tries"`
	Gone    time.Time `json:"gone,omitzero"` // when it was first seen gone, zero when it was not
}

// RetryStats is the state of the list, for metrics.
type RetryStats struct {
	Size   int           // objects on the list that could not be read
	Oldest time.Duration // since the first failure of the one that waits longest
	Full   bool          // nothing new is offered
}

// NewRetries returns an empty list.
func NewRetries() *Retries {
	return &Retries{max: MaxRetries, list: map[string]*Retry{}, probes: maxDue}
}

// Failed notes that an object could not be read at now. id is its identity for its
// source. Damaged objects are given up at once, those that are gone at the second
// look: then it returns false, their dead letter is to be written, and Done called when
// it is safe; what was on the list stays there until then. All others are on the list
// from now on.
func (r *Retries) Failed(id string, o Object, v Verdict, now time.Time) (again bool) {
	e := r.list[id]
	switch {
	case v == Damaged && e != nil:
		e.offered = true // for good
		return false
	case v == Damaged:
		return false
	case e == nil:
		e = &Retry{Object: o, State: RetryState{First: now}}
		r.list[id] = e
	case v == Busy && e.State.Verdict == Busy:
		r.probes = max(fewProbes, r.probes/2)
	}
	s := &e.State
	if v != Gone || now.Before(s.Gone) { // or the clock went back
		s.Gone = time.Time{}
	}
	if v == Gone {
		if !s.Gone.IsZero() && now.Sub(s.Gone) >= goneAfter {
			e.offered = true // for good
			return false
		}
		if s.Gone.IsZero() {
			s.Gone = now
		}
	}
	e.parked, r.changed = false, true
	s.Verdict = v
	s.Tries++
	s.Next = now.Add(pause(id, s.Tries))
	if earliest := s.Gone.Add(goneAfter); v == Gone && s.Next.Before(earliest) {
		s.Next = earliest
	}
	e.offered = false
	return true
}

// Park puts an object on the list that was read and that its reader cannot finish now. It
// is not offered again before it was given to Failed, or restored from a checkpoint,
// which tries it at once. Done takes it off.
func (r *Retries) Park(id string, o Object, now time.Time) {
	e := r.list[id]
	if e == nil {
		e = &Retry{Object: o, State: RetryState{First: now, Next: now, Tries: 1}}
		r.list[id] = e
	}
	e.offered, e.parked = true, true
}

// saveEvery is how often a checkpoint is written only for the states of objects on
// the list: how often they were tried, and since when they are gone.
const saveEvery = time.Minute

// Unsaved reports whether the state of an object has changed, and justifies its own
// checkpoint: at most once a minute, except for the last one.
func (r *Retries) Unsaved(now time.Time, last bool) bool {
	since := now.Sub(r.savedAt)
	return r.changed && (last || since >= saveEvery || since < 0)
}

// Saved notes that a checkpoint is made of the list.
func (r *Retries) Saved(now time.Time) { r.changed, r.savedAt = false, now }

// Parked reports whether Park put the object where it is.
func (r *Retries) Parked(id string) bool { return r.list[id] != nil && r.list[id].parked }

// pause returns how long to wait after the nth failure of an object: twice as long
// each time, and up to a quarter more or less, so that objects that failed together
// are not tried together.
func pause(id string, n int) time.Duration {
	p := longestPause
	if n <= 8 { // 5 s << 8 is more than that
		p = min(p, firstPause<<(max(n, 1)-1)) // a checkpoint may say anything
	}
	h := fnv.New32a()
	h.Write([]byte(id)) // a hash does not fail
	h.Write([]byte{byte(n)})
	return p*3/4 + time.Duration(h.Sum32()%1024)*(p/2)/1024
}

// Due returns the ids of objects whose time has come, those that wait longest first,
// and takes them for offered: each is to be given to Failed or Done. More of them may be
// due than one call returns.
func (r *Retries) Due(now time.Time) []string {
	var due []string
	busy := 0 // that are being tried
	for id, e := range r.list {
		if e.offered && !e.parked && e.State.Verdict == Busy {
			busy++
		}
		// A time too far ahead is from before the clock went back.
		if !e.offered && (!now.Before(e.State.Next) || e.State.Next.Sub(now) > 2*longestPause) {
			due = append(due, id)
		}
	}
	slices.SortFunc(due, func(a, b string) int {
		return cmp.Or(r.list[a].State.Next.Compare(r.list[b].State.Next), cmp.Compare(a, b))
	})
	n := 0
	for _, id := range due {
		e := r.list[id]
		if n == maxDue || e.State.Verdict == Busy && busy >= r.probes {
			continue
		}
		if e.State.Verdict == Busy {
			busy++
		}
		e.offered = true
		due[n] = id
		n++
	}
	return due[:n]
}

// Next returns when the next object is due, or the zero time when none waits.
func (r *Retries) Next() (next time.Time) {
	for _, e := range r.list {
		if !e.offered && (next.IsZero() || e.State.Next.Before(next)) {
			next = e.State.Next
		}
	}
	return next
}

// Take takes an object for offered, as Due does, whether its time has come or not. It
// reports false for one that is offered already, or not on the list.
func (r *Retries) Take(id string) bool {
	e := r.list[id]
	if e == nil || e.offered {
		return false
	}
	e.offered = true
	return true
}

// Done takes an object off the list, because it was read or its dead letter is safe. It
// reports whether the object was there.
func (r *Retries) Done(id string) bool {
	if r.list[id] == nil {
		return false
	}
	delete(r.list, id)
	r.probes = min(maxDue, 2*r.probes)
	return true
}

// Drop takes an object off the list that another one replaces.
func (r *Retries) Drop(id string) { delete(r.list, id) }

// Get returns an object of the list, or nil.
func (r *Retries) Get(id string) *Retry { return r.list[id] }

// Room returns how many new objects may be offered, should none of them be readable.
func (r *Retries) Room() int { return max(0, r.max-len(r.list)) }

// Len returns the number of objects on the list.
func (r *Retries) Len() int { return len(r.list) }

// All returns the objects of the list by their ids, in no order.
func (r *Retries) All() iter.Seq2[string, *Retry] { return maps.All(r.list) }

// Restore puts an object on the list as a checkpoint kept it.
func (r *Retries) Restore(id string, o Object, s RetryState) {
	r.list[id] = &Retry{Object: o, State: s}
}

// Stats returns the state of the list at now, without what is parked.
func (r *Retries) Stats(now time.Time) RetryStats {
	s := RetryStats{Full: r.Room() == 0}
	for _, e := range r.list {
		if e.parked {
			continue
		}
		s.Size++
		s.Oldest = max(s.Oldest, now.Sub(e.State.First))
	}
	return s
}
