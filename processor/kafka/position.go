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

// Position is where reading of a partition continues.
type Position struct {
	Offset int64 // of the next record
	Epoch  int32 // leader epoch of the previous record, to detect a truncated log; -1: unknown
	// Topic is the id of the topic that Offset belongs to, to detect a recreated topic;
	// zero: unknown, as before Kafka 3.1.
	Topic [16]byte
}

// nowhere is the position of an unread partition.
var nowhere = Position{Offset: -1, Epoch: -1}

// In returns the position in the log of the topic with that id, from which records were
// fetched. ErrCut means that the position belongs to another topic of the same name.
//
// The id must come from a fetch. Metadata may report the old id for a while after a topic
// was recreated, but a fetch by id succeeds only if the partition's leader has a log of
// that id.
func (at Position) In(topic [16]byte) (Position, error) {
	if unknown := [16]byte{}; topic == unknown {
		return at, nil
	} else if at.Topic != unknown && at.Topic != topic {
		return at, fmt.Errorf("the topic has the id %x, but records up to offset %d were read from %x: it was deleted "+
			"and created again: %w",
			topic, at.Offset, at.Topic, ErrCut)
	}
	at.Topic = topic
	return at, nil
}

// Stateful is a Processor whose state contains its position. The state decides where
// reading continues, and the group's offsets only confirm it: they expire a week after
// the last member has left, and a state topic can be deleted without them. All calls come
// from the goroutine that calls the Processor.
type Stateful interface {
	// Position returns, after Assign, the position that Read passed before the newest
	// restored commit; ok is false for a partition without state.
	Position(partition int32) (at Position, ok bool)
	// Starts is called before the first record of a partition with the start of its log,
	// the offset before which records were deleted. Aborted transactions leave it alone:
	// the first record may have a larger offset although there was none before it.
	Starts(partition int32, offset int64)
	// Expired is called before the first record of a partition if the offsets [from, to)
	// were deleted unread.
	Expired(partition int32, from, to int64)
	// Read is called before Output with the position of every owned partition. A
	// transaction commits these offsets for the group if commits is true or Output writes
	// anything. The state that Output writes must then contain the position of every
	// partition that has moved.
	Read(next map[int32]Position, commits bool)
}

// These errors end the stage, because trying again would not help. docs/operations.md has
// a section for each, titled with the words before the colon.
var (
	// ErrCut means that a log has lost or replaced records that were already read: an
	// unclean leader election, a recreated topic, a restored backup.
	ErrCut = errors.New("a log was cut: counted records are missing in it; see docs/operations.md, \"A log was cut\"")
	// ErrStateMissing means that some or all state of processed records is gone.
	ErrStateMissing = errors.New("state is missing: going on would count twice or lose counts; see " +
		"docs/operations.md, \"State is missing\"")
)

// change is one decision of the group about partitions; changes stay in order.
type change struct {
	assigned   bool
	partitions []int32
	// Of partitions that are new to the client: the group's committed positions, or
	// nowhere, and the channel on which the client waits for the positions to fetch from.
	// nil to restore partitions that the client already fetches.
	committed map[int32]Position
	begin     chan map[int32]Position
}

// adjust is called by the client with the group's offsets of newly assigned partitions.
// It waits until their state is restored, and returns the positions of the state.
func (s *session) adjust(ctx context.Context,
	offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	own := offsets[s.t.Topic]
	if len(own) == 0 {
		return offsets, nil
	}
	c := change{assigned: true, partitions: slices.Sorted(maps.Keys(own)), committed: map[int32]Position{},
		begin: make(chan map[int32]Position, 1)}
	for p, o := range own {
		c.committed[p] = nowhere
		if at := o.EpochOffset(); at.Offset >= 0 {
			c.committed[p] = Position{Offset: at.Offset, Epoch: at.Epoch}
		}
	}
	s.note(c)
	select {
	case <-ctx.Done(): // the group changes again or the session ends
		return nil, ctx.Err()
	case at := <-c.begin:
		for p := range own {
			own[p] = kgo.NewOffset().At(at[p].Offset).WithEpoch(at[p].Epoch)
		}
		return offsets, nil
	}
}

// begin determines the positions of newly assigned partitions. After an abort, partitions
// are restored without asking for the group's offsets.
func (s *session) begin(ctx context.Context, fresh map[int32]Position, again map[int32]bool) error {
	for p := range fresh {
		if !again[p] {
			continue
		}
		if at, ok := s.first[p]; ok { // no commit since the assignment
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
		if state, ok := s.p.(Stateful); ok {
			state.Starts(p, starts[p])
		}
		s.next[p] = at
	}
	return nil
}

// Begin decides where a partition is read on, from the restored state of p, the group's
// offset (-1: none) and the start and end of the log. expired reports whether the offsets
// from the returned position to the start were deleted unread; reading continues at the
// start then. An error is ErrCut or ErrStateMissing.
func (t *Transact) Begin(p Processor, partition int32, group Position, start,
	end int64) (at Position, expired bool, err error) {
	at = group
	if state, is := p.(Stateful); is {
		own, ok := state.Position(partition)
		switch {
		case !ok && group.Offset >= 0:
			return at, false, fmt.Errorf("topic %q partition %d: group %s has read topic %q up to offset %d, but this "+
				"topic has no state of it: %w",
				t.State, partition, t.Group, t.Topic, group.Offset, ErrStateMissing)
		case ok && group.Offset > own.Offset:
			return at, false, fmt.Errorf("topic %q partition %d: group %s has read topic %q up to offset %d, but the state "+
				"in this topic ends at %d: %w",
				t.State, partition, t.Group, t.Topic, group.Offset, own.Offset, ErrStateMissing)
		case ok && group.Offset < own.Offset && t.Kafka.Log != nil:
			t.Kafka.Log.Warn("the group's offset was lost or moved: the state decides", "group", t.Group, "topic", t.Topic,
				"partition", partition, "committed", group.Offset, "position", own.Offset)
		}
		if ok {
			at = own
		}
	}
	switch {
	case at.Offset > end:
		return at, false, fmt.Errorf("topic %q partition %d ends at offset %d, but was read up to %d: %w", t.Topic,
			partition, end, at.Offset, ErrCut)
	case at.Offset >= 0:
		return at, at.Offset < start, nil
	}
	if start > 0 && t.Kafka.Log != nil {
		t.Kafka.Log.Warn("the group has no position: it begins with the oldest record", "group", t.Group, "topic", t.Topic,
			"partition", partition, "offset", start)
	}
	return Position{Offset: start, Epoch: -1}, false, nil
}

// staleAfter is how long a position may move without records, over transaction markers,
// before it is committed: offsets that expire behind a position count as lost.
const staleAfter = 10 * time.Second

// behind reports whether positions must be committed without anything to process: at the
// end of a session, and a while after they have moved.
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

// confirm is how long a log must appear shorter than the position before it counts as
// cut: after a change of leaders, a broker may report an outdated end offset.
const confirm = 5 * time.Second

// logs returns the start and end offsets of partitions. While an end is before a
// position, it asks again for up to confirm.
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
			at := group // of Begin's inputs, the deciding one
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

// sameTopic checks that the fetched records belong to the topic of the positions, and
// fills in unknown topic ids.
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

// expired reports that the records [from, to) of a partition were deleted unread.
func (s *session) expired(p int32, from, to int64) {
	s.stale = time.Unix(0, 0) // commit at once
	s.log.Error("records expired before they were read, and are not counted; see docs/operations.md, \"Records "+
		"expired unread\"",
		"topic", s.t.Topic, "partition", p, "from", from, "to", to)
	if state, ok := s.p.(Stateful); ok {
		state.Expired(p, from, to)
	}
	if s.t.Expired != nil {
		s.t.Expired(p, from, to)
	}
}

// offsets adds the positions of all owned partitions to a commit. The client omits
// unchanged offsets, and sends no commit if none has changed. But the broker checks a
// member's generation by its commit, and a member that has lost its partitions must not
// get even an output through that only says that time passes.
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
