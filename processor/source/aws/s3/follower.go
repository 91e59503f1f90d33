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

// FollowerConfig configures a Follower.
type FollowerConfig struct {
	Bucket string
	// Prefix is the trail's prefix in CloudTrail's settings, "" for none; or any folder
	// from there down to a region's.
	Prefix string
	// Accounts and Regions restrict the followed folders; empty follows all.
	Accounts, Regions []string
	// Start is the delivery time of the first files. It applies to the first run; the
	// checkpoint keeps it. Zero reads all.
	Start time.Time
	// Checkpoint is the file that records finished objects; "" records them for this run
	// only.
	Checkpoint string
	// Overlap is how late a file may appear after its time, as in a replicated bucket.
	// Memory and checkpoint keep the names of the files of that time.
	Overlap time.Duration
	// Discover is the interval of the search for new accounts and Regions; 0 means
	// DefaultDiscover.
	Discover time.Duration
	// Digest returns an object of a digest file that checks it when opened; nil ignores
	// digests.
	Digest func(ctx context.Context, r Ref) source.Object
	// Now is the clock.
	Now func() time.Time
	// Log takes notes for a person, such as folders with keys that are not CloudTrail's.
	// Nil drops them.
	Log func(format string, args ...any)
}

// DefaultDiscover is the default of FollowerConfig.Discover. A search takes three or four
// requests per account.
const DefaultDiscover = 15 * time.Minute

// DefaultOverlap is the default of FollowerConfig.Overlap: S3 replicates most objects
// within 15 minutes. In 1,000 accounts and 17 regions that deliver every five minutes,
// two hours are 400,000 names of 250 bytes in memory: 100 MB.
const DefaultOverlap = 2 * time.Hour

const (
	// maxBatch is the number of objects of one Poll: enough to keep readers busy between
	// two listings, and few enough to keep order.
	maxBatch = 256
	// maxAhead bounds the listed keys that are not yet offered, of all lanes together, at
	// about 300 bytes: 30 MB. Lanes share it, with at least ten each.
	maxAhead = 100_000
	// maxKnown bounds the remembered objects: 250 MB. Above it nothing is offered until
	// earlier objects settle.
	maxKnown = 1_000_000
	// fullRound is the duration of a round while there are too many objects.
	fullRound = time.Minute
	// discoverAgain is the interval of the search after an error.
	discoverAgain = time.Minute
	// maxLanes bounds the followed folders, at 250 bytes and a request per round.
	maxLanes = 100_000
	// listers is the number of concurrent listings. S3 allows 5,500 a second per prefix.
	listers = 8
)

// Follower finds the new files of a trail by listing. It offers them in order of delivery
// over all accounts and regions: otherwise one region's events would come days after
// younger ones of another, and be late. One round lists each region's folder once, after
// the finished keys; a thousand more files cost one more listing. It offers logs, calls
// through VPC endpoints, and digests if the configuration verifies them; Insights are in
// other folders and are not offered. A key without CloudTrail's form
// (notification.ParseKey) is only counted.
//
// An object that cannot be read goes to a list (source.Retries), and its lane goes on.
// While the list is full nothing new is offered.
//
// Poll is for one goroutine; the other methods may be called meanwhile.
type Follower struct {
	cfg    FollowerConfig
	client *Client

	mu         sync.Mutex // guards the following, and low and known of lanes
	lanes      map[string]*lane
	kept       map[string]laneState // of lanes that are in the checkpoint but not followed now
	keptRetry  []retryState         // of those lanes
	names      map[string]*lane     // of objects that are offered and not done, by Object.Name
	known      int                  // objects in all lanes' known
	retries    *source.Retries      // by Object.Name
	strays     *Strays
	newest     time.Time // S3's upload time of the newest listed object
	dirty      bool
	saveAt     time.Time // earliest time of the next save
	discovered time.Time

	// Used only by Poll:
	round   heads
	roundAt time.Time // its start
	again   bool      // the last Poll offered only retries: no new round before the next pause
}

// NewFollower reads the checkpoint, if any, and returns a Follower. It makes no call.
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
		f.dirty = true // saves the start time at once
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

// Poll returns the next objects to read: new ones in order, then due retries; and none at
// the end of a round, after which the next Poll begins another. An error says what could
// not be listed; the objects returned with it are valid. Pass each object to Done or
// Retry in the end.
func (f *Follower) Poll(ctx context.Context) ([]source.Object, error) {
	if age := f.cfg.Now().Sub(f.roundAt); age > f.cfg.Overlap/2 || age > fullRound && f.full() {
		f.round = nil // low stays at least overlap behind the beginning of a round
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

// next takes the earliest object of the round, and lists more of its lane if necessary.
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

// object returns the object of a key in a folder of that kind.
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

// begin starts a round: it lists every lane once, some concurrently.
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
				failed = err // one error of many lanes suffices
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

// fill lists until the lane has an object to offer, or no more. After an error it does
// not list it again in this round.
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
		l.page = l.fresh(
			p.Objects, now, func(key, reason, detail string) { f.strays.listed(f.cfg.Bucket, key, reason, detail) })
		f.mu.Unlock()
	}
	return nil
}

// discover searches for the folders of Regions at intervals. Found folders are followed
// even if others could not be listed.
func (f *Follower) discover(ctx context.Context) error {
	now := f.cfg.Now()
	since := now.Sub(f.discovered)
	if len(f.round) > 0 || since >= 0 && since < f.cfg.Discover { // negative if the clock went back
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
				err = errors.Join(err, fmt.Errorf("cannot follow s3://%s/%s: it exceeds the limit of %d folders; restrict accounts and regions", f.cfg.Bucket, p, maxLanes))
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
		return fmt.Errorf("found no CloudTrail folder below s3://%s/%s: use the trail's prefix, which contains AWSLogs/", f.cfg.Bucket, f.cfg.Prefix)
	case err == nil:
		f.discovered = now
	}
	return err
}

func (f *Follower) wanted(account, region string) bool {
	return (len(f.cfg.Accounts) == 0 || slices.Contains(f.cfg.Accounts, account)) &&
		(region == "" || len(f.cfg.Regions) == 0 || slices.Contains(f.cfg.Regions, region))
}

// wantedLane reports whether to follow the lane with a prefix: …/ACCOUNT/CloudTrail/REGION/, or that of
// digests.
func (f *Follower) wantedLane(prefix string) bool {
	parts := laneName.FindStringSubmatch(prefix)
	return parts != nil && f.wanted(parts[1], parts[3]) && (parts[2] != digestFolder || f.cfg.Digest != nil)
}
