package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"keytrail/processor/internal/chaostest"
)

// target is something that faults happen to.
type target struct {
	name            string
	launch          func() error
	stop            func() error // by SIGTERM
	kill            func()       // by SIGKILL
	suspend, resume func()
}

// lane causes faults of its targets, one at a time. The lanes run side by side, and each
// draws its own faults from the seed: what happens depends on the seed alone, and when it
// happens also on the speed of the machine.
type lane struct {
	targets []target
	actions []action
	up      [2]time.Duration // the least and the longest time between two faults
	rng     *rand.Rand
	done    map[string]int // how many faults there were, by action
}

// action is a kind of fault: kill, stop or suspend, for a time between the two bounds.
type action struct {
	what string
	down [2]time.Duration
}

// fault is one fault: it begins after a time and lasts for another.
type fault struct {
	after  time.Duration
	target int
	what   string
	down   time.Duration
}

// next draws the next fault.
func (l *lane) next() fault {
	f := fault{after: l.between(l.up), target: l.rng.IntN(len(l.targets))}
	a := l.actions[l.rng.IntN(len(l.actions))]
	f.what, f.down = a.what, l.between(a.down)
	return f
}

func (l *lane) between(b [2]time.Duration) time.Duration {
	return (b[0] + time.Duration(l.rng.Int64N(int64(b[1]-b[0])))).Round(time.Millisecond)
}

// run causes faults until end. All targets then run.
func (l *lane) run(ctx context.Context, end time.Time, killed func()) error {
	l.done = map[string]int{}
	for {
		f := l.next()
		if time.Until(end) < f.after {
			return nil
		}
		chaostest.Pause(ctx, f.after)
		t := l.targets[f.target]
		chaostest.Say("%s %s for %v", f.what, t.name, f.down)
		l.done[f.what]++
		var err error
		back := t.launch
		switch f.what {
		case "kill":
			killed()
			t.kill()
		case "stop":
			err = t.stop()
		case "suspend":
			t.suspend()
			back = func() error { t.resume(); return nil }
		}
		chaostest.Pause(ctx, f.down)
		if err == nil {
			err = back()
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", f.what, t.name, err)
		}
	}
}
