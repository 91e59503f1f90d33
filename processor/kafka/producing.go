package kafka

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producing is what one transaction writes. Records are sent while more are made, and
// the client keeps a bounded number of them (maxBuffered): a transaction needs no
// more memory than that, however much it writes.
type producing struct {
	s      *session
	ctx    context.Context
	n      int
	mu     *sync.Mutex
	failed *error
}

// maxBuffered and maxBufferedBytes bound what is on its way to the brokers.
const (
	maxBuffered      = 10_000
	maxBufferedBytes = 32 << 20
)

// emit sends one record; it waits while too much is on its way.
func (p *producing) emit(r *kgo.Record) {
	if p.n++; p.mu == nil {
		p.mu, p.failed = new(sync.Mutex), new(error)
	}
	mu, failed := p.mu, p.failed
	p.s.gts.Produce(p.ctx, r, func(r *kgo.Record, err error) {
		if err != nil {
			mu.Lock()
			*failed = fmt.Errorf("cannot write %d bytes to topic %q partition %d: %w", len(r.Value), r.Topic, r.Partition, err)
			mu.Unlock()
		}
	})
}

// wait waits for all records. The end of a transaction does not look at what became
// of them: without this, one that was refused would be missing in a transaction that
// commits.
func (p *producing) wait(ctx context.Context) error {
	if p.n == 0 {
		return nil
	}
	if err := p.s.gts.Client().Flush(ctx); err != nil {
		return fmt.Errorf("cannot write %d records: %w", p.n, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.failed
}
