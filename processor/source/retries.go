package source

import (
	"cmp"
	"hash/fnv"
	"iter"
	"maps"
	"slices"
	"time"
)

// MaxRetries bounds the objects that wait for a retry: 10,000. With names and times they
// take about 5 MB of memory and 4 MB of a checkpoint. At longestPause they make eleven
// tries a second.
const MaxRetries = 10_000

const (
	// firstPause is the pause after the first failure. Each further pause doubles, up to
	// longestPause: a repaired object is read within a quarter of an hour, and an
	// unreadable one costs little.
	firstPause, longestPause = 5 * time.Second, 15 * time.Minute
	// goneAfter is the minimum time between two looks that prove an object gone:
	// attribute caches of NFS last a minute.
	goneAfter = 5 * time.Minute
	// maxDue is the number of objects of one Due call, and fewProbes the number of
	// concurrent tries of busy objects while they keep failing. A refused try takes
	// milliseconds, but one that times out may block a reader for minutes; other readers
	// handle new objects.
	maxDue, fewProbes = 64, 1
)

// Retries is the list of objects that could not be read but may be readable later. An
// object on it does not block progress: later ones go on. It is tried again with growing
// pauses as long as the source lives, and the source's checkpoint, or its queue, keeps it
// across restarts.
//
// The list also contains objects whose readers still wait (Park), for example for an
// acknowledgement that may never come. They are not offered again in this run.
//
// A source bounds the list by its offers: at most Room new objects, and none while the
// list is full. Then the source waits, and nothing is lost.
//
// It reads no clock and is not safe for concurrent use.
type Retries struct {
	max    int // MaxRetries, except in tests
	list   map[string]*Retry
	probes int // concurrent tries of busy objects

	changed bool      // an object's state has changed since Saved
	savedAt time.Time // time of the last Saved
}

// Retry is one object on the list.
type Retry struct {
	Object Object
	State  RetryState

	offered bool // by Due, and neither Failed nor Done since
	parked  bool // by Park: offered until the end of the run
}

// RetryState is a checkpoint's record of an object's failures.
type RetryState struct {
	Verdict Verdict   `json:"verdict"` // of the last failure
	First   time.Time `json:"first"`   // of the first failure
	Next    time.Time `json:"next"`    // of the next try
	Tries   int       `json:"tries"`
	Gone    time.Time `json:"gone,omitzero"` // when it was first seen gone; zero if not gone
}

// RetryStats is the state of the list, for metrics.
type RetryStats struct {
	Size   int           // listed objects that could not be read
	Oldest time.Duration // time since the earliest first failure
	Full   bool          // nothing new is offered
}

// NewRetries returns an empty list.
func NewRetries() *Retries {
	return &Retries{max: MaxRetries, list: map[string]*Retry{}, probes: maxDue}
}

// Failed records a failed read at now. id is the object's identity for its source. It
// returns false if the object must be given up, which is at once for a damaged object and
// at the second look for one that is gone: the caller then writes its dead letter and
// calls Done when that is safe, and the object stays on the list until then.
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

// Park lists an object that was read, but whose reader cannot finish now. It is not
// offered again until it is Failed, or restored from a checkpoint, which retries it at
// once. Done removes it.
func (r *Retries) Park(id string, o Object, now time.Time) {
	e := r.list[id]
	if e == nil {
		e = &Retry{Object: o, State: RetryState{First: now, Next: now, Tries: 1}}
		r.list[id] = e
	}
	e.offered, e.parked = true, true
}

// saveEvery is the interval of checkpoint writes that only update retry states: tries,
// and since when objects are gone.
const saveEvery = time.Minute

// Unsaved reports whether a retry state has changed and justifies a checkpoint: at most
// once a minute, except the last one.
func (r *Retries) Unsaved(now time.Time, last bool) bool {
	since := now.Sub(r.savedAt)
	return r.changed && (last || since >= saveEvery || since < 0)
}

// Saved records that a checkpoint of the list was made.
func (r *Retries) Saved(now time.Time) { r.changed, r.savedAt = false, now }

// Parked reports whether the object was parked.
func (r *Retries) Parked(id string) bool { return r.list[id] != nil && r.list[id].parked }

// pause returns the wait after an object's nth failure: doubled each time, with a jitter
// of up to a quarter, so that objects that failed together are not retried together.
func pause(id string, n int) time.Duration {
	p := longestPause
	if n <= 8 { // 5 s << 8 is more than that
		p = min(p, firstPause<<(max(n, 1)-1)) // a checkpoint may contain any number
	}
	h := fnv.New32a()
	h.Write([]byte(id)) // a hash does not fail
	h.Write([]byte{byte(n)})
	return p*3/4 + time.Duration(h.Sum32()%1024)*(p/2)/1024
}

// Due returns the ids of due objects, longest-waiting first, and marks them as offered:
// pass each to Failed or Done. More may be due than one call returns.
func (r *Retries) Due(now time.Time) []string {
	var due []string
	busy := 0 // that are being tried
	for id, e := range r.list {
		if e.offered && !e.parked && e.State.Verdict == Busy {
			busy++
		}
		// A time too far ahead was set before the clock went back.
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

// Next returns when the next object is due, or the zero time if none waits.
func (r *Retries) Next() (next time.Time) {
	for _, e := range r.list {
		if !e.offered && (next.IsZero() || e.State.Next.Before(next)) {
			next = e.State.Next
		}
	}
	return next
}

// Take marks an object as offered, as Due does, whether it is due or not. It reports
// false if the object is already offered or not listed.
func (r *Retries) Take(id string) bool {
	e := r.list[id]
	if e == nil || e.offered {
		return false
	}
	e.offered = true
	return true
}

// Done removes an object, because it was read or its dead letter is safe. It reports
// whether the object was listed.
func (r *Retries) Done(id string) bool {
	if r.list[id] == nil {
		return false
	}
	delete(r.list, id)
	r.probes = min(maxDue, 2*r.probes)
	return true
}

// Drop removes an object that another one replaces.
func (r *Retries) Drop(id string) { delete(r.list, id) }

// Get returns a listed object, or nil.
func (r *Retries) Get(id string) *Retry { return r.list[id] }

// Room returns how many new objects may be offered if none of them is readable.
func (r *Retries) Room() int { return max(0, r.max-len(r.list)) }

// Len returns the number of objects on the list.
func (r *Retries) Len() int { return len(r.list) }

// All returns the listed objects with their ids, in random order.
func (r *Retries) All() iter.Seq2[string, *Retry] { return maps.All(r.list) }

// Restore lists an object from a checkpoint.
func (r *Retries) Restore(id string, o Object, s RetryState) {
	r.list[id] = &Retry{Object: o, State: s}
}

// Stats returns the state of the list at now, without parked objects.
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
