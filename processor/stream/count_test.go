package stream

import (
	"fmt"
	"testing"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/dedup"
	"keytrail/processor/detect"
	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/processor/state"
	"keytrail/schemas/normalize"
	"keytrail/schemas/wire"
)

// bigCommit is a counter with one commit that is far too large for one frame.
func bigCommit(calls int) (*counter, *countTask) {
	cfg := detect.DefaultConfig()
	cfg.FirstUse = 0 // every first use is one
	p := &Pipeline{now: time.Now, mostBytes: frameBytes, mostNotices: frameNotices, mostHeld: maxHeld, mostWindows: mostWindows, Topics: wire.DefaultTopics(), Window: Window{Detect: cfg, IdleAfter: int64(time.Hour)}}
	p.Partitions = map[string]int32{p.Topics.Partials: 3, p.Topics.Events: 2, p.Topics.Dedup: 2}
	c := &counter{p: p, tasks: map[int32]*countTask{}}
	t := &countTask{partition: 1, begun: true, seen: dedup.NewSet(), credits: map[wire.CallID]count.Call{}, table: count.NewTable(p.Window.Detect.Size),
		sent: wire.Frame{Watermark: eventtime.None, Late: eventtime.None}, from: 10, to: int64(10 + calls), lastEvent: c.since(time.Now())}
	c.tasks[1] = t
	for i := range calls {
		call := count.Call{IDText: fmt.Sprintf("call-%d", i), Time: 1e18, KeyARN: fmt.Sprintf("arn:aws:kms:eu-central-1:111122223333:key/%036d", i%5000),
			Principal: fmt.Sprintf("arn:aws:iam::111122223333:role/%060d", i), Object: uint64(i + 1), Copy: normalize.CopyOwner}
		call.ID = wire.ParseCallID(call.IDText)
		t.table.Add(&call, 1)
		t.keys = append(t.keys, dedup.Key{ID: call.ID, Time: call.Time})
		t.changed = append(t.changed, call)
	}
	t.progress.Raise(1e18)
	return c, t
}

// A commit of any size goes out in records that Kafka takes; the frames
// continue each other, and only the last tells the new watermark.
func TestBigCommitIsSplit(t *testing.T) {
	c, task := bigCommit(20_000)
	out := output(t, c)
	d := &detector{p: c.p, tasks: map[int32]*detectTask{}}
	calls, marks := int64(0), map[int32]int64{}
	frames, ids, credits := 0, 0, 0
	for _, r := range out {
		if len(r.Value) > wire.MaxValueBytes {
			t.Errorf("a record of %d bytes for %s", len(r.Value), r.Topic)
		}
		if r.Topic == c.p.Topics.Dedup {
			log, err := state.DecodeCounted(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			ids, credits = ids+len(log.Keys), credits+len(log.Credits)
			continue
		}
		f, err := wire.NewDecoder(r.Value).Frame()
		if err != nil {
			t.Fatal(err)
		}
		frames++
		if d.tasks[r.Partition] == nil {
			d.tasks[r.Partition] = d.newTask(r.Partition)
		}
		if marks[r.Partition] == 1e18 {
			t.Errorf("partition %d: a frame behind the one with the watermark", r.Partition)
		}
		marks[r.Partition] = f.Watermark
		if fresh, err := d.tasks[r.Partition].admit(&f); err != nil || !fresh {
			t.Fatalf("frame %d of partition %d: fresh %v, %v", f.Sequence, r.Partition, fresh, err)
		}
		if fresh, err := d.tasks[r.Partition].admit(&f); f.Sequence > 1 && (err != nil || fresh) {
			t.Errorf("frame %d of partition %d came again and was taken: %v", f.Sequence, r.Partition, err)
		}
		for _, p := range f.Partials {
			if p.Scope == wire.ScopePrincipal {
				calls += count.Get(&p, wire.CounterCalls)
			}
		}
	}
	if calls != 20_000 || ids != 20_000 || credits != 20_000 || frames < 6 {
		t.Errorf("%d calls in %d frames, %d ids, %d credits", calls, frames, ids, credits)
	}
	if task.from != task.to || task.table.Len() != 0 || len(task.keys) != 0 {
		t.Error("the task still holds what it has written")
	}
}

// A frame that leaves a gap or goes back is an error: counts would be wrong.
func TestGapIsRefused(t *testing.T) {
	d := &detector{p: &Pipeline{Window: Window{Detect: detect.DefaultConfig()}}}
	task := d.newTask(0)
	admit := func(seq uint64, from, to int64) (bool, error) {
		return task.admit(&wire.Frame{Source: 3, Sequence: seq, From: from, To: to})
	}
	for _, ok := range [][3]int64{{1, 0, 10}, {2, 10, 10}, {3, 10, 30}} {
		if fresh, err := admit(uint64(ok[0]), ok[1], ok[2]); !fresh || err != nil {
			t.Fatalf("frame %v: %v, %v", ok, fresh, err)
		}
	}
	if _, err := admit(5, 30, 40); err == nil {
		t.Error("a missing frame is not noticed")
	}
	if _, err := admit(4, 35, 40); err == nil {
		t.Error("missing offsets are not noticed")
	}
	if fresh, err := admit(3, 10, 30); fresh || err != nil {
		t.Errorf("a frame that came before: %v, %v", fresh, err)
	}
	if _, err := admit(1, 5, 50); err == nil {
		t.Error("a source that begins again inside what is counted is not noticed")
	}
	if fresh, err := admit(1, 40, 50); !fresh || err != nil {
		t.Errorf("a source that begins again behind what is counted: %v, %v", fresh, err)
	}
}

// Silence is what makes a source idle. One whose records can not be read is not
// silent, and neither is one of which that is not known.
func TestLagIsNoSilence(t *testing.T) {
	f := func(name string, behind int64, idle bool) {
		t.Helper()
		c, task := bigCommit(1)
		c.p.Window.IdleAfter = int64(time.Minute)
		task.lastEvent = c.since(time.Now().Add(-90 * time.Second))
		c.Lag(map[int32]int64{task.partition: behind})
		output(t, c)
		if task.sent.Idle != idle {
			t.Errorf("%s: idle %v, want %v", name, task.sent.Idle, idle)
		}
	}
	f("nothing to read", 0, true)
	f("a record waits", 1, false)
	f("nobody knows", kafka.UnknownLag, false)
}
