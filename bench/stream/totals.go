package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// totals are the calls of all windows, by scope.
type totals map[string]int64

func (t totals) String() string {
	return fmt.Sprintf("%d of keys, %d of principals, %d of pairs", t["key"], t["principal"], t["pair"])
}

// agree returns an error if totals differ from those of the yardstick.
func (t totals) agree(name string, want totals) error {
	if !maps.Equal(t, want) {
		return fmt.Errorf("%s counted %v calls, Keytrail %v", name, t, want)
	}
	return nil
}

// tally keeps the newest value of each window.
type tally struct {
	newest map[string]int64 // revision, or offset, by window
	calls  map[string]int64
	scopes map[string]string
}

func newTally() *tally {
	return &tally{newest: map[string]int64{}, calls: map[string]int64{}, scopes: map[string]string{}}
}

// put adds one count of a window, unless a newer one was added.
func (t *tally) put(window, scope string, version, calls int64) {
	if v, ok := t.newest[window]; ok && v > version {
		return
	}
	t.newest[window], t.calls[window], t.scopes[window] = version, calls, scope
}

func (t *tally) totals() totals {
	sum := totals{}
	for w, n := range t.calls {
		sum[t.scopes[w]] += n
	}
	return sum
}

// readAll calls f for every committed record of a topic.
func (e *environment) readAll(ctx context.Context, topic string, f func(*kgo.Record) error) error {
	details, err := e.adm.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	return kafka.ReadLog(ctx, e.kafka(), topic, details[topic].Partitions.Numbers(), f)
}

// keytrailTotals sums the newest revision of each of Keytrail's windows that begin before
// end, all of which must be final.
func (in *installation) keytrailTotals(ctx context.Context, end time.Time) (totals, error) {
	t, open := newTally(), map[string]bool{}
	var rec otellog.Record
	err := in.e.readAll(ctx, in.topics.Windows, func(r *kgo.Record) error {
		if err := rec.Decode(r.Value); err != nil {
			return err
		}
		if rec.Time >= end.UnixNano() {
			return nil
		}
		id := rec.Str(semconv.KeytrailWindowID)
		t.put(id, rec.Str(semconv.KeytrailWindowScope), number(&rec, semconv.KeytrailWindowRevision),
			number(&rec, semconv.KeytrailWindowCallsTotal))
		if open[id] = true; rec.Str(semconv.KeytrailWindowState) == "final" {
			open[id] = false
		}
		return nil
	})
	for id, still := range open {
		if still {
			return nil, fmt.Errorf("window %s is not final", id)
		}
	}
	return t.totals(), err
}

func number(rec *otellog.Record, name string) int64 {
	if a := rec.Get(name); a != nil {
		return a.Int
	}
	return 0
}

// jvmTotals sums the last value of each window of a Java program: the key is the entity,
// which begins with its scope, and the window's start in eight bytes.
func (e *environment) jvmTotals(ctx context.Context, topic string) (totals, error) {
	t := newTally()
	err := e.readAll(ctx, topic, func(r *kgo.Record) error {
		scope, _, ok := strings.Cut(string(r.Key), "\n")
		if !ok || len(r.Value) != 8 {
			return fmt.Errorf("no count of a window: %q %q", r.Key, r.Value)
		}
		// A window stays in its partition, so the higher offset is newer.
		t.put(string(r.Key), scope, r.Offset, int64(binary.BigEndian.Uint64(r.Value)))
		return nil
	})
	return t.totals(), err
}
