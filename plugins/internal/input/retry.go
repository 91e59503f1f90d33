package input

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"keytrail/plugins/internal/logging"
	"keytrail/processor/source"
	"keytrail/processor/source/feed"
)

// mend gives an object that could not be read to its end back to the feed, or writes its
// dead letter. It reports whether the dead letter is written; otherwise the object will be
// read again.
func (r *reading) mend() bool {
	in, o := r.in, r.object
	if in.ctx.Err() != nil { // what fails now is our own doing
		return false
	}
	if in.feed.Retry(o, r.failed) {
		in.retried.Add(1)
		in.failures.note(time.Now(), in.log, o.Name, r.failed, in.feed.Waiting())
		return false
	}
	d := feed.GivenUp(stage, o, r.failed, time.Now())
	if err := in.dead.write(&d); err != nil {
		err = fmt.Errorf("%w: %v", source.ErrUnrecorded, err) // %v: the file's fault is not the object's
		in.feed.Retry(o, err)
		in.retried.Add(1)
		in.failures.note(time.Now(), in.log, o.Name, err, in.feed.Waiting())
		return false
	}
	in.log.Printf(logging.Error, "cannot read %q: %s; giving it up: it is in the dead-letter file", o.Name, d.Detail)
	if errors.As(r.failed, new(*source.Rejected)) {
		in.badRecs.Add(1)
	}
	in.givenUp.Add(1)
	return true
}

// recordExpiring writes dead letters of objects whose messages the queue will soon drop: a
// restart would not find them again. They are read and handed over as before.
func (in *Input) recordExpiring(now time.Time) {
	f, ok := in.feed.(feed.Expirer)
	if !ok {
		return
	}
	for _, o := range f.Expiring() {
		if slices.ContainsFunc(in.finished, func(p source.Object) bool { return p.Name == o.Name && p.ETag == o.ETag }) {
			continue // all of it is acknowledged
		}
		d := feed.Expiring(stage, o, now)
		if in.dead.write(&d) != nil {
			return // the next settling tries again, long before the message goes
		}
		f.Recorded(o)
		in.log.Printf(logging.Error, "not all records of %q are acknowledged, and the queue will drop its message: "+
			"it is in the dead-letter file; mend what holds up or drops the records", o.Name)
	}
}

// Waiting returns how many objects could not be read and are tried again, and since when.
func (in *Input) Waiting() source.RetryStats { return in.feed.Waiting() }

// Skipped returns how many keys the source has passed over for a reason, because
// CloudTrail did not write them: those of s3.Strays. It is 0 for a source without keys.
func (in *Input) Skipped(reason string) int64 {
	if f, ok := in.feed.(interface{ Strays() map[string]int64 }); ok { // of S3 and of a queue
		return f.Strays()[reason]
	}
	return 0
}

const (
	shortestQuiet, longestQuiet = time.Minute, time.Hour
)

// failures keeps the log short where many objects cannot be read: maxWarnings lines in a
// stretch of time, which is a minute at first and an hour at last, and how many more there
// were. It is safe for concurrent use.
type failures struct {
	mu       sync.Mutex // guards the following
	since    time.Time
	stretch  time.Duration
	logged   int
	withheld int
}

// note logs that an object could not be read.
func (f *failures) note(now time.Time, log *logging.Log, name string, err error, w source.RetryStats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	more := ""
	if passed := now.Sub(f.since); passed >= f.stretch || passed < 0 {
		if f.withheld > 0 {
			more = fmt.Sprintf("; so could %d more in %v", f.withheld, passed.Round(time.Second))
		}
		f.stretch = min(longestQuiet, 2*f.stretch)
		if passed >= 2*f.stretch || f.stretch == 0 {
			f.stretch = shortestQuiet
		}
		f.since, f.logged, f.withheld = now, 0, 0
	}
	if f.logged == maxWarnings {
		f.withheld++
		return
	}
	f.logged++
	log.Printf(logging.Warn, "cannot read %q (%s): %v; it is tried again%s; %d objects wait, the oldest for %v",
		name, source.Judge(err), err, more, w.Size, w.Oldest.Round(time.Second))
}
