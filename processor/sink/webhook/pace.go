package webhook

import (
	"sync"
	"time"
)

// pace keeps a pause between messages. During the pause the next records gather, and become
// one message: a flood of anomalies is one message per pause. A nil pace has no pause. It is
// safe for concurrent use.
type pace struct {
	every time.Duration
	mu    sync.Mutex
	next  time.Time
}

// left returns what is left of the pause.
func (p *pace) left() time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.next)
}

// sent notes that a message has gone.
func (p *pace) sent() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = time.Now().Add(p.every)
}
