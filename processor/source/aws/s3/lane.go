package s3

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"keytrail/schemas/aws/notification"
)

// lane is one folder of a Region. CloudTrail writes the date and the minute of delivery
// into its keys, so their order is that of delivery and new keys follow old ones: one
// listing from low finds them, however many files the folder has. Keys that are not
// CloudTrail's (strays) move nothing.
type lane struct {
	prefix          string
	account, region string
	kind            notification.FileKind // digests are checked and contain no events
	from            time.Time             // of digests: earlier ones are not checked
	low             string                // every key of the lane up to it is done, or on the retry list
	known           map[string]*track     // offered keys after low
	cur, old        frontier              // the extent of this round's listings, and of an earlier round's
	// Of the current round, used only by Poll:
	page   []Ref  // listed, in order, and not yet offered
	after  string // the next listing starts after it
	more   bool   // there is more to list
	failed bool   // a listing failed
	strays int    // that were listed
}

// frontier means that every key up to key was listed at that time or later.
type frontier struct {
	key string
	at  time.Time
}

// track is a lane's state of one object.
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

// newLane returns the lane of a Region's folder; nil for any other prefix.
func newLane(prefix, low string) *lane {
	parts := laneName.FindStringSubmatch(prefix)
	if parts == nil {
		return nil
	}
	return &lane{prefix: prefix, account: parts[1], region: parts[3], kind: folderKinds[parts[2]], low: low,
		known: map[string]*track{}}
}

func (l *lane) digest() bool { return l.kind == notification.FileDigest }

// StartKey returns the key after which a lane's files delivered at start or later begin:
// that of the day, and of the minute in a name with the folder's account and Region.
func StartKey(prefix string, start time.Time) string {
	if start.IsZero() {
		return prefix
	}
	start = start.UTC()
	parts := strings.Split(strings.TrimSuffix(prefix, "/"), "/")
	account, folder, region := parts[len(parts)-3], parts[len(parts)-2], parts[len(parts)-1]
	if folder == digestFolder { // a trail's name precedes the time
		return prefix + start.Format("2006/01/02/")
	}
	return prefix + start.Format("2006/01/02/") + account + "_" + folder + "_" + region + "_" +
		start.Format("20060102T1504Z")
}

// begin starts a round.
func (l *lane) begin(now time.Time) {
	if l.cur.key >= l.old.key {
		l.old = l.cur
	}
	l.cur = frontier{at: now}
	l.page, l.after, l.more, l.failed, l.strays = nil, l.low, true, false, 0
}

// listed records a listed page.
func (l *lane) listed(p *Page, now time.Time) {
	l.after, l.more = p.Last, p.More && p.Last < l.end(now)
	if l.cur.key = p.Last; !l.more {
		l.cur.key = l.prefix + "\xff" // after every key
	}
}

// end returns a key after which CloudTrail cannot have written yet.
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

// fresh removes keys from a page that need no reading now, and passes the strays to
// stray. While the page was being listed, low may have moved over part of it and
// forgotten it.
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

// take removes and records the lane's next object.
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

// advance moves low over keys that are done or on the retry list, and forgets them. It
// passes only keys delivered longer than overlap before the clock, and before the listing
// that found them, so that a late file, whose key precedes finished ones, is still found.
// So low waits where listings fail, and never passes a listed key that is not yet
// offered. After a restart it waits for a listing, because the checkpoint does not
// contain objects in progress.
//
// The names of digests begin with their trails, so only their days are in order: low
// stays two days behind.
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

// covers reports whether a listing passed the key so long after the stamp that no earlier
// key can appear any more.
func (f *frontier) covers(key string, stamp time.Time, overlap time.Duration) bool {
	return key <= f.key && !stamp.After(f.at.Add(-overlap))
}

// past reports whether low may pass the object.
func (t *track) past() bool { return t.state == done || t.state == parked }

// sweep advances low to overlap before the last round, or to the first unfinished key
// before that, in a lane with so many strays that listing them again costs a request more
// per round. It acts only after a round that listed the whole lane: only then was every
// key after low offered. Used only by Poll, between two rounds.
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

// stateOf returns the checkpoint's state of the lane.
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

// restore returns a lane from its state in a checkpoint.
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

// heads is a heap of lanes with objects, earliest delivery first.
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
