package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// holds asks the broker whether the group is still as it was when partitions
// were assigned last. A commit of offsets is checked by the broker; an output
// without records commits none, and a process that was paused for longer than
// the session may be alone in believing that it owns anything.
func (s *session) holds(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, min(10*time.Second, s.t.GiveUp))
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
