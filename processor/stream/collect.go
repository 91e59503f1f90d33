package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/lograte"
	"keytrail/processor/source"
	"keytrail/processor/source/feed"
	"keytrail/processor/telemetry"
	"keytrail/schemas/wire"
)

// Source is one source of objects that stage collect reads.
type Source struct {
	Name     string // a metric label
	Kind     string // feed.File, feed.S3, feed.SQS or feed.Lookup
	Feed     feed.Feed
	Interval time.Duration // between two polls
	Readers  int           // objects read side by side, at least 1
	// Self are the principals that read this source, in addition to those of Pipeline.Read.
	Self []string
}

// stageCollect names the stage in metrics, logs and dead letters.
const stageCollect = telemetry.StageCollect

const (
	// collectBytes and collectRecords bound the records that one source has produced and
	// Kafka has not acknowledged; above them its readers wait.
	collectBytes, collectRecords = 32 << 20, 20_000
	// saveEvery is the interval of checkpoint writes, and of holding a queue's messages.
	saveEvery = time.Second
	// shortestWait and longestWait bound the pause before records that Kafka refused are
	// published again; it doubles with each refusal.
	shortestWait, longestWait = 500 * time.Millisecond, 30 * time.Second
	// lastAcks is how long a stopping source waits for the acknowledgements of objects that
	// it has read to the end, and lastSave how long for its last checkpoint.
	lastAcks, lastSave = 2 * time.Second, 2 * time.Second
)

// collector is stage collect for one source: objects to kms.events. An object is done, in
// the checkpoint or for the queue, once Kafka has acknowledged each of its records and dead
// letters, and for no other reason. An object that Kafka did not acknowledge as a whole is
// published again as a whole; stage count drops the repeated calls.
type collector struct {
	p      *Pipeline
	s      Source
	client *kgo.Client
	flow   *telemetry.Flow
	part   *part
	log    *slog.Logger
	// life is done lastAcks after the stage has been told to stop: until then records may
	// be acknowledged.
	life context.Context

	gates lograte.Gates // of lines about objects
	// delay is from the time when an object could be read; older objects count from began,
	// the start of the process.
	delay *telemetry.Delay
	began time.Time

	mu     sync.Mutex       // guards faults
	faults map[fault]string // what fails at present, with the error
}

// fault names what a collector cannot do at present.
type fault string

// The faults.
const (
	faultPoll  fault = "it cannot find new objects"
	faultSave  fault = "it cannot save what is done"
	faultKafka fault = "Kafka does not acknowledge its records"
)

// collect runs stage collect for one source until ctx is done. Then its readers stop at the
// next record, objects whose records are acknowledged in time are done, and the checkpoint
// is written.
func (p *Pipeline) collect(ctx context.Context, s Source) error {
	client, err := newProducer(p.Kafka, kgo.MaxBufferedRecords(collectRecords), kgo.MaxBufferedBytes(collectBytes))
	if err != nil {
		return err
	}
	defer client.Close()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastAcks, end) })()
	c := &collector{p: p, s: s, client: client, flow: p.Telemetry.Flow(stageCollect, s.Name),
		part: p.partOf(stageCollect, s.Name), life: life,
		log: p.Log.With("stage", stageCollect, "source", s.Name), faults: map[fault]string{},
		delay: p.Telemetry.EventDelay(stageCollect), began: time.Now()}
	c.run(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
	defer cancel()
	if err := s.Feed.Close(last); err != nil {
		c.log.Warn("cannot save what is done; objects may be read again after a restart", "error", err)
	}
	return nil
}

// run polls, reads and saves until ctx is done and every reader has ended.
func (c *collector) run(ctx context.Context) {
	work := make(chan source.Object)
	var readers, saver sync.WaitGroup
	for range max(1, c.s.Readers) {
		readers.Go(func() {
			r := c.newReader()
			for o := range work {
				r.object(ctx, o)
			}
		})
	}
	ended := make(chan struct{})
	saver.Go(func() { c.saveUntil(ended) })
	poller := feed.Poller{
		Feed: c.s.Feed, Kind: c.s.Kind, Interval: c.s.Interval, Wait: func(context.Context) {},
		Told: func(err error) {
			c.note(faultPoll, err)
			if err == nil {
				c.part.progress.Polled(time.Now())
			}
			c.part.health.Clear(telemetry.Starting)
		},
		Give: func(ctx context.Context, objects []source.Object) bool { return give(ctx, work, objects) },
	}
	poller.Run(ctx)
	close(work)
	readers.Wait()
	close(ended)
	saver.Wait()
}

// give passes objects to the readers. It reports false when ctx is done.
func give(ctx context.Context, work chan<- source.Object, objects []source.Object) bool {
	for _, o := range objects {
		select {
		case work <- o:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// saveUntil saves what is done once a second until all readers have ended.
func (c *collector) saveUntil(ended <-chan struct{}) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.recordExpiring()
			c.note(faultSave, c.s.Feed.Save(c.life))
			w := c.s.Feed.Waiting()
			c.part.progress.Waiting(w.Size, time.Now().Add(-w.Oldest))
		case <-ended:
			return
		}
	}
}

// recordExpiring writes the dead letters of objects whose messages the queue will soon drop.
// They are read and published as before.
func (c *collector) recordExpiring() {
	f, ok := c.s.Feed.(feed.Expirer)
	if !ok {
		return
	}
	for _, o := range f.Expiring() {
		d := feed.Expiring(stageCollect, o, time.Now())
		if err := c.publishLetter(&d); err != nil {
			return // the next save tries again, long before the message goes
		}
		f.Recorded(o)
		c.flow.DeadLettered(d.Reason, 1)
		c.log.Error("the queue will drop the message of an object whose records Kafka has not acknowledged; the object "+
			"has a dead letter", "object", o.Name)
	}
}

// note records an error, or that there is none, in the health, and its begin and end in the
// log.
func (c *collector) note(what fault, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, before := c.faults[what]
	switch {
	case err == nil && !before:
		return
	case err == nil:
		delete(c.faults, what)
		c.log.Info("the source works again", "after", what)
	default:
		if !before {
			c.log.Warn("the source fails; it tries again", "what", what, "error", err)
			c.flow.Restarted()
		}
		c.faults[what] = err.Error()
	}
	for _, what := range []fault{faultKafka, faultPoll, faultSave} {
		if text, failed := c.faults[what]; failed {
			c.part.health.Report(telemetry.Failing, "%s: %s", what, text)
			return
		}
	}
	c.part.health.Clear(telemetry.Failing)
}

// publishLetter publishes a dead letter and waits for Kafka's acknowledgement. A refusal may
// be for the sake of another record of the batch, so the letter then goes by itself.
func (c *collector) publishLetter(d *wire.DeadLetter) error {
	err := c.client.ProduceSync(c.life, c.p.letter(d)).FirstErr()
	if !kafka.RefusedForGood(err) {
		return err
	}
	single, err := newProducer(c.p.Kafka)
	if err != nil {
		return err
	}
	defer single.Close()
	return c.letterBy(single, d)
}

// letterBy publishes a dead letter by a producer whose batches have one record. A letter that
// is too large for its topic keeps the beginning of its bytes.
func (c *collector) letterBy(single *kgo.Client, d *wire.DeadLetter) error {
	for {
		err := single.ProduceSync(c.life, c.p.letter(d)).FirstErr()
		if !errors.Is(err, kerr.MessageTooLarge) || len(d.Raw) == 0 {
			return err
		}
		d.Raw, d.Cut = d.Raw[:len(d.Raw)/2], true
	}
}

// produce publishes a dead letter, and tries again until ctx is done, which it reports as
// false.
func (c *collector) produce(ctx context.Context, d *wire.DeadLetter) bool {
	for pause := shortestWait; ; pause = min(2*pause, longestWait) {
		err := c.publishLetter(d)
		if err == nil {
			c.note(faultKafka, nil)
			return true
		}
		c.note(faultKafka, fmt.Errorf("a dead letter: %w", err))
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// sleep waits for d, and reports false when ctx is done before.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// again logs that an object could not be read and is tried again, within lograte's bounds.
func (c *collector) again(o source.Object, err error) {
	if held, due := c.gates.Open(source.Judge(err).String(), time.Now(), 1); due {
		c.log.Warn("cannot read an object; it is tried again", "object", o.Name, "verdict", source.Judge(err),
			"held_back", held, "waiting", c.s.Feed.Waiting().Size, "error", err)
	}
}
