package input

import (
	"context"
	"fmt"
	"time"

	"keytrail/processor/source"
	"keytrail/processor/source/feed"
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

// poll gives the objects of the feed to the readers. It waits while nothing may be handed
// over.
func (in *Input) poll(work chan<- *flight) {
	p := feed.Poller{
		Feed: in.feed, Kind: in.cfg.Source, Interval: in.cfg.PollInterval, Wait: in.progress.wait,
		Told: func(err error) {
			in.report(&in.pollErr, err, fmt.Sprintf("trying again every %v", in.cfg.PollInterval))
		},
		Give: func(ctx context.Context, objects []source.Object) bool {
			for _, o := range objects {
				select {
				case work <- &flight{object: o}:
				case <-ctx.Done():
					return false
				}
			}
			return ctx.Err() == nil
		},
	}
	p.Run(in.ctx)
}
