package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// holds asks the coordinator whether the group's generation is still that of the last
// assignment. A process that was suspended for longer than the session, and has lost its
// partitions unnoticed, so avoids an output that the broker would refuse: the broker
// checks the offsets of every transaction (session.offsets). A stopping session does not
// wait long.
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

// pause delays the next check while an output has more to write.
func (s *session) pause(ctx context.Context) {
	if !s.more {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}

// tickEvery is how often a processor may write without having read anything: its output
// then says that time passes.
const tickEvery = time.Second
