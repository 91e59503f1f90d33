package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/lograte"
	"keytrail/processor/sink"
	"keytrail/processor/sink/filter"
	"keytrail/processor/telemetry"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// forwarder is stage forward for one sink: a consumer group of its own over the topics that
// the sink takes. One goroutine reads and commits, and the sink.Chain delivers. A
// partition's offset is committed up to the first record that neither the sink nor the dead
// letter has taken: at least once. When the sink is down the chain fills, the group stops
// reading, and Kafka keeps the records.
type forwarder struct {
	p     *Pipeline
	d     Destination
	part  *part
	began beginning
	// seedEnd is detect.seed_until in ns since 1970; 0 for none.
	seedEnd int64
	client  *kgo.Client
	chain   *sink.Chain
	filter  *filter.Filter
	flow    *telemetry.Flow
	rec     otellog.Record
	letter  *lograte.Letters

	// mu guards what follows. It is held during commits: an older one never comes last.
	mu        sync.Mutex
	next      map[string]map[int32]int64 // where each partition is read on, as far as it is known
	committed map[string]map[int32]int64
	starts    map[string]string          // of each topic, the time from which the sink reads it; see begin
	plans     map[string]map[int32]int64 // of a sink.Planned, the end of the batch that is on its way; see plan
	topics    map[string]sink.Topic
}

// forwardPoll bounds the records of one poll. The chain says when to stop polling.
const forwardPoll = 1000

// forwardEvery is how long a poll waits for records: deliveries are committed in between.
const forwardEvery = 250 * time.Millisecond

func (p *Pipeline) forward(ctx context.Context, d Destination, began beginning) error {
	f := &forwarder{p: p, d: d, began: began, seedEnd: p.Window.Detect.SeedEnd(), part: p.partOf("forward", d.Name),
		filter: filter.New(d.Filter),
		flow:   p.Telemetry.Flow("forward", d.Name), next: map[string]map[int32]int64{},
		committed: map[string]map[int32]int64{}, starts: map[string]string{},
		plans: map[string]map[int32]int64{}, topics: map[string]sink.Topic{},
		letter: lograte.NewLetters(lograte.ToLog(p.Log.With("stage", "forward", "sink", d.Name)))}
	if d.Ends {
		f.filter.AdmitEnds()
	}
	defer f.letter.Flush()
	topics := d.topics(p.Topics)
	if len(topics) == 0 {
		<-ctx.Done()
		return nil
	}
	observed := p.Telemetry.Sink(d.Name)
	var err error
	var plan func(context.Context, sink.Plan) error
	if _, ok := d.Sink.(sink.Planned); ok {
		plan = f.plan
	}
	f.chain, err = sink.NewChain(sink.Options{
		Name: d.Name, Sink: d.Sink, Batch: d.Batch, Retry: d.Retry, InFlight: d.InFlight,
		DeadLetter: f.deadLetter, Log: p.Log, Attempt: f.attempt(observed.Attempt), Watch: f.part.tell,
		Expires: f.expires, Plan: plan,
		Observe: func(o sink.Outcome, reason sink.Reason, n int) {
			switch o {
			case sink.OutcomeDelivered:
				observed.Delivered(n)
				f.flow.Received(n)
				f.flow.Delivered(n)
			case sink.OutcomeDuplicate:
				f.flow.Duplicate(n)
			case sink.OutcomeRetried:
				observed.Retried(n)
			case sink.OutcomeRejected:
				observed.Rejected(string(reason), n)
			case sink.OutcomeDeadLettered:
				f.flow.Received(n)
				f.flow.DeadLettered(string(reason), n)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("sink %q: %w", d.Name, err)
	}
	made := make(chan struct{}) // the callbacks need the client
	f.client, err = kgo.NewClient(append(append(p.Kafka.Options(), p.Kafka.Member(f.part.group)...),
		kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(),
		// Offsets are committed behind the markers of transactions as well: what is not
		// committed is what waits.
		kgo.KeepControlRecords(),
		// A partition is not revoked between the poll that returns its records and the
		// moment when the chain has them.
		kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(func(ctx context.Context, o offsets) (offsets, error) {
			<-made
			err := f.begin(ctx, o)
			if err != nil && ctx.Err() == nil { // the client tries again
				p.Kafka.Trouble.Failed("a sink cannot begin", err)
			}
			return o, err
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, list map[string][]int32) {
			f.revoked(ctx, list, true)
		}),
		kgo.OnPartitionsLost(func(ctx context.Context, _ *kgo.Client, list map[string][]int32) {
			f.revoked(ctx, list, false)
		}),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return fmt.Errorf("sink %q: cannot make a Kafka client: %w", d.Name, err)
	}
	close(made)
	f.part.state.Oldest(f.oldest)
	defer f.client.CloseAllowingRebalance()
	f.part.health.Clear(telemetry.Starting)
	return f.run(ctx)
}

// topics are those that a sink takes something of.
func (d *Destination) topics(t wire.Topics) []string {
	var list []string
	if d.Events {
		list = append(list, t.Events)
	}
	if d.Windows != WindowsNone {
		list = append(list, t.Windows)
	}
	if d.Anomalies {
		list = append(list, t.Anomalies)
	}
	if d.Incidents {
		list = append(list, t.Incidents)
	}
	return list
}

// run reads and delivers until ctx is done. Then it ends in order: it stops reading, waits
// for at most drain for the batches that it has, commits their offsets, and only then leaves
// the group.
func (f *forwarder) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	delivered := make(chan error, 1)
	go func() {
		delivered <- f.chain.Run(ctx, drain)
		cancel()
	}()
	err := f.loop(ctx)
	cancel()
	err = errors.Join(err, <-delivered)
	f.commit(context.WithoutCancel(ctx))
	return err
}

// loop polls and commits until ctx is done.
func (f *forwarder) loop(ctx context.Context) error {
	failing := time.Time{}
	for ctx.Err() == nil {
		if f.chain.Full() {
			f.wait(ctx)
			f.commit(ctx)
			continue
		}
		within, cancel := context.WithTimeout(ctx, forwardEvery)
		fetches := f.client.PollRecords(within, forwardPoll)
		cancel()
		// One partition's error comes in the same poll as the records of others,
		// which are delivered all the same; the client goes on trying.
		if err := firstError(f.part.group, fetches); err == nil {
			failing = time.Time{}
		} else if ctx.Err() == nil {
			if failing.IsZero() {
				failing = time.Now()
			}
			f.p.Kafka.Trouble.Failed(fmt.Sprintf("sink %q cannot read from Kafka", f.d.Name), err)
			if time.Since(failing) > giveUp {
				f.client.AllowRebalance()
				return fmt.Errorf("sink %q: cannot read from Kafka for %v: %w", f.d.Name, giveUp, err)
			}
		}
		f.take(ctx, fetches)
		f.client.AllowRebalance()
		f.pause()
		f.commit(ctx)
	}
	return nil
}

// wait waits until the chain has done something, or for forwardEvery.
func (f *forwarder) wait(ctx context.Context) {
	timer := time.NewTimer(forwardEvery)
	defer timer.Stop()
	select {
	case <-f.chain.Changed():
	case <-timer.C:
	case <-ctx.Done():
	}
}

// pause reads nothing of the partitions that the chain is stuck with, and all others.
func (f *forwarder) pause() {
	stuck := f.chain.Stuck()
	over := f.client.PauseFetchPartitions(nil)
	for topic, partitions := range over {
		over[topic] = slices.DeleteFunc(slices.Clone(partitions),
			func(p int32) bool { return slices.Contains(stuck[topic], p) })
	}
	f.client.ResumeFetchPartitions(over)
	if len(stuck) > 0 {
		f.client.PauseFetchPartitions(stuck)
	}
}

// firstError returns the first error of a poll, with where it was. The end of the time for
// a poll is not an error.
func firstError(group string, fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		if e.Topic != "" || !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
			return kafka.FetchError(group, e)
		}
	}
	return nil
}

// take gives the chain what the sink takes of a poll.
func (f *forwarder) take(ctx context.Context, fetches kgo.Fetches) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		end := p.Records[len(p.Records)-1].Offset + 1
		f.expired(ctx, p.Topic, p.Partition, p.Records[0].Offset)
		f.mu.Lock()
		set(f.next, p.Topic, p.Partition, end)
		id := f.topics[p.Topic].ID
		f.mu.Unlock()
		var batch []sink.Record
		notTaken, filtered, history := 0, 0, 0
		for _, r := range p.Records {
			if r.Attrs.IsControl() {
				continue
			}
			event := header(r)
			switch {
			case f.history(r):
				history++
			case !f.wants(r):
				notTaken++
			case !f.filter.Admits(event, r.Value):
				filtered++
			default:
				batch = append(batch, sink.Record{Value: f.value(r), EventName: event, Topic: r.Topic, TopicID: id,
					Partition: r.Partition, Offset: r.Offset, Key: r.Key, Ref: r})
			}
		}
		f.flow.Filtered("not_taken", notTaken)
		f.flow.Filtered("filter", filtered)
		f.flow.Filtered("history", history)
		f.flow.Received(notTaken + filtered + history) // the others when they have ended
		f.chain.Put(p.Topic, p.Partition, batch, end)
	})
}

// value returns a record as the sink gets it.
func (f *forwarder) value(r *kgo.Record) []byte {
	if len(f.p.Resource) == 0 {
		return r.Value
	}
	return otellog.AppendWithResource(nil, r.Value, otellog.EncodeResource(f.p.Resource))
}

// set puts a value into a map of maps.
func set(m map[string]map[int32]int64, topic string, partition int32, value int64) {
	if m[topic] == nil {
		m[topic] = map[int32]int64{}
	}
	m[topic][partition] = value
}

// expired notes that Kafka has deleted records before the sink had taken them: they are
// between where the partition was to be read on and its first record, and the log begins
// behind them. (A gap alone says nothing: those of aborted transactions leave one, too.)
func (f *forwarder) expired(ctx context.Context, topic string, partition int32, first int64) {
	f.mu.Lock()
	at, ok := f.next[topic][partition]
	f.mu.Unlock()
	if ok && first <= at {
		return
	}
	if committed, known := f.client.CommittedOffsets()[topic][partition]; known && committed.Offset >= 0 && (!ok ||
		committed.Offset > at) {
		at, ok = committed.Offset, true
	}
	if !ok || first <= at {
		return
	}
	within, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	starts, err := kadm.NewClient(f.client).ListStartOffsets(within, topic)
	start, found := starts.Lookup(topic, partition)
	if err != nil || !found || start.Err != nil {
		return
	}
	lost := min(first, start.Offset) - at
	if lost <= 0 {
		return
	}
	f.flow.Expired(lost)
	f.part.health.Report(telemetry.Expired,
		"Kafka deleted %d records of topic %q partition %d before the sink had taken them; they are lost to it",
		lost, topic, partition)
	f.p.Log.Error("Kafka deleted records before the sink had taken them; "+
		"keep the topic for longer than a sink may be away (retention.ms)", "sink", f.d.Name, "topic", topic, "partition", partition, "records", lost)
}

// expires returns when Kafka deletes the oldest record that the sink has not taken: as it
// was looked up last, else that of the waiting records.
func (f *forwarder) expires() (first time.Time, ok bool) {
	if first, ok = f.part.expiresAt(); ok {
		return first, true
	}
	for _, rec := range f.chain.Waiting() {
		r, mine := rec.Ref.(*kgo.Record)
		if !mine {
			continue
		}
		if end, known := f.p.expiry(r.Topic, r.Timestamp); known && (!ok || end.Before(first)) {
			first, ok = end, true
		}
	}
	return first, ok
}

// oldest returns the time of the oldest record that waits for the sink; zero for none.
func (f *forwarder) oldest() (at time.Time) {
	for _, rec := range f.chain.Waiting() {
		if r, mine := rec.Ref.(*kgo.Record); mine && (at.IsZero() || r.Timestamp.Before(at)) {
			at = r.Timestamp
		}
	}
	return at
}

// wants reports whether the sink takes a record: of the windows perhaps only
// those with anomalies, and roll-ups.
func (f *forwarder) wants(r *kgo.Record) bool {
	if r.Topic != f.p.Topics.Windows || f.d.Windows == WindowsAll {
		return true
	}
	if f.rec.Decode(r.Value) != nil {
		return true // the sink decides, and its refusal goes to the dead letter
	}
	a := f.rec.Get(semconv.KeytrailWindowAnomaliesTotal)
	return a != nil && a.Int > 0 || f.rec.Get(semconv.KeytrailWindowRollup) != nil
}

func header(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == wire.HeaderEvent {
			return string(h.Value)
		}
	}
	return ""
}

// deadLetter puts a record that the sink refused permanently into the dead letter topic, and
// waits until it is there.
func (f *forwarder) deadLetter(ctx context.Context, rec sink.Record, reason sink.Reason, why error) error {
	r, ok := rec.Ref.(*kgo.Record)
	if !ok {
		return errors.New("BUG: a record without its Kafka record")
	}
	about := letterOf("forward", "rejected_"+string(reason), fmt.Sprintf("sink %s: %v", f.d.Name, why), r)
	about.Sink = cmp.Or(f.d.ID, f.d.Name)
	letter := f.p.letter(about)
	letter.Key = r.Key
	if err := f.client.ProduceSync(ctx, letter).FirstErr(); err != nil {
		return fmt.Errorf("cannot write dead letter: %w", err)
	}
	f.letter.Add(string(reason), why.Error(), 1)
	return nil
}
