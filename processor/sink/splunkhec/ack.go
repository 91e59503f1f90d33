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

// channels are the channels that no Deliver uses. Each Deliver has one for itself: a node that
// starts again counts its acknowledgements from 0, and a "true" that another Deliver's request
// got would be taken for this one's. A Sink has as many channels as deliveries in flight.
type channels struct {
	mu   sync.Mutex
	free []string
}

// take returns a channel: the GUID of a free one, or a new one.
func (c *channels) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.free)
	if n == 0 {
		return newChannel()
	}
	channel := c.free[n-1]
	c.free = c.free[:n-1]
	return channel
}

func (c *channels) put(channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = append(c.free, channel)
}

// ackKey names an acknowledgement of a channel. Each node counts them by itself.
type ackKey struct {
	id     uint64
	cookie string // leads to the node
}

// pendingAck is one request that is not acknowledged.
type pendingAck struct {
	ackKey
	part []int // its records
}

// acks are those of one Deliver.
type acks struct {
	sink    *Sink
	channel string
	list    []pendingAck
	late    []int // the records of requests that end without an acknowledgement
	err     error // why
}

// add notes that a request waits for an acknowledgement. If another one waits for the same,
// a "true" may be about either, and neither is acknowledged.
func (k *acks) add(id uint64, cookie string, part []int) error {
	key := ackKey{id, cookie}
	same := func(p pendingAck) bool { return p.ackKey == key }
	if slices.ContainsFunc(k.list, same) {
		err := fmt.Errorf("two requests wait for acknowledgement %d: the receiver has started again, or a load "+
			"balancer uses several nodes without sticky sessions", id)
		k.end(err, same)
		return err
	}
	k.list = append(k.list, pendingAck{key, slices.Clone(part)})
	return nil
}

// end ends the requests for which of returns true. They are acknowledged if err is nil.
func (k *acks) end(err error, of func(pendingAck) bool) {
	ended := len(k.list)
	k.list = slices.DeleteFunc(k.list, func(p pendingAck) bool {
		if !of(p) {
			return false
		}
		if err != nil {
			k.late = append(k.late, p.part...)
		}
		return true
	})
	if ended -= len(k.list); ended > 0 {
		k.err = errors.Join(k.err, err)
	}
}

// every is all requests.
func every(pendingAck) bool { return true }

// unsure ends all requests, because the answer to a later one is lost. If the receiver has
// started again in between, that one may have the id of an earlier one.
func (k *acks) unsure(err error) {
	k.end(fmt.Errorf("the answer to a later request is lost, and a \"true\" could be about that: %w", err), every)
}

// wait waits until each request is acknowledged, or is to be sent again.
func (k *acks) wait(ctx context.Context) {
	limit := k.sink.c.AckTimeout
	deadline := time.Now().Add(limit)
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
		done, err := k.sink.ask(ctx, k.channel, list, cookie)
		var busy *sink.Throttled
		if errors.As(err, &busy) { // it has told nothing
			after = max(after, min(busy.After, k.sink.c.AckTimeout))
			continue
		}
		if err != nil {
			err = fmt.Errorf("an answer about acknowledgements is lost: %w", err)
		}
		k.end(err, func(p pendingAck) bool {
			return p.cookie == cookie && (err != nil || done[strconv.FormatUint(p.id, 10)])
		})
	}
	return after
}

// ask asks a node for acknowledgements. The node forgets those that it reports as true.
func (s *Sink) ask(ctx context.Context, channel string, list []uint64, cookie string) (
	done map[string]bool, err error,
) {
	question := []byte(`{"acks":[`)
	for i, id := range list {
		if i > 0 {
			question = append(question, ',')
		}
		question = strconv.AppendUint(question, id, 10)
	}
	a, err := s.post(ctx, channel, ackPath, append(question, "]}"...), cookie)
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
