package stream

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/sink"
)

// This file stores the boundaries of the batches of a sink.Planned.

// planMark follows the start in the metadata of an offset, with the end of the batch that is
// on its way.
const planMark = " keytrail-until="

// metadata returns that of an offset to be committed; with the lock held.
func (f *forwarder) metadata(topic string, partition int32, at int64) string {
	if until := f.plans[topic][partition]; until > at {
		return f.starts[topic] + planMark + strconv.FormatInt(until, 10)
	}
	return f.starts[topic]
}

// planned returns the end of the batch that a group's offset says is on its way, 0 for none.
func planned(one kadm.OffsetResponse) int64 {
	_, text, _ := strings.Cut(one.Metadata, planMark)
	until, err := strconv.ParseInt(text, 10, 64)
	if err != nil || until <= one.At {
		return 0
	}
	return until
}

// resume has the first batches of a sink.Planned end where former owners have begun theirs.
func (f *forwarder) resume(topic string, partitions map[int32]kgo.Offset, stored map[int32]kadm.OffsetResponse) {
	if _, ok := f.d.Sink.(sink.Planned); !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range partitions {
		if until := planned(stored[p]); until > 0 {
			set(f.plans, topic, p, until)
			f.chain.Resume(topic, p, until)
		}
	}
}

// plan stores the end of a batch with the group's offset before the sink gets the batch. It
// holds the lock that a revocation needs to end. So a plan is stored while the partition is
// the process's own, or not at all.
func (f *forwarder) plan(ctx context.Context, p sink.Plan) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !p.Live() {
		return errors.New("the partition is another process's by now")
	}
	set(f.plans, p.Topic, p.Partition, p.Until)
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := f.store(within, map[string]map[int32]int64{p.Topic: {p.Partition: p.At}}); err != nil {
		delete(f.plans[p.Topic], p.Partition)
		return err
	}
	return nil
}
