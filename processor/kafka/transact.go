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

// Processor is the work inside the transactions: what a stage does with the
// records of the partitions it owns. All calls come from one goroutine.
type Processor interface {
	// Assign is called before the first record of newly owned partitions comes;
	// the processor restores their state. After an error none of them is owned: they are
	// revoked, and come again if the group says so.
	Assign(ctx context.Context, partitions []int32) error
	// Revoke is called when partitions are no longer owned, also when Assign failed.
	Revoke(partitions []int32)
	// Process takes one record. Its memory is used again afterwards: what is kept of it
	// has to be a copy. An error ends the stage.
	Process(r *kgo.Record) error
	// Lag tells, about once a second and before Output, how many offsets each owned
	// partition is behind its end, or UnknownLag. A partition that is behind is not
	// silent, however long it brings nothing.
	Lag(behind map[int32]int64)
	// Output calls emit with what to write in the transaction that commits everything
	// processed since the last call, with explicit partitions; not at all when there
	// is nothing to commit. It may stop before the end, for transactions to stay
	// short: more has it called again, in a transaction of its own, before any record
	// is processed. The records are not touched after emit, which may wait.
	Output(now time.Time, emit func(*kgo.Record)) (more bool, err error)
	// Committed tells how the transaction of the last Output ended. After false
	// all partitions are revoked and assigned again: what was processed since the
	// last commit comes once more.
	Committed(ok bool)
}

// Transact says how a stage's transactions run.
type Transact struct {
	Kafka         Config
	Group         string
	Topic         string
	TransactionID string        // unique among running processes
	Interval      time.Duration // the longest time between the first record and the commit
	Records       int           // the most records in one transaction
	// Room, when set, says how many records may be polled next: at least 1 at the beginning
	// of a transaction, and 0 to have it end.
	Room func() int
	// Early, when set, is called after each record that was processed, with what Output gets
	// as emit: for a stage that may have to write more than it should hold.
	Early func(emit func(*kgo.Record))
	// LargeTopic is made with max.message.bytes of MaxBatchBytes; "" for none.
	LargeTopic string
	// GiveUp is how long the stage tries without one successful commit or poll, or
	// through one failure after another without a commit where there is something to
	// commit, before it ends with an error, for the process to be started again; more
	// than tickEvery, which is how often an idle stage asks.
	GiveUp time.Duration
	// Note, when set, returns a short text to commit with the offset of a partition, at
	// most 200 bytes. Note and Saw are called from the goroutine of the Processor.
	Note func(partition int32) string
	// Saw, when set, is told what is known of the whole topic, just before
	// Processor.Lag.
	Saw func(Seen)
	// State is the topic that a Stateful processor restores its state from; "" for others.
	State string
	// Drain is for how long, at the most, the stage goes on after ctx is done until it has
	// read all that its partitions hold; 0: not at all.
	Drain time.Duration
	// Expired, when set, is called as that of Stateful.
	Expired func(partition int32, from, to int64)
	// Took, when set, is told how long the end of each transaction took that committed,
	// from its last record on.
	Took func(time.Duration)
	// Failed, when set, is told of each session that failed and is begun again.
	Failed func(error)
}

// usualBatchBytes bounds a batch for topics with Kafka's usual bound of 1 MiB.
const usualBatchBytes = 1_000_012

// MaxBatchBytes bounds a batch for Transact.LargeTopic: 8 MiB. Only the state of
// an entity can need more than Kafka's usual 1 MiB: 220 windows (208 behind the watermark,
// stream.mostBehind, and a few that are open) of 6 sets of 512 values of up to 11 bytes
// would be 7.5 MB.
const MaxBatchBytes = 8 << 20

// Run reads, processes and writes until ctx is done, which ends it after the
// transaction at hand with nil. A session that fails is begun again with
// backoff; Run returns an error when that goes on for longer than GiveUp, or
// when the processor fails.
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
		t.Kafka.trouble().Failed(fmt.Sprintf("the session of group %s failed and is begun again", t.Group), err)
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

// processorError marks an error of the processor's own: beginning again would
// only repeat it.
type processorError struct{ err error }

func (e *processorError) Error() string { return e.err.Error() }
func (e *processorError) Unwrap() error { return e.err }

// Fatal marks an error of Assign that beginning again would only repeat, such as
// state that can not be read: Run ends with it at once.
func Fatal(err error) error { return &processorError{err} }

// session is one run of a group session, until ctx is done or something fails.
type session struct {
	t     *Transact
	gts   *kgo.GroupTransactSession
	p     Processor
	log   *slog.Logger
	owned map[int32]bool
	// open tells that a transaction has begun. One without records or output is
	// not ended but used again: ending it would hold up the next for half a
	// second, and the broker does not know of it yet.
	open bool
	more bool // the last Output stopped before its end

	fetched fetched
	next    map[int32]Position // where owned partitions are read on
	first   map[int32]Position // where they were to begin when they came, until something is committed
	said    map[int32]Position // the group's offsets, as far as they are known
	stale   time.Time          // since when the positions are ahead of them
	asked   time.Time          // when the lag was

	tick  time.Time // of the last output without records
	empty time.Time // when there was nothing to commit for the first time
	ended

	mu          sync.Mutex // guards what the client's callbacks report
	changes     []change
	wake        func() // ends the poll at hand: there is a change
	generations int    // that began since the last end of a transaction
	member      string // of the last assignment, with its generation
	generation  int32
}

func (t *Transact) session(ctx context.Context, p Processor, log *slog.Logger) (how ended, err error) {
	s := &session{t: t, p: p, log: log, owned: map[int32]bool{}, next: map[int32]Position{}, first: map[int32]Position{}, said: map[int32]Position{}}
	s.gts, err = kgo.NewGroupTransactSession(append(slices.Concat(t.Kafka.Options(), t.Kafka.Member(t.Group), s.fetched.options()),
		kgo.ConsumeTopics(t.Topic), kgo.TransactionalID(t.TransactionID),
		kgo.KeepControlRecords(), // the end of a partition may be a transaction's marker
		// Where to begin is decided by adjust. What is deleted while it waits to be read ends
		// the session, and the next one finds out.
		kgo.AdjustFetchOffsetsFn(s.adjust), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		// Below the session timeout: what a dead member had begun is aborted by about
		// the time when others take over. Until it is, they wait for its offsets.
		kgo.TransactionTimeout(min(20*time.Second, t.Kafka.session()/2)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytesFn(func(topic string) int32 {
			if topic == t.LargeTopic {
				return MaxBatchBytes
			}
			return usualBatchBytes
		}),
		kgo.MaxBufferedRecords(maxBuffered), kgo.MaxBufferedBytes(maxBufferedBytes),
		kgo.ProducerLinger(0), // End flushes at once; lingering would only wait
		kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression()), // as small as LZ4 for a third of its time
		// Called once in every generation of the group, with nothing new as well.
		kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, _ map[string][]int32) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.generations++
			s.member, s.generation = cl.GroupMetadata()
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { s.note(change{partitions: m[t.Topic]}) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { s.note(change{partitions: m[t.Topic]}) }),
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
		// Without brokers the client goes on trying, and finds no records: that is no error.
		if time.Since(began) > t.GiveUp && time.Since(s.good) > t.GiveUp {
			return s.ended, errors.New("the group's coordinator does not answer")
		}
	}
	if t.Drain > 0 && !s.drain(ctx) {
		return s.ended, nil
	}
	return s.ended, s.last(ctx)
}

// deadline returns until when an output of n records has to be written, and then the end
// of its transaction: each has its time. That of an output without records runs from now
// on, before the group is asked whether it still stands: an answer that was long on its
// way is old.
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

// transaction collects records for the interval, processes them, and commits
// what comes of them together with their offsets.
func (s *session) transaction(ctx context.Context) error {
	if !s.open {
		if err := s.gts.Begin(); err != nil {
			return fmt.Errorf("cannot begin a transaction: %w", err)
		}
		s.open = true
	}
	// The end of a transaction is not given up when ctx is done: a graceful stop finishes
	// it. The deadline is for a broker that is gone.
	whole := context.WithoutCancel(ctx)
	out := producing{s: s}
	if s.t.Early != nil {
		var cancel context.CancelFunc
		out.ctx, cancel = context.WithTimeout(whole, s.t.Interval+min(30*time.Second, s.t.GiveUp))
		defer cancel() // behind the end: what is on its way with it would be given up
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
		// The time from before the question: if the process is suspended behind it, that
		// is no silence of the sources.
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

// end commits what was processed and written, or aborts it after an error.
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
		return err
	}
	committed, err := s.gts.End(end, kgo.TryCommit)
	s.p.Committed(committed && err == nil)
	if err != nil {
		return fmt.Errorf("cannot end a transaction: %w", err)
	}
	s.good = time.Now() // an abort is an answer, too
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
		// The client reports only the first revocation before an end: partitions may
		// have gone and come without our knowing. A new session knows.
		return errors.New("the group was rebalanced more than once during a transaction")
	}
	s.log.Info("a transaction was aborted by a rebalance")
	return s.again(ctx)
}

// collect polls and processes until the interval is over or there are records
// enough; nothing while there is more to write of what was processed before.
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
				continue // revoked since, so the transaction will be aborted; or from before it was assigned again
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
