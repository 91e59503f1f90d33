package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// deletionEvery: one event in that many is a ScheduleKeyDeletion, whose anomaly stage
// count publishes with the transaction that counts it.
const deletionEvery = 20

// latency measures the third table: from the moment when an event is passed to the
// producer until its anomaly is read with read_committed.
func latency(ctx context.Context, e *environment, o options, out io.Writer) error {
	in, err := e.install("live.", session)
	if err != nil {
		return err
	}
	l, err := in.newLoader(ctx, 0)
	if err != nil {
		return err
	}
	defer l.close()
	p, err := in.run("count,detect")
	if err != nil {
		return err
	}
	defer p.end(syscall.SIGKILL)
	a, err := in.listen(ctx, l)
	if err != nil {
		return p.failure(err)
	}
	defer a.close()
	before, err := p.usage()
	if err != nil {
		return err
	}
	known, err := in.scrape(ctx)
	if err != nil {
		return p.failure(err)
	}
	sent, delay, err := send(ctx, l, o, time.Now())
	if err != nil {
		return err
	}
	err = until(
		ctx, 30*time.Second, "every anomaly is read", func() (bool, error) { return a.seen() >= len(sent), a.failure() })
	if err != nil {
		return p.failure(err)
	}
	after, err := p.usage()
	if err != nil {
		return err
	}
	row, err := a.row(sent)
	if err != nil {
		return err
	}
	n := int64(o.latency.Seconds() * float64(o.rate))
	row = append(row, micros(after.cpu-before.cpu, n), megabytes(after.peak), milliseconds(delay), "")
	table(out, fmt.Sprintf("From producing an event to reading its anomaly (ms), at %d events/s for %v",
		o.rate, o.latency),
		strings.Split("anomalies,p50,p90,p99,max,CPU us/event,peak MB,sender late by at most ms,", ","), [][]string{row})
	if err := latencyCommits(ctx, in, known, out); err != nil {
		return p.failure(err)
	}
	return p.end(syscall.SIGTERM)
}

// latencyCommits prints the commits since the known ones: without those of the start,
// which create the groups and wait for the topics.
func latencyCommits(ctx context.Context, in *installation, known map[string]commits, out io.Writer) error {
	all, err := in.scrape(ctx)
	if err != nil {
		return err
	}
	for stage, c := range all {
		all[stage] = c.since(known[stage])
	}
	commitTable(out, commitRows("at a steady rate", all))
	return nil
}

// send sends events at a steady rate, with the current time as the event time, and
// returns when it passed each ScheduleKeyDeletion to the producer, and its largest delay
// behind the plan.
func send(ctx context.Context, l *loader, o options,
	start time.Time) (sent map[string]time.Time, late time.Duration, err error) {
	sent = map[string]time.Time{}
	for i := range int(o.latency.Seconds() * float64(o.rate)) {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(o.rate))
		if wait := time.Until(due); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return nil, 0, err
			}
		}
		now := time.Now()
		late = max(late, now.Sub(due))
		c := call{at: now, id: uuid(latencyIDs, i), key: i % 100, principal: i % 300, deletes: i%deletionEvery == 0}
		if c.deletes {
			sent[c.id] = now
		}
		if err := l.add(ctx, c.json()); err != nil {
			return nil, 0, err
		}
	}
	return sent, late, l.flush(ctx)
}

// anomalies reads the anomalies as they arrive.
type anomalies struct {
	cl   *kgo.Client
	mu   sync.Mutex
	at   map[string]time.Time // when the anomaly of a call was read, by call id
	fail error
}

// listen starts reading, and returns when the first anomaly has arrived: then the topics
// exist, and the groups have their partitions.
func (in *installation) listen(ctx context.Context, l *loader) (*anomalies, error) {
	if err := l.add(ctx, call{at: time.Now(), id: uuid(warmUpIDs, 0), deletes: true}.json()); err != nil {
		return nil, err
	}
	err := until(ctx, time.Minute, "the anomalies topic is there", func() (bool, error) {
		topics, err := in.e.adm.ListTopics(ctx)
		return topics.Has(in.topics.Anomalies), err
	})
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(in.e.brokers()...), kgo.ConsumeTopics(in.topics.Anomalies),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	a := &anomalies{cl: cl, at: map[string]time.Time{}}
	go a.read(ctx)
	err = until(ctx, time.Minute, "the first anomaly is read", func() (bool, error) { return a.seen() > 0, a.failure() })
	if err != nil {
		cl.Close()
		return nil, err
	}
	a.mu.Lock()
	clear(a.at)
	a.mu.Unlock()
	return a, nil
}

// read runs until the client is closed.
func (a *anomalies) read(ctx context.Context) {
	var rec otellog.Record
	for {
		fetches := a.cl.PollFetches(ctx)
		now := time.Now()
		if fetches.IsClientClosed() || ctx.Err() != nil {
			return
		}
		a.mu.Lock()
		a.fail = errors.Join(a.fail, fetches.Err())
		for it := fetches.RecordIter(); !it.Done(); {
			if err := rec.Decode(it.Next().Value); err != nil {
				a.fail = errors.Join(a.fail, err)
				continue
			}
			calls := rec.Get(semconv.KeytrailAnomalyCalls)
			if rec.Str(semconv.KeytrailAnomalyKind) != "rule" || calls == nil {
				continue // of detect, at the end of a window
			}
			for _, id := range calls.Strs {
				a.at[strings.Clone(id)] = now
			}
		}
		a.mu.Unlock()
	}
}

func (a *anomalies) seen() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.at)
}

func (a *anomalies) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fail
}

func (a *anomalies) close() { a.cl.Close() }

// row is the number of anomalies and the percentiles of their latencies.
func (a *anomalies) row(sent map[string]time.Time) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var took []time.Duration
	for id, at := range sent {
		read, ok := a.at[id]
		if !ok {
			return nil, fmt.Errorf("the anomaly of call %s was not read", id)
		}
		took = append(took, read.Sub(at))
	}
	slices.Sort(took)
	row := []string{fmt.Sprint(len(took))}
	for _, percent := range []int{50, 90, 99, 100} {
		row = append(row, milliseconds(percentile(took, percent)))
	}
	return row, nil
}

// percentile returns the smallest value that p percent of the sorted values do not
// exceed.
func percentile(sorted []time.Duration, percent int) time.Duration {
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}
