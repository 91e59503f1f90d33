package source

import (
	"fmt"
	"time"
)

// Rejected is an error of an Object's Open, or of reading it, that trying again
// does not mend: the object is gone, or what names it can not be used. Its parts
// are those of a dead letter.
type Rejected struct {
	Reason string // one of a bounded set, such as ReasonGone
	Detail string // what was expected and found, for a person
	Raw    []byte // the bytes that it is about, where there are any
}

// The reasons of a Rejected besides those of package notification.
const (
	ReasonGone     = "object_gone"        // named, and no longer there
	ReasonArchived = "object_archived"    // in a storage class that must be restored first
	ReasonForeign  = "bucket_not_allowed" // in a bucket that the configuration does not allow
)

// Error says what is wrong.
func (r *Rejected) Error() string { return fmt.Sprintf("%s: %s", r.Reason, r.Detail) }

// Patience decides when an object that could not be read is tried again and when
// it is given up. A single object is given up after Tries attempts, which last a
// quarter of an hour; but only if another object could be read meanwhile: when
// nothing can be read, the fault is not the object's, and giving up would turn an
// outage into a loss. It reads no clock. Not safe for concurrent use.
type Patience struct{ successes uint64 }

// Tries is how often one object is read at the least before it is given up. The
// pauses between are 5, 10, 20, 40, 80, 160 and then 300 seconds: 15 minutes in
// all, longer than most outages of one partition of a storage service.
const Tries = 9

const firstPause, longestPause = 5 * time.Second, 5 * time.Minute

// Failures is what Patience knows of one object. The zero value is that of an
// object that has not failed.
type Failures struct {
	// Next is when to try again.
	Next  time.Time
	tries int
	since uint64 // Patience.successes when it failed first
}

// Success notes that some object was read.
func (p *Patience) Success() { p.successes++ }

// Failed notes that the object of f could not be read at now, and sets f.Next.
// It returns false when the object is to be given up.
func (p *Patience) Failed(f *Failures, now time.Time) (again bool) {
	if f.tries == 0 {
		f.since = p.successes
	}
	f.tries++
	if f.tries >= Tries && p.successes > f.since {
		return false
	}
	pause := longestPause
	if f.tries <= 6 {
		pause = firstPause << (f.tries - 1)
	}
	f.Next = now.Add(pause)
	return true
}
