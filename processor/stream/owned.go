package stream

import (
	"maps"
	"sync"
	"time"

	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/processor/status"
)

// owned is what a stage or sink of this process owns, and how it gets on. It is replaced as a
// whole, so nothing remains of a partition that has gone to another process. It is safe for
// concurrent use.
type owned struct {
	mu      sync.Mutex             // guards what follows
	marks   map[status.Place]int64 // the partitions with their watermarks; eventtime.None without one
	at      time.Time              // of the last commit, or when there was last nothing to commit
	looks   map[status.Place]status.Look
	tracker status.Tracker
	// ofSink means that the positions themselves show when they were committed: each partition
	// of a sink has its own time, and a batch may hold its records for minutes.
	ofSink bool
	lag    int64     // of the whole group
	asked  time.Time // when it was known; zero: never
	// goals are the ends of the partitions when they were first seen; nil once they all have
	// been reached.
	goals  map[status.Place]int64
	caught bool
}

// owns records the partitions that a stage owns, with their watermarks. The gauge of the
// stage's watermark is the earliest one, and is hidden without any.
func (p *Pipeline) owns(stage, topic string, marks map[int32]int64) {
	earliest, all := int64(0), make(map[status.Place]int64, len(marks))
	for partition, mark := range marks {
		all[status.Place{Topic: topic, Partition: partition}] = mark
		if mark > eventtime.None && (earliest == 0 || mark < earliest) {
			earliest = mark
		}
	}
	if w := p.watermarks[stage]; w != nil {
		w.Set(earliest)
		known := maps.Clone(marks)
		maps.DeleteFunc(known, func(_ int32, mark int64) bool { return mark <= eventtime.None })
		w.Partitions(known)
	}
	if one := p.partOf(stage, ""); one != nil {
		one.owned.mu.Lock()
		defer one.owned.mu.Unlock()
		one.owned.marks = all
	}
}

// mostRequest is longer than the requests of a batch mostly take, with a pause between two.
const mostRequest = time.Minute

// ownedBySink returns what a sink owns whose batches linger for at most that long.
func ownedBySink(linger time.Duration) owned {
	return owned{ofSink: true, tracker: status.Tracker{Patience: linger + mostRequest}}
}

// add and drop change the partitions of a sink.
func (o *owned) add(topic string, partition int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.marks == nil {
		o.marks = map[status.Place]int64{}
	}
	o.marks[status.Place{Topic: topic, Partition: partition}] = eventtime.None
}

func (o *owned) drop(topic string, partition int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.marks, status.Place{Topic: topic, Partition: partition})
}

// none reports whether nothing is owned.
func (o *owned) none() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.marks) == 0
}

// committed records that the part has committed, or had nothing to commit. A nil part is one
// of a test.
func (one *part) committed(at time.Time) {
	if one == nil {
		return
	}
	one.owned.mu.Lock()
	defer one.owned.mu.Unlock()
	one.owned.at = at
}

// saw takes in a look at the group: its lag, and the progress in the owned partitions. It
// reports whether the part, at this or an earlier look, has read all that its partitions had
// at the first one.
func (o *owned) saw(standings map[string]map[int32]kafka.Standing, lag int64, asked time.Time) (caughtUp bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lag, o.asked = lag, asked
	looks := make(map[status.Place]status.Look, len(o.marks))
	for at := range o.marks {
		if s, ok := standings[at.Topic][at.Partition]; ok {
			l := status.Look{Position: max(s.Start, s.Committed), End: s.End, Committed: o.at}
			if o.ofSink {
				l.Committed = asked
				if was, known := o.looks[at]; known && was.Position == l.Position && l.Lag() > 0 {
					l.Committed = was.Committed
				}
			}
			looks[at] = l
		}
	}
	o.looks = looks
	o.tracker.Saw(o.looks)
	if o.at.IsZero() || o.caught { // before its first commit it may not be a member yet
		return o.caught
	}
	o.caught = true
	goals := map[status.Place]int64{}
	for at, l := range o.looks {
		goal, ok := o.goals[at]
		if !ok {
			goal = l.End
		}
		goals[at] = goal
		o.caught = o.caught && l.Position >= goal
	}
	o.goals = goals
	return o.caught
}
