package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumed returns the number of offsets of a topic that a group has committed, from 0
// on, and the partitions whose end it has not reached, with both offsets.
func (e *environment) consumed(ctx context.Context, group, topic string) (int64, map[int32]span, error) {
	ends, err := e.adm.ListEndOffsets(ctx, topic) // the high watermark: open transactions included
	if err != nil {
		return 0, nil, err
	}
	commits, err := e.adm.FetchOffsets(ctx, group)
	if err != nil && !kerr.IsRetriable(err) { // the coordinator's topic is created for the first group
		return 0, nil, err
	}
	sum, behind := int64(0), map[int32]span{}
	for _, end := range ends[topic] {
		if end.Err != nil {
			return 0, nil, end.Err
		}
		at := int64(0)
		if c, ok := commits.Lookup(topic, end.Partition); ok && c.At > 0 {
			at = c.At
		}
		sum += at
		if at < end.Offset {
			behind[end.Partition] = span{at, end.Offset}
		}
	}
	return sum, behind, nil
}

// span is the offsets [from, to) of a partition.
type span struct{ from, to int64 }

// fewMarkers is how many offsets are checked for being markers only.
const fewMarkers = 64

// done reports whether a group has read all records of a topic. Offsets after its
// position may be transaction markers: a reader of only markers has nothing to commit.
func (e *environment) done(ctx context.Context, group, topic string) (bool, error) {
	_, behind, err := e.consumed(ctx, group, topic)
	if err != nil || len(behind) == 0 {
		return err == nil, err
	}
	from := map[int32]kgo.Offset{}
	for p, s := range behind {
		if s.to-s.from > fewMarkers {
			return false, nil
		}
		from[p] = kgo.NewOffset().At(s.from)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.brokers()...), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return false, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for len(behind) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return false, err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if !r.Attrs.IsControl() {
				return false, nil
			}
			if r.Offset+1 >= behind[r.Partition].to {
				delete(behind, r.Partition)
			}
		}
	}
	return true, nil
}

// hop is a group that reads a topic. The hops of a pipeline come in an event's order: the
// first reads the input.
type hop struct{ group, topic string }

// through returns the progress of the first of some hops, and whether all have finished.
// Each is asked only after the previous one has finished, when its input is complete.
func (e *environment) through(hops ...hop) func(context.Context) (state, error) {
	return func(ctx context.Context) (s state, err error) {
		var behind map[int32]span
		if s.consumed, behind, err = e.consumed(ctx, hops[0].group, hops[0].topic); err != nil || len(behind) > 0 {
			return s, err
		}
		for _, h := range hops[1:] {
			if s.finished, err = e.done(ctx, h.group, h.topic); err != nil || !s.finished {
				return s, err
			}
		}
		s.finished = true
		return s, nil
	}
}

func (in *installation) count() hop  { return hop{in.name + "-count", in.topics.Events} }
func (in *installation) detect() hop { return hop{in.name + "-detect", in.topics.Partials} }
