package stream

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/processor/sink"
	"keytrail/processor/status"
	"keytrail/processor/telemetry"
	"keytrail/schemas/wire"
)

// reporter publishes the status of this process.
type reporter struct {
	p       *Pipeline
	client  *kgo.Client
	id      string
	host    string
	started time.Time
	last    time.Time                       // of the record before
	flows   map[[2]string]telemetry.Balance // at that time
}

func (p *Pipeline) newReporter() (*reporter, error) {
	client, err := newStatusClient(p.Kafka)
	if err != nil {
		return nil, err
	}
	var unique [8]byte
	rand.Read(unique[:]) // never fails
	r := &reporter{p: p, client: client, id: hex.EncodeToString(unique[:]), started: p.now().UTC(),
		flows: map[[2]string]telemetry.Balance{}}
	if r.host, err = os.Hostname(); err != nil {
		r.host = "unknown"
	}
	return r, nil
}

// newStatusClient returns a client whose records may be lost but never wait for long: the
// next one replaces them. An idempotent producer would repeat them without end.
func newStatusClient(c kafka.Config) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(c.Options(), kgo.DisableIdempotentWrite(),
		kgo.MaxProduceRequestsInflightPerBroker(1), kgo.RequiredAcks(kgo.LeaderAck()), kgo.ProducerLinger(0),
		kgo.RecordDeliveryTimeout(status.Every), kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	return client, nil
}

// run publishes the status until ctx is done. A record that Kafka does not take is replaced
// by the next one: an outage shows in the age.
func (r *reporter) run(ctx context.Context) error {
	for {
		s := r.status(ctx)
		if r.p.Status != nil {
			r.p.Status.Set(s, r.p.now()) // known without Kafka, too
		}
		r.client.Produce(ctx, r.record(status.Append(nil, s, wire.MaxValueBytes)), func(_ *kgo.Record, err error) {
			if err != nil && ctx.Err() == nil {
				r.p.Kafka.Trouble.Failed("cannot publish the status of this process", err)
			}
		})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(status.Every):
		}
	}
}

func (r *reporter) record(value []byte) *kgo.Record {
	return &kgo.Record{Topic: r.p.Topics.Status, Key: []byte(r.id), Value: value}
}

// end deletes the status of this process.
func (r *reporter) end(ctx context.Context) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookEvery)
	defer cancel()
	if err := r.client.ProduceSync(within, r.record(nil)).FirstErr(); err != nil {
		r.p.Log.Warn("the status of this process stays until it expires", "process", r.id, "error", err)
	}
	r.client.Close()
}

// FollowStatus reads the status of all processes into Status until ctx is done.
func (p *Pipeline) FollowStatus(ctx context.Context) error {
	look := kafka.Look{Topic: p.Topics.Status, Follow: true}
	for ctx.Err() == nil {
		_, err := look.Each(ctx, p.Kafka, func(r *kgo.Record) error {
			if err := p.Status.Put(string(r.Key), r.Value, time.Now()); err != nil {
				p.Log.Debug("a status is ignored", "process", string(r.Key), "error", err)
			}
			return nil
		})
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			p.Kafka.Trouble.Failed("cannot read the status of other processes", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(status.Every):
		}
	}
	return nil
}

// status returns the state of this process.
func (r *reporter) status(ctx context.Context) *status.Process {
	now := r.p.now()
	s := &status.Process{Format: status.Format, ID: r.id, Host: r.host, PID: os.Getpid(), Version: r.p.Version,
		Rules:   r.p.Judging().Digest,
		Started: r.started, At: now.UTC(), Memory: memoryNow(), Troubles: []status.Trouble{}, Stages: []status.Stage{},
		Sources: []status.Source{}, Sinks: []status.Sink{}}
	troubles := map[string][]status.Trouble{}
	states, _ := r.p.Telemetry.Health().States()
	for _, one := range states {
		list := []status.Trouble{}
		for _, t := range one.Troubles {
			list = append(list, status.Trouble{Condition: string(t.Condition), Detail: t.Detail, Since: t.Since.UTC()})
		}
		troubles[one.Part] = list
	}
	s.Rules = r.p.Judging().Digest
	s.Troubles = append(append(s.Troubles, troubles["kafka"]...), troubles[PartConfiguration]...)
	flows := r.measure(ctx, now)
	for _, one := range r.p.allParts() {
		flow, list := flows[[2]string{one.stage, cmp.Or(one.sink, one.source)}], troubles[one.name()]
		switch {
		case one.source != "":
			s.Sources = append(s.Sources, one.sourceStatus(flow, list))
		case one.sink != "":
			s.Sinks = append(s.Sinks, one.sinkStatus(flow, list, now))
		default:
			s.Stages = append(s.Stages, one.stageStatus(flow, list, now, r.p.Partitions[one.topics[0]]))
		}
	}
	return s
}

// measure returns the counts of each part, with rates since the last call.
func (r *reporter) measure(ctx context.Context, now time.Time) map[[2]string]status.Flow {
	all, took := map[[2]string]status.Flow{}, now.Sub(r.last).Seconds()
	balances, err := r.p.Telemetry.Balances(ctx)
	if err != nil {
		r.p.Log.Debug("the status has no counts", "error", err)
	}
	for _, b := range balances {
		key := [2]string{b.Stage, b.Part}
		f := status.Flow{Received: b.Received, Delivered: b.Delivered, Filtered: b.Filtered, Duplicate: b.Duplicate,
			DeadLetters: map[string]int64{}}
		for reason, n := range b.Reasons {
			if n > 0 {
				f.DeadLetters[reason] = n
			}
		}
		if before, ok := r.flows[key]; ok && took > 0 {
			f.ReceivedRate = round(float64(b.Received-before.Received) / took)
			f.Rate = round(float64(b.Delivered-before.Delivered) / took)
		}
		all[key], r.flows[key] = f, b
	}
	r.last = now
	return all
}

// round keeps one digit behind the point.
func round(x float64) float64 { return math.Round(x*10) / 10 }

// timeOf returns a time for a status; nil for the zero time.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func filled(f status.Flow, list []status.Trouble) (status.Flow, []status.Trouble) {
	if f.DeadLetters == nil {
		f.DeadLetters = map[string]int64{}
	}
	if list == nil {
		list = []status.Trouble{}
	}
	return f, list
}

func (one *part) stageStatus(f status.Flow, list []status.Trouble, now time.Time, total int32) status.Stage {
	s := status.Stage{Name: one.stage, State: status.OK, Total: total, Partitions: []status.Partition{}}
	s.Flow, s.Troubles = filled(f, list)
	o := &one.owned
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Lag, s.LagAt = o.lag, timeOf(o.asked)
	earliest := int64(math.MaxInt64)
	for at, mark := range o.marks {
		p := status.Partition{Partition: at.Partition, State: o.tracker.Judge(at, now), Position: -1}
		if l, ok := o.looks[at]; ok {
			p.Position, p.Lag = l.Position, l.Lag()
		}
		if mark > eventtime.None {
			p.Watermark, earliest = timeOf(time.Unix(0, mark)), min(earliest, mark)
		}
		s.Partitions, s.State = append(s.Partitions, p), status.Worst(s.State, p.State)
	}
	if earliest < math.MaxInt64 {
		s.Watermark = timeOf(time.Unix(0, earliest))
	}
	slices.SortFunc(s.Partitions, func(a, b status.Partition) int { return cmp.Compare(a.Partition, b.Partition) })
	return s
}

func (one *part) sourceStatus(f status.Flow, list []status.Trouble) status.Source {
	s := status.Source{Name: one.source}
	s.Flow, s.Troubles = filled(f, list)
	polled, waiting := one.progress.Now()
	s.Polled, s.Waiting = timeOf(polled), waiting
	return s
}

// sinkStates are the states of sinks in a status.
var sinkStates = map[sink.State]status.SinkState{sink.StateTaking: status.Delivering,
	sink.StateFailing: status.Retrying, sink.StatePaused: status.Paused}

func (one *part) sinkStatus(f status.Flow, list []status.Trouble, now time.Time) status.Sink {
	s := status.Sink{Name: one.sink, State: status.Delivering, Progress: status.OK}
	s.Flow, s.Troubles = filled(f, list)
	one.mu.Lock()
	if state, ok := sinkStates[one.status.State]; ok {
		s.State, s.Cause = state, string(one.status.Cause)
	}
	s.Expires = timeOf(one.expires)
	one.mu.Unlock()
	o := &one.owned
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Lag, s.LagAt, s.Assigned = o.lag, timeOf(o.asked), len(o.marks)
	for at := range o.marks {
		s.Progress = status.Worst(s.Progress, o.tracker.Judge(at, now))
	}
	return s
}

// memoryNow returns the memory of this process.
func memoryNow() status.Memory {
	list := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(list)
	n := func(i int) int64 { return int64(list[i].Value.Uint64()) }
	m := status.Memory{Heap: n(0), Mapped: n(1) - n(2), Goroutines: n(3)}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		m.Limit = limit
	}
	return m
}
