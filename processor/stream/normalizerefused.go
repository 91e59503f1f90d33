package stream

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/schemas/wire"
)

// kafkaRefusals are what stage normalize knows of records that Kafka refuses for their own sake.
// After such a refusal the transaction was aborted, and its messages come again: one per
// transaction, with batches of one record. A refusal then names its record, which
// goes to the dead letter when its message comes once more.
type kafkaRefusals struct {
	upTo map[int32]int64       // the offsets, by partition, before which messages come alone
	seen map[int32]int64       // the offsets behind the messages of this transaction
	last map[int32]int64       // those of the last aborted one
	sent []*kgo.Record         // what the message that comes alone has written
	bad  map[madeOutput]string // why Kafka refuses a record
	// size is the smallest known size of log records that are too large for their topic; 0
	// for none. Larger ones are not tried.
	size int
	most int // the bytes that a dead letter may keep; 0: no further bound
	why  string
}

// madeOutput is a record that a message of a partition makes: the number from 0.
type madeOutput struct {
	partition int32
	offset    int64
	number    int
}

// careful reports whether messages come one by one.
func (n *normalizer) careful() bool {
	for p := range n.owned {
		if _, ok := n.refusals.upTo[p]; ok {
			return true
		}
	}
	return false
}

// begins notes that a message is processed.
func (n *normalizer) begins(r *kgo.Record) {
	f := &n.refusals
	if f.seen == nil {
		f.seen, f.sent = map[int32]int64{}, nil
	}
	f.seen[r.Partition] = r.Offset + 1
	n.at = madeOutput{r.Partition, r.Offset, 0}
}

// refusedBefore says why Kafka refuses the log record that the message makes next; "" for one
// that may be tried.
func (n *normalizer) refusedBefore(r *kgo.Record) string {
	f := &n.refusals
	if why, ok := f.bad[n.at]; ok {
		return why
	}
	if f.size > 0 && len(r.Value) >= f.size {
		return f.why
	}
	return ""
}

// letter returns a dead letter that its topic takes, as far as that is known.
func (n *normalizer) letter(d *wire.DeadLetter) *kgo.Record {
	if most := n.refusals.most; most > 0 && len(d.Raw) > most {
		d.Raw, d.Cut = d.Raw[:most], true
	}
	return n.p.letter(d)
}

// refused is Transact.Refused.
func (n *normalizer) refused(r *kgo.Record, err error) {
	f := &n.refusals
	if !n.careful() {
		f.upTo = f.last // the record may be another one of the batch
		return
	}
	why := fmt.Sprintf("Kafka refused its log record of %d bytes for the topic %q: %v; change the topic's settings "+
		"(max.message.bytes), and replay this letter", len(r.Value), r.Topic, err)
	switch i := slices.Index(f.sent, r); {
	case i < 0:
	case r.Topic == n.p.Topics.DeadLetter:
		f.most = max(1, len(r.Value)/2)
	case kafka.RefusedAsTooLarge(err) && (f.size == 0 || len(r.Value) < f.size):
		f.size, f.why = len(r.Value), why
	default:
		for partition, end := range f.last { // of one message
			if f.bad == nil {
				f.bad = map[madeOutput]string{}
			}
			f.bad[madeOutput{partition, end - 1, i}] = why
		}
	}
}

// ended notes the end of a transaction. Once all messages of the aborted one are behind, the
// stage forgets what it has learned: the topic may take such records later.
func (f *kafkaRefusals) ended(ok bool) {
	if !ok {
		f.last, f.seen = f.seen, nil
		return
	}
	for p, end := range f.seen {
		if to, waits := f.upTo[p]; waits && end >= to {
			delete(f.upTo, p)
		}
	}
	f.seen = nil
	if len(f.upTo) == 0 && f.last != nil {
		*f = kafkaRefusals{}
	}
}
