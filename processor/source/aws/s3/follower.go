package s3

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"keytrail/processor/source"
	"keytrail/schemas/aws/notification"
)

// FollowerConfig says what a Follower follows.
type FollowerConfig struct {
	Bucket string
	// Prefix is that of the trail, as CloudTrail's own setting has it, "" for none;
	// or any folder from there down to that of one region.
	Prefix string
	// Accounts and Regions bound what is followed; empty follows all.
	Accounts, Regions []string
	// Start is the time of delivery from which on files are read. It holds for the
	// first run; the checkpoint keeps it. Zero reads all.
	Start time.Time
	// Checkpoint is the file that remembers what is done; "" remembers for this
	// run only.
	Checkpoint string
	// Overlap is for how long a file may appear behind its time: a copy of a bucket
	// by replication is late. The names of the files of that time are kept in mind
	// and in the checkpoint.
	Overlap time.Duration
	// Discover is how often new accounts and Regions are looked for; 0 means
	// DefaultDiscover.
	Discover time.Duration
	// Digest makes an object of a digest file, which checks it when it is opened; nil
	// leaves digests alone.
	Digest func(ctx context.Context, r Ref) source.Object
	// Now is the clock.
	Now func() time.Time
	// Log takes what a person should know: where keys lie that are not CloudTrail's.
	// Nil drops it.
	Log func(format string, args ...any)
}

// DefaultDiscover is FollowerConfig's Discover where nothing else is said. Looking takes
// three or four requests per account.
const DefaultDiscover = 15 * time.Minute

// DefaultOverlap is FollowerConfig's Overlap where nothing else is said: S3
// replicates most objects within 15 minutes. In 1,000 accounts and 17 regions that
// deliver every five minutes two hours are 400,000 names, of 250 bytes each in
// memory: 100 MB.
const DefaultOverlap = 2 * time.Hour

const (
	// maxBatch is how many objects one Poll offers: enough to keep readers busy
	// between two listings, and few enough that they stay in order.
	maxBatch = 256
	// maxAhead bounds the keys that are listed and not yet offered, of all lanes
	// together, at some 300 bytes: 30 MB. It is shared among them, at least ten.
	maxAhead = 100_000
	// maxKnown bounds the objects in mind: 250 MB. While there are more, nothing is
	// offered; they become less as what was handed over settles.
	maxKnown = 1_000_000
	// fullRound is how long a round lasts while there are too many objects in mind.
	fullRound = time.Minute
	// discoverAgain is how soon they are looked for again after an error.
	discoverAgain = time.Minute
	// maxLanes bounds the folders that are followed, at 250 bytes and a request a round.
	maxLanes = 100_000
	// listers is how many listings run side by side. S3 allows 5,500 a second for
	// one prefix.
	listers = 8
)

// Follower finds the new files of a trail by listing. It offers them in the order
// of their delivery over all accounts and regions, because events of one region
// that come days after the younger ones of another would be late. One round lists
// each region's folder once, behind what is done; a thousand files more cost one
// listing more. Logs are offered, and the calls that came through VPC endpoints;
// Insights lie in their own folders and are not; digests are offered if the
// configuration verifies them. A key that does not have CloudTrail's form
// (notification.ParseKey) is counted and moves nothing.
//
// An object that cannot be read goes to a list (source.Retries) and out of the way: the
// lane goes on. While the list is full nothing new is offered.
//
// Poll is for one goroutine; the other methods may be called meanwhile.
type Follower struct {
	cfg    FollowerConfig
	client *Client

	mu         sync.Mutex // guards the following, and the lanes' low and known
	lanes      map[string]*lane
	kept       map[string]laneState // of lanes that the checkpoint has and nobody wants now
	keptRetry  []retryState         // of those lanes
	names      map[string]*lane     // of objects that are offered and not done, by Object.Name
	known      int                  // objects in all lanes' known
	retries    *source.Retries      // by Object.Name
	strays     *Strays
	newest     time.Time // when S3 got the newest object of all that was listed
	dirty      bool
	saveAt     time.Time // not to be saved before
	discovered time.Time

	// The Poll's own:
	round   heads
	roundAt time.Time // when it began
	again   bool      // the last Poll offered only retries: no new round before the next pause
}

// NewFollower reads the checkpoint, if there is one, and returns a Follower. It
// calls nothing yet.
func NewFollower(client *Client, cfg FollowerConfig) (*Follower, error) {
	if cfg.Discover == 0 {
		cfg.Discover = DefaultDiscover
	}
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	f := &Follower{
		cfg: cfg, client: client, lanes: map[string]*lane{}, kept: map[string]laneState{}, names: map[string]*lane{},
		retries: source.NewRetries(), strays: NewStrays(cfg.Log),
	}
	if cfg.Checkpoint == "" {
		return f, nil
	}
	c, found, err := loadCheckpoint(cfg.Checkpoint, cfg.Bucket, cfg.Prefix, cfg.Now())
	if err != nil || !found {
		f.dirty = true // the start time is worth keeping from the start on
		return f, err
	}
	f.cfg.Start = c.Start
	for prefix, s := range c.Lanes {
		if !f.wantedLane(prefix) {
			f.kept[prefix] = s
			continue
		}
		f.lanes[prefix] = restore(prefix, s)
		f.lanes[prefix].from = c.Start
		f.known += len(s.Done)
	}
	for _, r := range c.Retry {
		f.restoreRetry(r)
	}
	return f, nil
}

// Poll returns the next objects to read: new ones in order, then those whose time to be
// tried again has come; and none when a round has come to its end: the next Poll begins
// another. An error does not void the objects beside it: it says what could not
// be listed. Each object must be given to Done or Retry in the end.
func (f *Follower) Poll(ctx context.Context) ([]source.Object, error) {
	if age := f.cfg.Now().Sub(f.roundAt); age > f.cfg.Overlap/2 || age > fullRound && f.full() {
		f.round = nil // low moves no further than overlap behind the beginning of a round
	}
	err := f.discover(ctx)
	if len(f.round) == 0 && !f.again && f.retries.Room() > 0 {
		err = errors.Join(err, f.begin(ctx))
	}
	var ready []source.Object
	for len(ready) < maxBatch && len(f.round) > 0 && !f.full() {
		object, ferr := f.next(ctx)
		ready = append(ready, object)
		if ferr != nil {
			err = errors.Join(err, ferr)
			break
		}
	}
	again := f.due(ctx)
	f.again = len(again) > 0 && len(ready) == 0
	return append(ready, again...), errors.Join(err, f.crowded())
}

// next takes the earliest object of the round, and lists on where its lane has no more.
func (f *Follower) next(ctx context.Context) (source.Object, error) {
	l := f.round[0]
	object := f.object(ctx, l.kind, f.take(l))
	var err error
	if len(l.page) == 0 {
		err = f.fill(ctx, l)
	}
	if len(l.page) == 0 {
		heap.Pop(&f.round)
	} else {
		heap.Fix(&f.round, 0)
	}
	return object, err
}

// object makes an object of what lies in a folder of that kind.
func (f *Follower) object(ctx context.Context, kind notification.FileKind, r Ref) source.Object {
	if kind == notification.FileDigest {
		return f.cfg.Digest(ctx, r)
	}
	return f.client.Object(ctx, r)
}
func (f *Follower) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known >= maxKnown || f.retries.Room() == 0
}

func (f *Follower) take(l *lane) Ref {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(l.known)
	r := l.take()
	f.known += len(l.known) - before
	f.names[r.Name()] = l
	return r
}

// begin starts a round: it lists every lane once, some side by side.
func (f *Follower) begin(ctx context.Context) error {
	f.mu.Lock()
	f.strays.begin()
	now := f.cfg.Now()
	f.roundAt = now
	lanes := slices.Collect(maps.Values(f.lanes))
	for _, l := range lanes {
		l.sweep(f.cfg.Overlap)
		l.begin(now)
	}
	f.mu.Unlock()
	var mu sync.Mutex // guards failed and f.round
	var failed error
	var g errgroup.Group
	g.SetLimit(listers)
	for _, l := range lanes {
		g.Go(func() error {
			err := f.fill(ctx, l)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && failed == nil {
				failed = err // of many lanes one tells enough
			}
			if len(l.page) > 0 {
				f.round = append(f.round, l)
			}
			return nil
		})
	}
	g.Wait() // its functions return nil
	heap.Init(&f.round)
	return failed
}

// fill lists until the lane has an object to offer, or no more. After an error it
// lists no more of it in this round.
func (f *Follower) fill(ctx context.Context, l *lane) error {
	limit := min(maxPage, max(10, maxAhead/max(1, len(f.lanes))))
	for len(l.page) == 0 && l.more {
		p, err := f.client.List(ctx, f.cfg.Bucket, l.prefix, l.after, limit)
		if err != nil {
			l.more, l.failed = false, true
			return err
		}
		now := f.cfg.Now()
		f.mu.Lock()
		l.listed(&p, now)
		for i := range p.Objects {
			if at := p.Objects[i].Modified; at.After(f.newest) {
				f.newest = at
			}
		}
		l.page = l.fresh(p.Objects, now, func(key, reason, detail string) { f.strays.listed(f.cfg.Bucket, key, reason, detail) })
		f.mu.Unlock()
	}
	return nil
}

// discover looks for the folders of Regions, from time to time. Found folders are followed
// even if a part could not be listed.
func (f *Follower) discover(ctx context.Context) error {
	now := f.cfg.Now()
	since := now.Sub(f.discovered)
	if len(f.round) > 0 || since >= 0 && since < f.cfg.Discover { // less than none: the clock went back
		return nil
	}
	d := discovery{client: f.client, bucket: f.cfg.Bucket, folders: []string{logFolder, networkFolder}, wanted: f.wanted}
	if f.cfg.Digest != nil {
		d.folders = append(d.folders, digestFolder)
	}
	prefixes, err := d.below(ctx, f.cfg.Prefix)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range prefixes {
		if f.lanes[p] == nil {
			if len(f.lanes) >= maxLanes {
				err = errors.Join(err, fmt.Errorf("cannot follow s3://%s/%s: it is one more than the %d folders that are followed; bound them by accounts and regions", f.cfg.Bucket, p, maxLanes))
				break
			}
			f.lanes[p] = newLane(p, StartKey(p, f.cfg.Start))
			f.lanes[p].from = f.cfg.Start
			f.dirty = true
		}
	}
	switch {
	case err != nil && len(f.lanes) > 0:
		f.discovered = now.Add(min(0, discoverAgain-f.cfg.Discover))
	case err == nil && len(f.lanes) == 0:
		return fmt.Errorf("found no folder of CloudTrail's below s3://%s/%s: want the trail's own prefix, below which AWSLogs/ lies", f.cfg.Bucket, f.cfg.Prefix)
	case err == nil:
		f.discovered = now
	}
	return err
}

func (f *Follower) wanted(account, region string) bool {
	return (len(f.cfg.Accounts) == 0 || slices.Contains(f.cfg.Accounts, account)) &&
		(region == "" || len(f.cfg.Regions) == 0 || slices.Contains(f.cfg.Regions, region))
}

// wantedLane judges the prefix of a lane: …/ACCOUNT/CloudTrail/REGION/, or of digests.
func (f *Follower) wantedLane(prefix string) bool {
	parts := laneName.FindStringSubmatch(prefix)
	return parts != nil && f.wanted(parts[1], parts[3]) && (parts[2] != digestFolder || f.cfg.Digest != nil)
}
