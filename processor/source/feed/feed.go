// Package feed gives the sources of objects one interface, Feed, and opens the source that
// a Config describes: files, a bucket, a queue or LookupEvents. The Fluent Bit input in_kms
// and stage collect of keytrail run both read through it, so that retries, dead letters,
// checkpoints and their locks are the same in both.
package feed

import (
	"context"
	"sync"

	"keytrail/processor/source"
)

// Feed is a source of objects: a source.Follower of files, an s3.Follower, an sqs.Source or
// a lookup.Source. One goroutine calls Poll; any goroutine may call the other methods, also
// during a Poll.
type Feed interface {
	// Poll returns the next objects to read, in order, and none when there is none
	// now. An error does not void the objects beside it.
	Poll(ctx context.Context) ([]source.Object, error)
	// Done notes that an object is done: Kafka has all of its records, they were handed
	// over long enough ago, or its dead letter is safe.
	Done(source.Object)
	// Retry gives back an object that could not be read to its end, and reports whether
	// it will be offered again. If not, it is given up: its dead letter is written and
	// Done follows. Where the dead letter cannot be written, a second Retry gives the
	// object back with source.ErrUnrecorded, and it will be offered again.
	Retry(source.Object, error) bool
	// Park takes an object out of the path of progress that was read to its end, and whose
	// records are not acknowledged: what comes behind it goes on. It is not offered again
	// in this run before it is given to Retry; Done ends it.
	Park(source.Object)
	// Waiting returns the state of the list of objects that Retry was given.
	Waiting() source.RetryStats
	// Save writes the state of Done so that it survives a crash. It is called every
	// second or so.
	Save(context.Context) error
	// Close is the last Save.
	Close(context.Context) error
}

// Expirer is a Feed of a queue, which drops messages for their age.
type Expirer interface {
	// Expiring returns objects that would be lost then, until they are Done or Recorded.
	Expiring() []source.Object
	// Recorded notes that an object's dead letter is safe.
	Recorded(o source.Object)
}

// files is a source.Follower as a Feed.
type files struct {
	mu sync.Mutex // guards f: looking through a directory takes milliseconds
	f  *source.Follower
}

func (s *files) Poll(context.Context) ([]source.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f.Poll()
}

func (s *files) Done(o source.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.f.Done(o)
}

func (s *files) Retry(o source.Object, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f.Failed(o, err)
}

func (s *files) Park(o source.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.f.Park(o)
}

func (s *files) Waiting() source.RetryStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f.Waiting()
}

func (s *files) Save(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f.Save()
}

func (s *files) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f.Close()
}
