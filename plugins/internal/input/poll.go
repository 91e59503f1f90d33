package input

import (
	"context"
	"fmt"
	"time"

	"keytrail/processor/source"
)

// repeat reads parked objects again, one at a time and apart from the readers: the readers
// may wait for room that these objects hold until they are done.
func (in *Input) repeat() {
	tick := time.NewTicker(min(settleEvery, in.cfg.PollInterval))
	defer tick.Stop()
	for {
		for _, f := range in.progress.again(time.Now()) {
			if in.ctx.Err() != nil {
				return
			}
			in.read(f)
		}
		select {
		case <-tick.C:
		case <-in.ctx.Done():
			return
		}
	}
}

// poll gives the objects of the feed to the readers. Between two looks at files lies the
// poll interval, because a file is complete when two looks found it the same. Other sources
// are polled again at once while they have objects. poll waits while nothing may be handed
// over.
func (in *Input) poll(work chan<- *flight) {
	tick := time.NewTicker(in.cfg.PollInterval)
	defer tick.Stop()
	for in.ctx.Err() == nil {
		in.progress.wait(in.ctx)
		objects, err := in.pollOnce()
		if in.ctx.Err() != nil {
			return
		}
		in.report(&in.pollErr, err, fmt.Sprintf("trying again every %v", in.cfg.PollInterval))
		list := make([]*flight, len(objects))
		for i, o := range objects {
			list[i] = &flight{object: o}
		}
		if !give(in.ctx, work, list) {
			return
		}
		if in.cfg.eager() && err == nil && len(objects) > 0 {
			continue
		}
		if in.cfg.Source == SourceSQS && err == nil {
			continue // it has waited for messages
		}
		select {
		case <-tick.C:
		case <-in.ctx.Done():
		}
	}
}

// give gives flights to the readers. It reports false when the context has ended.
func give(ctx context.Context, work chan<- *flight, list []*flight) bool {
	for _, f := range list {
		select {
		case work <- f:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// pollOnce turns a panic of a source into an error: it costs a poll, not the process
// that Fluent Bit is.
func (in *Input) pollOnce() (objects []source.Object, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the source panicked, please report it: %v", p)
		}
	}()
	return in.feed.Poll(in.ctx)
}
