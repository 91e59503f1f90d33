package webhook

import (
	"context"
	"sync"
	"time"
)

// pace keeps a pause between messages. While Deliver waits, the next records gather behind
// it, and become one message: a flood of anomalies is one message per pause. A nil pace has
// no pause. It is safe for concurrent use.
type pace struct {
	every time.Duration
	mu    sync.Mutex
	next  time.Time
}

// wait returns when the next message may go, or the error of ctx.
func (p *pace) wait(ctx context.Context) error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	pause := time.Until(p.next)
	p.mu.Unlock()
	if pause <= 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
