package source

import (
	"errors"
	"fmt"
	"io/fs"
)

// Verdict says what an error in opening or reading an object means, and so how
// the object is handled.
type Verdict uint8

// The verdicts. Only Damaged is final at once.
const (
	// Busy may pass by itself: a time-out, throttling, a server's fault, and every
	// error that nobody knows better. It is tried again for as long as it takes.
	Busy Verdict = iota
	// Forbidden passes when somebody mends a permission, a credential or a key. It is
	// tried again for as long as it takes.
	Forbidden
	// Gone is an object that is not there. It is final when it was seen gone twice, at
	// goneAfter's distance: caches and mounts are behind at times.
	Gone
	// Damaged is an object that no trying mends: it becomes a dead letter.
	Damaged
)

// verdicts are the names of the verdicts, as checkpoints and metrics have them.
var verdicts = [...]string{"busy", "forbidden", "gone", "damaged"}

// String returns the verdict's name.
func (v Verdict) String() string { return verdicts[v] }

// MarshalText writes the verdict's name.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the verdict's name.
func (v *Verdict) UnmarshalText(text []byte) error {
	for i, name := range verdicts {
		if string(text) == name {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("unknown verdict %q", text)
}

// Judge returns the verdict about an error of an Object's Open, or of reading it.
func Judge(err error) Verdict {
	var rejected *Rejected
	switch {
	case errors.Is(err, ErrUnrecorded):
		return Busy
	case errors.As(err, &rejected):
		if rejected.Reason == ReasonGone {
			return Gone
		}
		return Damaged
	case errors.Is(err, fs.ErrPermission):
		return Forbidden
	case errors.Is(err, fs.ErrNotExist):
		return Gone
	}
	return Busy
}

// ErrUnrecorded is in the chain of the error with which an object is given back that was
// to be given up, and whose dead letter could not be written. It is Busy: the object goes
// to the list of retries, whatever was said about it before.
var ErrUnrecorded = errors.New("its dead letter could not be written")

// Denied marks an error as Forbidden.
func Denied(err error) error { return denied{err} }

type denied struct{ error }

func (d denied) Unwrap() error        { return d.error }
func (d denied) Is(target error) bool { return target == fs.ErrPermission }

// Rejected is an error of an Object's Open, or of reading it, that says what is wrong
// with the object itself: it is gone, or cannot be used. Its parts are those of a dead
// letter.
type Rejected struct {
	Reason string // one of a bounded set, such as ReasonGone
	Detail string // what was expected and what was there, for a person
	Raw    []byte // the bytes that it is about, where there are any
}

// The reasons of a Rejected besides those of package notification.
const (
	ReasonGone     = "object_gone"        // named, and no longer there
	ReasonArchived = "object_archived"    // in a storage class that must be restored first
	ReasonForeign  = "bucket_not_allowed" // in a bucket that the configuration does not allow
	ReasonTooBig   = "object_too_big"     // over a bound
	ReasonPanic    = "reader_panicked"    // reading it made the program panic
	// ReasonUnacknowledged is that of an object which was read, and whose records Kafka does
	// not have for as long as the queue keeps its message. Its bytes are where its name says.
	ReasonUnacknowledged = "not_acknowledged"
)

// Error says what is wrong.
func (r *Rejected) Error() string { return fmt.Sprintf("%s: %s", r.Reason, r.Detail) }
