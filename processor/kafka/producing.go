package kafka

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producing writes the output of one transaction. It sends records while the stage
// produces more, with a bounded number in flight (maxBuffered): memory does not depend on
// the size of the transaction.
type producing struct {
	s      *session
	ctx    context.Context
	n      int
	mu     *sync.Mutex
	failed *error
}

// maxBuffered and maxBufferedBytes bound the records in flight to the brokers.
const (
	maxBuffered      = 10_000
	maxBufferedBytes = 32 << 20
)

// emit sends one record; it blocks while too many are in flight.
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

// wait waits for all records. Ending a transaction does not check them: without wait, a
// transaction could commit without a refused record.
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
