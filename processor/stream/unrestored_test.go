package stream

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/schemas/wire"
)

// A stage whose restore fails, at any record, writes nothing of any of the new
// partitions, with or without a Revoke: they may belong to another process by then. Its
// earlier partitions continue.
func TestFailedRestoreLeavesNothing(t *testing.T) {
	r := newLateRig(t)
	c := r.s.c
	for _, id := range []string{"a", "b", "c"} {
		r.take(r.event(simCall{id: id, at: r.now.UnixNano(), op: "Decrypt", key: keyHere(0), role: 1}, plainCopy))
	}
	good, broken := c.p.readLog, errors.New("the connection broke")
	d := r.s.side[0]
	for n := range len(r.log) + 1 {
		c.tasks = map[int32]*countTask{1: c.newTask(1, c.since(r.now))}
		c.p.readLog = func(ctx context.Context, topic string, partitions []int32, f func(*kgo.Record) error) error {
			if topic != c.p.Topics.Dedup {
				return broken
			}
			return errors.Join(broken, good(ctx, topic, partitions, func(one *kgo.Record) error {
				if n--; n < 0 {
					return broken
				}
				return f(one)
			}))
		}
		if err := c.Assign(t.Context(), []int32{0, 2}); !errors.Is(err, broken) {
			t.Fatalf("Assign returns %v", err)
		}
		c.Committed(false)
		r.now = r.now.Add(10 * time.Minute)
		c.saw(kafka.Seen{Ends: map[int32]int64{0: 3, 1: 0, 2: 0}})
		c.Read(map[int32]kafka.Position{1: {Offset: 0, Epoch: -1}}, true)
		written := output(t, c)
		if len(written) == 0 {
			t.Error("nothing is written of the partition that is owned")
		}
		for _, one := range written {
			if one.Topic == c.p.Topics.Dedup && one.Partition != 1 {
				t.Errorf("%q of partition %d is written", one.Key, one.Partition)
			}
			if one.Topic != c.p.Topics.Partials {
				continue
			}
			if f, err := wire.NewDecoder(one.Value).Frame(); err != nil || f.Source != 1 {
				t.Errorf("a frame of source %d is written, %v", f.Source, err)
			}
		}
	}
	if err := d.Assign(t.Context(), []int32{1, 2}); !errors.Is(err, broken) || len(d.tasks) != 1 {
		t.Errorf("stage detect has %d partitions, and Assign returns %v", len(d.tasks), err)
	}
}

// unrestored revokes partitions whose restore failed.
func (m *simMember) unrestored(partitions []int32) {
	c, counts := m.p.(*counter)
	if m.s.b.wrong != keepUnrestored || !counts {
		m.p.Revoke(partitions)
		return
	}
	for _, p := range partitions {
		c.tasks[p] = c.newTask(p, c.since(c.p.now()))
	}
}
