package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (s *session) note(c change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, c)
	if s.wake != nil {
		s.wake()
	}
}

// poll waits for records, or for a change of the assignment.
func (s *session) poll(ctx context.Context, most int) kgo.Fetches {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.wake = cancel
	if len(s.changes) > 0 {
		cancel()
	}
	s.mu.Unlock()
	return s.gts.PollRecords(ctx, most)
}

// ownership passes the group's decisions on to the processor.
func (s *session) ownership(ctx context.Context) error {
	s.mu.Lock()
	changes := s.changes
	s.changes = nil
	s.mu.Unlock()
	if len(changes) == 0 {
		return nil
	}
	fresh, again := s.follow(changes)
	if len(fresh) > 0 {
		list := slices.Sorted(maps.Keys(fresh))
		s.log.Info("partitions assigned", "partitions", list)
		if err := s.p.Assign(ctx, list); err != nil {
			s.p.Revoke(list) // another member may own them before the next session begins
			return err
		}
		for _, p := range list {
			s.owned[p] = true
			if !again[p] {
				s.first[p], s.said[p] = fresh[p], fresh[p]
			}
		}
		if err := s.begin(ctx, fresh, again); err != nil {
			return err
		}
		s.good = time.Now() // restoring may take longer than GiveUp
	}
	for _, c := range changes {
		if c.begin != nil {
			c.begin <- maps.Clone(s.next)
		}
	}
	s.rewind(again)
	return nil
}

// follow applies changes in order. It returns the partitions to restore with the group's
// committed positions, and which of them the client fetches already.
func (s *session) follow(changes []change) (fresh map[int32]Position, again map[int32]bool) {
	fresh, again = map[int32]Position{}, map[int32]bool{}
	for _, c := range changes {
		for _, p := range c.partitions {
			if !c.assigned {
				s.p.Revoke([]int32{p})
				delete(s.owned, p)
				delete(s.next, p)
				delete(s.said, p)
				delete(fresh, p)
				delete(again, p)
				continue
			}
			// The group may change during a restore. A partition that stays here is
			// assigned again, and nobody else has owned it.
			if _, known := s.next[p]; known && s.owned[p] {
				continue
			}
			fresh[p] = nowhere
			if again[p] = c.begin == nil; !again[p] {
				fresh[p] = c.committed[p]
			}
		}
	}
	return fresh, again
}

// rewind makes the client fetch partitions from the positions in their state.
func (s *session) rewind(again map[int32]bool) {
	at := map[int32]kgo.EpochOffset{}
	for p, restored := range again {
		if restored {
			at[p] = kgo.EpochOffset{Offset: s.next[p].Offset, Epoch: s.next[p].Epoch}
		}
	}
	if len(at) > 0 {
		s.gts.Client().SetOffsets(map[string]map[int32]kgo.EpochOffset{s.t.Topic: at})
	}
}

func (s *session) dropAll() {
	s.p.Revoke(slices.Collect(maps.Keys(s.owned)))
}

// again restores every owned partition: state goes back to the last commit.
func (s *session) again(ctx context.Context) error {
	if err := s.ownership(ctx); err != nil {
		return fmt.Errorf("cannot restore: %w", err)
	}
	all := slices.Collect(maps.Keys(s.owned))
	s.p.Revoke(all)
	clear(s.next)
	s.more = false
	// Before the changes that the group has decided meanwhile, which may revoke some.
	s.mu.Lock()
	s.changes = append([]change{{assigned: true, partitions: all}}, s.changes...)
	s.mu.Unlock()
	return nil
}

// drain continues, for at most Transact.Drain, until the owned partitions are read to
// their ends. The stage that writes them has ended, and unread records would wait, and
// might expire, until the next start. It logs a failure and returns false.
func (s *session) drain(ctx context.Context) bool {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.t.Drain)
	defer cancel()
	for within.Err() == nil && !s.drained(within) {
		if err := s.transaction(within); err != nil {
			s.log.Warn("unread records wait for the next start", "error", err)
			return false
		}
	}
	return true
}

// last commits, at the end of a session, positions that have moved without records since
// the last commit, for example over markers. Offsets that expire behind a position before
// the next start would count as lost.
func (s *session) last(ctx context.Context) error {
	if !s.behind(true) {
		return nil
	}
	done, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel() // stops reading
	return s.transaction(done)
}

// drained reports whether no records are left to read, or nobody knows whether there are any.
func (s *session) drained(ctx context.Context) bool {
	if s.more {
		return false
	}
	ends, err := kadm.NewClient(s.gts.Client()).ListEndOffsets(ctx, s.t.Topic)
	if err != nil {
		return true
	}
	for p := range s.owned {
		if end, ok := ends.Lookup(s.t.Topic, p); ok && end.Err == nil && end.Offset > s.next[p].Offset {
			return false
		}
	}
	return true
}
