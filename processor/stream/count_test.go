package stream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/dedup"
	"keytrail/processor/eventtime"
	"keytrail/processor/intake"
	"keytrail/processor/kafka"
	"keytrail/processor/state"
	"keytrail/processor/window"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// bigCommit is a counter with one commit far too large for one frame.
func bigCommit(calls int) (*counter, *countTask) {
	cfg := window.DefaultConfig()
	cfg.FirstUse = 0 // every first use is an anomaly
	p := &Pipeline{now: time.Now, mostBytes: frameBytes, mostNotices: frameNotices, mostBehind: mostBehind, mostHeld: mostBehind, mostWindows: mostWindows, Topics: wire.DefaultTopics(), Window: Window{Detect: cfg, IdleAfter: int64(time.Hour)}}
	p.Partitions = map[string]int32{p.Topics.Partials: 3, p.Topics.Events: 2, p.Topics.Dedup: 2}
	c := newCounter(p)
	t := &countTask{partition: 1, begun: true, log: countLog{head: state.Head{Settings: p.settings().String()}}, Source: intake.NewSource(p.Window.Detect.Size),
		sent: wire.Frame{Watermark: eventtime.None, Late: eventtime.None}, from: 10, to: int64(10 + calls), lastEvent: c.since(time.Now())}
	c.tasks[1] = t
	for i := range calls {
		call := count.Call{IDText: fmt.Sprintf("call-%d", i), Time: 1e18, Key: fmt.Sprintf("arn:aws:kms:eu-central-1:111122223333:key/%036d", i%5000),
			Principal: fmt.Sprintf("arn:aws:iam::111122223333:role/%060d", i), Object: uint64(i + 1), Copy: kms.CopyOwner}
		call.ID = wire.ParseCallID(call.IDText)
		t.Table.Add(&call, 1)
		t.Keys = append(t.Keys, dedup.Key{ID: call.ID, Time: call.Time})
		t.Changed = append(t.Changed, call)
	}
	t.progress.Raise(1e18)
	return c, t
}

// A commit of any size is split into records that Kafka accepts; the frames continue each
// other, and only the last has the new watermark.
func TestBigCommitIsSplit(t *testing.T) {
	c, task := bigCommit(20_000)
	out := output(t, c)
	d := newDetector(c.p)
	calls, marks := int64(0), map[int32]int64{}
	frames, ids, credits := 0, 0, 0
	for _, r := range out {
		if len(r.Value) > wire.MaxValueBytes {
			t.Errorf("a record of %d bytes for %s", len(r.Value), r.Topic)
		}
		if r.Topic == c.p.Topics.Dedup {
			if string(r.Key) == state.HeadKey {
				continue
			}
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
		if _, err := d.tasks[r.Partition].admit(&f); !errors.Is(err, errFrames) {
			t.Errorf("frame %d of partition %d came again: %v", f.Sequence, r.Partition, err)
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
	if task.from != task.to || task.Table.Len() != 0 || len(task.Keys) != 0 {
		t.Error("the task still holds what it has written")
	}
}

// Every frame continues the last one of its source, in number and range. Any other is an
// error with advice, however it differs, and changes nothing.
func TestFramesContinue(t *testing.T) {
	d := newDetector(&Pipeline{Window: Window{Detect: window.DefaultConfig()}})
	rng := rand.New(rand.NewPCG(1, 7))
	for range 2000 {
		task := d.newTask(0)
		source := int32(rng.IntN(7)) - 3
		seq, end, known := uint64(0), rng.Int64N(100), false
		for range 1 + rng.IntN(6) {
			good := wire.Frame{Source: source, Sequence: seq + 1, From: end, To: end + rng.Int64N(20), Lost: uint64(rng.IntN(3))}
			bad := good
			switch rng.IntN(5) {
			case 0:
				bad.Sequence += 1 + uint64(rng.IntN(5)) // a gap
			case 1:
				bad.Sequence -= 1 + uint64(rng.IntN(int(bad.Sequence))) // a repetition, or a restart of the source
			case 2:
				bad.From += 1 + rng.Int64N(5) // offsets are missing
				bad.To = max(bad.To, bad.From)
			case 3:
				bad.From -= 1 + rng.Int64N(5) // repeated offsets
			case 4:
				bad.To = bad.From - 1
			}
			if moved := bad.From != good.From && bad.Sequence == good.Sequence; !moved || known { // the start of a source is unknown
				before := fmt.Sprint(task.meta.Applied)
				if fresh, err := task.admit(&bad); fresh || !errors.Is(err, errFrames) || !strings.Contains(err.Error(), "docs/operations.md") {
					t.Fatalf("after frame %d up to %d: %+v: %v, %v", seq, end, bad, fresh, err)
				}
				if fmt.Sprint(task.meta.Applied) != before {
					t.Fatal("a refused frame changed what is known")
				}
			}
			if fresh, err := task.admit(&good); !fresh || err != nil {
				t.Fatalf("after frame %d up to %d: %+v: %v, %v", seq, end, good, fresh, err)
			}
			seq, end, known = good.Sequence, good.To, true
		}
	}
}

// Silence makes a source idle. A source is not silent if its records cannot be read, or
// if that is unknown.
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
