package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/read"
	"keytrail/processor/source"
	"keytrail/processor/source/feed"
	"keytrail/processor/telemetry"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// objectReader publishes objects of a collector, one after another. It is not safe for
// concurrent use.
type objectReader struct {
	c      *collector
	in     *read.Records
	counts read.Counts
	dead   map[string]int // dead letters of the object, by reason
	flight *flight
	// single is the producer of an object with a record that Kafka will never take; else nil.
	// Its batches have one record, so that a refusal names it.
	single *kgo.Client
	batch  *telemetry.Batch // the object, for traces
}

// flight is one try to publish an object: its records that Kafka has not acknowledged.
type flight struct {
	wg     sync.WaitGroup
	mu     sync.Mutex // guards failed
	failed error      // the first refusal
}

// errRefused marks an error of Kafka, unlike one of the object.
var errRefused = errors.New("not all records are acknowledged by Kafka")

// fail notes a refusal, if err is one, and returns the first.
func (f *flight) fail(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = err
	}
	return f.failed
}

func (f *flight) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

func (c *collector) newReader() *objectReader {
	r := &objectReader{c: c, dead: map[string]int{}}
	options := c.p.Read
	n := len(options.SelfPrincipals)
	options.SelfPrincipals = append(options.SelfPrincipals[:n:n], c.s.Self...)
	options.Encoded = true
	r.in = read.NewRecords(read.Config{Options: options, Counts: &r.counts, Record: r.event, Dead: r.bad,
		Now: time.Now})
	return r
}

// object publishes an object, again and again while Kafka refuses it, and then tells the
// source that it is done. After a refusal for good it publishes each record by itself, and a
// dead letter for the refused one. It returns early when ctx is done: the source then offers
// the object again after a restart.
func (r *objectReader) object(ctx context.Context, o source.Object) {
	defer r.together()
	for pause := shortestWait; ; pause = min(2*pause, longestWait) {
		err := r.publish(ctx, o)
		switch {
		case err == nil:
			r.c.note(faultKafka, nil)
			r.done(o)
			return
		case ctx.Err() != nil:
			return
		case !errors.Is(err, errRefused):
			r.mend(ctx, o, err)
			return
		}
		r.c.note(faultKafka, fmt.Errorf("%q: %w", o.Name, err))
		if kafka.RefusedForGood(err) && r.single == nil {
			if r.single, err = newProducer(r.c.p.Kafka); err == nil {
				continue
			}
			r.c.note(faultKafka, err)
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// together ends publishing record by record.
func (r *objectReader) together() {
	if r.single != nil {
		r.single.Close()
		r.single = nil
	}
}

// done counts the object's records and marks the object as done.
func (r *objectReader) done(o source.Object) {
	flow, letters := r.c.flow, 0
	for reason, n := range r.dead {
		letters += n
		flow.DeadLettered(reason, n)
		r.c.p.letters[stageCollect].Add(reason, "", n)
	}
	flow.Delivered(int(r.counts.Delivered.Load()))
	if since := o.ModTime; !since.IsZero() {
		if since.Before(r.c.began) {
			since = r.c.began
		}
		r.c.delay.Record(time.Since(since), int(r.counts.Delivered.Load()))
	}
	flow.Received(int(r.counts.Delivered.Load()+r.counts.Filtered.Load()) + letters)
	countFiltered(flow, r.counts.Why())
	r.c.s.Feed.Done(o)
}

// publish reads an object and waits until Kafka has answered for each of its records. The
// error is errRefused if Kafka refused one; otherwise it is the object's. A refusal comes
// first: an object that cannot be read to its end may be given up, but not its records.
func (r *objectReader) publish(ctx context.Context, o source.Object) (err error) {
	f := &flight{}
	r.counts, r.flight = read.Counts{}, f
	clear(r.dead)
	r.batch = r.c.p.Telemetry.Traces().Begin(stageCollect, r.c.s.Name, "", true)
	defer func() { r.batch.End(int(r.counts.Delivered.Load()), err) }()
	err = r.read(ctx, o)
	if err != nil && ctx.Err() != nil {
		return err // most of it is not read
	}
	answered := make(chan struct{})
	go func() {
		f.wg.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-r.c.life.Done():
		return r.c.life.Err()
	}
	if refused := f.failure(); refused != nil {
		return fmt.Errorf("%w: %w", errRefused, refused)
	}
	return err
}

// read reads an object to its end. A panic of the decoder costs this object, not the process.
func (r *objectReader) read(ctx context.Context, o source.Object) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &source.Rejected{Reason: source.ReasonPanic,
				Detail: fmt.Sprintf("the reader panicked, please report it: %v", p)}
		}
	}()
	err = r.in.Object(ctx, o)
	if bad := (*decoding.BadRecord)(nil); errors.As(err, &bad) { // of the source: reading again may help
		err = bad.Err
	}
	return err
}

// event publishes a log record.
func (r *objectReader) event(_ context.Context, from *decoding.Origin, rec *otellog.Record) error {
	record, err := eventRecord(r.c.p.Topics.Events, from, rec)
	if err != nil {
		return err
	}
	marked(r.batch, record)
	if r.single == nil {
		r.produce(record)
		return r.flight.failure()
	}
	err = r.single.ProduceSync(r.c.life, record).FirstErr()
	if kafka.RefusedForGood(err) {
		return from.Bad(reasonRefused, fmt.Sprintf("Kafka refused its log record of %d bytes for the topic %q: %v; "+
			"change the topic's settings (max.message.bytes), and replay this letter", len(record.Value), record.Topic, err))
	}
	return r.flight.fail(err)
}

// bad publishes the dead letter of a record. It returns failures of the source: the object
// may be read again.
func (r *objectReader) bad(_ context.Context, bad *decoding.BadRecord) error {
	if bad.Reason == decoding.ReasonRead {
		return bad
	}
	letter := wire.FromBadRecord(stageCollect, bad, time.Now())
	r.dead[letter.Reason]++
	if r.single == nil {
		r.produce(r.c.p.letter(&letter))
		return r.flight.failure()
	}
	return r.flight.fail(r.c.letterBy(r.single, &letter))
}

func (r *objectReader) produce(record *kgo.Record) {
	f := r.flight
	f.wg.Add(1)
	r.c.client.Produce(r.c.life, record, func(_ *kgo.Record, err error) {
		defer f.wg.Done()
		f.fail(err)
	})
}

// mend gives an object that could not be read to its end back to the source, or publishes
// its dead letter, after which the object is done.
func (r *objectReader) mend(ctx context.Context, o source.Object, err error) {
	c := r.c
	if c.s.Feed.Retry(o, err) {
		c.again(o, err)
		return
	}
	d := feed.GivenUp(stageCollect, o, err, time.Now())
	if !c.produce(ctx, &d) {
		return
	}
	c.log.Error("cannot read an object; it is given up and has a dead letter", "object", o.Name, "error", err)
	r.dead[d.Reason]++
	r.done(o)
}
