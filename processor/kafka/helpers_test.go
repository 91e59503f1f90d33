package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// cluster is a broker with a client to inspect it.
type cluster struct {
	t      *testing.T
	broker kafkatest.Broker
	cfg    kafka.Config
	adm    *kadm.Client
	cl     *kgo.Client
}

// patience is how long a test waits for an event that must come; no test asserts how long
// it takes.
const patience = 60 * time.Second

func start(t *testing.T) *cluster {
	t.Helper()
	t.Parallel() // the tests mostly wait
	return connect(t, kafkatest.Start(t))
}

func connect(t *testing.T, b kafkatest.Broker) *cluster {
	t.Helper()
	c := &cluster{t: t, broker: b, cfg: kafka.Config{Brokers: b.Brokers(), ClientID: "test", Log: quiet()}}
	var err error
	if c.cl, err = kgo.NewClient(kgo.SeedBrokers(b.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.cl.Close)
	c.adm = kadm.NewClient(c.cl)
	return c
}

// topics creates topics of n partitions.
func (c *cluster) topics(n int32, names ...string) {
	c.t.Helper()
	made, err := c.adm.CreateTopics(c.t.Context(), n, 1, nil, names...)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// produce writes values to one partition.
func (c *cluster) produce(topic string, partition int32, values ...string) {
	c.t.Helper()
	for _, v := range values {
		if err := c.cl.ProduceSync(c.t.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// transaction begins a transaction and writes values to one partition; the client ends it.
func (c *cluster) transaction(id, topic string, partition int32, values ...string) *kgo.Client {
	c.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.cfg.Brokers...), kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	if err := cl.BeginTransaction(); err != nil {
		c.t.Fatal(err)
	}
	for _, v := range values {
		if err := cl.ProduceSync(c.t.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
	return cl
}

func (c *cluster) end(cl *kgo.Client, try kgo.TransactionEndTry) {
	c.t.Helper()
	if err := cl.EndTransaction(c.t.Context(), try); err != nil {
		c.t.Fatal(err)
	}
}

// log returns the records that ReadLog reads, in order, by partition.
func (c *cluster) log(ctx context.Context, topic string, partitions ...int32) (map[int32][]string, error) {
	found := map[int32][]string{}
	err := kafka.ReadLog(ctx, c.cfg, topic, partitions, func(r *kgo.Record) error {
		found[r.Partition] = append(found[r.Partition], string(r.Value))
		return nil
	})
	return found, err
}

// holds checks the committed records of one partition.
func (c *cluster) holds(topic string, partition int32, want ...string) {
	c.t.Helper()
	got, err := c.log(c.t.Context(), topic, partition)
	if err != nil || !slices.Equal(got[partition], want) {
		c.t.Errorf("topic %s partition %d holds %q, %v; want %q", topic, partition, got[partition], err, want)
	}
}

// committed returns the group's offset in a partition, -1 for none.
func (c *cluster) committed(group, topic string, partition int32) int64 {
	c.t.Helper()
	offsets, err := c.adm.FetchOffsets(c.t.Context(), group)
	if errors.Is(err, kerr.GroupIDNotFound) || errors.Is(err, kerr.CoordinatorNotAvailable) {
		return -1 // its first member has not joined yet
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if o, ok := offsets.Lookup(topic, partition); ok {
		return o.At
	}
	return -1
}

// waitCommitted waits until a group has committed offset at.
func (c *cluster) waitCommitted(group, topic string, partition int32, at int64) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for got := int64(-1); got != at; got = c.committed(group, topic, partition) {
		if time.Now().After(deadline) {
			c.t.Fatalf("partition %d of %s: waited in vain for offset %d, committed is %d", partition, topic, at, got)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// echo is a processor that writes its input to topic "out", with the number of earlier
// records of the partition: its state, which it restores from there.
type echo struct {
	c         *cluster
	onProcess func(*kgo.Record) error
	onOutput  func() error
	onAssign  func() error

	mu      sync.Mutex
	changed *sync.Cond
	count   map[int32]int // by owned partition
	out     []*kgo.Record
	calls   []string // the calls except Process, in order
	seen    int      // records processed
	behind  map[int32]int64
	commits int // transactions that committed
}

func newEcho(c *cluster) *echo {
	e := &echo{c: c, count: map[int32]int{}}
	e.changed = sync.NewCond(&e.mu)
	return e
}

func (e *echo) note(format string, args ...any) {
	e.calls = append(e.calls, fmt.Sprintf(format, args...))
	e.changed.Broadcast()
}

func (e *echo) Assign(ctx context.Context, partitions []int32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.onAssign != nil {
		if err := e.onAssign(); err != nil {
			e.note("assign failed")
			return err
		}
	}
	for _, p := range partitions {
		if _, ok := e.count[p]; ok {
			e.c.t.Errorf("partition %d is assigned and was not revoked", p)
		}
	}
	found, err := e.c.log(ctx, "out", partitions...)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		e.count[p] = len(found[p])
	}
	e.note("assign %v", partitions)
	return nil
}

func (e *echo) Revoke(partitions []int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range partitions {
		delete(e.count, p)
	}
	if len(partitions) > 0 {
		slices.Sort(partitions)
		e.note("revoke %v", partitions)
	}
}

func (e *echo) Process(r *kgo.Record) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.onProcess != nil {
		if err := e.onProcess(r); err != nil {
			return err
		}
	}
	n, ok := e.count[r.Partition]
	if !ok {
		e.c.t.Errorf("a record of partition %d, which is not owned", r.Partition)
	}
	e.count[r.Partition]++
	e.out = append(e.out, &kgo.Record{Topic: "out", Partition: r.Partition, Value: fmt.Appendf(nil, "%d %s", n, r.Value)})
	e.seen++
	e.changed.Broadcast()
	return nil
}

func (e *echo) Lag(behind map[int32]int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.behind = behind
	e.changed.Broadcast()
}

func (e *echo) Output(_ time.Time, emit func(*kgo.Record)) (more bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.onOutput != nil {
		if err := e.onOutput(); err != nil {
			return false, err
		}
	}
	for _, r := range e.out {
		emit(r)
	}
	e.out = nil
	return false, nil
}

func (e *echo) Committed(ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out = nil
	if !ok {
		e.note("aborted")
		return
	}
	e.commits++
	e.changed.Broadcast()
}

func (e *echo) has(call string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.calls, call)
}

func (e *echo) saw() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen
}

// wait waits until done reports true for the processor.
func (e *echo) wait(what string, done func() bool) {
	e.c.t.Helper()
	late := time.AfterFunc(patience, e.changed.Broadcast)
	deadline := time.Now().Add(patience)
	defer late.Stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for !done() {
		if time.Now().After(deadline) {
			e.c.t.Fatalf("waited in vain until %s; the calls were %q", what, e.calls)
		}
		e.changed.Wait()
	}
}

// stage is a running Transact.
type stage struct {
	*echo
	cancel context.CancelFunc
	ended  chan error
}

// run starts a stage from "in" to "out".
func (c *cluster) run(id string, edit func(*kafka.Transact, *echo)) *stage {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stage{echo: newEcho(c), cancel: cancel, ended: make(chan error, 1)}
	t := &kafka.Transact{Kafka: c.cfg, Group: "g", Topic: "in", TransactionID: id, Interval: 30 * time.Millisecond, Records: 1000, GiveUp: patience}
	edit(t, s.echo)
	go func() { s.ended <- t.Run(ctx, s.echo) }()
	c.t.Cleanup(cancel)
	return s
}

// end waits for the stage's end and returns its error.
func (s *stage) end() error {
	s.c.t.Helper()
	select {
	case err := <-s.ended:
		s.cancel()
		return err
	case <-time.After(patience):
		s.c.t.Fatal("the stage does not end")
		return nil
	}
}

// stop ends the stage gracefully.
func (s *stage) stop() {
	s.c.t.Helper()
	s.cancel()
	if err := s.end(); err != nil {
		s.c.t.Errorf("a graceful stop returns %v", err)
	}
}
