// Package input is the body of the Fluent Bit input in_kms: it finds CloudTrail's
// files in a directory, in S3 by listing, in S3 by the messages of an SQS queue, or
// asks LookupEvents; it reads ahead into a bounded queue, and gives Fluent Bit one
// flat msgpack record for each event. It needs no C; the exported functions around it
// stand in plugins/in_kms.
//
// Guarantees. Every event of an object is handed over at least once, with its JSON
// byte for byte, in the order of the object. A record that is not an event goes to
// the dead-letter file with its place and reason, and the rest go on. So does an object
// that is damaged, or gone at two looks; one that may become readable is tried again for
// as long as the source lives (source.Retries).
//
// Fluent Bit gives an input no acknowledgement: what a callback returns goes through a
// ring buffer in memory to the engine, into chunks, and to an output that may be told
// to drop them. So with Config.AckPath out_kms itself acknowledges each record (package
// ack), and an object counts as done, in the checkpoint or for the queue, when Kafka has
// all of its records and for no other reason; window says how. At most Config.AckWindow
// bytes are handed over and not acknowledged, whatever Kafka, Fluent Bit and its disk
// do. After a crash, objects that are not done are read again.
//
// Without Config.AckPath, as with another output or one on another host, an object
// counts as done when its last record was handed over Config.Settle ago (default 60 s),
// not counting the time in which Fluent Bit pauses the input. That is a guess: what
// Fluent Bit loses after it stays lost, and the log says so at the start.
//
// When Fluent Bit pauses the input, the queue fills and reading waits; nothing
// is dropped. Fluent Bit's pause and exit calls name no instance, and its core
// stops only the last instance's timer; the Input therefore keeps its own flag
// and returns nothing while it is paused or stopping.
//
// Limits. Memory is QueueBytes, one batch, what window keeps, for each reader the
// decoder's two records of Limits.RecordBytes, and what the source keeps in mind: 250
// bytes for each file of a directory; see Config and the sources. The size of an object
// does not matter.
package input

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/logging"
	"keytrail/processor/source"
	"keytrail/processor/source/feed"
	"keytrail/schemas/decoding"
)

// stopTimeout bounds how long Stop waits for a read that hangs, as on a lost
// network mount: less than Fluent Bit's grace of five seconds.
const stopTimeout = 3 * time.Second

// surrenderTimeout bounds how long Stop then waits for a checkpoint that is being written.
const surrenderTimeout = 500 * time.Millisecond

// Stats counts what an Input did. While it is stopped, or has read everything,
// Events = Filtered + HandedOver + Queued + Known. An object that is read again
// counts again.
type Stats struct {
	Objects    int64 // objects read to their end
	Events     int64 // events decoded
	Filtered   int64 // events that Keytrail is not about, not passed on
	Queued     int64 // events waiting for Fluent Bit, or left when the Input stopped
	HandedOver int64 // events that Fluent Bit has taken
	BadRecords int64 // records that were not events, and objects that named no event
	Retried    int64 // failures to read an object to its end, after which it is tried again
	GivenUp    int64 // objects that could not be read, and whose dead letter was written
	FilteredBy decoding.Filtered

	// Only with Config.AckPath:
	Known        int64 // events that were acknowledged when their object was read before
	Acknowledged int64 // events that out_kms has acknowledged
	Again        int64 // events that were handed over again, because they were not acknowledged
	Accepted     int64 // events taken for done without an acknowledgement: unacknowledged is done
	Waiting      int64 // bytes that are handed over and not acknowledged
	Parked       int64 // objects with events that are not acknowledged and are, or will be, handed over again
}

// Input reads objects for one Fluent Bit input instance. Drain, Pause, Resume,
// Stop and Stats may be called from any goroutine.
type Input struct {
	cfg Config
	log *logging.Log
	q   *queue
	// repeats are the blocks of what is handed over again. They must not wait behind
	// those of q, which wait until they are done when the window is full.
	repeats *queue

	paused, stopping                                       atomic.Bool
	objects, events, filtered, queued, handedOver, badRecs atomic.Int64
	retried, givenUp, known                                atomic.Int64
	why                                                    [decoding.NumFilters]atomic.Int64 // filtered, by the reason
	reading                                                atomic.Int64                      // objects

	start   sync.Once
	cancel  context.CancelFunc
	ctx     context.Context
	stopped chan struct{} // closed when the goroutines have ended

	buffers buffers
	drainMu sync.Mutex // records are numbered in the order in which they are handed over
	// Guarded by drainMu.
	offered    int64     // events that are written for the host and not yet taken by it
	refused    []byte    // a piece that the host refused, to be offered again; nil mostly
	sayRefused time.Time // no line about a refusal before

	progress progress
	window   *window // progress, where it is one; nil otherwise

	feed     feed.Feed
	failures failures
	dead     deadLetters
	own      atomic.Pointer[own] // nil until it is known

	lock      io.Closer // of the checkpoint; nil without one
	releasing sync.Once

	saving      sync.Mutex // held while the checkpoint is written; guards surrendered
	surrendered bool

	pollErr, saveErr, syncErr reported // each its goroutine's own

	// finished are the objects whose dead letters are not yet synced: at most those that
	// the feed has in mind. Of the goroutine that settles.
	finished []source.Object
}

// New returns an Input that has read its checkpoint and listens at Config.AckPath. It reads
// nothing before Start. End it with Stop.
func New(cfg Config, log *logging.Log) (*Input, error) {
	in := &Input{
		cfg: cfg, log: log, q: newQueue(cfg.QueueBytes, cfg.QueueRecords), buffers: newBuffers(&cfg),
		dead: deadLetters{path: cfg.DeadLetter, max: maxDeadLetterBytes}, stopped: make(chan struct{}),
	}
	in.repeats = newQueue(min(cfg.QueueBytes, 4*blockBytes), cfg.QueueRecords)
	in.repeats.pushed = in.q.pushed
	in.ctx, in.cancel = context.WithCancel(context.Background())
	var err error
	in.lock, err = feed.Lock(cfg.Checkpoint)
	if err == nil {
		err = in.newProgress()
	}
	if err == nil {
		in.feed, err = feed.Open(in.ctx, cfg.feed(), in.say)
	}
	if err == nil && in.window != nil {
		in.window.park = in.feed.Park
	}
	if err != nil {
		in.cancel()
		return nil, errors.Join(err, in.release())
	}
	return in, nil
}

// say logs a line of a source.
func (in *Input) say(warn bool, format string, args ...any) {
	level := logging.Info
	if warn {
		level = logging.Warn
	}
	in.log.Printf(level, format, args...)
}

// release gives back the socket and the lock of the checkpoint. A second call does nothing.
func (in *Input) release() (err error) {
	in.releasing.Do(func() {
		if in.progress != nil {
			err = in.progress.close()
		}
		if in.lock != nil {
			err = errors.Join(err, in.lock.Close())
		}
	})
	return err
}

// newProgress makes the progress, which decides when objects are done.
func (in *Input) newProgress() error {
	if in.cfg.AckPath == "" {
		in.progress = &clock{settle: in.cfg.Settle}
		in.log.Printf(logging.Warn, "ack_path is not set: an object counts as done %v after its last event was handed to "+
			"Fluent Bit, whether Kafka has it or not; a crash, a full disk or retry_limit then loses events. "+
			"Set ack_path here and in out_kms on this host", in.cfg.Settle)
		return nil
	}
	var run ack.Run
	rand.Read(run[:]) // it does not fail
	say := func(format string, args ...any) { in.log.Printf(logging.Warn, format, args...) }
	w := newWindow(in.cfg, run, time.Now(), say)
	var err error
	w.l, err = ack.Listen(in.cfg.AckPath, run, ack.Handlers{Acks: w.acks, Gone: w.gone, Say: say})
	in.progress, in.window = w, w
	return err
}

// Start begins reading in new goroutines, which end with Stop. A second call
// does nothing.
func (in *Input) Start() {
	in.start.Do(func() { go in.run() })
}

// Pause makes Drain return nothing until Resume. Reading goes on until the
// queue is full.
func (in *Input) Pause() {
	in.paused.Store(true)
	in.progress.pause(true, time.Now())
}

// Resume ends Pause.
func (in *Input) Resume() {
	in.paused.Store(false)
	in.progress.pause(false, time.Now())
}

// Closing makes Drain return nothing for good: what Fluent Bit is given while
// it stops is lost.
func (in *Input) Closing() { in.stopping.Store(true) }

// Stop ends reading, brings the checkpoint or the queue up to what is done, and
// waits for both, at most three seconds. Objects that are not done are read again by the
// next run. A second call does nothing more.
func (in *Input) Stop() error {
	in.stopping.Store(true)
	in.start.Do(func() { close(in.stopped) }) // never started
	in.cancel()
	in.q.close()
	in.repeats.close()
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-in.stopped:
		return in.release() // where it was never started; run has done it otherwise
	case <-timeout.C:
		err := fmt.Errorf("cannot stop reading %s within %v: a read hangs; its objects will be read again",
			in.cfg.place(), stopTimeout)
		if !in.surrender() {
			return err
		}
		return errors.Join(err, in.release()) // a reload needs it next
	}
}

// surrender ends the writing of the checkpoint for good, because the next run may have it
// from now on. It reports false where a save hangs: the lock then stays with it.
func (in *Input) surrender() bool {
	for end := time.Now().Add(surrenderTimeout); !in.saving.TryLock(); time.Sleep(surrenderTimeout / 20) {
		if time.Now().After(end) {
			return false
		}
	}
	defer in.saving.Unlock()
	in.surrendered = true
	return true
}

// save saves what is done unless the checkpoint is another run's.
func (in *Input) save(ctx context.Context, save func(context.Context) error) error {
	if in.lock == nil { // a queue: its messages are this run's own
		return save(ctx)
	}
	in.saving.Lock()
	defer in.saving.Unlock()
	if in.surrendered {
		return nil
	}
	return save(ctx)
}

// Stats returns the counts so far.
func (in *Input) Stats() Stats {
	s := Stats{
		Objects: in.objects.Load(), Events: in.events.Load(), Filtered: in.filtered.Load(),
		Queued: in.queued.Load(), HandedOver: in.handedOver.Load(), BadRecords: in.badRecs.Load(),
		Retried: in.retried.Load(), GivenUp: in.givenUp.Load(), Known: in.known.Load(),
	}
	if in.window != nil {
		bytes, parked, w := in.window.snapshot()
		s.Acknowledged, s.Again, s.Accepted = w.acknowledged, w.again, w.accepted
		s.Waiting, s.Parked = int64(bytes), int64(parked)
	}
	for i := range in.why {
		s.FilteredBy[i] = in.why[i].Load()
	}
	return s
}

// String formats the counts for the log.
func (s Stats) String() string {
	text := fmt.Sprintf("%d objects, %d events (%d filtered%s, %d handed over, %d left), "+
		"%d bad records, %d objects tried again, %d given up", s.Objects, s.Events, s.Filtered, s.FilteredBy.Named(), s.HandedOver, s.Queued, s.BadRecords, s.Retried, s.GivenUp)
	if s.Acknowledged+s.Waiting+s.Parked > 0 {
		text += fmt.Sprintf("; %d events acknowledged, %d bytes are not, %d objects wait to be handed over again",
			s.Acknowledged, s.Waiting, s.Parked)
	}
	return text
}

// settle marks objects as done and saves the checkpoint. An object is done
// when its dead letters are safe: they are written before the object can be among those that
// progress returns, so they are synced after it has returned them. While they cannot be
// synced the objects wait, and the feed still saves what it has: a queue's messages are held.
func (in *Input) settle(ctx context.Context, now time.Time, save func(context.Context) error) {
	if in.window != nil {
		in.window.tell()
	}
	in.finished = append(in.finished, in.progress.done(now)...)
	in.recordExpiring(now)
	err := in.dead.sync()
	in.report(&in.syncErr, err, "objects that were read since are not done")
	if err == nil {
		for _, o := range in.finished {
			in.feed.Done(o)
		}
		in.finished = nil
	}
	in.report(&in.saveErr, in.save(ctx, save), "objects may be read again after a restart")
}

// run reads until Stop: one goroutine polls, some read, and one settles.
func (in *Input) run() {
	defer close(in.stopped)
	in.learnSelf(in.ctx)
	work := make(chan *flight)
	var readers, settler sync.WaitGroup
	for range max(1, in.cfg.Readers) {
		readers.Go(func() {
			for f := range work {
				in.read(f)
			}
		})
	}
	readers.Go(in.repeat)
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
			if err := errors.Join(in.dead.close(), in.release()); err != nil {
				in.log.Printf(logging.Error, "%v", err)
			}
			return
		}
	}
}

// reportEvery bounds the lines about one kind of error.
const reportEvery = time.Minute

// reported is what was logged about one kind of error.
type reported struct {
	text string    // the last error that was logged
	open bool      // since then there was always an error
	at   time.Time // when it was logged
}

// report logs an error when it begins and when it ends, and at most once in reportEvery
// when it changes: a full disk names another temporary file each second.
func (in *Input) report(last *reported, err error, and string) {
	now := time.Now()
	switch {
	case err == nil:
		if last.open {
			in.log.Printf(logging.Info, "all of %s can be used again", in.cfg.place())
		}
		last.open = false
	case last.open && err.Error() == last.text || !last.at.IsZero() && now.Sub(last.at) < reportEvery:
	default:
		*last = reported{err.Error(), true, now}
		in.log.Printf(logging.Warn, "%s; %s", last.text, and)
	}
}
