package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/store"
	"keytrail/processor/telemetry"
	"keytrail/schemas/otellog"
)

const (
	rememberEvery   = 500 * time.Millisecond // between two commits of stage web
	rememberRecords = 20_000                 // of one commit
	rememberRetry   = 5 * time.Second        // after a failure
)

// remember is stage web: it fills the page's history from the topics until ctx is done. The
// history stores its positions with the records, so it neither misses one nor takes one
// twice. A failure, such as a full disk, stays within the stage: it begins again at the
// stored positions.
func (p *Pipeline) remember(ctx context.Context) error {
	part := p.Telemetry.Health().Part("stage web")
	for ctx.Err() == nil {
		err := p.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			part.Report(telemetry.Failing, "%v", err)
			p.Log.Error("stage web begins again", "error", err)
		}
		select {
		case <-time.After(rememberRetry):
		case <-ctx.Done():
		}
		part.Clear(telemetry.Failing)
	}
	return nil
}

// follow reads the topics behind the stored positions until one fails.
func (p *Pipeline) follow(ctx context.Context) error {
	g := newGroup(ctx)
	var mu sync.Mutex // a record and its position are in the same commit
	for _, topic := range []string{p.Topics.Events, p.Topics.Windows, p.Topics.Anomalies} {
		g.run(true, func(ctx context.Context) error {
			at, err := p.History.Offsets(ctx, topic)
			if err != nil {
				return err
			}
			var rec otellog.Record
			look := kafka.Look{Topic: topic, Follow: true, From: at}
			_, err = look.Each(ctx, p.Kafka, func(r *kgo.Record) error {
				mu.Lock()
				defer mu.Unlock()
				return p.guarded(func() error { return p.memorize(ctx, r, &rec) })
			})
			if errors.Is(err, kafka.ErrBeyond) {
				return fmt.Errorf("%w: the page's history is of another topic; stop Keytrail and delete the history's file", err)
			}
			return err
		})
	}
	g.run(true, func(ctx context.Context) error {
		tick := time.NewTicker(rememberEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
			mu.Lock()
			err := p.guarded(func() error { return p.History.Commit(ctx) })
			mu.Unlock()
			if err != nil {
				return err
			}
		}
	})
	err := g.wait()
	p.History.Forget() // what was not committed is read again
	return err
}

// guarded runs f and turns a panic into an error: a fault of stage web, or of what it uses,
// ends no other stage.
func (p *Pipeline) guarded(f func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			p.Log.Error("stage web panicked", "panic", fault, "stack", string(debug.Stack()))
			err = fmt.Errorf("a panic: %v", fault)
		}
	}()
	return f()
}

// memorize adds one record and its position to the history.
func (p *Pipeline) memorize(ctx context.Context, r *kgo.Record, rec *otellog.Record) error {
	if err := p.keep(r, rec); err != nil {
		return err
	}
	p.History.Position(r.Topic, r.Partition, r.Offset+1)
	if p.History.Pending() < rememberRecords {
		return nil
	}
	return p.History.Commit(ctx)
}

// keep adds one record to the history. A value that is not a log record, or one without a
// place in the history, is passed over: the stages that write these topics report it.
func (p *Pipeline) keep(r *kgo.Record, rec *otellog.Record) error {
	rec.Reset()
	if err := rec.Decode(r.Value); err != nil {
		p.Log.Warn("stage web passes over a record", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset,
			"error", err)
		return nil
	}
	if r.Topic == p.Topics.Events {
		return p.History.AddEvent(rec, store.Place{Object: int64(r.Partition), Offset: r.Offset})
	}
	if err := p.History.Add(rec); errors.Is(err, store.ErrRecord) {
		p.Log.Warn("stage web passes over a record", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset,
			"error", err)
	} else if err != nil {
		return err
	}
	return nil
}

// Event reads the record of an event again, for the page.
func (p *Pipeline) Event(ctx context.Context, at store.Place) (*otellog.Record, error) {
	r, err := kafka.One(ctx, p.Kafka, p.Topics.Events, int32(at.Object), at.Offset)
	if err != nil {
		return nil, err
	}
	rec := &otellog.Record{}
	return rec, rec.Decode(r.Value)
}
