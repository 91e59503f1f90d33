package s3

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"keytrail/processor/source"
	"keytrail/schemas/aws/notification"
)

// retryState is the checkpoint's state of an object that could not be read.
type retryState struct {
	Key      string    `json:"key"`
	Size     int64     `json:"size"`
	ETag     string    `json:"etag,omitempty"`
	Modified time.Time `json:"modified,omitzero"`
	source.RetryState
}

// restoreRetry lists an object from the checkpoint.
func (f *Follower) restoreRetry(r retryState) {
	prefix := lanePrefix(r.Key)
	if !f.wantedLane(prefix) {
		f.keptRetry = append(f.keptRetry, r)
		return
	}
	ref := Ref{Bucket: f.cfg.Bucket, Key: r.Key, Size: r.Size, ETag: r.ETag, Modified: r.Modified}
	f.retries.Restore(ref.Name(), source.Object{Name: ref.Name(), Size: r.Size, ETag: r.ETag, ModTime: r.Modified},
		r.RetryState)
	if l := f.lanes[prefix]; l != nil && r.Key > l.low {
		l.known[r.Key] = &track{state: parked, stamp: stampOf(r.Key)}
		f.known++
	}
}

// lanePrefix returns the prefix of the lane of a CloudTrail key.
func lanePrefix(key string) string {
	return key[:max(0, strings.LastIndexByte(key, '/')-len("2026/11/20"))]
}

// keyOf returns the key of one of the follower's objects.
func (f *Follower) keyOf(name string) string { return name[len(Scheme)+len(f.cfg.Bucket)+1:] }

// due returns the objects that are due for a retry.
func (f *Follower) due(ctx context.Context) (ready []source.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range f.retries.Due(f.cfg.Now()) {
		o, key := f.retries.Get(name).Object, f.keyOf(name)
		kind := notification.FileOf(key).Kind
		ready = append(ready, f.object(ctx, kind, Ref{Bucket: f.cfg.Bucket, Key: key, Size: o.Size,
			ETag: o.ETag, Modified: o.ModTime}))
		l := f.lanes[lanePrefix(key)]
		if f.names[name] = l; l != nil && l.known[key] != nil {
			l.known[key].state = offered
		}
	}
	return ready
}

// crowded returns the error that nothing new is offered.
func (f *Follower) crowded() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.retries.Room() > 0 {
		return nil
	}
	return fmt.Errorf("%d objects of s3://%s/%s cannot be read or are not acknowledged, so new ones wait: resolve the errors in the log",
		f.retries.Len(), f.cfg.Bucket, f.cfg.Prefix)
}

// Waiting returns the state of the retry list.
func (f *Follower) Waiting() source.RetryStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.retries.Stats(f.cfg.Now())
}

// Strays returns the number of skipped keys that are not CloudTrail's, by reason: those
// of notification.KeyFault and ReasonFuture.
func (f *Follower) Strays() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.strays.Counts()
}

// Done marks an object of Poll as done: it is not offered again.
func (f *Follower) Done(o source.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = f.retries.Done(o.Name) || f.dirty
	if t := f.release(o); t != nil {
		t.state, f.dirty = done, true
	}
}

// Retry returns an object that could not be read because of err: a later Poll offers it
// again. It reports false if the object must be given up: the caller writes its dead
// letter, and calls Done in the end.
func (f *Follower) Retry(o source.Object, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.retries.Len()
	again := f.retries.Failed(o.Name, o, source.Judge(err), f.cfg.Now())
	f.dirty = f.dirty || f.retries.Len() != before
	if !again {
		return false
	}
	if t := f.release(o); t != nil {
		t.state = parked
	}
	return true
}

// Park removes an object that was read, but is not Done soon, from the path of progress:
// low passes it, it is not offered again in this run, and the checkpoint lists it for a
// retry. Done or Retry follows.
func (f *Follower) Park(o source.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retries.Park(o.Name, o, f.cfg.Now())
	f.dirty = true
	if t := f.find(o); t != nil {
		t.state = parked
	}
}

// find returns the track of an offered object, or nil.
func (f *Follower) find(o source.Object) *track {
	l := f.names[o.Name]
	if l == nil {
		return nil
	}
	return l.known[f.keyOf(o.Name)]
}

func (f *Follower) release(o source.Object) *track {
	t := f.find(o)
	delete(f.names, o.Name)
	return t
}

// Save writes the checkpoint if it has changed, but only so often that writing takes at
// most a twentieth of the time. It replaces and syncs the whole file.
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

// snapshot moves the lanes' lows and returns the checkpoint to write, or nil.
func (f *Follower) snapshot(now time.Time, last bool) *checkpoint {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = f.dirty || f.retries.Unsaved(now, last)
	if wait := f.saveAt.Sub(now); !f.dirty || !last && wait > 0 && wait < time.Hour { // large after the clock went back
		return nil
	}
	horizon := now
	if f.newest.Before(now) { // S3's clock, in case ours is ahead
		horizon = f.newest
	}
	for _, l := range f.lanes {
		before := len(l.known)
		l.advance(horizon, f.cfg.Overlap)
		f.known += len(l.known) - before
	}
	f.dirty = false
	f.retries.Saved(now)
	if f.cfg.Checkpoint == "" {
		return nil
	}
	c := &checkpoint{Version: source.CheckpointVersion, Kind: "s3", Bucket: f.cfg.Bucket, Prefix: f.cfg.Prefix,
		Start: f.cfg.Start, Lanes: make(map[string]laneState, len(f.lanes))}
	maps.Copy(c.Lanes, f.kept)
	for prefix, l := range f.lanes {
		c.Lanes[prefix] = l.stateOf()
	}
	c.Retry = slices.Clone(f.keptRetry)
	for name, r := range f.retries.All() {
		c.Retry = append(c.Retry, retryState{f.keyOf(name), r.Object.Size, r.Object.ETag, r.Object.ModTime, r.State})
	}
	slices.SortFunc(c.Retry, func(a, b retryState) int { return strings.Compare(a.Key, b.Key) })
	return c
}
