package stream

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/read"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// normalizer is stage normalize: kms.raw, where other shippers put CloudTrail
// JSON in any envelope, to kms.events. It has no state.
//
// A compressed message of 1 MB can hold millions of records. What comes of one message is
// therefore bounded, and a message above the bounds is refused as a whole: it commits with
// its offset, in one transaction, which may take 20 seconds. What comes of several is
// written early, and the transaction ends: no more than one message's records are held,
// and those of mostHeld.
type normalizer struct {
	p      *Pipeline
	in     *read.Records
	counts read.Counts // of this transaction
	out    []*kgo.Record
	stats  tally

	held    int64 // bytes of out
	one     int64 // of them, of the message at hand
	first   int   // where those of the message at hand begin in out
	written bool  // some of this transaction are
	heavy   int64 // what came of a message lately, in bytes: see room
}

// mostHeld is how many bytes of log records are held before they are written: with those
// of one more message and the client's own 32 MiB, less than 200 MB.
const mostHeld = 16 << 20

// overhead is what a Kafka record takes besides its value.
const overhead = 300

// errMessage says that a message holds more than the bounds.
var errMessage = errors.New("too much in one message")

func newNormalizer(p *Pipeline) *normalizer {
	n := &normalizer{p: p, heavy: mostHeld / 16}
	n.in = read.NewRecords(read.Config{
		Options: p.Read, Encoded: true, Counts: &n.counts, Record: n.publish, Dead: n.dead, Now: time.Now,
	})
	return n
}

func (n *normalizer) Assign(context.Context, []int32) error { return nil }

func (n *normalizer) Revoke([]int32) { n.drop() }

// drop forgets the transaction.
func (n *normalizer) drop() {
	n.out, n.stats, n.counts = nil, tally{}, read.Counts{}
	n.held, n.one, n.first, n.written = 0, 0, 0, false
}

// Lag is not needed: this stage has no watermark.
func (n *normalizer) Lag(map[int32]int64) {}

// expired is Transact.Expired.
func (n *normalizer) expired(_ int32, from, to int64) { n.stats.expired += int(to - from) }

func (n *normalizer) Process(r *kgo.Record) error {
	received, delivered, filtered, dead, reasons := n.counts.Received.Load(), n.counts.Delivered.Load(), n.counts.Filtered.Load(), n.counts.Dead.Load(), maps.Clone(n.stats.reasons)
	n.one, n.first = 0, len(n.out)
	err := n.in.Bytes(context.Background(), r.Value, fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset))
	n.heavy = max(n.one, n.heavy-n.heavy/8)
	if !errors.Is(err, errMessage) {
		return err
	}
	n.counts.Received.Store(received + 1)
	n.counts.Delivered.Store(delivered)
	n.counts.Filtered.Store(filtered)
	n.counts.Dead.Store(dead + 1)
	n.stats.reasons = reasons
	clear(n.out[n.first:])
	n.out, n.held = n.out[:n.first], n.held-n.one
	n.refuse(r)
	return nil
}

// refuse puts a message into the dead letter as a whole. One that the producer's batch had
// compressed, and that is larger than a dead letter may be, is compressed in it.
func (n *normalizer) refuse(r *kgo.Record) {
	most, bytes := n.bounds()
	letter := wire.DeadLetter{
		Stage: "normalize", Reason: string(decoding.ReasonRecords), Raw: r.Value, Object: fmt.Sprintf("%s/%d", r.Topic, r.Partition), Offset: r.Offset,
		Time: time.Now().UnixNano(),
		Detail: fmt.Sprintf("more than %d log records, or %d bytes of them, come of this one message: none of them was taken; "+
			"put its records into several messages, or raise decode.message_records or decode.message_bytes, and publish it again", most, bytes),
	}
	if len(r.Value) > wire.MaxValueBytes {
		if packed := compressed(r.Value); len(packed) <= wire.MaxValueBytes {
			letter.Raw, letter.Detail = packed, letter.Detail+"; the message is compressed here with gzip"
		}
	}
	n.stats.dead(letter.Reason)
	n.add(n.p.letter(&letter))
}

func compressed(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b) // to memory: it does not fail
	z.Close()
	return out.Bytes()
}

// bounds returns those of one message.
func (n *normalizer) bounds() (records int, bytes int64) {
	return cmp.Or(n.p.MessageRecords, wire.DefaultMessageRecords), cmp.Or(n.p.MessageBytes, wire.DefaultMessageBytes)
}

// add keeps a Kafka record to be written.
func (n *normalizer) add(r *kgo.Record) {
	size := int64(len(r.Value)) + overhead
	n.out, n.held, n.one = append(n.out, r), n.held+size, n.one+size
}

// keep is add for what comes of a message, within its bounds.
func (n *normalizer) keep(r *kgo.Record) error {
	n.add(r)
	if records, bytes := n.bounds(); len(n.out)-n.first > records || n.one > bytes {
		return errMessage
	}
	return nil
}

// flush writes what is held once it is much.
func (n *normalizer) flush(emit func(*kgo.Record)) {
	if n.held < mostHeld {
		return
	}
	n.written = true
	n.emit(emit)
}

func (n *normalizer) emit(emit func(*kgo.Record)) {
	for i, r := range n.out {
		emit(r)
		n.out[i] = nil
	}
	n.out, n.held = n.out[:0], 0
}

// room is how many messages to read next, so that not much more than mostHeld comes of
// them when they are as those before. Once some are written the transaction ends.
func (n *normalizer) room() int {
	if n.written || n.held >= mostHeld {
		return 0
	}
	return int(max(1, (mostHeld-n.held)/max(n.heavy, 1)))
}

// dead takes a record that is not published.
func (n *normalizer) dead(_ context.Context, bad *decoding.BadRecord) error {
	letter := wire.FromBadRecord("normalize", bad, time.Now())
	n.stats.dead(letter.Reason)
	return n.keep(n.p.letter(&letter))
}

// publish writes a log record to kms.events. One that Kafka would refuse for its
// size goes to the dead letter instead.
func (n *normalizer) publish(_ context.Context, from *decoding.Origin, rec *otellog.Record) error {
	value := otellog.AppendRequest(nil, rec)
	if len(value) > wire.MaxValueBytes {
		return tooBig(from, len(value))
	}
	key := wire.CallKey(rec)
	return n.keep(&kgo.Record{
		Topic: n.p.Topics.Events, Partition: kafka.KeyPartition(key, n.p.Partitions[n.p.Topics.Events]), Key: key,
		Value: value, Headers: []kgo.RecordHeader{{Key: wire.HeaderEvent, Value: []byte(rec.EventName)}},
	})
}

func tooBig(from *decoding.Origin, n int) error {
	return from.Bad(decoding.ReasonRecordSize, fmt.Sprintf("its log record has %d bytes, and Kafka takes %d", n, wire.MaxValueBytes))
}

func (n *normalizer) Output(_ time.Time, emit func(*kgo.Record)) (more bool, err error) {
	n.emit(emit)
	return false, nil
}

func (n *normalizer) Committed(ok bool) {
	n.stats.received, n.stats.delivered, n.stats.filtered = int(n.counts.Received.Load()), int(n.counts.Delivered.Load()), n.counts.Why()
	n.stats.commit(n.p, "normalize", ok)
	n.drop()
}
