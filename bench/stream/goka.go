package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// gokaGroup is the name of the group, and the prefix of its loop and table topics.
const gokaGroup = "bench-goka"

const nameGoka = "goka: the same counts, at least once"

// measureGoka measures the goka program, in its own process, until it has consumed the
// events and its loop, and returns its counts.
func measureGoka(ctx context.Context, e *environment, input string, events int64, end time.Time) (cost, totals, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, nil, err
	}
	cmd := exec.Command(self, childGoka, strings.Join(e.brokers(), ","), input, filepath.Join(e.dir, gokaGroup),
		strconv.FormatInt(end.UnixNano(), 10))
	p, err := start(cmd, filepath.Join(e.dir, gokaGroup+".log"))
	if err != nil {
		return cost{}, nil, err
	}
	c, err := e.watch(ctx, p, events, lookEvery, e.through(hop{gokaGroup, input}, hop{gokaGroup, gokaGroup + "-loop"}))
	c.name = nameGoka
	p.end(syscall.SIGKILL)
	if err != nil {
		return c, nil, err
	}
	t, err := e.gokaTotals(ctx)
	return c, t, err
}

// runGoka is that process.
func runGoka(brokers []string, input, dir, until string) error {
	end, err := strconv.ParseInt(until, 10, 64)
	if err != nil {
		return err
	}
	c := goka.DefaultConfig()
	c.Consumer.Offsets.Initial = sarama.OffsetOldest // the input exists before the program starts
	goka.ReplaceGlobalConfig(c)
	topics := goka.NewTopicManagerConfig()
	topics.Table.Replication, topics.Stream.Replication = 1, 1 // of the only broker
	s := split{end: end}
	p, err := goka.NewProcessor(brokers, goka.DefineGroup(gokaGroup,
		goka.Input(goka.Stream(input), new(codec.Bytes), s.call),
		goka.Loop(new(codec.Int64), func(c goka.Context, _ any) { add(c) }),
		goka.Persist(new(codec.Int64)),
	), goka.WithStorageBuilder(storage.DefaultBuilder(dir)),
		goka.WithTopicManagerBuilder(goka.TopicManagerBuilderWithConfig(c, topics)))
	if err != nil {
		return err
	}
	return p.Run(context.Background())
}

// add increments a count in the table, under the key of the message.
func add(c goka.Context) int64 {
	n, _ := c.Value().(int64) // nil for none
	c.SetValue(n + 1)
	return n
}

// split drops duplicates, with a table keyed by call id, and sends a message per entity
// of a call and its window through the loop, which brings it to the entity's partition.
type split struct{ end int64 }

func (s split) call(c goka.Context, message any) {
	var rec otellog.Record // callbacks run concurrently for many partitions
	if err := rec.Decode(message.([]byte)); err != nil {
		c.Fail(err)
	}
	if rec.Time >= s.end || add(c) > 0 {
		return
	}
	for _, entity := range entitiesOf(&rec) {
		c.Loopback(entity, int64(1))
	}
}

// entitiesOf returns the entities that a log record counts for, with the window: its
// principal, its KMS keys, and their pairs.
func entitiesOf(rec *otellog.Record) []string {
	const size = int64(5 * time.Minute)
	start := strconv.FormatInt(rec.Time-rec.Time%size, 10)
	orNone := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	principal := orNone(rec.Str(semconv.KeytrailPrincipalID))
	names := []string{"principal\n" + start + "\n" + principal}
	first := orNone(rec.Str(semconv.AWSKMSKeyARN))
	for i, key := range []string{first, rec.Str(semconv.AWSKMSDestinationKeyARN)} {
		if i == 0 || key != "" && key != first {
			names = append(names, "key\n"+start+"\n"+key, "pair\n"+start+"\n"+key+"\n"+principal)
		}
	}
	return names
}

// gokaTotals sums the last value of each window in goka's table, which also contains the
// ids of calls.
func (e *environment) gokaTotals(ctx context.Context) (totals, error) {
	t := newTally()
	err := e.readAll(ctx, gokaGroup+"-table", func(r *kgo.Record) error {
		scope, _, ok := strings.Cut(string(r.Key), "\n")
		if !ok {
			return nil
		}
		n, err := strconv.ParseInt(string(r.Value), 10, 64) // as codec.Int64 writes it
		if err != nil {
			return fmt.Errorf("no count of a window: %q %q", r.Key, r.Value)
		}
		t.put(string(r.Key), scope, r.Offset, n)
		return nil
	})
	return t.totals(), err
}
