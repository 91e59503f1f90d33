package stream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/normalize"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// normalizer is stage normalize: kms.raw, where other shippers put CloudTrail
// JSON in any envelope, to kms.events. It has no state.
type normalizer struct {
	p     *Pipeline
	in    *cloudtrail.Reader
	norm  *normalize.Normalizer
	ev    cloudtrail.Event
	rec   otellog.Record
	out   []*kgo.Record
	stats tally
}

// direct is how records are made that are only encoded.
func direct(o normalize.Options) normalize.Options {
	o.Direct = true
	return o
}

func (n *normalizer) Assign(context.Context, []int32) error { return nil }

func (n *normalizer) Revoke([]int32) { n.out, n.stats = nil, tally{} }

func (n *normalizer) Lag(behind map[int32]int64) { n.p.lag("normalize", behind) }

func (n *normalizer) Process(r *kgo.Record) error {
	name := fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)
	in := n.in
	in.Reset(bytes.NewReader(r.Value), name)
	for {
		err := in.Next(&n.ev)
		if err == io.EOF {
			n.stats.received += in.NotEvents
			n.stats.filtered += in.NotEvents
			return nil
		}
		n.stats.received++
		ok := false
		if err == nil {
			ok, err = n.norm.Record(&n.ev, time.Now().UnixNano(), &n.rec)
		}
		switch {
		case err != nil:
			letter := wire.FromBadRecord("normalize", err, time.Now())
			n.stats.dead(letter.Reason)
			n.out = append(n.out, n.p.letter(&letter))
		case !ok:
			n.stats.filtered++
		default:
			n.publish()
		}
	}
}

// publish writes the log record in n.rec to kms.events. One that Kafka would
// refuse for its size goes to the dead letter instead.
func (n *normalizer) publish() {
	value := otellog.AppendRequest(nil, &n.rec)
	if len(value) > wire.MaxValueBytes {
		letter := wire.FromBadRecord("normalize", tooBig(&n.ev, len(value)), time.Now())
		n.stats.dead(letter.Reason)
		n.out = append(n.out, n.p.letter(&letter))
		return
	}
	n.stats.delivered++
	key := wire.CallKey(&n.rec)
	n.out = append(n.out, &kgo.Record{
		Topic: n.p.Topics.Events, Partition: kafka.KeyPartition(key, n.p.Partitions[n.p.Topics.Events]), Key: key,
		Value: value, Headers: []kgo.RecordHeader{{Key: wire.HeaderEvent, Value: []byte(n.rec.EventName)}},
	})
}

func tooBig(ev *cloudtrail.Event, n int) error {
	return &cloudtrail.BadRecord{
		Object: ev.Object, Index: ev.Index, Offset: ev.Offset, Reason: cloudtrail.ReasonRecordSize, Raw: ev.Raw,
		Detail: fmt.Sprintf("its log record has %d bytes, and Kafka takes %d", n, wire.MaxValueBytes),
	}
}

func (n *normalizer) Output(_ time.Time, emit func(*kgo.Record)) (more bool, err error) {
	for _, r := range n.out {
		emit(r)
	}
	n.out = nil
	return false, nil
}

func (n *normalizer) Committed(ok bool) {
	n.out = nil
	n.stats.commit(n.p, "normalize", ok)
}
