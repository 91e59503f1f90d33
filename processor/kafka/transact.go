package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Processor does a stage's work inside the transactions, on the records of the partitions
// that it owns. All calls come from one goroutine.
type Processor interface {
	// Assign is called before the first record of newly owned partitions; the processor
	// restores their state. After an error all of them are revoked, and assigned again if
	// the group still says so.
	Assign(ctx context.Context, partitions []int32) error
	// Revoke is called when partitions are no longer owned, also after Assign failed.
	Revoke(partitions []int32)
	// Process takes one record. Its memory is reused afterwards, so the processor must
	// copy what it keeps. An error ends the stage.
	Process(r *kgo.Record) error
	// Lag receives, about once a second and before Output, how many offsets each owned
	// partition is behind its end, or UnknownLag. A partition with lag is not silent,
	// even if it delivers nothing.
	Lag(behind map[int32]int64)
	// Output calls emit with the records, with explicit partitions, to write in the
	// transaction that commits everything processed since the last call; without any call
	// there is nothing to commit. To keep transactions short it may stop early and return
	// more: it is then called again, in a new transaction, before any further record is
	// processed. It must not change a record after emit, which may block.
	Output(now time.Time, emit func(*kgo.Record)) (more bool, err error)
	// Committed receives the outcome of the transaction of the last Output. After false
	// all partitions are revoked and assigned again: the records since the last commit
	// come once more.
	Committed(ok bool)
}

// Transact configures a stage's transactions.
type Transact struct {
	Kafka         Config
	Group         string
	Topic         string
	TransactionID string        // unique among running processes
	Interval      time.Duration // between the first record and the commit, at most
	Records       int           // per transaction, at most
	// Room, when set, returns how many records may be polled next: at least 1 at the
	// beginning of a transaction; 0 ends it.
	Room func() int
	// Early, when set, is called after each processed record, with Output's emit: for a
	// stage that may write more than it should buffer.
	Early func(emit func(*kgo.Record))
	// LargeTopic has a max.message.bytes of MaxBatchBytes; "" for none.
	LargeTopic string
	// GiveUp is how long the stage keeps trying before it ends with an error, for the
	// process to be restarted: without a successful commit or poll, or with failures only
	// and no commit although there is something to commit. It must exceed tickEvery, the
	// polling interval of an idle stage.
	GiveUp time.Duration
	// Note, when set, returns a short text, at most 200 bytes, to commit with the offset
	// of a partition. The Processor's goroutine calls Note and Saw.
	Note func(partition int32) string
	// Saw, when set, receives the known state of the whole topic, just before
	// Processor.Lag.
	Saw func(Seen)
	// State is the topic from which a Stateful processor restores its state; "" for others.
	State string
	// Drain is the longest time that the stage continues after ctx is done, to read its
	// partitions to their ends; 0 for none.
	Drain time.Duration
	// Expired, when set, is called like Stateful.Expired.
	Expired func(partition int32, from, to int64)
	// Took, when set, receives how long each commit took, from the transaction's last
	// record on.
	Took func(time.Duration)
	// Refused, when set, receives each record that the brokers refused for its own sake
	// (RefusedForGood) or for that of another record of its batch, after the transaction
	// that wrote it was aborted.
	Refused func(r *kgo.Record, err error)
	// Singly, when set, reports whether each batch has one record, so that a refusal names
	// it. After a refusal the others are not written.
	Singly func() bool
	// Failed, when set, receives the error of each session that is retried.
	Failed func(error)
}

// usualBatchBytes bounds a batch for topics with Kafka's default limit of 1 MiB.
const usualBatchBytes = 1_000_012

// MaxBatchBytes bounds a batch for Transact.LargeTopic: 8 MiB. Only an entity's state can
// exceed Kafka's default of 1 MiB: 220 windows (208 behind the watermark,
// stream.mostBehind, and a few open ones) of 6 sets of 512 values of up to 11 bytes are
// 7.5 MB.
const MaxBatchBytes = 8 << 20

// Run reads, processes and writes until ctx is done; it then finishes the current
// transaction and returns nil. It retries a failed session with backoff, and returns an
// error if failures last longer than GiveUp or the processor fails.
func (t *Transact) Run(ctx context.Context, p Processor) error {
	log := t.Kafka.Log.With("group", t.Group)
	trying := trying{giveUp: t.GiveUp, good: time.Now()}
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		began := time.Now()
		ended, err := t.session(ctx, p, log)
		var fatal *processorError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &fatal):
			return fmt.Errorf("stage %s: %w", t.Group, fatal.err)
		}
		if ended.commits > 0 || ended.calm > 0 {
			wait = 200 * time.Millisecond
		}
		if reason := trying.failed(began, time.Now(), ended); reason != "" {
			return fmt.Errorf("stage %s: %s: %w", t.Group, reason, err)
		}
		t.Kafka.trouble().Failed(fmt.Sprintf("the session of group %s failed; retrying", t.Group), err)
		if t.Failed != nil {
			t.Failed(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// processorError marks an error of the processor itself: a retry would only repeat it.
type processorError struct{ err error }

func (e *processorError) Error() string { return e.err.Error() }
func (e *processorError) Unwrap() error { return e.err }

// Fatal marks an error of Assign that a retry would only repeat, such as unreadable
// state: Run returns it at once.
func Fatal(err error) error { return &processorError{err} }

// session is one run of a group session, until ctx is done or a step fails.
type session struct {
	t     *Transact
	gts   *kgo.GroupTransactSession
	p     Processor
	log   *slog.Logger
	owned map[int32]bool
	// open means that a transaction has begun. A transaction without records or output is
	// kept and used later: ending it would delay the next by half a second, and the
	// broker does not know of it yet.
	open bool
	more bool // the last Output returned more

	fetched fetched
	next    map[int32]Position // position of each owned partition
	first   map[int32]Position // position at the assignment, until the first commit
	said    map[int32]Position // the group's offsets, as far as known
	stale   time.Time          // since when next is ahead of said
	asked   time.Time          // time of the last lag

	tick  time.Time // time of the last output without records
	empty time.Time // when there was first nothing to commit
	ended

	mu          sync.Mutex // guards what the client's callbacks report
	changes     []change
	wake        func() // ends the current poll after a change
	generations int    // begun since the last end of a transaction
	member      string // id and generation at the last assignment
	generation  int32
}

func (t *Transact) session(ctx context.Context, p Processor, log *slog.Logger) (how ended, err error) {
	s := &session{t: t, p: p, log: log, owned: map[int32]bool{}, next: map[int32]Position{}, first: map[int32]Position{},
		said: map[int32]Position{}}
	s.gts, err = kgo.NewGroupTransactSession(append(slices.Concat(t.Kafka.Options(),
		t.Kafka.Member(t.Group), s.fetched.options()),
		kgo.ConsumeTopics(t.Topic), kgo.TransactionalID(t.TransactionID),
		kgo.KeepControlRecords(), // a partition may end with a transaction's marker
		// adjust decides where to begin. If unread records are deleted, the session ends
		// and the next one detects it.
		kgo.AdjustFetchOffsetsFn(s.adjust), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		// Below the session timeout: a dead member's transaction is aborted at about the
		// time when others take over. Until then they wait for its offsets.
		kgo.TransactionTimeout(min(20*time.Second, t.Kafka.session()/2)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytesFn(func(topic string) int32 {
			if topic == t.LargeTopic {
				return MaxBatchBytes
			}
			return usualBatchBytes
		}),
		kgo.MaxBufferedRecords(maxBuffered), kgo.MaxBufferedBytes(maxBufferedBytes),
		kgo.ProducerLinger(0), // End flushes at once; lingering would only delay
		kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression()), // as small as LZ4, three times as fast
		// Called once per generation, also without new partitions.
		kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, _ map[string][]int32) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.generations++
			s.member, s.generation = cl.GroupMetadata()
		}),
		kgo.OnPartitionsRevoked(
			func(_ context.Context, _ *kgo.Client, m map[string][]int32) { s.note(change{partitions: m[t.Topic]}) }),
		kgo.OnPartitionsLost(
			func(_ context.Context, _ *kgo.Client, m map[string][]int32) { s.note(change{partitions: m[t.Topic]}) }),
	)...)
	if err != nil {
		return how, &processorError{fmt.Errorf("cannot make a Kafka client: %w", err)}
	}
	defer s.gts.Close()
	defer s.dropAll()
	began := time.Now()
	for ctx.Err() == nil {
		if err := s.transaction(ctx); err != nil {
			return s.ended, err
		}
		// Without brokers the client keeps trying and returns no records and no error.
		if time.Since(began) > t.GiveUp && time.Since(s.good) > t.GiveUp {
			return s.ended, errors.New("the group's coordinator does not answer")
		}
	}
	if t.Drain > 0 && !s.drain(ctx) {
		return s.ended, nil
	}
	return s.ended, s.last(ctx)
}

// deadline returns the deadlines for writing an output of n records and for ending its
// transaction. An output without records counts from now, before the check of the
// generation: a late answer may be outdated.
func (s *session) deadline(n int) func() time.Time {
	patience := min(30*time.Second, s.t.GiveUp)
	last := time.Now().Add(patience)
	return func() time.Time {
		if n > 0 {
			last = time.Now().Add(patience)
		}
		return last
	}
}

// transaction collects records for the interval, processes them, and commits the output
// together with their offsets.
func (s *session) transaction(ctx context.Context) error {
	if !s.open {
		if err := s.gts.Begin(); err != nil {
			return fmt.Errorf("cannot begin a transaction: %w", err)
		}
		s.open = true
	}
	// A graceful stop finishes the transaction although ctx is done. The deadline covers
	// unreachable brokers.
	whole := context.WithoutCancel(ctx)
	out := producing{s: s}
	if s.t.Early != nil {
		var cancel context.CancelFunc
		out.ctx, cancel = context.WithTimeout(whole, s.t.Interval+min(30*time.Second, s.t.GiveUp))
		defer cancel() // after the end: canceling would drop the requests in flight
	}
	n, err := s.collect(ctx, &out)
	end := s.deadline(n)
	stopping := ctx.Err() != nil
	commits := n > 0 || s.behind(stopping)
	if err == nil && n == 0 {
		if !s.more && !commits && time.Since(s.tick) < tickEvery {
			return nil
		}
		if !s.holds(ctx, stopping) {
			s.pause(ctx)
			return nil
		}
		s.tick = time.Now()
	}
	if err == nil {
		// Taken before the check: if the process is suspended after it, that time is not
		// silence of the sources.
		now := time.Now()
		s.lag(ctx)
		var cancel context.CancelFunc
		out.ctx, cancel = context.WithDeadline(whole, end())
		defer cancel()
		if state, ok := s.p.(Stateful); ok {
			state.Read(s.next, commits)
		}
		if s.more, err = s.p.Output(now, out.emit); err != nil {
			err = &processorError{err}
		}
	}
	if err == nil && !commits && out.n == 0 && !stopping {
		if s.empty.IsZero() {
			s.empty = s.tick
		}
		s.calm = s.tick.Sub(s.empty)
		s.p.Committed(true)
		return nil
	}
	err = s.end(ctx, out, end(), err)
	s.refused = s.refused || err != nil && (commits || out.n > 0)
	return err
}

// end commits the transaction, or aborts it after an error.
func (s *session) end(ctx context.Context, out producing, deadline time.Time, err error) error {
	s.open = false
	began := time.Now()
	end, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	end = kgo.PreTxnCommitFnContext(end, s.offsets)
	if err == nil {
		err = out.wait(end)
	}
	if err != nil {
		s.more = false
		s.gts.End(end, kgo.TryAbort)
		s.p.Committed(false)
		out.tell()
		return err
	}
	committed, err := s.gts.End(end, kgo.TryCommit)
	s.p.Committed(committed && err == nil)
	if err != nil {
		return fmt.Errorf("cannot end a transaction: %w", err)
	}
	s.good = time.Now() // an abort is an answer as well
	s.mu.Lock()
	generations := s.generations
	s.generations = 0
	s.mu.Unlock()
	switch {
	case committed:
		clear(s.first)
		s.said, s.stale = maps.Clone(s.next), time.Time{}
		if s.commits++; s.t.Took != nil {
			s.t.Took(s.good.Sub(began))
		}
		return nil
	case generations > 1:
		// The client reports only the first revocation before an end, so partitions may
		// have left and returned unnoticed. A new session knows.
		return errors.New("the group was rebalanced more than once during a transaction")
	}
	s.log.Info("a transaction was aborted by a rebalance")
	return s.again(ctx)
}

// collect polls and processes until the interval is over or the transaction is full. It
// does nothing while earlier output remains to be written.
func (s *session) collect(ctx context.Context, out *producing) (n int, err error) {
	if s.more {
		return 0, s.ownership(ctx)
	}
	deadline, cancel := context.WithTimeout(ctx, s.t.Interval)
	defer cancel()
	for n < s.t.Records && deadline.Err() == nil {
		most := s.t.Records - n
		if s.t.Room != nil {
			if most = min(most, s.t.Room()); most < 1 {
				break
			}
		}
		fetches := s.poll(deadline, most)
		s.fetched.fit(s.gts.Client())
		if err := s.ownership(ctx); err != nil {
			return n, fmt.Errorf("cannot restore: %w", err)
		}
		for _, e := range fetches.Errors() {
			var cut *kgo.ErrDataLoss
			if errors.As(e.Err, &cut) {
				return n, Fatal(fmt.Errorf("topic %q partition %d: %w: %w", e.Topic, e.Partition, ErrCut, e.Err))
			}
			if !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
				return n, FetchError(s.t.Group, e)
			}
		}
		if err := s.sameTopic(fetches); err != nil {
			return n, Fatal(err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if !s.owned[r.Partition] || r.Offset < s.next[r.Partition].Offset {
				continue // revoked since, so the transaction will abort; or fetched before it was assigned again
			}
			s.next[r.Partition] = Position{r.Offset + 1, r.LeaderEpoch, s.next[r.Partition].Topic}
			if r.Attrs.IsControl() {
				continue
			}
			n++
			if err := s.p.Process(r); err != nil {
				return n, &processorError{err}
			}
			r.Recycle()
			if s.t.Early != nil {
				s.t.Early(out.emit)
			}
		}
	}
	return n, nil
}
