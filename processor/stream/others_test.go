package stream

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/eventtime"
	"keytrail/processor/window"
	"keytrail/schemas/cloud"
	"keytrail/schemas/wire"
)

// Calls of others are counted by the metrics each time, and logged once an hour per
// account and partition. Each partition has its own others.
func TestOverflowIsTold(t *testing.T) {
	var log bytes.Buffer
	cfg := window.DefaultConfig()
	cfg.MaxEntities, cfg.MaxAccountEntities = 4, 2
	d := newDetector(&Pipeline{Window: Window{Detect: cfg}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	tasks, n := []*detectTask{d.newTask(0), d.newTask(1)}, 0
	began := time.Now()
	call := func(task *detectTask) {
		n++
		for _, e := range []wire.Entity{{Scope: wire.ScopeKey, Key: fmt.Sprint("key ", n)}, {Scope: wire.ScopePrincipal, Principal: fmt.Sprintf("arn:aws:iam::111122223333:role/%d", n)}} {
			task.engine.Merge(&wire.Partial{Entity: e, Account: "111122223333", Start: 1, Counters: []wire.Counter{{ID: wire.CounterCalls, N: 1}}})
		}
	}
	for minute := range 90 {
		for _, task := range tasks {
			call(task)
			d.overflowed(task, began.Add(time.Duration(minute)*time.Minute))
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 4 || !strings.Contains(log.String(), "account=111122223333") || !strings.Contains(log.String(), "detect.max_account_entities") {
		t.Errorf("%d lines, want one an hour for each of two partitions:\n%s", lines, log.String())
	}
	if got := d.stats.others; got[wire.ScopeKey] != 2*89 || got[wire.ScopePrincipal] != 2*89 {
		t.Errorf("counted %v, want all calls but those of the first two entities of each partition", got)
	}
	names := map[string]bool{}
	for _, task := range tasks {
		task.engine.Advance(eventtime.Mark{Watermark: 1 << 60, Late: 1 << 60, Quiet: 1 << 60}, 1<<20, func(r window.Result) {
			if cloud.IsOthers(r.Entity) && r.Closed {
				names[anomaly.WindowID(r.Entity, r.Start, 1)] = true
			}
		})
	}
	if len(names) != 4 {
		t.Errorf("%d windows of others, want one of each scope in each partition", len(names))
	}
}
