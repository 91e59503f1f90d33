package status

import (
	"slices"
	"time"
)

// Progress is the state of a partition, or the worst one of a stage or sink. The words and
// rules are those of LinkedIn's Burrow (core/internal/evaluator/caching.go): they judge
// whether a consumer gets on, and need no threshold for its lag.
type Progress string

// The states, from the best to the worst.
const (
	OK      Progress = "ok"      // nothing waits, or the lag becomes smaller
	Warning Progress = "warning" // it gets on, but its lag does not become smaller
	Rewind  Progress = "rewind"  // its position went back
	Stall   Progress = "stall"   // it commits, but its position stands still
	Stop    Progress = "stop"    // it has ceased to commit
)

// Progresses returns all states, from the best to the worst.
func Progresses() []Progress { return []Progress{OK, Warning, Rewind, Stall, Stop} }

// Worst returns the worst of the states, OK without any.
func Worst(list ...Progress) Progress {
	worst := OK
	for _, p := range list {
		if slices.Index(Progresses(), p) > slices.Index(Progresses(), worst) {
			worst = p
		}
	}
	return worst
}

// Commit is one sign of life of a consumer in one partition.
type Commit struct {
	At     time.Time // when the consumer committed
	Offset int64     // its position
	Lag    int64     // offsets between the position and the end, when both were looked up
}

// Window is how many commits are judged, as in Burrow. least is the time that they must cover
// together with the time since: fewer seconds say nothing about progress.
const (
	Window = 10
	least  = 20 * time.Second
)

// Judge returns the state of a partition from its last commits, oldest first, its recent
// ends, its current lag in offsets, and the time. patience is how long the consumer holds
// records before it commits them; 0 for one that commits all the time. The first rule that
// applies decides:
//
//   - Without lag, or with a first commit of less than 20 s ago: OK.
//   - Stop: the last commit is longer ago than the commits took from the first to the last,
//     and patience, and it was not at one of the recent ends.
//   - One of the commits had no lag: OK.
//   - Rewind: a position is smaller than the one before it.
//   - With patience and fewer than Window commits: OK.
//   - Stall: all positions are the same.
//   - Warning: no lag is smaller than the one before it.
//   - OK otherwise.
func Judge(commits []Commit, ends []int64, lag int64, patience time.Duration, now time.Time) Progress {
	if len(commits) == 0 || lag <= 0 || now.Sub(commits[0].At) < least {
		return OK
	}
	first, last := commits[0], commits[len(commits)-1]
	if now.Sub(last.At) > last.At.Sub(first.At)+patience && !slices.Contains(ends, last.Offset) {
		return Stop
	}
	rewinds, stalls, grows := false, true, true
	for i, c := range commits {
		if c.Lag <= 0 {
			return OK
		}
		if i > 0 {
			before := commits[i-1]
			rewinds = rewinds || c.Offset < before.Offset
			stalls = stalls && c.Offset == before.Offset
			grows = grows && c.Lag >= before.Lag
		}
	}
	switch {
	case rewinds:
		return Rewind
	case patience > 0 && len(commits) < Window:
		return OK // so few commits show no direction
	case stalls:
		return Stall
	case grows:
		return Warning
	}
	return OK
}

// Place is one partition of a topic.
type Place struct {
	Topic     string
	Partition int32
}

// Look is what the brokers report about a partition that a consumer owns.
type Look struct {
	Position int64 // the group's committed offset
	End      int64 // one past the last committed record
	// Committed is when the consumer last committed or found nothing to commit, the zero time
	// if it never did.
	Committed time.Time
}

// Lag returns how many offsets the group has not committed.
func (l Look) Lag() int64 { return max(0, l.End-l.Position) }

// Tracker judges the progress of one consumer in its partitions. It is not safe for
// concurrent use.
type Tracker struct {
	Patience time.Duration // see Judge
	of       map[Place]*track
}

// track is the past of one partition: the last Window commits and ends.
type track struct {
	commits []Commit
	ends    []int64
	lag     int64
}

// Saw takes in one look at the partitions that the consumer owns. It forgets partitions that
// are not in the look.
func (t *Tracker) Saw(looks map[Place]Look) {
	next := make(map[Place]*track, len(looks))
	for at, l := range looks {
		one := t.of[at]
		if one == nil {
			one = &track{}
		}
		next[at] = one
		one.lag, one.ends = l.Lag(), last(append(one.ends, l.End))
		n := len(one.commits)
		if !l.Committed.IsZero() && (n == 0 || l.Committed.After(one.commits[n-1].At)) {
			one.commits = last(append(one.commits, Commit{At: l.Committed, Offset: l.Position, Lag: l.Lag()}))
		}
	}
	t.of = next
}

// last returns the last Window elements.
func last[T any](list []T) []T { return slices.Clone(list[max(0, len(list)-Window):]) }

// Judge returns the state of a partition at a time; OK for one that Saw does not know.
func (t *Tracker) Judge(at Place, now time.Time) Progress {
	one := t.of[at]
	if one == nil {
		return OK
	}
	return Judge(one.commits, one.ends, one.lag, t.Patience, now)
}
