// Package input is the body of the Fluent Bit input in_kms: it finds CloudTrail's
// files in a directory, in S3 by listing, in S3 by the messages of an SQS queue, or
// asks LookupEvents; it reads ahead into a bounded queue, and gives Fluent Bit one
// flat msgpack record for each event. It needs no C; the exported functions around it
// stand in plugins/in_kms.
//
// Guarantees. Every event of an object is handed over at least once, with its JSON
// byte for byte, in the order of the object. A record that is no event goes to
// the dead-letter file with its place and reason, and the rest go on. So does an object
// that is damaged, or gone at two looks; one that may become readable is tried again for
// as long as the source lives (source.Retries).
//
// Fluent Bit gives an input no acknowledgement: what a callback returns goes
// through a ring buffer to the engine, which drains it every 250 ms and, when
// it stays full for a second, drops. A flush that blocks the engine's thread holds
// that up; out_kms without workers blocks it for its flush_timeout, 30 s at the
// most. So an object counts as done, in the checkpoint or for the queue, only when
// its last record was handed over Config.Settle ago (default 60 s: two such flushes).
// A crash after that may still lose what Fluent Bit held in memory; storage.type
// filesystem closes that window. A crash before it repeats the object, and the
// repeated events are told by their ids.
//
// When Fluent Bit pauses the input, the queue fills and reading waits; nothing
// is dropped. Fluent Bit's pause and exit calls name no instance, and its core
// stops only the last instance's timer; the Input therefore keeps its own flag
// and returns nothing while it is paused or stopping.
//
// Limits. Memory is QueueBytes, one batch, for each reader the decoder's two records
// of Limits.RecordBytes, and what the source keeps in mind: 250 bytes for each file
// of a directory; see Config and the sources. The size of an object does not matter.
package input

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"keytrail/plugins/internal/logging"
	"keytrail/processor/source"
)

// stopTimeout bounds how long Stop waits for a read that hangs, as on a lost
// network mount: less than Fluent Bit's grace of five seconds.
const stopTimeout = 3 * time.Second

// Stats counts what an Input did. While it is stopped, or has read everything,
// Events = Filtered + HandedOver + Queued. An object that is read again
// counts again.
type Stats struct {
	Objects    int64 // objects read to their end
	Events     int64 // events decoded
	Filtered   int64 // events of other services, not passed on
	Queued     int64 // events waiting for Fluent Bit, or left when the Input stopped
	HandedOver int64 // events returned to Fluent Bit
	BadRecords int64 // records that were no events, and objects that named none
	Retried    int64 // failures to read an object to its end, after which it is tried again
	GivenUp    int64 // objects that could not be read, and whose dead letter was written
}

// Input reads objects for one Fluent Bit input instance. Drain, Pause, Resume,
// Stop and Stats may be called from any goroutine.
type Input struct {
	cfg Config
	log *logging.Log
	q   *queue

	paused, stopping                                       atomic.Bool
	objects, events, filtered, queued, handedOver, badRecs atomic.Int64
	retried, givenUp                                       atomic.Int64

	start   sync.Once
	cancel  context.CancelFunc
	ctx     context.Context
	stopped chan struct{} // closed when the goroutines have ended

	drainMu sync.Mutex // guards out
	out     []byte

	handedMu sync.Mutex // guards handed
	handed   []handedOver

	feed     feed
	failures failures
	dead     deadLetters
	own      atomic.Pointer[own] // nil until it is known

	pollErr, saveErr string // the last that was logged; each its goroutine's own
}

// handedOver is an object whose last record was returned to Fluent Bit at that
// time. There is at most one for each object that the feed has in mind.
type handedOver struct {
	object source.Object
	at     time.Time
}

// New returns an Input that has read its checkpoint and nothing else.
func New(cfg Config, log *logging.Log) (*Input, error) {
	in := &Input{
		cfg: cfg, log: log, q: newQueue(cfg.QueueBytes, cfg.QueueRecords),
		dead: deadLetters{path: cfg.DeadLetter, max: maxDeadLetterBytes}, stopped: make(chan struct{}),
	}
	in.ctx, in.cancel = context.WithCancel(context.Background())
	var err error
	if in.feed, err = newFeed(in.ctx, cfg, log); err != nil {
		in.cancel()
		return nil, err
	}
	return in, nil
}

// Start begins reading in goroutines of its own, which end with Stop. A second call
// does nothing.
func (in *Input) Start() {
	in.start.Do(func() { go in.run() })
}

// Pause makes Drain return nothing until Resume. Reading goes on until the
// queue is full.
func (in *Input) Pause() { in.paused.Store(true) }

// Resume ends Pause.
func (in *Input) Resume() { in.paused.Store(false) }

// Closing makes Drain return nothing for good: what Fluent Bit is given while
// it stops is lost.
func (in *Input) Closing() { in.stopping.Store(true) }

// Drain returns the next records as msgpack, at most Config.BatchBytes of them
// (or one block when that alone is more), and nil when there are none. It never
// waits for reading. The slice is valid until the next call. What it returns
// counts as handed over.
func (in *Input) Drain() []byte {
	if in.paused.Load() || in.stopping.Load() {
		return nil
	}
	in.drainMu.Lock()
	defer in.drainMu.Unlock()
	in.out = in.out[:0]
	var ends []handedOver
	now := time.Now()
	for _, b := range in.q.take(in.cfg.BatchBytes) {
		in.out = append(in.out, b.buf...)
		in.queued.Add(-int64(b.records))
		in.handedOver.Add(int64(b.records))
		if b.end != nil {
			ends = append(ends, handedOver{*b.end, now})
		}
		recycle(b.buf)
	}
	if ends != nil {
		in.handedMu.Lock()
		in.handed = append(in.handed, ends...)
		in.handedMu.Unlock()
	}
	if len(in.out) == 0 {
		return nil
	}
	return in.out
}

// Stop ends reading, brings the checkpoint or the queue up to what has settled, and
// waits for both, at most three seconds. Objects that were handed over less than
// Config.Settle ago are read again by the next run. A second call does nothing
// more.
func (in *Input) Stop() error {
	in.stopping.Store(true)
	in.start.Do(func() { close(in.stopped) }) // never started
	in.cancel()
	in.q.close()
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-in.stopped:
		return nil
	case <-timeout.C:
		return fmt.Errorf("cannot stop reading %s within %v: a read hangs; its objects will be read again", in.cfg.place(), stopTimeout)
	}
}

// Stats returns the counts so far.
func (in *Input) Stats() Stats {
	return Stats{
		Objects: in.objects.Load(), Events: in.events.Load(), Filtered: in.filtered.Load(),
		Queued: in.queued.Load(), HandedOver: in.handedOver.Load(), BadRecords: in.badRecs.Load(),
		Retried: in.retried.Load(), GivenUp: in.givenUp.Load(),
	}
}

// String formats the counts for the log.
func (s Stats) String() string {
	return fmt.Sprintf("%d objects, %d events (%d filtered, %d handed over, %d left), %d bad records, %d objects tried again, %d given up",
		s.Objects, s.Events, s.Filtered, s.HandedOver, s.Queued, s.BadRecords, s.Retried, s.GivenUp)
}

// settle marks as done what was handed over long enough before now, and saves
// the checkpoint. Dead letters are made safe first: an object is not done while
// its bad records may still be lost.
func (in *Input) settle(ctx context.Context, now time.Time, save func(context.Context) error) {
	if err := in.dead.sync(); err != nil {
		in.report(&in.saveErr, err, "the checkpoint does not move")
		return
	}
	in.handedMu.Lock()
	n := 0
	for n < len(in.handed) && now.Sub(in.handed[n].at) >= in.cfg.Settle {
		n++
	}
	settled := in.handed[:n:n]
	in.handed = append([]handedOver(nil), in.handed[n:]...)
	in.handedMu.Unlock()
	for _, h := range settled {
		in.feed.Done(h.object)
	}
	in.report(&in.saveErr, save(ctx), "objects may be read again after a restart")
}

// run reads until Stop: one goroutine polls, some read, and one settles.
func (in *Input) run() {
	defer close(in.stopped)
	in.learnSelf(in.ctx)
	work := make(chan source.Object)
	var readers, settler sync.WaitGroup
	for range max(1, in.cfg.Readers) {
		readers.Go(func() {
			for o := range work {
				in.read(o)
			}
		})
	}
	ended := make(chan struct{})
	settler.Go(func() { in.settleUntil(ended) })
	in.poll(work)
	close(work)
	readers.Wait()
	close(ended)
	settler.Wait()
}

// settleEvery is the longest time between two settlings.
const settleEvery = time.Second

// settleUntil settles until all readers have ended, and once more then.
func (in *Input) settleUntil(ended <-chan struct{}) {
	tick := time.NewTicker(min(settleEvery, in.cfg.PollInterval))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			in.settle(in.ctx, time.Now(), in.feed.Save)
		case <-ended:
			ctx, cancel := context.WithTimeout(context.Background(), stopTimeout*2/3)
			defer cancel()
			in.settle(ctx, time.Now(), in.feed.Close)
			if err := in.dead.close(); err != nil {
				in.log.Printf(logging.Error, "%v", err)
			}
			return
		}
	}
}

// poll gives what the feed offers to the readers. Between two looks at files lies the
// poll interval, because a file is complete when two looks found it the same; other
// sources are asked again at once while they have something.
func (in *Input) poll(work chan<- source.Object) {
	tick := time.NewTicker(in.cfg.PollInterval)
	defer tick.Stop()
	for in.ctx.Err() == nil {
		objects, err := in.pollOnce()
		if in.ctx.Err() != nil {
			return
		}
		in.report(&in.pollErr, err, fmt.Sprintf("trying again every %v", in.cfg.PollInterval))
		for _, o := range objects {
			select {
			case work <- o:
			case <-in.ctx.Done():
				return
			}
		}
		if in.cfg.eager() && err == nil && len(objects) > 0 {
			continue
		}
		if in.cfg.Source == SourceSQS && err == nil {
			continue // it has waited for messages
		}
		select {
		case <-tick.C:
		case <-in.ctx.Done():
		}
	}
}

// pollOnce turns a panic of a source into an error: it costs a poll, not the process
// that Fluent Bit is.
func (in *Input) pollOnce() (objects []source.Object, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the source panicked, please report it: %v", p)
		}
	}()
	return in.feed.Poll(in.ctx)
}

// report logs an error when it begins, changes and ends. last is its caller's own.
func (in *Input) report(last *string, err error, and string) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == *last:
	case text == "":
		in.log.Printf(logging.Info, "all of %s can be used again", in.cfg.place())
	default:
		in.log.Printf(logging.Warn, "%s; %s", text, and)
	}
	*last = text
}
