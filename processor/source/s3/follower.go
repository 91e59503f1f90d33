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
	// Digest makes an object of a digest file, which checks it when it is opened; nil
	// leaves digests alone.
	Digest func(ctx context.Context, r Ref) source.Object
	// Now is the clock.
	Now func() time.Time
}

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
	// together, at some 300 bytes: 30 MB. It is shared among them, ten at the least.
	maxAhead = 100_000
	// maxKnown bounds the objects in mind: 250 MB. While there are more, nothing is
	// offered; they become less as what was handed over settles.
	maxKnown = 1_000_000
	// discoverEvery is how often new accounts and regions are looked for.
	discoverEvery = 15 * time.Minute
	// listers is how many listings run side by side. S3 allows 5,500 a second for
	// one prefix.
	listers = 8
)

// Follower finds the new files of a trail by listing. It offers them in the order
// of their delivery over all accounts and regions, because events of one region
// that come days after the younger ones of another would be late. One round lists
// each region's folder once, behind what is done; a thousand files more cost one
// listing more. Insights lie in folders of their own, and are not offered; digests
// are where the configuration has a use for them.
//
// Poll is for one goroutine; the other methods may be called meanwhile.
type Follower struct {
	cfg    FollowerConfig
	client *Client

	mu         sync.Mutex // guards the following, and the lanes' low and known
	lanes      map[string]*lane
	kept       map[string]laneState // of lanes that the checkpoint has and nobody wants now
	names      map[string]*lane     // of objects that are offered and not done, by Object.Name
	known      int                  // objects in all lanes' known
	patience   source.Patience
	dirty      bool
	saveAt     time.Time // not to be saved before
	discovered time.Time

	// The Poll's own:
	round heads
}

// NewFollower reads the checkpoint, if there is one, and returns a Follower. It
// calls nothing yet.
func NewFollower(client *Client, cfg FollowerConfig) (*Follower, error) {
	f := &Follower{cfg: cfg, client: client, lanes: map[string]*lane{}, kept: map[string]laneState{}, names: map[string]*lane{}}
	if cfg.Checkpoint == "" {
		return f, nil
	}
	c, found, err := loadCheckpoint(cfg.Checkpoint, cfg.Bucket, cfg.Prefix)
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
	return f, nil
}

// Poll returns the next objects to read, in order, and none when a round has come
// to its end: the next Poll begins another. An error does not void the objects
// beside it: it tells what could not be listed. Each object must be given to Done
// or Retry in the end.
func (f *Follower) Poll(ctx context.Context) ([]source.Object, error) {
	derr := f.discover(ctx)
	if len(f.round) == 0 {
		if f.full() {
			return nil, derr
		}
		err := errors.Join(derr, f.begin(ctx))
		if len(f.round) == 0 {
			return nil, err
		}
		derr = err
	}
	var ready []source.Object
	for len(ready) < maxBatch && len(f.round) > 0 && !f.full() {
		l := f.round[0]
		object := f.client.Object
		if l.digest {
			object = f.cfg.Digest
		}
		ready = append(ready, object(ctx, f.take(l)))
		var err error
		if len(l.page) == 0 {
			err = f.fill(ctx, l)
		}
		if len(l.page) == 0 {
			heap.Pop(&f.round)
		} else {
			heap.Fix(&f.round, 0)
		}
		if err != nil {
			return ready, errors.Join(derr, err)
		}
	}
	return ready, derr
}

func (f *Follower) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known >= maxKnown
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
	lanes := slices.Collect(maps.Values(f.lanes))
	for _, l := range lanes {
		l.begin()
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
			l.more = false
			return err
		}
		l.after, l.more = p.Last, p.More
		f.mu.Lock()
		l.page = l.fresh(p.Objects, f.cfg.Now())
		f.mu.Unlock()
	}
	return nil
}

// discover looks for the folders of regions, from time to time.
func (f *Follower) discover(ctx context.Context) error {
	now := f.cfg.Now()
	if len(f.round) > 0 || now.Before(f.discovered.Add(discoverEvery)) {
		return nil
	}
	prefixes, err := f.client.discover(ctx, f.cfg.Bucket, f.cfg.Prefix, f.cfg.Digest != nil, f.wanted)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range prefixes {
		if f.lanes[p] == nil {
			f.lanes[p] = &lane{prefix: p, digest: isDigest(p), from: f.cfg.Start, low: StartKey(p, f.cfg.Start), known: map[string]*track{}}
			f.dirty = true
		}
	}
	if len(f.lanes) == 0 {
		return fmt.Errorf("found no folder of CloudTrail's below s3://%s/%s: want the trail's own prefix, below which AWSLogs/ lies", f.cfg.Bucket, f.cfg.Prefix)
	}
	f.discovered = now
	return nil
}

func (f *Follower) wanted(account, region string) bool {
	return (len(f.cfg.Accounts) == 0 || slices.Contains(f.cfg.Accounts, account)) &&
		(region == "" || len(f.cfg.Regions) == 0 || slices.Contains(f.cfg.Regions, region))
}

// wantedLane judges the prefix of a lane: …/ACCOUNT/CloudTrail/REGION/, or of digests.
func (f *Follower) wantedLane(prefix string) bool {
	parts := laneName.FindStringSubmatch(prefix)
	return parts != nil && f.wanted(parts[1], parts[3]) && (parts[2] == logFolder || f.cfg.Digest != nil)
}

// Done marks an object that Poll returned as done: it is not offered again.
func (f *Follower) Done(o source.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.release(o); t != nil {
		t.state, f.dirty = done, true
		f.patience.Success()
	}
}

// Retry gives back an object that could not be read: a later Poll offers it again.
// It reports false, and does nothing, when the object is to be given up: its dead
// letter is written, and Done is called in the end.
func (f *Follower) Retry(o source.Object, _ error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.find(o)
	if t == nil || !f.patience.Failed(&t.failures, f.cfg.Now()) {
		return false
	}
	f.release(o)
	t.state = waiting
	return true
}

// find returns what is known of an object that is offered, or nil.
func (f *Follower) find(o source.Object) *track {
	l := f.names[o.Name]
	if l == nil {
		return nil
	}
	return l.known[o.Name[len(Scheme)+len(f.cfg.Bucket)+1:]]
}

func (f *Follower) release(o source.Object) *track {
	t := f.find(o)
	delete(f.names, o.Name)
	return t
}

// Save writes the checkpoint, if there is one and it has changed, and not so often
// that writing would take more than a twentieth of the time. It replaces the file
// as a whole and syncs it.
func (f *Follower) Save(context.Context) error { return f.save(false) }

// Close writes the checkpoint for the last time.
func (f *Follower) Close(context.Context) error { return f.save(true) }

func (f *Follower) save(last bool) error {
	began := f.cfg.Now()
	c := f.snapshot(began, last)
	if c == nil {
		return nil
	}
	err := c.save(f.cfg.Checkpoint)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saveAt = f.cfg.Now().Add(20 * f.cfg.Now().Sub(began))
	f.dirty = f.dirty || err != nil
	return err
}

// snapshot moves the lanes' lows and returns what is to be written, nil for
// nothing.
func (f *Follower) snapshot(now time.Time, last bool) *checkpoint {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dirty || !last && now.Before(f.saveAt) {
		return nil
	}
	for _, l := range f.lanes {
		before := len(l.known)
		l.advance(now.Add(-f.cfg.Overlap))
		f.known += len(l.known) - before
	}
	f.dirty = false
	if f.cfg.Checkpoint == "" {
		return nil
	}
	c := &checkpoint{Version: checkpointVersion, Kind: "s3", Bucket: f.cfg.Bucket, Prefix: f.cfg.Prefix, Start: f.cfg.Start, Lanes: make(map[string]laneState, len(f.lanes))}
	maps.Copy(c.Lanes, f.kept)
	for prefix, l := range f.lanes {
		c.Lanes[prefix] = l.stateOf()
	}
	return c
}
