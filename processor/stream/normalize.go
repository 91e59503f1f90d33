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

	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/processor/read"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// normalizer is stage normalize: kms.raw, where third-party shippers put CloudTrail JSON
// in any envelope, to kms.events. It is stateless.
//
// A compressed message of 1 MB can contain millions of records. So the output of one
// message is bounded, and a message above the bounds is refused as a whole: it commits
// with its offset, in one transaction, within 20 seconds. The output of several messages
// is written early, and the transaction ends: the stage holds at most one message's
// records and mostHeld bytes.
type normalizer struct {
	p      *Pipeline
	in     *read.Records
	counts read.Counts // of this transaction
	out    []*kgo.Record
	stats  tally
	owned  map[int32]int64 // the partitions; they have no watermark
	delays []delayed       // of the transaction

	held     int64 // bytes of out
	one      int64 // number of those from the current message
	first    int   // index in out of the first of those
	written  bool  // part of this transaction is written
	refusals kafkaRefusals
	at       madeOutput // what the message makes next

	heavy int64 // a recent message's output in bytes: see room
}

// mostHeld is the size in bytes at which held log records are written: with one more
// message and the client's 32 MiB, less than 200 MB.
const mostHeld = 16 << 20

// overhead is the size of a Kafka record without its value.
const overhead = 300

// errMessage means that a message exceeds the bounds.
var errMessage = errors.New("message is too large")

func newNormalizer(p *Pipeline) *normalizer {
	n := &normalizer{p: p, heavy: mostHeld / 16, owned: map[int32]int64{}}
	options := p.Read
	options.Encoded = true
	n.in = read.NewRecords(read.Config{
		Options: options, Counts: &n.counts, Record: n.publish, Dead: n.dead, Now: time.Now,
	})
	return n
}

func (n *normalizer) Assign(_ context.Context, partitions []int32) error {
	for _, p := range partitions {
		n.owned[p] = eventtime.None
	}
	n.p.owns("normalize", n.p.Topics.Raw, n.owned)
	return nil
}

func (n *normalizer) Revoke(partitions []int32) {
	for _, p := range partitions {
		delete(n.owned, p)
	}
	n.p.owns("normalize", n.p.Topics.Raw, n.owned)
	n.drop()
}

// drop forgets the transaction.
func (n *normalizer) drop() {
	n.out, n.stats, n.counts = nil, tally{}, read.Counts{}
	n.held, n.one, n.first, n.written = 0, 0, 0, false
}

// Lag is unused: this stage has no watermark.
func (n *normalizer) Lag(map[int32]int64) {}

// expired is Transact.Expired.
func (n *normalizer) expired(_ int32, from, to int64) { n.stats.expired += int(to - from) }

func (n *normalizer) Process(r *kgo.Record) error {
	received, delivered, filtered, dead, reasons := n.counts.Received.Load(), n.counts.Delivered.Load(),
		n.counts.Filtered.Load(), n.counts.Dead.Load(), maps.Clone(n.stats.reasons)
	n.one, n.first = 0, len(n.out)
	n.begins(r)
	err := n.in.Bytes(context.Background(), r.Value, fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset))
	n.heavy = max(n.one, n.heavy-n.heavy/8)
	if !errors.Is(err, errMessage) {
		n.delays = append(n.delays, delayed{r.Timestamp, int(n.counts.Delivered.Load() - delivered)})
		return err
	}
	n.counts.Received.Store(received + 1)
	n.counts.Delivered.Store(delivered)
	n.counts.Filtered.Store(filtered)
	n.counts.Dead.Store(dead + 1)
	n.stats.reasons = reasons
	clear(n.out[n.first:])
	n.out, n.held = n.out[:n.first], n.held-n.one
	n.at.number = 0
	n.refuse(r)
	return nil
}

// refuse sends a whole message to the dead letter topic. It compresses one that was
// compressed in the producer's batch and is larger than a dead letter may be.
func (n *normalizer) refuse(r *kgo.Record) {
	most, bytes := n.bounds()
	letter := wire.DeadLetter{
		Stage: "normalize", Reason: string(decoding.ReasonRecords), Raw: r.Value,
		Object: fmt.Sprintf("%s/%d", r.Topic, r.Partition), Offset: r.Offset,
		Time: time.Now().UnixNano(),
		Detail: fmt.Sprintf("this message contains more than %d log records, or %d bytes of them: it is refused as a whole; "+
			"split it into several messages, or raise decode.message_records or decode.message_bytes, and publish it again", most, bytes),
	}
	if len(r.Value) > wire.MaxValueBytes {
		if packed := compressed(r.Value); len(packed) <= wire.MaxValueBytes {
			letter.Raw, letter.Detail = packed, letter.Detail+"; this dead letter has it compressed with gzip"
		}
	}
	n.stats.dead(letter.Reason)
	n.add(n.letter(&letter))
}

func compressed(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b) // writing to memory does not fail
	z.Close()
	return out.Bytes()
}

// bounds returns the bounds of one message.
func (n *normalizer) bounds() (records int, bytes int64) {
	return cmp.Or(n.p.MessageRecords, wire.DefaultMessageRecords), cmp.Or(n.p.MessageBytes, wire.DefaultMessageBytes)
}

// add keeps a Kafka record to be written.
func (n *normalizer) add(r *kgo.Record) {
	n.at.number++
	size := int64(len(r.Value)) + overhead
	n.out, n.held, n.one = append(n.out, r), n.held+size, n.one+size
}

// keep is add for a message's output, within its bounds.
func (n *normalizer) keep(r *kgo.Record) error {
	n.add(r)
	if records, bytes := n.bounds(); len(n.out)-n.first > records || n.one > bytes {
		return errMessage
	}
	return nil
}

// flush writes the held records once they reach mostHeld.
func (n *normalizer) flush(emit func(*kgo.Record)) {
	if n.held < mostHeld {
		return
	}
	n.written = true
	n.emit(emit)
}

func (n *normalizer) emit(emit func(*kgo.Record)) {
	if n.careful() {
		n.refusals.sent = append(n.refusals.sent, n.out...)
	}
	for i, r := range n.out {
		emit(r)
		n.out[i] = nil
	}
	n.out, n.held = n.out[:0], 0
}

// room returns how many messages to read next, so that their output does not exceed mostHeld by
// much if they are like the recent ones. Once part is written the transaction ends.
func (n *normalizer) room() int {
	if n.written || n.held >= mostHeld {
		return 0
	}
	if n.careful() {
		return max(0, 1-len(n.refusals.seen))
	}
	return int(max(1, (mostHeld-n.held)/max(n.heavy, 1)))
}

// dead handles a record that is not published.
func (n *normalizer) dead(_ context.Context, bad *decoding.BadRecord) error {
	letter := wire.FromBadRecord("normalize", bad, time.Now())
	n.stats.dead(letter.Reason)
	return n.keep(n.letter(&letter))
}

// publish writes a log record to kms.events, or a dead letter if the record exceeds
// Kafka's limit.
func (n *normalizer) publish(_ context.Context, from *decoding.Origin, rec *otellog.Record) error {
	r, err := eventRecord(n.p.Topics.Events, from, rec)
	if err != nil {
		return err
	}
	if why := n.refusedBefore(r); why != "" {
		return from.Bad(reasonRefused, why)
	}
	r.Partition = kafka.KeyPartition(r.Key, n.p.Partitions[r.Topic])
	return n.keep(r)
}

func tooBig(from *decoding.Origin, n int) error {
	return from.Bad(decoding.ReasonRecordSize, fmt.Sprintf("its log record has %d bytes, more than Kafka's limit of %d",
		n, wire.MaxValueBytes))
}

func (n *normalizer) Output(_ time.Time, emit func(*kgo.Record)) (more bool, err error) {
	n.emit(emit)
	return false, nil
}

func (n *normalizer) Committed(ok bool) {
	n.stats.received, n.stats.delivered, n.stats.filtered = int(n.counts.Received.Load()),
		int(n.counts.Delivered.Load()), n.counts.Why()
	n.stats.commit(n.p, "normalize", ok)
	if ok {
		recordAll(n.p.rawDelay, n.delays, time.Now())
	}
	n.delays = n.delays[:0]
	n.refusals.ended(ok)
	n.drop()
}
