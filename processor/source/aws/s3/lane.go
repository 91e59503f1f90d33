package s3

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"keytrail/schemas/aws/notification"
)

// lane is one folder of a Region. CloudTrail writes a date and then the minute of
// delivery into its keys, so that their order is that of delivery, and everything
// new stands behind what is old: one listing that starts behind low finds it,
// however many files the folder has. Keys that are not CloudTrail's (strays) move
// nothing.
type lane struct {
	prefix          string
	account, region string
	kind            notification.FileKind // digests are checked and hold no events
	from            time.Time             // of digests: those of before are not checked
	low             string                // every key of the lane up to it is done, or on the list of retries
	known           map[string]*track     // keys behind low that were offered
	cur, old        frontier              // what this round, and what one before it, has listed
	// Of the present round, the Poll's own:
	page   []Ref  // listed, in order, and not yet offered
	after  string // what to list next comes behind it
	more   bool   // there is more to list
	failed bool   // a listing failed
	strays int    // that were listed
}

// frontier says that every key up to key was listed at that time or later.
type frontier struct {
	key string
	at  time.Time
}

// track is what a lane knows of one object.
type track struct {
	state state
	stamp time.Time
}

type state uint8

const (
	waiting state = iota // to be offered
	offered              // by Poll, and not yet Done
	parked               // on the list of retries
	done
)

// newLane makes the lane of a Region's folder; nil for any other prefix.
func newLane(prefix, low string) *lane {
	parts := laneName.FindStringSubmatch(prefix)
	if parts == nil {
		return nil
	}
	return &lane{prefix: prefix, account: parts[1], region: parts[3], kind: folderKinds[parts[2]], low: low, known: map[string]*track{}}
}

func (l *lane) digest() bool { return l.kind == notification.FileDigest }

// StartKey returns the key behind which the files of a lane begin that CloudTrail
// delivered at start or later: that of the day, and of the minute in a name that
// has the folder's account and Region.
func StartKey(prefix string, start time.Time) string {
	if start.IsZero() {
		return prefix
	}
	start = start.UTC()
	parts := strings.Split(strings.TrimSuffix(prefix, "/"), "/")
	account, folder, region := parts[len(parts)-3], parts[len(parts)-2], parts[len(parts)-1]
	if folder == digestFolder { // a trail's name stands before the time
		return prefix + start.Format("2006/01/02/")
	}
	return prefix + start.Format("2006/01/02/") + account + "_" + folder + "_" + region + "_" + start.Format("20060102T1504Z")
}

// begin starts a round.
func (l *lane) begin(now time.Time) {
	if l.cur.key >= l.old.key {
		l.old = l.cur
	}
	l.cur = frontier{at: now}
	l.page, l.after, l.more, l.failed, l.strays = nil, l.low, true, false, 0
}

// listed notes that a page was listed.
func (l *lane) listed(p *Page, now time.Time) {
	l.after, l.more = p.Last, p.More && p.Last < l.end(now)
	if l.cur.key = p.Last; !l.more {
		l.cur.key = l.prefix + "\xff" // behind every key
	}
}

// end returns a key behind which nothing of CloudTrail's can stand yet.
func (l *lane) end(now time.Time) string {
	return l.prefix + now.UTC().Add(maxFuture+24*time.Hour).Format("2006/01/02/")
}

// stampOf returns when an object of a lane was delivered.
func stampOf(key string) time.Time {
	f := notification.FileOf(key)
	return f.Delivered()
}

// head returns when the lane's next object was delivered.
func (l *lane) head() time.Time { return stampOf(l.page[0].Key) }

// fresh removes from a page what needs no reading now, and gives the strays in it to
// stray. Low may have moved over a part of the page, and forgotten it, while it was
// listed.
func (l *lane) fresh(page []Ref, now time.Time, stray func(key, reason, detail string)) []Ref {
	return slices.DeleteFunc(page, func(r Ref) bool {
		if r.Key <= l.low {
			return true
		}
		f, reason, detail := l.stray(r.Key, now)
		if reason != "" {
			l.strays++
			stray(r.Key, reason, detail)
			return true
		}
		if l.digest() && f.Delivered().Before(l.from) {
			return true
		}
		t := l.known[r.Key]
		return t != nil && t.state != waiting
	})
}

// take removes and notes the lane's next object.
func (l *lane) take() Ref {
	r := l.page[0]
	l.page = l.page[1:]
	t := l.known[r.Key]
	if t == nil {
		t = &track{stamp: stampOf(r.Key)}
		l.known[r.Key] = t
	}
	t.state = offered
	return r
}

// advance moves low over what is done, or on the list of retries, and forgets it, as far
// as it was delivered longer than overlap before the clock, and before the listing that
// found it. A file that appears behind its time, with a key before others that are done,
// is still found while low has not passed it; so low waits where listings fail, and
// passes nothing that was listed and not yet offered. After a restart it waits for a
// listing: the checkpoint does not know what was being read.
//
// Digests stand under the names of their trails, so that only their days are in
// order: low stays two days behind.
func (l *lane) advance(clock time.Time, overlap time.Duration) {
	if l.digest() {
		overlap += 48 * time.Hour
	}
	keys := make([]string, 0, len(l.known))
	for k := range l.known {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		t := l.known[k]
		if !t.past() || t.stamp.After(clock.Add(-overlap)) || len(l.page) > 0 && k > l.page[0].Key ||
			!l.cur.covers(k, t.stamp, overlap) && !l.old.covers(k, t.stamp, overlap) {
			return
		}
		l.low = max(l.low, k)
		delete(l.known, k)
	}
}

// covers reports whether a listing went past the key so much later than the stamp that
// nothing can appear before it any more.
func (f *frontier) covers(key string, stamp time.Time, overlap time.Duration) bool {
	return key <= f.key && !stamp.After(f.at.Add(-overlap))
}

// past reports whether low may pass the object.
func (t *track) past() bool { return t.state == done || t.state == parked }

// sweep moves low on to the time that lies overlap behind the last round, or to the first
// key before that which is not done, in a lane with so many strays that listing them
// again each round costs a request more. It does so only after a round that listed the
// whole lane: only then is nothing there behind low that was never offered. It is the
// Poll's own, between two rounds.
func (l *lane) sweep(overlap time.Duration) {
	if l.strays < maxPage || l.failed || l.more || len(l.page) > 0 {
		return
	}
	if l.digest() {
		overlap += 48 * time.Hour
	}
	key := StartKey(l.prefix, l.cur.at.Add(-overlap))
	for k, t := range l.known {
		if !t.past() && k <= key {
			return
		}
	}
	l.low = max(l.low, key)
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
	l := newLane(prefix, prefix+s.Low)
	if l == nil {
		return nil
	}
	for _, name := range s.Done {
		l.known[prefix+name] = &track{state: done, stamp: stampOf(prefix + name)}
	}
	return l
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
