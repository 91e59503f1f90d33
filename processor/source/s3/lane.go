package s3

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"keytrail/processor/source"
	"keytrail/schemas/notification"
)

// lane is one folder of a region. CloudTrail writes a date and then the minute of
// delivery into its keys, so that their order is that of delivery, and everything
// new stands behind what is old: one listing that starts behind low finds it,
// however many files the folder has.
type lane struct {
	prefix string
	digest bool              // of digests, which are checked and hold no events
	from   time.Time         // of digests: those of before are not checked
	low    string            // every key up to it is done
	known  map[string]*track // keys behind low that were offered
	// Of the present round, the Poll's own:
	page  []Ref  // listed, in order, and not yet offered
	after string // what to list next comes behind it
	more  bool   // there is more to list
}

// track is what a lane knows of one object.
type track struct {
	state    state
	stamp    time.Time
	failures source.Failures
}

type state uint8

const (
	waiting state = iota // to be offered, once its time has come
	offered              // by Poll, and not yet Done
	done
)

// StartKey returns the key behind which the files of a lane begin that CloudTrail
// delivered at start or later: that of the day, and of the minute in a name that
// has the folder's account and region.
func StartKey(prefix string, start time.Time) string {
	if start.IsZero() {
		return prefix
	}
	start = start.UTC()
	parts := strings.Split(strings.TrimSuffix(prefix, "/"), "/")
	account, region := parts[len(parts)-3], parts[len(parts)-1]
	if parts[len(parts)-2] != logFolder { // a trail's name stands before the time
		return prefix + start.Format("2006/01/02/")
	}
	return prefix + start.Format("2006/01/02/") + account + "_CloudTrail_" + region + "_" + start.Format("20060102T1504Z")
}

// stampOf returns when CloudTrail delivered an object, as its name tells it, or
// when S3 got it.
func stampOf(r *Ref) time.Time {
	if f := notification.FileOf(r.Key); !f.Stamp.IsZero() {
		return f.Stamp
	}
	return r.Modified
}

// begin starts a round.
func (l *lane) begin() { l.page, l.after, l.more = nil, l.low, true }

// head returns when the lane's next object was delivered.
func (l *lane) head() time.Time { return stampOf(&l.page[0]) }

// fresh removes from a page what needs no reading now. Low may have moved over a part
// of the page, and forgotten it, while it was listed.
func (l *lane) fresh(page []Ref, now time.Time) []Ref {
	return slices.DeleteFunc(page, func(r Ref) bool {
		t := l.known[r.Key]
		if r.Key <= l.low {
			return true
		}
		if l.digest && stampOf(&r).Before(l.from) {
			return true
		}
		return t != nil && (t.state != waiting || now.Before(t.failures.Next))
	})
}

// take removes and notes the lane's next object.
func (l *lane) take() Ref {
	r := l.page[0]
	l.page = l.page[1:]
	t := l.known[r.Key]
	if t == nil {
		t = &track{stamp: stampOf(&r)}
		l.known[r.Key] = t
	}
	t.state = offered
	return r
}

// advance moves low over what is done and older than the horizon, and forgets it.
// It reports whether it moved. A file that appears behind its time, with a key
// before others that are done, is still found while low has not passed it.
//
// Digests stand under the names of their trails, so that only their days are in
// order: low stays two days behind.
func (l *lane) advance(horizon time.Time) (moved bool) {
	if len(l.known) == 0 {
		return false
	}
	if l.digest {
		horizon = horizon.Add(-48 * time.Hour)
	}
	keys := make([]string, 0, len(l.known))
	for k := range l.known {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		t := l.known[k]
		if t.state != done || t.stamp.After(horizon) {
			break
		}
		l.low = k
		delete(l.known, k)
		moved = true
	}
	return moved
}

// stateOf returns what the checkpoint keeps of the lane.
func (l *lane) stateOf() laneState {
	s := laneState{Low: strings.TrimPrefix(l.low, l.prefix)}
	for k, t := range l.known {
		if t.state == done {
			s.Done = append(s.Done, strings.TrimPrefix(k, l.prefix))
		}
	}
	slices.Sort(s.Done)
	return s
}

// restore makes a lane of what the checkpoint kept.
func restore(prefix string, s laneState) *lane {
	l := &lane{prefix: prefix, digest: isDigest(prefix), low: prefix + s.Low, known: make(map[string]*track, len(s.Done))}
	for _, name := range s.Done {
		r := Ref{Key: prefix + name}
		l.known[r.Key] = &track{state: done, stamp: stampOf(&r)}
	}
	return l
}

// isDigest tells a folder of digests by its prefix.
func isDigest(prefix string) bool {
	parts := laneName.FindStringSubmatch(prefix)
	return parts != nil && parts[2] == digestFolder
}

// heads is a heap of lanes that have an object, the earliest delivered first.
type heads []*lane

func (h heads) Len() int { return len(h) }
func (h heads) Less(i, j int) bool {
	return cmp.Or(h[i].head().Compare(h[j].head()), strings.Compare(h[i].page[0].Key, h[j].page[0].Key)) < 0
}
func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)   { *h = append(*h, x.(*lane)) }
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
