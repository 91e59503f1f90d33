package source

import (
	"errors"
	"fmt"
	"io/fs"
)

// Verdict classifies an error of opening or reading an object, which determines how the
// object is handled.
type Verdict uint8

// The verdicts. Only Damaged is final at once.
const (
	// Busy may pass by itself: a timeout, throttling, a server error, and every unknown
	// error. It is retried without end.
	Busy Verdict = iota
	// Forbidden passes when somebody corrects a permission, a credential or a key. It is
	// retried without end.
	Forbidden
	// Gone is a missing object. It is final when seen twice, goneAfter apart: caches and
	// mounts may be outdated.
	Gone
	// Damaged is an object that no retry repairs: it becomes a dead letter.
	Damaged
)

// verdicts are the names of the verdicts in checkpoints and metrics.
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

// Judge returns the verdict on an error of an Object's Open, or of reading it.
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

// ErrUnrecorded means that an object must be given up, but its dead letter could not be
// written. Its verdict is Busy: the object goes to the retry list, whatever its earlier
// verdict.
var ErrUnrecorded = errors.New("its dead letter could not be written")

// Denied marks an error as Forbidden.
func Denied(err error) error { return denied{err} }

type denied struct{ error }

func (d denied) Unwrap() error        { return d.error }
func (d denied) Is(target error) bool { return target == fs.ErrPermission }

// Rejected is an error of an Object's Open, or of reading it, about the object itself: it
// is gone or unusable. Its fields are those of a dead letter.
type Rejected struct {
	Reason string // one of a bounded set, such as ReasonGone
	Detail string // expected and actual contents, for a person
	Raw    []byte // the bytes in question, if any
}

// The reasons of a Rejected, in addition to package notification's.
const (
	ReasonGone     = "object_gone"        // named, but missing
	ReasonArchived = "object_archived"    // in a storage class that must be restored first
	ReasonForeign  = "bucket_not_allowed" // in a bucket that the configuration does not allow
	ReasonTooBig   = "object_too_big"     // over a bound
	ReasonPanic    = "reader_panicked"    // the program panicked while reading it
	// ReasonUnacknowledged is for an object that was read, but whose records Kafka did
	// not acknowledge while the queue still kept its message. Its bytes are at its name.
	ReasonUnacknowledged = "not_acknowledged"
)

// Error describes the fault.
func (r *Rejected) Error() string { return fmt.Sprintf("%s: %s", r.Reason, r.Detail) }
