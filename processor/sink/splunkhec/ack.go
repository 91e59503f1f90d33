package splunkhec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"keytrail/processor/sink"
)

// The pauses between two questions for acknowledgements grow from the first to the last.
// So a request costs at most a question per lastPause within Config.AckTimeout, and six more.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 10 * time.Second
)

// ackKey names an acknowledgement. A node counts them per channel.
type ackKey struct {
	id     uint64
	cookie string // leads to the node
}

// pendingAck is one request that is not acknowledged.
type pendingAck struct {
	ackKey
	part []int // its records
	// doubt: another request has the same key, since its node has started again or is
	// another one. A "true" may be about either. Guarded by openAcks.mu.
	doubt bool
}

// openAcks are the acknowledgements that a Sink waits for.
type openAcks struct {
	mu   sync.Mutex
	list map[ackKey]*pendingAck
}

// add reports false if another request waits for the same acknowledgement.
func (o *openAcks) add(p *pendingAck) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if other := o.list[p.ackKey]; other != nil {
		other.doubt = true
		return false
	}
	if o.list == nil {
		o.list = map[ackKey]*pendingAck{}
	}
	o.list[p.ackKey] = p
	return true
}

// remove reports whether the acknowledgement can be trusted.
func (o *openAcks) remove(p *pendingAck) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.list, p.ackKey)
	return !p.doubt
}

// acks are those of one batch.
type acks struct {
	sink *Sink
	list []*pendingAck
	late []int // the records of requests that end without an acknowledgement
	err  error // why
}

// add notes that a request waits for an acknowledgement.
func (k *acks) add(id uint64, cookie string, part []int) error {
	p := &pendingAck{ackKey: ackKey{id, cookie}, part: slices.Clone(part)}
	if !k.sink.open.add(p) {
		return fmt.Errorf("two requests wait for acknowledgement %d: the receiver has started again, or a load "+
			"balancer uses several nodes without sticky sessions", id)
	}
	k.list = append(k.list, p)
	return nil
}

// end ends the requests for which of returns true. They are acknowledged if err is nil.
func (k *acks) end(err error, of func(*pendingAck) bool) {
	ended := len(k.list)
	k.list = slices.DeleteFunc(k.list, func(p *pendingAck) bool {
		if !of(p) {
			return false
		}
		if sure := k.sink.open.remove(p); err != nil || !sure {
			k.late = append(k.late, p.part...)
		}
		return true
	})
	if ended -= len(k.list); ended > 0 {
		k.err = errors.Join(k.err, err)
	}
	if k.err == nil && len(k.late) > 0 {
		k.err = errors.New("an acknowledgement may be about another request")
	}
}

// wait waits until each request is acknowledged, or is to be sent again.
func (k *acks) wait(ctx context.Context) {
	limit := k.sink.c.AckTimeout
	deadline := time.Now().Add(limit)
	every := func(*pendingAck) bool { return true }
	for pause := k.sink.first; len(k.list) > 0; pause = min(2*pause, lastPause) {
		if err := sleep(ctx, min(pause, time.Until(deadline))); err != nil {
			k.end(err, every)
			return
		}
		pause = max(pause, k.poll(ctx))
		if time.Now().After(deadline) {
			k.end(fmt.Errorf("the indexers acknowledged nothing within %v (ack_timeout)", limit), every)
		}
	}
}

// poll asks each node once and returns the pause that one of them asked for.
func (k *acks) poll(ctx context.Context) (after time.Duration) {
	nodes := map[string][]uint64{}
	for _, p := range k.list {
		nodes[p.cookie] = append(nodes[p.cookie], p.id)
	}
	for cookie, list := range nodes {
		done, err := k.sink.ask(ctx, list, cookie)
		var busy *sink.Throttled
		if errors.As(err, &busy) { // it has told nothing
			after = max(after, min(busy.After, k.sink.c.AckTimeout))
			continue
		}
		if err != nil {
			err = fmt.Errorf("an answer about acknowledgements is lost: %w", err)
		}
		k.end(err, func(p *pendingAck) bool {
			return p.cookie == cookie && (err != nil || done[strconv.FormatUint(p.id, 10)])
		})
	}
	return after
}

// ask asks a node for acknowledgements. The node forgets those that it reports as true.
func (s *Sink) ask(ctx context.Context, list []uint64, cookie string) (done map[string]bool, err error) {
	question := []byte(`{"acks":[`)
	for i, id := range list {
		if i > 0 {
			question = append(question, ',')
		}
		question = strconv.AppendUint(question, id, 10)
	}
	a, err := s.post(ctx, ackPath, append(question, "]}"...), cookie)
	if err != nil {
		return nil, err
	}
	said, err := s.judge(a, true)
	var refused *sink.Rejected
	if errors.As(err, &refused) { // the question, not a record
		err = &sink.Paused{Cause: sink.CauseProtocol, Err: fmt.Errorf("%w; if the receiver has no "+
			"acknowledgements, set ack: off", refused.Err)}
	}
	return said.Acks, err
}

// sleep waits for the pause or for the end of ctx, whose error it returns.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// brake slows requests down while the receiver is near the end of its capacity. It takes
// them, and would refuse them soon.
type brake struct {
	mu    sync.Mutex
	pause time.Duration // before the next request
}

// note doubles the pause if the receiver is near the end, else ends it.
func (b *brake) note(near bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pause = min(max(2*b.pause, firstPause), lastPause); !near {
		b.pause = 0
	}
}

func (b *brake) wait(ctx context.Context) error {
	b.mu.Lock()
	pause := b.pause
	b.mu.Unlock()
	if pause == 0 {
		return ctx.Err()
	}
	return sleep(ctx, pause)
}
