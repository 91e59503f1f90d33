package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// forwarders are the running sinks of stage forward. Reforward changes them.
type forwarders struct {
	mu      sync.Mutex // guards what follows; held during a change
	ctx     context.Context
	running map[string]*forwarding // by name
	failed  chan error             // the first error of a sink, which ends the stage
	begun   chan struct{}          // closed when the stage runs; see begins
}

// begins returns a channel that is closed when the stage has begun.
func (f *forwarders) begins() chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun == nil {
		f.begun = make(chan struct{})
	}
	return f.begun
}

// forwarding is one running sink.
type forwarding struct {
	d    Destination
	stop context.CancelFunc
	done chan struct{} // closed when it has ended
}

// forwardAll runs the sinks until ctx is done, or until one fails.
func (p *Pipeline) forwardAll(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &p.forwarders
	begun := f.begins()
	f.mu.Lock()
	f.ctx, f.running, f.failed = ctx, map[string]*forwarding{}, make(chan error, 1)
	for _, d := range p.Sinks {
		p.startSink(d, p.began)
	}
	f.mu.Unlock()
	close(begun)
	var err error
	select {
	case <-ctx.Done():
	case err = <-f.failed:
		cancel()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ctx = nil
	for _, one := range f.running {
		<-one.done
	}
	select {
	case late := <-f.failed:
		err = errors.Join(err, late)
	default:
	}
	return err
}

// startSink starts a sink; the caller holds the lock of p.forwarders.
func (p *Pipeline) startSink(d Destination, began beginning) {
	f := &p.forwarders
	ctx, stop := context.WithCancel(f.ctx)
	one := &forwarding{d: d, stop: stop, done: make(chan struct{})}
	f.running[d.Name] = one
	go func() {
		defer close(one.done)
		defer stop()
		if err := p.forward(ctx, d, began); err != nil {
			select {
			case f.failed <- err:
			default: // the first one ends the stage
			}
		}
	}()
}

// Reforward changes the sinks of a Pipeline that runs, or waits until it does: it ends the sinks with the names in
// ended, and then starts others. A sink ends as in a graceful stop: it stops reading, has
// up to 5 s for the batches that it has, and commits their offsets, so a sink of the same
// group goes on behind them. Afterwards the caller closes the ended sinks. An error means
// that the stage does not run; nothing has changed then.
func (p *Pipeline) Reforward(ctx context.Context, ended []string, started []Destination) error {
	f := &p.forwarders
	select {
	case <-f.begins():
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx == nil || f.ctx.Err() != nil {
		return errors.New("stage forward does not run")
	}
	for _, name := range ended {
		if one := f.running[name]; one != nil {
			one.stop()
		}
	}
	for _, name := range ended {
		if one := f.running[name]; one != nil {
			<-one.done
			delete(f.running, name)
		}
		p.removePart("forward", name)
	}
	began := p.noteEnds(f.ctx)
	for _, d := range started {
		if err := p.addSink(d); err != nil {
			return fmt.Errorf("sink %q: %w", d.Name, err)
		}
		p.startSink(d, began)
	}
	return nil
}

// addSink adds the part of a sink, unless it takes nothing.
func (p *Pipeline) addSink(d Destination) error {
	topics := d.topics(p.Topics)
	if len(topics) == 0 {
		return nil
	}
	return p.addPart(&part{stage: "forward", sink: d.Name, group: p.SinkGroup(d.ID, d.Name), topics: topics,
		owned: ownedBySink(d.Batch.Linger)}, forwardReasons()...)
}

// removePart removes a sink's part, its gauges and its health.
func (p *Pipeline) removePart(stage, name string) {
	one := p.partOf(stage, name)
	if one == nil {
		return
	}
	p.partsMu.Lock()
	p.parts = slices.DeleteFunc(slices.Clone(p.parts), func(other *part) bool { return other == one })
	p.partsMu.Unlock()
	one.lag.Close()
	one.state.Close()
	p.Telemetry.Health().Remove(one.name())
}

// allParts returns the parts of the process. The caller must not change the list.
func (p *Pipeline) allParts() []*part {
	p.partsMu.Lock()
	defer p.partsMu.Unlock()
	return p.parts
}

// newPart adds a part to the list.
func (p *Pipeline) newPart(one *part) {
	p.partsMu.Lock()
	defer p.partsMu.Unlock()
	p.parts = append(slices.Clip(p.parts), one)
}

// partOf returns the part of a stage, or of one of its sinks or sources; nil if this process
// does not run it.
func (p *Pipeline) partOf(stage, name string) *part {
	for _, one := range p.allParts() {
		if one.stage == stage && cmp.Or(one.sink, one.source) == name {
			return one
		}
	}
	return nil
}
