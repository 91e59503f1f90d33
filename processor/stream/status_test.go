package stream

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/eventtime"
	"keytrail/processor/generate"
	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/sink"
	"keytrail/processor/status"
	"keytrail/processor/telemetry"
)

// TestStatus: each of two processes shows both, in the words of the installation; one that
// ends deletes its record.
func TestStatus(t *testing.T) {
	b := kafkatest.Start(t)
	run := func(stages Stages, code *atomic.Int32) (*Pipeline, func()) {
		p := pipeline(t, b.Brokers())
		p.Version, p.Status = "1.2.3", status.NewTable(time.Now())
		if stages.Forward {
			p.Sinks = []Destination{destinationOf(otlp(t, code))}
		}
		return p, start(t, p, stages)
	}
	var code atomic.Int32
	code.Store(http.StatusUnauthorized)
	one, stopOne := run(Stages{Normalize: true, Count: true}, nil)
	two, stopTwo := run(Stages{Detect: true, Forward: true}, &code)
	defer stopTwo()
	records := append([][]byte{[]byte("no JSON")}, trail(t, generate.Config{Seed: 81, Start: time.Now().Add(-50 * time.Hour), Duration: 24 * time.Hour, Events: 400})...)
	produce(t, b.Brokers(), one.Topics.Raw, records)

	for _, p := range []*Pipeline{one, two} {
		var in status.Installation
		waitFor(t, "the whole installation shows", func() bool {
			in = p.Status.Installation(time.Now())
			if len(in.Processes) != 2 || len(in.Stages) != 3 || len(in.Sinks) != 1 || in.Sinks[0].Sink != status.Paused {
				return false
			}
			return in.Stages[0].Flow.Received == int64(len(records)) && in.Stages[2].Watermark != nil
		})
		for i, name := range []string{"normalize", "count", "detect"} {
			if w := in.Stages[i]; w.Name != name || w.State != status.OK || w.Processes != 1 || w.Unassigned != 0 || w.LagAt == nil {
				t.Errorf("stage %d is %+v, want %s", i, w, name)
			}
		}
		if in.Sinks[0].Cause != "credentials" || in.Stages[0].Flow.DeadLetters["unknown_shape"] != 1 {
			t.Errorf("cause %q, dead letters %v", in.Sinks[0].Cause, in.Stages[0].Flow.DeadLetters)
		}
		for _, m := range in.Processes {
			host, _ := os.Hostname()
			if m.Host != host || m.PID != os.Getpid() || m.Version != "1.2.3" || m.Stale || m.Memory.Heap == 0 || m.Memory.Goroutines == 0 {
				t.Errorf("a process is %+v", m.Process)
			}
			for _, s := range m.Stages {
				if len(s.Partitions) != int(one.Partitions[map[string]string{"normalize": one.Topics.Raw, "count": one.Topics.Events, "detect": one.Topics.Partials}[s.Name]]) {
					t.Errorf("stage %s shows %d partitions", s.Name, len(s.Partitions))
				}
			}
		}
	}
	stopOne()
	waitFor(t, "the ended process is gone", func() bool { return len(two.Status.Installation(time.Now()).Processes) == 1 })

	last := map[string]string{}
	_, err := kafka.Look{Topic: one.Topics.Status, Most: 1000}.Each(t.Context(), one.Kafka, func(r *kgo.Record) error {
		last[string(r.Key)] = string(r.Value)
		return nil
	})
	values := slices.Sorted(maps.Values(last))
	if err != nil || len(values) != 2 || values[0] != "" || !json.Valid([]byte(values[1])) || strings.Contains(values[1], "arn:") {
		t.Errorf("the topic ends with %q (%v)", values, err)
	}
}

// TestRevokedPartitionsLeaveNothing: when a stage loses a partition, its watermark leaves the
// metrics and the status, and with the last one the gauge.
func TestRevokedPartitionsLeaveNothing(t *testing.T) {
	p := pipeline(t, nil)
	if err := p.makeParts(Stages{Normalize: true, Count: true, Detect: true}); err != nil {
		t.Fatal(err)
	}
	p.Partitions = map[string]int32{p.Topics.Events: 2, p.Topics.Partials: 2, p.Topics.Raw: 2}
	w, err := p.Telemetry.Watermark("detect")
	if err != nil {
		t.Fatal(err)
	}
	p.watermarks, p.now = map[string]*telemetry.Watermark{"detect": w}, time.Now
	p.readLog = func(context.Context, string, []int32, func(*kgo.Record) error) error { return nil }
	d, c, n := newDetector(p), newCounter(p), newNormalizer(p)
	stages := map[string]kafka.Processor{"detect": d, "count": c, "normalize": n}
	for name, s := range stages {
		if err := s.Assign(t.Context(), []int32{0, 1}); err != nil {
			t.Fatal(name, err)
		}
	}
	hour := int64(time.Hour)
	d.tasks[0].meta.Watermark, d.tasks[1].meta.Watermark = 100*hour, 200*hour
	c.tasks[0].sent.Watermark, c.tasks[1].sent.Watermark = 300*hour, eventtime.None
	d.Committed(true)
	c.Committed(true)
	shows := func(stage string, partitions int, watermark int64) {
		t.Helper()
		s := p.partOf(stage, "").stageStatus(status.Flow{}, nil, time.Now(), 2)
		if len(s.Partitions) != partitions || (s.Watermark == nil) != (watermark == 0) || watermark != 0 && s.Watermark.UnixNano() != watermark {
			t.Errorf("stage %s shows %+v, want %d partitions and watermark %d h", stage, s, partitions, watermark/hour)
		}
	}
	shows("detect", 2, 100*hour)
	shows("count", 2, 300*hour)
	shows("normalize", 2, 0)
	if got := w.Nanos(); got != 100*hour {
		t.Errorf("the gauge has %d h, want the earliest, 100", got/hour)
	}
	for _, s := range stages {
		s.Revoke([]int32{0})
	}
	shows("detect", 1, 200*hour)
	shows("count", 1, 0)
	shows("normalize", 1, 0)
	if got := w.Nanos(); got != 200*hour {
		t.Errorf("the gauge has %d h, want 200", got/hour)
	}
	for _, s := range stages {
		s.Revoke([]int32{1})
		shows("detect", len(d.tasks), int64(len(d.tasks))*200*hour)
	}
	if got := w.Nanos(); got != 0 {
		t.Errorf("without partitions the gauge has %d h", got/hour)
	}
}

// TestProgressOfSinks: a sink gets on while its positions move, or while it holds records no
// longer than its batches linger.
func TestProgressOfSinks(t *testing.T) {
	p := pipeline(t, nil)
	if err := p.makeParts(Stages{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name          string
		linger        time.Duration
		moves, stands int // looks, of 3 s each
		want          status.Progress
	}{
		{"it keeps up", 0, 30, 0, status.OK},
		{"its batches linger for five minutes", 5 * time.Minute, 1, 100, status.OK},
		{"its batches linger for five minutes, and it stands for seven", 5 * time.Minute, 1, 140, status.Stop},
		{"a request takes long", 0, 30, 15, status.OK},
		{"it stands", 0, 30, 40, status.Stop},
	} {
		d := Destination{Name: c.name, Anomalies: true, Batch: sink.Batch{Linger: c.linger}}
		if err := p.addSink(d); err != nil {
			t.Fatal(err)
		}
		one, now, at, end := p.partOf("forward", c.name), time.Unix(1000, 0), int64(0), int64(0)
		one.owned.add(p.Topics.Anomalies, 0)
		for i := range c.moves + c.stands {
			now = now.Add(3 * time.Second)
			if end += 10; i < c.moves {
				at = end - 5 + int64(i%2)
			}
			one.owned.saw(map[string]map[int32]kafka.Standing{p.Topics.Anomalies: {0: {Committed: at, End: end}}}, end-at, now)
		}
		if s := one.sinkStatus(status.Flow{}, nil, now); s.Progress != c.want {
			t.Errorf("%s: %s, want %s", c.name, s.Progress, c.want)
		}
	}
}
