// Package input is the body of the Fluent Bit input in_kms: it follows a
// directory of CloudTrail files, reads ahead into a bounded queue, and gives
// Fluent Bit one flat msgpack record for each event. It needs no C; the
// exported functions around it stand in plugins/in_kms.
//
// Guarantees. Every event of a file is handed over at least once, with its JSON
// byte for byte, in the order of the file. A record that is no event goes to
// the dead-letter file with its place and reason, and the rest go on.
//
// Fluent Bit gives an input no acknowledgement: what a callback returns goes
// through a ring buffer to the engine, which drains it every 250 ms and, when
// it stays full for a second, drops. So a file counts as done in the checkpoint
// only when its last record was handed over Config.Settle ago (default 10 s:
// forty drains of the ring). A crash after that may still lose what Fluent Bit
// held in memory; storage.type filesystem closes that window. A crash before it
// repeats the file, and the repeated events are told by their ids.
//
// When Fluent Bit pauses the input, the queue fills and reading waits; nothing
// is dropped. Fluent Bit's pause and exit calls name no instance, and its core
// stops only the last instance's timer; the Input therefore keeps its own flag
// and returns nothing while it is paused or stopping.
//
// Limits. Memory is QueueBytes, one batch, the decoder's two records of
// Limits.RecordBytes, and 250 bytes for each file in the directory; see Config.
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
// Events = Filtered + HandedOver + Queued. A file that is read again counts
// again.
type Stats struct {
	Objects    int64 // files read to their end
	Events     int64 // events decoded
	Filtered   int64 // events of other services, not passed on
	Queued     int64 // events waiting for Fluent Bit, or left when the Input stopped
	HandedOver int64 // events returned to Fluent Bit
	BadRecords int64 // records that were no events
}

// Input reads files for one Fluent Bit input instance. Drain, Pause, Resume,
// Stop and Stats may be called from any goroutine.
type Input struct {
	cfg Config
	log *logging.Log
	q   *queue

	paused, stopping                                       atomic.Bool
	objects, events, filtered, queued, handedOver, badRecs atomic.Int64

	start   sync.Once
	cancel  context.CancelFunc
	ctx     context.Context
	stopped chan struct{} // closed when the reading goroutine has ended

	drainMu sync.Mutex // guards out
	out     []byte

	handedMu sync.Mutex // guards handed
	handed   []handedOver

	// The reading goroutine's own; see reader.go.
	follower *source.Follower
	dead     deadLetters
	pollErr  string
}

// handedOver is a file whose last record was returned to Fluent Bit at that
// time. There is at most one for each object the Follower has in mind.
type handedOver struct {
	object source.Object
	at     time.Time
}

// New returns an Input that has read its checkpoint and nothing else.
func New(cfg Config, log *logging.Log) (*Input, error) {
	exclude := []string{cfg.DeadLetter, cfg.DeadLetter + ".1"}
	if cfg.DeadLetter == "" {
		exclude = nil
	}
	f, err := source.NewFollower(source.FollowerConfig{
		Path: cfg.Path, Checkpoint: cfg.Checkpoint, FromBeginning: cfg.FromBeginning, Exclude: exclude,
	})
	if err != nil {
		return nil, err
	}
	in := &Input{
		cfg: cfg, log: log, follower: f, q: newQueue(cfg.QueueBytes, cfg.QueueRecords),
		dead: deadLetters{path: cfg.DeadLetter, max: maxDeadLetterBytes}, stopped: make(chan struct{}),
	}
	in.ctx, in.cancel = context.WithCancel(context.Background())
	return in, nil
}

// Start begins reading in a goroutine of its own, which ends with Stop. A
// second call does nothing.
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

// Stop ends reading, brings the checkpoint up to what has settled, and waits
// for both, at most three seconds. Files that were handed over less than
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
		return fmt.Errorf("cannot stop reading below %q within %v: a read hangs; its files will be read again", in.cfg.Path, stopTimeout)
	}
}

// Stats returns the counts so far.
func (in *Input) Stats() Stats {
	return Stats{
		Objects: in.objects.Load(), Events: in.events.Load(), Filtered: in.filtered.Load(),
		Queued: in.queued.Load(), HandedOver: in.handedOver.Load(), BadRecords: in.badRecs.Load(),
	}
}

// String formats the counts for the log.
func (s Stats) String() string {
	return fmt.Sprintf("%d files, %d events (%d filtered, %d handed over, %d left), %d bad records",
		s.Objects, s.Events, s.Filtered, s.HandedOver, s.Queued, s.BadRecords)
}

// settle marks as done what was handed over long enough before now, and saves
// the checkpoint. Dead letters are made safe first: a file is not done while
// its bad records may still be lost.
func (in *Input) settle(now time.Time) {
	if err := in.dead.sync(); err != nil {
		in.log.Printf(logging.Error, "%v; the checkpoint does not move", err)
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
		in.follower.Done(h.object)
	}
	if err := in.follower.Save(); err != nil {
		in.log.Printf(logging.Error, "%v; files may be read again after a restart", err)
	}
}

// run is the reading goroutine.
func (in *Input) run() {
	defer close(in.stopped)
	defer func() {
		if r := recover(); r != nil {
			in.log.Printf(logging.Error, "reading has stopped: %v", r)
		}
	}()
	tick := time.NewTicker(in.cfg.PollInterval)
	defer tick.Stop()
	for {
		in.poll()
		in.settle(time.Now())
		select {
		case <-in.ctx.Done():
			in.settle(time.Now())
			if err := in.dead.close(); err != nil {
				in.log.Printf(logging.Error, "%v", err)
			}
			return
		case <-tick.C:
		}
	}
}

// poll reads every file that has become complete.
func (in *Input) poll() {
	objects, err := in.follower.Poll()
	in.reportPoll(err)
	for _, o := range objects {
		if in.stopping.Load() {
			return
		}
		in.read(o)
		in.settle(time.Now())
	}
}

// reportPoll logs a polling error when it begins, changes and ends.
func (in *Input) reportPoll(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == in.pollErr:
	case text == "":
		in.log.Printf(logging.Info, "all of %q can be read again", in.cfg.Path)
	default:
		in.log.Printf(logging.Warn, "%s; trying again every %v", text, in.cfg.PollInterval)
	}
	in.pollErr = text
}
