package input

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keytrail/plugins/internal/logging"
	"keytrail/processor/source"
	"keytrail/processor/source/feed"
)

// hungFeed is a feed whose polls, or whose saves, hang until they are freed.
type hungFeed struct {
	feed.Feed
	poll, save chan struct{} // nil does not hang
	saves      atomic.Int64
}

func (f *hungFeed) Poll(ctx context.Context) ([]source.Object, error) {
	if f.poll != nil {
		<-f.poll
	}
	return f.Feed.Poll(ctx)
}

func (f *hungFeed) Save(context.Context) error {
	f.saves.Add(1)
	if f.save != nil {
		<-f.save
	}
	return nil
}

func (f *hungFeed) Close(ctx context.Context) error { return f.Save(ctx) }

// run starts a run that reads from f, and lets it go on for a while.
func (f *hungFeed) run(t *testing.T, b *bench, log *logging.Log) *Input {
	t.Helper()
	in, err := New(b.cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	f.Feed, in.feed = in.feed, f
	in.Start()
	pass(10 * time.Second)
	return in
}

// A run that hung when it was stopped does not write the checkpoint that the next has.
func TestHungRunLeavesTheCheckpointAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, log := newBench(t), logging.New("", nil, func(logging.Level, string) {})
		f := &hungFeed{poll: make(chan struct{})}
		in := f.run(t, b, log)
		if err := in.Stop(); err == nil || !strings.Contains(err.Error(), "a read hangs") {
			t.Errorf("Stop returned %v", err)
		}
		next, err := New(b.cfg, log)
		if err != nil {
			t.Fatalf("the next run does not start: %v", err)
		}
		before := f.saves.Load()
		pass(10 * time.Second)
		close(f.poll) // the read comes back
		<-in.stopped
		if n := f.saves.Load() - before; n != 0 || before == 0 {
			t.Errorf("%d saves before and %d after the next run took the checkpoint, want some and none", before, n)
		}
		if err := next.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// While a save hangs, the checkpoint stays locked.
func TestHungSaveKeepsTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, log := newBench(t), logging.New("", nil, func(logging.Level, string) {})
		f := &hungFeed{save: make(chan struct{})}
		in := f.run(t, b, log)
		if err := in.Stop(); err == nil {
			t.Error("Stop returned although a save hangs")
		}
		if _, err := New(b.cfg, log); err == nil || !strings.Contains(err.Error(), "another reader uses this checkpoint") {
			t.Errorf("the next run starts while a save hangs: %v", err)
		}
		close(f.save)
		<-in.stopped
		next, err := New(b.cfg, log)
		if err != nil {
			t.Fatal(err)
		}
		if err := next.Stop(); err != nil {
			t.Error(err)
		}
	})
}
