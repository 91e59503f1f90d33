package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// cost is the cost of one row of the throughput table.
type cost struct {
	name   string
	events int64
	wall   time.Duration // from the start of the process
	usage
	half   half
	broker time.Duration      // CPU time of the broker in the same period
	ended  map[string]commits // of Keytrail's stages
}

// half is the cost of the second half of the input: without the start, and after a JVM's
// main compilation.
type half struct {
	events    int64
	wall, cpu time.Duration
}

// perCore returns the events per second of one core.
func (c *cost) perCore() float64 { return float64(c.events) / c.cpu.Seconds() }

// state is the progress of a process.
type state struct {
	consumed int64 // records of the input whose offsets are committed
	finished bool  // its output is committed as well
}

// stall is the time without progress after which a measurement is abandoned.
const stall = 3 * time.Minute

// sample is one look at a process.
type sample struct {
	at       time.Duration
	cpu      time.Duration
	consumed int64
}

// watch looks at a process at this interval until it has finished its events, and returns
// its cost until then.
func (e *environment) watch(ctx context.Context, p *process, events int64, every time.Duration,
	look func(context.Context) (state, error)) (cost, error) {
	var samples []sample
	before, err := readUsage(e.broker)
	if err != nil {
		return cost{}, err
	}
	for last := time.Now(); ; {
		if err := pause(ctx, every); err != nil {
			return cost{}, err
		}
		s, err := look(ctx)
		if err != nil {
			return cost{}, p.failure(err)
		}
		u, err := p.usage()
		if err != nil {
			return cost{}, err
		}
		if len(samples) == 0 || s.consumed > samples[len(samples)-1].consumed {
			last = time.Now()
		}
		samples = append(samples, sample{time.Since(p.started), u.cpu, s.consumed})
		if s.finished && s.consumed >= events {
			after, err := readUsage(e.broker)
			return cost{events: events, wall: samples[len(samples)-1].at, usage: u, half: secondHalf(samples, events),
				broker: after.cpu - before.cpu}, err
		}
		if time.Since(last) > stall {
			return cost{}, p.failure(fmt.Errorf("%d of %d records are consumed, and nothing changes for %v",
				s.consumed, events, stall))
		}
	}
}

// secondHalf is the cost between the first look with half of the events consumed and the
// last; nothing if the looks are so far apart that it covers less than a quarter: few
// events would bear the cost of all output.
func secondHalf(samples []sample, events int64) half {
	end := samples[len(samples)-1]
	for _, s := range samples {
		if n := end.consumed - s.consumed; s.consumed >= events/2 && n >= events/4 {
			return half{events: n, wall: end.at - s.at, cpu: end.cpu - s.cpu}
		}
	}
	return half{}
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// until waits until done reports true, for at most this long.
func until(ctx context.Context, most time.Duration, what string, done func() (bool, error)) error {
	for deadline := time.Now().Add(most); ; {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New("waited " + most.String() + " in vain until " + what)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
