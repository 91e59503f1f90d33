package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
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
	// refused are the records for Transact.Refused, with the brokers' errors.
	refused *[]refusal
}

type refusal struct {
	r   *kgo.Record
	err error
}

// RefusedForGood reports whether Kafka refused a batch for the sake of its records, so that
// the same record would be refused again.
func RefusedForGood(err error) bool {
	return RefusedAsTooLarge(err) || errors.Is(err, kerr.InvalidRecord)
}

// RefusedAsTooLarge reports whether Kafka refused a batch for its size.
func RefusedAsTooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// maxBuffered and maxBufferedBytes bound the records in flight to the brokers.
const (
	maxBuffered      = 10_000
	maxBufferedBytes = 32 << 20
)

// emit sends one record; it blocks while too many are in flight.
func (p *producing) emit(r *kgo.Record) {
	if p.n++; p.mu == nil {
		p.mu, p.failed, p.refused = new(sync.Mutex), new(error), new([]refusal)
	}
	mu, failed, refused := p.mu, p.failed, p.refused
	singly := p.s.t.Singly != nil && p.s.t.Singly()
	if singly && p.failure() != nil {
		return
	}
	p.s.gts.Produce(p.ctx, r, func(r *kgo.Record, err error) {
		if err != nil {
			mu.Lock()
			if p.s.t.Refused != nil && RefusedForGood(err) {
				*refused = append(*refused, refusal{r, err})
			}
			*failed = fmt.Errorf("cannot write %d bytes to topic %q partition %d: %w", len(r.Value), r.Topic, r.Partition, err)
			mu.Unlock()
		}
	})
	if singly {
		_ = p.s.gts.Client().Flush(p.ctx) // wait reports why it failed
	}
}

func (p *producing) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.failed
}

// tell reports the refused records, after the end of the transaction.
func (p *producing) tell() {
	if p.refused == nil {
		return
	}
	p.mu.Lock()
	list := *p.refused
	p.mu.Unlock()
	for _, one := range list {
		p.s.t.Refused(one.r, one.err)
	}
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
	return p.failure()
}
