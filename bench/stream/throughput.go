package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// lookEvery is the interval of looking at a process. A request for a group's offsets
// costs only the broker, some tenths of a millisecond.
const lookEvery = 100 * time.Millisecond

// session is the session timeout of the throughput runs, the default.
const session = 45 * time.Second

// throughput measures the first table.
func throughput(ctx context.Context, e *environment, o options, out io.Writer) error {
	in, err := e.install("kms.", session)
	if err != nil {
		return err
	}
	l, err := in.newLoader(ctx, 10*time.Millisecond)
	if err != nil {
		return err
	}
	defer l.close()
	end, err := trail(ctx, l, o)
	if err != nil {
		return err
	}
	if err := closeWindows(ctx, l, end); err != nil {
		return err
	}
	stored, err := e.stored(ctx, in.topics.Events)
	if err != nil {
		return err
	}
	var self usage
	if self, err = readUsage(os.Getpid()); err != nil {
		return err
	}
	made := fmt.Sprintf("%d log records, %d bytes each, %d in Kafka with %s", l.sent, l.bytes/l.sent,
		stored/l.sent, o.codec)
	say("%s; generating, normalizing and producing them took %s us of CPU each", made, micros(self.cpu, l.sent))
	costs, counted, err := keytrailCosts(ctx, e, in, l.sent, end)
	if err != nil {
		return err
	}
	peers, notes, err := peerCosts(ctx, e, o, in.topics.Events, l.sent, end, counted)
	if err != nil {
		return err
	}
	notes = append([]string{fmt.Sprintf("Keytrail counted %v, in windows that are all final.", counted)}, notes...)
	title := "From kms.events to final windows: " + made
	costTable(out, title, append(costs, peers...), notes...)
	var rows [][]string
	for _, c := range costs {
		rows = append(rows, commitRows(c.name, c.ended)...)
	}
	commitTable(out, rows)
	return in.forget(ctx, true)
}

// keytrailCosts measures both stages in one process, and then each alone, over the same
// events.
func keytrailCosts(ctx context.Context, e *environment, in *installation, events int64,
	end time.Time) ([]cost, totals, error) {
	both, err := in.cost(ctx, nameBoth, "count,detect", events, in.count(), in.detect())
	if err != nil {
		return nil, nil, err
	}
	counted, err := in.keytrailTotals(ctx, end)
	if err != nil {
		return nil, nil, err
	}
	say("Keytrail counted %v", counted)
	if err := in.forget(ctx, false); err != nil {
		return nil, nil, err
	}
	alone, err := e.install("kms.", session) // other groups, which start at the beginning
	if err != nil {
		return nil, nil, err
	}
	count, err := alone.cost(ctx, "Keytrail: count alone", "count", events, alone.count())
	if err != nil {
		return nil, nil, err
	}
	// Detect consumes frames, but its figures are per event of the input.
	detect, err := alone.cost(ctx, "Keytrail: detect alone, over count's frames", "detect", events, alone.detect())
	if err != nil {
		return nil, nil, err
	}
	again, err := alone.keytrailTotals(ctx, end)
	if err != nil {
		return nil, nil, err
	}
	return []cost{both, count, detect}, counted, again.agree("each stage alone", counted)
}

// cost runs stages until the hops are done.
func (in *installation) cost(ctx context.Context, name, stages string, events int64, hops ...hop) (cost, error) {
	p, err := in.run(stages)
	if err != nil {
		return cost{}, err
	}
	look := in.e.through(hops...)
	if hops[0] == in.detect() {
		look = in.onlyDetect(events)
	}
	c, err := in.e.watch(ctx, p, events, lookEvery, look)
	if err != nil {
		p.end(syscall.SIGKILL)
		return c, err
	}
	c.name = name
	say("%s: %.1f s, %.1f s of CPU", name, c.wall.Seconds(), c.cpu.Seconds())
	if c.ended, err = in.scrape(ctx); err != nil {
		p.end(syscall.SIGKILL)
		return c, err
	}
	return c, p.end(syscall.SIGTERM)
}

// onlyDetect is the progress of stage detect in events: the consumed share of the frames.
func (in *installation) onlyDetect(events int64) func(context.Context) (state, error) {
	h, first := in.detect(), int64(0)
	return func(ctx context.Context) (s state, err error) {
		at, behind, err := in.e.consumed(ctx, h.group, h.topic)
		if err != nil {
			return s, err
		}
		left := int64(0)
		for _, b := range behind {
			left += b.to - b.from
		}
		if first = max(first, left); first > 0 && at > 0 { // detect adds its own notices
			s.consumed = events * (first - min(left, first)) / first
		}
		if at == 0 || left > fewMarkers*partialPartitions {
			return s, nil
		}
		if s.finished, err = in.e.done(ctx, h.group, h.topic); s.finished {
			s.consumed = events
		}
		return s, err
	}
}

// peerCosts measures Keytrail's peers, and compares their counts with Keytrail's.
func peerCosts(ctx context.Context, e *environment, o options, input string, events int64, end time.Time,
	want totals) (costs []cost, notes []string, err error) {
	c, err := ceiling(ctx, e, input, events)
	if err != nil {
		return nil, nil, err
	}
	say("%s: %.1f s, %.1f s of CPU", c.name, c.wall.Seconds(), c.cpu.Seconds())
	costs = append(costs, c)
	for _, peer := range []struct {
		name string
		run  func(context.Context, *environment, string, int64, time.Time) (cost, totals, error)
	}{{peerStreams, kafkaStreams}, {peerFlink, flink}, {peerGoka, measureGoka}} {
		if !o.with(peer.name) {
			continue
		}
		c, got, err := peer.run(ctx, e, input, events, end)
		if err != nil {
			return nil, nil, err
		}
		say("%s: %.1f s, %.1f s of CPU; counted %v", c.name, c.wall.Seconds(), c.cpu.Seconds(), got)
		note := c.name + " counted the same."
		if err := got.agree(c.name, want); err != nil {
			note = "DIFFERENT: " + err.Error() + "."
		}
		costs, notes = append(costs, c), append(notes, note)
	}
	return costs, notes, nil
}
