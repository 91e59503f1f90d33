package feed

import (
	"context"
	"fmt"
	"time"

	"keytrail/processor/source"
)

// Poller polls a Feed until its context ends. All fields are required.
type Poller struct {
	Feed     Feed
	Kind     string
	Interval time.Duration
	// Wait returns when the next poll may begin, or its context ends.
	Wait func(context.Context)
	// Told takes the outcome of a poll: an error, or nil.
	Told func(error)
	// Give takes the objects of a poll in order. It reports false when the context has ended.
	Give func(context.Context, []source.Object) bool
}

// Run polls until ctx ends. Between two looks at files lies Interval, because a file is
// complete when two looks found it the same. Other sources are polled again at once while
// they have objects, and a queue after each poll without an error, which waits for
// messages.
func (p *Poller) Run(ctx context.Context) {
	tick := time.NewTicker(p.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		p.Wait(ctx)
		objects, err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		p.Told(err)
		if !p.Give(ctx, objects) {
			return
		}
		if p.Kind != File && err == nil && (len(objects) > 0 || p.Kind == SQS) {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// once turns a panic of a source into an error: it costs a poll, not the process.
func (p *Poller) once(ctx context.Context) (objects []source.Object, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the source panicked, please report it: %v", r)
		}
	}()
	return p.Feed.Poll(ctx)
}
