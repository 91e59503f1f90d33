package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumed returns how many offsets of a topic a group has committed, from 0 on, and
// the partitions of which it has not reached the end, with both offsets.
func (e *environment) consumed(ctx context.Context, group, topic string) (int64, map[int32]span, error) {
	ends, err := e.adm.ListEndOffsets(ctx, topic) // the high watermark: open transactions included
	if err != nil {
		return 0, nil, err
	}
	commits, err := e.adm.FetchOffsets(ctx, group)
	if err != nil && !kerr.IsRetriable(err) { // the coordinator's topic is made when the first group asks
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

// fewMarkers is how many offsets are looked at to find that they are all markers.
const fewMarkers = 64

// done tells whether a group has read all records of a topic. Offsets behind its own
// may be the markers that end transactions: whoever reads only these has nothing to
// commit.
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

// hop is a group that reads a topic. The hops of a pipeline come in the order of an
// event's way: the first reads the input.
type hop struct{ group, topic string }

// through returns how far the first of some hops is, and whether all have done their
// work. Each is asked only when the one before has finished: what that one wrote is
// then complete.
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
