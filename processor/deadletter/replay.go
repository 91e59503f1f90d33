package deadletter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// Destination is a sink that takes letters again.
type Destination struct {
	Sink  sink.Sink
	Batch sink.Batch
	Retry sink.Retry
}

// Replay puts letters back. Set its fields, then Run it once.
type Replay struct {
	Box
	Filter Filter
	Raw    string // the topic of raw input
	// TransactionalID is that of all replays of the installation, and the name of their
	// consumer group: while one of them puts letters back, a second one refuses to.
	TransactionalID string
	Resource        []otellog.Attr // what each record gets on its way to a sink
	// Open opens the sink with the identifier that a letter names. Run closes it.
	Open func(identifier string) (Destination, error)
	// Refused receives each letter that its sink refuses again, with the sink's words.
	Refused func(l *Letter, reason sink.Reason, why error)
	Log     *slog.Logger

	apply   bool
	client  *kgo.Client
	totals  map[string]*Total
	order   []*Total
	pending []*Letter
	bytes   int
	open    map[string]*receiver
}

// Total counts the letters with one target.
type Total struct {
	// Sink is the identifier of the sink to which the letters go, and Topic the topic; both
	// are "" of letters that cannot be put back.
	Sink, Topic string
	Why         string // the reason why they cannot be put back
	Letters     int
	Put         int // they were put back
	Refused     int // the sink refused them again
}

// The bounds of the letters that are put back in one step.
const (
	stepLetters = 500
	stepBytes   = 8 << 20
)

// patience is how long a sink may take no records before the replay ends.
const patience = time.Minute

// Run puts back the open letters that the filter selects, or only counts them if apply is
// false. After an error, the counts hold what was done until then.
func (r *Replay) Run(ctx context.Context, apply bool) (totals []*Total, err error) {
	r.apply, r.totals, r.open, r.Filter.Open = apply, map[string]*Total{}, map[string]*receiver{}, true
	if apply {
		leave, err := r.alone(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
		r.client, err = kgo.NewClient(append(r.Kafka.Options(), kgo.TransactionalID(r.TransactionalID),
			kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(r.partitioner)))...)
		if err != nil {
			return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
		}
		defer r.client.Close()
	}
	defer func() {
		for name, to := range r.open {
			if closed := to.Sink.Close(); closed != nil {
				err = errors.Join(err, fmt.Errorf("cannot close sink %q: %w", name, closed))
			}
		}
	}()
	err = r.Each(ctx, r.Filter, func(l *Letter) error {
		total := r.total(l)
		total.Letters++
		if !apply || total.Why != "" {
			return nil
		}
		r.pending = append(r.pending, l)
		if r.bytes += len(l.Raw); len(r.pending) < stepLetters && r.bytes < stepBytes {
			return nil
		}
		return r.step(ctx)
	})
	if err == nil && len(r.pending) > 0 {
		err = r.step(ctx)
	}
	return r.order, err
}

// total returns the counts of the letters that go where l goes.
func (r *Replay) total(l *Letter) *Total {
	t := Total{}
	switch {
	case l.Cut:
		t.Why = "only the beginning of their bytes is kept"
	case len(l.Raw) == 0:
		t.Why = "they hold no bytes"
	case l.Stage == "forward" && l.Sink == "":
		t.Why = "they do not name their sink"
	case l.Stage == "forward":
		t.Sink = l.Sink
	case l.Stage == "normalize", l.Stage == "publish", l.Stage == "in_kms", l.Stage == "out_kms":
		t.Topic = r.Raw
	default:
		t.Why = "stage " + l.Stage + " has read them, and would refuse them again"
	}
	name := cmp.Or(t.Why, "sink "+t.Sink+" topic "+t.Topic)
	if r.totals[name] == nil {
		r.totals[name] = &t
		r.order = append(r.order, &t)
	}
	return r.totals[name]
}

// step puts back the letters that wait, target by target.
func (r *Replay) step(ctx context.Context) error {
	for _, t := range r.order {
		var list []*Letter
		for _, l := range r.pending {
			if t.Why == "" && r.total(l) == t {
				list = append(list, l)
			}
		}
		if len(list) == 0 {
			continue
		}
		var input []*kgo.Record
		var err error
		if t.Topic != "" {
			for _, l := range list {
				input = append(input, &kgo.Record{Topic: t.Topic, Value: l.Raw})
			}
		} else {
			all := len(list)
			list, err = r.deliver(ctx, t.Sink, list)
			if err != nil {
				return err
			}
			t.Refused += all - len(list)
		}
		if err := r.mark(ctx, input, list); err != nil {
			return fmt.Errorf("cannot mark %d dead letters as put back; a sink may get them again: %w", len(list), err)
		}
		t.Put += len(list)
	}
	r.pending, r.bytes = nil, 0
	return nil
}

// partitioner lets a marker choose its partition, and spreads input.
func (r *Replay) partitioner(topic string) func(*kgo.Record, int) int {
	if topic == r.Topic {
		return func(rec *kgo.Record, _ int) int { return int(rec.Partition) }
	}
	return func(_ *kgo.Record, n int) int { return rand.IntN(n) }
}

// markers returns the markers of letters: one per partition, in that partition. So Kafka
// deletes a marker after the letters that it names, whatever bounds the topic.
func (r *Replay) markers(done []*Letter) (list []*kgo.Record) {
	places := map[int32][]Place{}
	for _, l := range done {
		places[l.At.Partition] = append(places[l.At.Partition], l.At)
	}
	for partition, some := range places {
		marker := &kgo.Record{Topic: r.Topic, Partition: partition, Value: []byte(ranges(some))}
		d := wire.DeadLetter{Stage: wire.StageReplayed, Reason: "replayed",
			Detail: fmt.Sprintf("%d dead letters were put back; the value names them", len(some))}
		for _, h := range d.Headers() {
			marker.Headers = append(marker.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		list = append(list, marker)
	}
	return list
}

// mark writes the input and the markers of letters in one transaction.
func (r *Replay) mark(ctx context.Context, input []*kgo.Record, done []*Letter) error {
	if len(done) == 0 {
		return nil
	}
	if err := r.client.BeginTransaction(); err != nil {
		return err
	}
	if err := r.client.ProduceSync(ctx, append(input, r.markers(done)...)...).FirstErr(); err != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return errors.Join(err, r.client.EndTransaction(end, kgo.TryAbort))
	}
	return r.client.EndTransaction(ctx, kgo.TryCommit)
}

// receiver is an open sink.
type receiver struct {
	Destination
	*sink.Runner
	refused map[*Letter]bool
	stop    context.CancelCauseFunc // ends the delivery
}

// deliver delivers letters to a sink, and returns those that it took. It ends with an error
// if the sink is paused, or fails for longer than patience.
func (r *Replay) deliver(ctx context.Context, name string, list []*Letter) (taken []*Letter, err error) {
	to := r.open[name]
	if to == nil {
		if to, err = r.receiver(name); err != nil {
			return nil, err
		}
		r.open[name] = to
	}
	batch := make([]sink.Record, len(list))
	for i, l := range list {
		batch[i] = r.record(to, l)
	}
	ctx, to.stop = context.WithCancelCause(ctx)
	defer to.stop(nil)
	for len(batch) > 0 {
		n := len(batch)
		if _, ok := to.Sink.(sink.Planned); ok {
			n = ofOne(batch)
		}
		if err := to.Deliver(ctx, batch[:n]); err != nil {
			return nil, cmp.Or(context.Cause(ctx), err)
		}
		batch = batch[n:]
	}
	for _, l := range list {
		if !to.refused[l] {
			taken = append(taken, l)
		}
	}
	clear(to.refused)
	return taken, nil
}

// ofOne sorts the records by their places, and returns how many are of the first partition:
// a sink.Planned takes them in order, and of one partition at a time.
func ofOne(batch []sink.Record) (n int) {
	lane := func(a, b sink.Record) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	}
	slices.SortStableFunc(batch, func(a, b sink.Record) int {
		return cmp.Or(lane(a, b), cmp.Compare(a.Offset, b.Offset))
	})
	for n < len(batch) && lane(batch[0], batch[n]) == 0 {
		n++
	}
	return n
}

// receiver opens a sink.
func (r *Replay) receiver(name string) (*receiver, error) {
	d, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	to := &receiver{Destination: d, refused: map[*Letter]bool{}, stop: func(error) {}}
	to.Runner, err = sink.NewRunner(sink.Options{
		Name: name, Sink: d.Sink, Batch: d.Batch, Retry: d.Retry, Log: r.Log,
		DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, why error) error {
			l := rec.Ref.(*Letter)
			to.refused[l] = true
			r.Refused(l, reason, why)
			return nil
		},
		Watch: func(s sink.Status) {
			if s.State == sink.StatePaused || s.State == sink.StateFailing && time.Since(s.Since) > patience {
				to.stop(fmt.Errorf("sink %q takes no records: %w", name, s.Err))
			}
		},
	})
	if err != nil {
		return nil, errors.Join(err, d.Sink.Close())
	}
	return to, nil
}

// record returns a letter as its sink got the record before, except for its place where that
// would lose it. A sink.Positioned takes a record below its position for written, and letters
// are not in order. A sink.Planned would replace the object of another letter with this
// place, if the topic was deleted and made again.
func (r *Replay) record(to *receiver, l *Letter) sink.Record {
	rec := sink.Record{Value: l.Raw, Key: l.Key, Topic: l.Object, Offset: l.DeadLetter.Offset, Ref: l}
	if topic, partition, err := l.Origin(); err == nil {
		rec.Topic, rec.Partition = topic, partition
	}
	switch to.Sink.(type) {
	case sink.Positioned:
		rec.Topic, rec.Partition = "", 0
	case sink.Planned:
		sum := sha256.Sum256([]byte(l.At.String()))
		rec.TopicID = [16]byte(sum[:16])
	}
	var read otellog.Record
	if read.Decode(l.Raw) == nil {
		rec.EventName = read.EventName
	}
	if len(r.Resource) > 0 {
		rec.Value = otellog.AppendWithResource(nil, l.Raw, otellog.EncodeResource(r.Resource))
	}
	return rec
}
