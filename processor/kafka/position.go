package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Position is where a partition is read on.
type Position struct {
	Offset int64 // of the next record
	Epoch  int32 // leader epoch of the record before it, by which a log that was cut is noticed; -1: unknown
	// Topic is the id of the topic that Offset was read in, by which a topic that was made
	// anew is noticed; zero: unknown, as brokers before Kafka 3.1 do not tell it.
	Topic [16]byte
}

// nowhere is the position of a partition of which nothing has been read.
var nowhere = Position{Offset: -1, Epoch: -1}

// In returns the position in the log from which records were fetched, of a topic with
// that id. ErrCut says that the position is in a log of another topic of the same name.
//
// The id has to be that of a fetch, and not of metadata, which a broker may tell for a
// while after a topic was made anew: a fetch by id succeeds only if the partition's leader
// has a log of that id.
func (at Position) In(topic [16]byte) (Position, error) {
	if unknown := [16]byte{}; topic == unknown {
		return at, nil
	} else if at.Topic != unknown && at.Topic != topic {
		return at, fmt.Errorf("the topic has the id %x, and what was read up to offset %d had %x: it was deleted and made anew: %w",
			topic, at.Offset, at.Topic, ErrCut)
	}
	at.Topic = topic
	return at, nil
}

// Stateful is a Processor whose state says how far it has come. The state decides where a
// partition is read on, and the group's offsets only confirm it: they expire a week after
// the last member has gone, and a topic of state can be deleted while they stay. All calls
// come from the goroutine that calls the Processor.
type Stateful interface {
	// Position returns, after Assign, what Read said before the newest commit that the
	// restored state has; ok is false for a partition without state.
	Position(partition int32) (at Position, ok bool)
	// Expired is called before the first record of a partition when the offsets [from, to)
	// were deleted before anybody read them.
	Expired(partition int32, from, to int64)
	// Read is called before Output with the position of every owned partition. If the
	// transaction commits, which it does when commits is true and when Output writes
	// anything, it commits these offsets for the group: then the state that Output writes
	// has to have them, too, of every partition whose position has changed.
	Read(next map[int32]Position, commits bool)
}

// Errors that say what has happened to Kafka's logs. Beginning again would not help: they
// end the stage. docs/operations.md has a section for each, with the words before the
// colon as its title.
var (
	// ErrCut says that a log is shorter than what has been read of it, or has other
	// records: an unclean leader election, a topic that was made anew, a backup.
	ErrCut = errors.New("a log was cut: counted records are missing in it; see docs/operations.md, \"A log was cut\"")
	// ErrStateMissing says that state is gone, wholly or in part, of records that were read.
	ErrStateMissing = errors.New("state is missing: going on would count twice or lose counts; see docs/operations.md, \"State is missing\"")
)

// change is one decision of the group about partitions, in the order in which
// they came.
type change struct {
	assigned   bool
	partitions []int32
	// Of partitions that are new to the client: what the group has committed of each, or
	// nowhere, and where the client waits to hear from which position to fetch. nil when
	// partitions that the client has are to be restored.
	committed map[int32]Position
	begin     chan map[int32]Position
}

// adjust is called by the client with the group's offsets of partitions that are new to
// it. It waits until their state is restored, and has it begin where the state says.
func (s *session) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	own := offsets[s.t.Topic]
	if len(own) == 0 {
		return offsets, nil
	}
	c := change{assigned: true, partitions: slices.Sorted(maps.Keys(own)), committed: map[int32]Position{}, begin: make(chan map[int32]Position, 1)}
	for p, o := range own {
		c.committed[p] = nowhere
		if at := o.EpochOffset(); at.Offset >= 0 {
			c.committed[p] = Position{Offset: at.Offset, Epoch: at.Epoch}
		}
	}
	s.note(c)
	select {
	case <-ctx.Done(): // the group changes again, or the session ends
		return nil, ctx.Err()
	case at := <-c.begin:
		for p := range own {
			own[p] = kgo.NewOffset().At(at[p].Offset).WithEpoch(at[p].Epoch)
		}
		return offsets, nil
	}
}

// begin finds out where newly assigned partitions are read from. Of partitions that are
// restored after an abort the group's offsets are not known, and not asked for.
func (s *session) begin(ctx context.Context, fresh map[int32]Position, again map[int32]bool) error {
	for p := range fresh {
		if !again[p] {
			continue
		}
		if at, ok := s.first[p]; ok { // nothing was committed since it was assigned
			fresh[p] = at
		} else if o, ok := s.gts.Client().CommittedOffsets()[s.t.Topic][p]; ok {
			fresh[p] = Position{Offset: o.Offset, Epoch: o.Epoch}
		}
	}
	starts, ends, err := s.logs(ctx, fresh)
	if err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(fresh)) {
		at, expired, err := s.t.Begin(s.p, p, fresh[p], starts[p], ends[p])
		if err != nil {
			return Fatal(err)
		}
		if expired {
			s.expired(p, at.Offset, starts[p])
			at = Position{Offset: starts[p], Epoch: -1, Topic: at.Topic}
		}
		s.next[p] = at
	}
	return nil
}

// Begin decides where a partition is read on: by the state that p has restored of it, by
// the group's offset, -1 for none, and by where its log starts and ends. expired reports
// whether what is between the returned position and the start was deleted before it was
// read; reading goes on at the start then. An error is ErrCut or ErrStateMissing.
func (t *Transact) Begin(p Processor, partition int32, group Position, start, end int64) (at Position, expired bool, err error) {
	at = group
	if state, is := p.(Stateful); is {
		own, ok := state.Position(partition)
		switch {
		case !ok && group.Offset >= 0:
			return at, false, fmt.Errorf("topic %q partition %d: group %s has read topic %q up to offset %d, and no record here says so: %w",
				t.State, partition, t.Group, t.Topic, group.Offset, ErrStateMissing)
		case ok && group.Offset > own.Offset:
			return at, false, fmt.Errorf("topic %q partition %d: group %s has read topic %q up to offset %d, and the state here ends at %d: %w",
				t.State, partition, t.Group, t.Topic, group.Offset, own.Offset, ErrStateMissing)
		case ok && group.Offset < own.Offset && t.Kafka.Log != nil:
			t.Kafka.Log.Warn("the group's offset was lost or moved: the state decides", "group", t.Group, "topic", t.Topic, "partition", partition, "committed", group.Offset, "position", own.Offset)
		}
		if ok {
			at = own
		}
	}
	switch {
	case at.Offset > end:
		return at, false, fmt.Errorf("topic %q partition %d ends at offset %d, and was read up to %d: %w", t.Topic, partition, end, at.Offset, ErrCut)
	case at.Offset >= 0:
		return at, at.Offset < start, nil
	}
	if start > 0 && t.Kafka.Log != nil {
		t.Kafka.Log.Warn("the group has no position: it begins with the oldest record that is left", "group", t.Group, "topic", t.Topic, "partition", partition, "offset", start)
	}
	return Position{Offset: start, Epoch: -1}, false, nil
}

// staleAfter is how long a position may move on without records, over the ends of
// transactions, before it is committed: what is behind a position when its log expires
// counts as lost.
const staleAfter = 10 * time.Second

// behind reports whether positions have to be committed, though there is nothing to
// process: at the end of a session, and a while after they have moved.
func (s *session) behind(stopping bool) bool {
	moved := false
	for p := range s.owned {
		if at, ok := s.next[p]; ok && at.Offset != s.said[p].Offset {
			moved = true
		}
	}
	switch {
	case !moved:
		s.stale = time.Time{}
		return false
	case s.stale.IsZero():
		s.stale = time.Now()
	}
	return stopping || time.Since(s.stale) > staleAfter
}

// confirm is how long a partition has to end before what was read of it for its log to
// count as cut: after a change of leaders an end can be told that is not the last.
const confirm = 5 * time.Second

// logs returns the first and the end offset of partitions. An end that is before a
// position is asked for again for a while.
func (s *session) logs(ctx context.Context, fresh map[int32]Position) (starts, ends map[int32]int64, err error) {
	adm := kadm.NewClient(s.gts.Client())
	within, cancel := context.WithTimeout(ctx, min(DefaultStall, s.t.GiveUp))
	defer cancel()
	for began := time.Now(); ; {
		from, err := adm.ListStartOffsets(within, s.t.Topic)
		if err != nil {
			return nil, nil, err
		}
		to, err := adm.ListEndOffsets(within, s.t.Topic)
		if err != nil {
			return nil, nil, err
		}
		starts, ends = map[int32]int64{}, map[int32]int64{}
		short := false
		for p, group := range fresh {
			a, ok1 := from.Lookup(s.t.Topic, p)
			b, ok2 := to.Lookup(s.t.Topic, p)
			if err := errors.Join(a.Err, b.Err); err != nil || !ok1 || !ok2 {
				return nil, nil, fmt.Errorf("topic %q partition %d has no offsets: %w", s.t.Topic, p, err)
			}
			starts[p], ends[p] = a.Offset, b.Offset
			at := group // of those that Begin looks at the one that decides
			if state, ok := s.p.(Stateful); ok {
				if own, ok := state.Position(p); ok {
					at = own
				}
			}
			short = short || at.Offset > b.Offset
		}
		if !short || time.Since(began) > confirm {
			return starts, ends, nil
		}
		select {
		case <-within.Done():
			return nil, nil, within.Err()
		case <-time.After(confirm / 10):
		}
	}
}

// sameTopic checks that the fetched records are of the topic that the positions are in, and
// notes its id where it was not known.
func (s *session) sameTopic(fetches kgo.Fetches) error {
	for _, fetch := range fetches {
		for _, t := range fetch.Topics {
			for _, p := range t.Partitions {
				if !s.owned[p.Partition] || len(p.Records) == 0 {
					continue
				}
				at, err := s.next[p.Partition].In(t.TopicID)
				if err != nil {
					return fmt.Errorf("topic %q partition %d: %w", t.Topic, p.Partition, err)
				}
				s.next[p.Partition] = at
			}
		}
	}
	return nil
}

// expired says that the records [from, to) of a partition were deleted unread.
func (s *session) expired(p int32, from, to int64) {
	s.stale = time.Unix(0, 0) // to be told at once
	s.log.Error("records expired before they were read: what they say is not counted; see docs/operations.md, \"Records expired unread\"",
		"topic", s.t.Topic, "partition", p, "from", from, "to", to)
	if state, ok := s.p.(Stateful); ok {
		state.Expired(p, from, to)
	}
	if s.t.Expired != nil {
		s.t.Expired(p, from, to)
	}
}

// offsets puts the positions of all owned partitions into a commit of offsets. The client
// leaves out those that have not moved, and sends none when nothing has; but the commit is
// what the group checks the member's generation by: one that has lost its partitions must
// not get through with an output that only tells that time passes.
func (s *session) offsets(req *kmsg.TxnOffsetCommitRequest) error {
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic = s.t.Topic
	for _, t := range req.Topics {
		if t.Topic == s.t.Topic {
			topic.TopicID = t.TopicID
		}
	}
	for _, p := range slices.Sorted(maps.Keys(s.owned)) {
		at, ok := s.next[p]
		if !ok {
			continue
		}
		one := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		one.Partition, one.Offset, one.LeaderEpoch, one.Metadata = p, at.Offset, at.Epoch, &req.MemberID
		if s.t.Note != nil {
			note := s.t.Note(p)
			one.Metadata = &note
		}
		topic.Partitions = append(topic.Partitions, one)
	}
	if req.Topics = nil; len(topic.Partitions) > 0 {
		req.Topics = append(req.Topics, topic)
	}
	return nil
}
