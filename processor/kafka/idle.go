package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// holds asks the broker whether the group is still as it was when partitions
// were assigned last. It spares a process that was paused for longer than the session,
// and is alone in believing that it owns anything, an output that would be refused: the
// offsets that every transaction commits are checked by the broker (session.offsets).
// Who is stopping does not wait for long.
func (s *session) holds(ctx context.Context, stopping bool) bool {
	patience := 10 * time.Second
	if stopping {
		patience = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(patience, s.t.GiveUp))
	defer cancel()
	s.mu.Lock()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = s.t.Group, s.member, s.generation
	s.mu.Unlock()
	if req.MemberID == "" {
		return false
	}
	resp, err := req.RequestWith(ctx, s.gts.Client())
	if err != nil || resp.ErrorCode != 0 {
		return false
	}
	s.good = time.Now()
	return true
}

// pause keeps an output that has more to write from asking again at once.
func (s *session) pause(ctx context.Context) {
	if !s.more {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}

// tickEvery is how often a processor may write something without having read
// anything: what it has to tell then is that time passes.
const tickEvery = time.Second
