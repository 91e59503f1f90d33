// Package output is the body of the Fluent Bit output out_kms: it takes the
// CloudTrail events out of Fluent Bit's chunks, normalizes them and delivers
// them to Kafka, one log record a Kafka record, keyed by the call's id. It needs
// no C; the exported functions around it stand in plugins/out_kms.
//
// Guarantees. A flush returns OK only when Kafka has acknowledged, on all in-sync replicas
// (see Config.Acks), everything that the chunk held: the log records in Topic, and the rest
// in DeadLetterTopic, with its bytes, place and reason. It never returns Error, which would
// make Fluent Bit drop the chunk. Within one process an idempotent producer sends a record
// until Kafka acknowledges it and not after that, however often Fluent Bit hands the chunk
// over again, as far as attempts remembers it. After a restart records may repeat under the
// same key.
//
// When Kafka is slow or away, a flush waits up to FlushTimeout and returns
// Retry. The produced records stay in the producer's buffer and are delivered when
// Kafka is back, whether Fluent Bit asks again or not. Fluent Bit gives a chunk
// up after retry_limit attempts, 1 unless configured: set it to no_limits.
//
// With Config.AckPaths an Output tells in_kms which of its records Kafka has, dead
// letters and filtered ones among them (package ack): in_kms then counts an object as
// done for no other reason. A number is acknowledged when everything that came out of its
// record is. Where a filter has made several records of one, that means all of them. The
// end of a flush acknowledges nothing.
//
// Limits. Memory is Config.BufferBytes (counted before compression), the
// decoder's state for each flush that runs, and attempts (see maxAttempts).
package output

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sync/semaphore"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/chunk"
	"keytrail/plugins/internal/logging"
	"keytrail/processor/lograte"
	"keytrail/schemas/decoding"
)

// Code is what a flush tells Fluent Bit, with Fluent Bit's numbers. There is no
// error code: see the package comment.
type Code int

// The codes of Flush.
const (
	OK    Code = 1
	Retry Code = 2
)

// warnEvery bounds the log lines about a Kafka that does not acknowledge: one a minute.
const warnEvery = lograte.Every

// Stats counts what an Output did. When no flush runs, Received = Delivered +
// DeadLettered + Filtered + Failed + InFlight.
type Stats struct {
	Received     int64 // events, and records that hold none
	Delivered    int64 // log records that Kafka acknowledged
	DeadLettered int64 // dead letters that Kafka acknowledged
	Filtered     int64 // events that Keytrail is not about
	Failed       int64 // records that Kafka refused; Fluent Bit's retry produces them again
	InFlight     int64 // produced, not yet acknowledged
	Acknowledged int64 // records of in_kms that it was told about
	Abandoned    int64 // chunks that Fluent Bit did not hand over again, as after retry_limit
	FilteredBy   decoding.Filtered
}

// String formats the counts for the log.
func (s Stats) String() string {
	return fmt.Sprintf("%d received (%d delivered, %d dead letters, %d filtered%s, "+
		"%d refused by Kafka, %d not acknowledged)",
		s.Received, s.Delivered, s.DeadLettered, s.Filtered, s.FilteredBy.Named(), s.Failed, s.InFlight)
}

// Output delivers for one Fluent Bit output instance. Its methods may be called
// from any goroutine, several flushes at a time.
type Output struct {
	cfg      Config
	log      *logging.Log
	client   *kgo.Client
	room     *semaphore.Weighted // BufferBytes
	workers  sync.Pool           // of *worker
	attempts attempts
	letters  *lograte.Letters
	acks     *ack.Sender // nil without Config.AckPaths
	probing  sync.WaitGroup
	cancel   context.CancelFunc

	turns      *semaphore.Weighted // of deliveries whose chunks are being read
	repeating  *semaphore.Weighted // of the flush that produces refused units again
	delivering sync.WaitGroup
	closing    context.Context // of deliveries: it ends when Close begins
	close      context.CancelFunc

	received, delivered, deadLettered, filtered, failed, inFlight atomic.Int64
	acknowledged, abandoned                                       atomic.Int64

	answered  atomic.Int64                      // when Kafka last acknowledged or answered; see clock
	why       [decoding.NumFilters]atomic.Int64 // filtered, by the reason
	brokerErr atomic.Pointer[error]             // why the last connection failed; nil after one that did not
	lastWarn  atomic.Int64                      // see clock
	began     time.Time                         // of clock
}

// New returns an Output whose producer connects when the first chunk comes: a
// Kafka that is away does not keep Fluent Bit from starting. It fails when the
// configuration contradicts itself. name is the instance's in Fluent Bit: its alias, or
// such as out_kms.0.
func New(cfg Config, name string, log *logging.Log) (*Output, error) {
	o := &Output{cfg: cfg, log: log, began: time.Now(), room: semaphore.NewWeighted(int64(cfg.BufferBytes))}
	o.lastWarn.Store(int64(-warnEvery))
	o.answered.Store(int64(-neverAnswered))
	o.letters = lograte.NewLetters(func(reason, first string, n int) {
		log.Printf(logging.Warn, "%d records went to %q: %s (the first: %s)", n, cfg.DeadLetterTopic, reason, first)
	})
	o.turns, o.repeating = semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))), semaphore.NewWeighted(1)
	o.closing, o.close = context.WithCancel(context.Background())
	o.workers.New = func() any { return newWorker(&o.cfg) }
	cfg.Security.SASL.OnSecret(log.Secrets().AddFile)
	opts := append(cfg.Security.Options(),
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(cfg.ClientID),
		kgo.ProducerBatchCompression(codecs[cfg.Compression]),
		kgo.ProducerBatchMaxBytes(int32(cfg.MaxMessageBytes)),
		kgo.ProducerLinger(5*time.Millisecond),
		// The client's 5 s would make one lost connection cost more than a whole
		// flush, and a missing topic would show only after four of them.
		kgo.MetadataMinAge(500*time.Millisecond),
		// The bound is o.room, which a flush can wait for with a deadline; the
		// client's own must not be met before.
		kgo.MaxBufferedRecords(cfg.BufferBytes/recordCost+1),
		kgo.WithHooks(connectHook{o}),
	)
	if cfg.Acks == AcksLeader {
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	o.client = client
	ctx, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	if len(cfg.AckPaths) > 0 {
		l := &o.attempts.ledger
		l.tell, l.patience = o.tell, cfg.FlushTimeout
		l.connected = func(run ack.Run) bool { return o.acks.Connected(run) }
		o.attempts.numbers = (&chunk.Walker{EventKey: cfg.EventKey}).Numbers
		say := func(format string, args ...any) { log.Printf(logging.Warn, format, args...) }
		o.acks = ack.NewSender(cfg.AckPaths, name, o.health, say)
		o.probing.Go(func() { o.probe(ctx) })
	}
	return o, nil
}

// connectHook remembers why brokers cannot be reached, for the log.
type connectHook struct{ o *Output }

// Flush delivers one chunk of msgpack records, as Fluent Bit hands it over, and
// returns OK or Retry. tag names the chunk in dead letters of records that say
// nothing of their own origin. Flush keeps no reference to chunk.
func (o *Output) Flush(chunk []byte, tag string) Code {
	return o.flush(context.Background(), o.attempts.take(chunk), chunk, tag, func() {})
}

// flush is Flush of an attempt that was taken, until ctx ends. It calls produced when it
// needs no more of the chunk than that Kafka acknowledges it.
func (o *Output) flush(ctx context.Context, a *attempt, chunk []byte, tag string, produced func()) (code Code) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.FlushTimeout)
	defer cancel()
	code = Retry
	refused := a.takeRefused()
	defer func() { // after a panic, too: Fluent Bit hands the chunk over again
		a.giveBack(refused)
		o.attempts.ledger.report(a)
		if code == OK {
			o.attempts.finish(a)
		} else {
			o.attempts.keep(chunk, a, time.Now())
		}
	}()
	err := o.walk(ctx, a, chunk, tag)
	produced()
	if err == nil {
		err = a.wait(ctx)
	}
	if err == nil {
		err = o.produceAgain(ctx, a, chunk, tag, &refused)
	}
	if errors.Is(err, context.Canceled) { // Fluent Bit ends, and has the chunk next time
		return Retry
	}
	pending, failed := a.state()
	if failed != nil {
		err = fmt.Errorf("some of its records are refused by Kafka: %w", failed)
	}
	if err == nil {
		return OK
	}
	o.warn(pending, err)
	return Retry
}

// walk produces what the chunk holds from a.pos on.
func (o *Output) walk(ctx context.Context, a *attempt, chunk []byte, tag string) error {
	return o.work(ctx, a, tag, func(f *flush) error {
		f.w.walker.Reset(chunk, a.pos)
		for f.w.walker.Next(&f.entry) {
			if err := f.record(); err != nil {
				return err
			}
			a.end(f.w.walker.Pos())
		}
		a.whole = true
		return nil
	})
}

// produceAgain produces units that Kafka has refused, and removes those that it produces from
// list. Kafka refuses a batch as a whole for one of its records, so each goes alone. One
// chunk at a time does so, beside those whose turn it is.
func (o *Output) produceAgain(ctx context.Context, a *attempt, chunk []byte, tag string, list *[]unit) error {
	if len(*list) == 0 {
		return nil
	}
	if err := o.repeating.Acquire(ctx, 1); err != nil {
		return err
	}
	defer o.repeating.Release(1)
	return o.work(ctx, a, tag, func(f *flush) error {
		for len(*list) > 0 {
			f.again = &(*list)[0]
			f.w.walker.Reset(chunk, f.again.pos)
			f.w.walker.Next(&f.entry)
			if err := f.record(); err != nil {
				return err
			}
			*list = (*list)[1:]
			if err := a.wait(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// work runs do with a flush that has a worker.
func (o *Output) work(ctx context.Context, a *attempt, tag string, do func(*flush) error) error {
	w := o.workers.Get().(*worker)
	defer func() {
		w.walker.Reset(nil, 0)
		o.workers.Put(w)
	}()
	return do(&flush{o: o, w: w, a: a, ctx: ctx, tag: tag, observed: time.Now()})
}

// warn logs why a chunk was not delivered, once in warnEvery.
func (o *Output) warn(pending int, err error) {
	now, last := int64(o.clock()), o.lastWarn.Load()
	if now-last < int64(warnEvery) || !o.lastWarn.CompareAndSwap(last, now) {
		return
	}
	hint := ""
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("%d of its records are not acknowledged after %v", pending, o.cfg.FlushTimeout)
		if pending == 0 {
			err = fmt.Errorf("buffer_bytes (%d) had no room for it within %v; %d records of other chunks are not acknowledged",
				o.cfg.BufferBytes, o.cfg.FlushTimeout, o.inFlight.Load())
		}
		if why := o.brokerErr.Load(); why != nil {
			hint = fmt.Sprintf("; the last connection failed: %v", o.cfg.Security.Explain(*why))
		}
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		hint = fmt.Sprintf("; create the topics %q and %q", o.cfg.Topic, o.cfg.DeadLetterTopic)
	case errors.Is(err, kerr.MessageTooLarge):
		hint = "; set max_message_bytes to the topic's max.message.bytes"
	default:
		err = o.cfg.Security.Explain(err)
	}
	o.log.Printf(logging.Warn, "cannot deliver a chunk to Kafka at %v: %v%s; Fluent Bit keeps it and retries within its "+
		"retry_limit", o.cfg.Brokers, err, hint)
}

// lastRecords is how long Close waits for what is in flight. Fluent Bit has waited for its
// grace time before, and chunks that are not delivered come again.
const lastRecords = time.Second

// Close waits up to lastRecords for what is in flight, and ends the producer. Deliveries end;
// no Flush may run, and nothing may follow.
func (o *Output) Close() {
	o.close()
	o.delivering.Wait() // Fluent Bit frees their chunks next
	ctx, cancel := context.WithTimeout(context.Background(), lastRecords)
	defer cancel()
	if err := o.client.Flush(ctx); err != nil {
		o.log.Printf(logging.Warn, "%d records were not acknowledged by Kafka before the end: %v", o.inFlight.Load(), err)
	}
	o.cancel()
	o.probing.Wait()
	if o.acks != nil {
		o.acks.Close(lastAcks)
	}
	o.client.Close()
	o.letters.Flush()
}

// Stats returns the counts so far.
func (o *Output) Stats() Stats {
	s := Stats{
		Received: o.received.Load(), Delivered: o.delivered.Load(), DeadLettered: o.deadLettered.Load(),
		Filtered: o.filtered.Load(), Failed: o.failed.Load(), InFlight: o.inFlight.Load(),
		Acknowledged: o.acknowledged.Load(), Abandoned: o.abandoned.Load(),
	}
	for i := range o.why {
		s.FilteredBy[i] = o.why[i].Load()
	}
	return s
}
