package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/internal/chaostest"
	"keytrail/processor/internal/process"
	"keytrail/processor/kafka/kafkatest"
)

// fleet is everything that runs: the brokers and the processes of keytrail.
type fleet struct {
	o         options
	dir       string
	binary    string // of keytrail
	rng       *rand.Rand
	cluster   *kafkatest.Cluster
	instances []*process.Process // nil if stopped
	kills     int                // of processes and brokers, by SIGKILL
	exits     int                // of processes, by themselves
	started   int
}

// setUp builds keytrail, and starts the brokers and the first process.
func setUp(ctx context.Context, o options, dir string) (*fleet, error) {
	f := &fleet{o: o, dir: dir, rng: rand.New(rand.NewPCG(o.seed, 0xfa117)),
		instances: make([]*process.Process, o.instances)}
	var err error
	if f.binary, err = chaostest.Build(ctx, dir); err != nil {
		return nil, err
	}
	if f.cluster, err = kafkatest.StartCluster(filepath.Join(dir, "kafka"), o.brokers, os.Stderr); err != nil {
		return nil, err
	}
	rules := filepath.Join(dir, "rules.yml")
	if err := os.WriteFile(rules, []byte(everyCall), 0o600); err != nil {
		f.cluster.Close()
		return nil, err
	}
	config := fmt.Sprintf(`kafka:
  brokers: [%s]
  replication: %d
  partitions: {events: %d, partials: 4}
  session_timeout: %v
stages: [normalize, count, detect]
window: {rollups: [1h], idle_after: %v}
detect: {warm_up: 1h} # so that there are first uses
rules: {sigma: [%q]}
`, strings.Join(f.brokers(), ", "), min(o.brokers, 3), partitions, chaostest.SessionTimeout, idleAfter, rules)
	if err := os.WriteFile(filepath.Join(dir, "keytrail.yaml"), []byte(config), 0o600); err != nil {
		f.cluster.Close()
		return nil, err
	}
	err = f.start(0)
	if err == nil {
		err = f.abort(ctx)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// abort begins each partition of kms.events with an aborted transaction: nothing is missing
// in front of the first record, although its offset is not 0.
func (f *fleet) abort(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.brokers()...), kgo.TransactionalID("aborted"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1), kgo.RecordDeliveryTimeout(time.Minute))
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	var records []*kgo.Record
	for p := range int32(partitions) {
		records = append(records, &kgo.Record{Topic: topics.Events, Partition: p, Value: []byte("aborted")})
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	return cl.EndTransaction(ctx, kgo.TryAbort)
}

func (f *fleet) brokers() []string { return f.cluster.Brokers() }

// start starts instance i, which does not run.
func (f *fleet) start(i int) error {
	f.started++
	p := process.New(filepath.Join(f.dir, fmt.Sprintf("keytrail-%03d.log", f.started)), "", f.binary, "run", "-c",
		filepath.Join(f.dir, "keytrail.yaml"))
	f.instances[i] = p
	return p.Launch()
}

// stop stops instance i in good order, if it runs.
func (f *fleet) stop(i int) error {
	p := f.instances[i]
	if p == nil {
		return nil
	}
	f.instances[i] = nil
	return p.Stop()
}

// kill kills instance i, if it runs.
func (f *fleet) kill(i int) {
	if p := f.instances[i]; p != nil {
		f.instances[i] = nil
		f.kills++
		p.Kill()
	}
}

// reap notices processes that ended by themselves, for example without Kafka, and acts as
// their supervisor.
func (f *fleet) reap() {
	for i, p := range f.instances {
		if p == nil {
			continue
		}
		if ended, err := p.Ended(); ended {
			chaostest.Say("instance %d ended by itself: %v; see the logs in %s", i, err, f.dir)
			f.instances[i] = nil
			f.exits++
		}
	}
}

// running returns the numbers of the running, or the stopped, instances.
func (f *fleet) running(yes bool) (list []int) {
	for i, in := range f.instances {
		if (in != nil) == yes {
			list = append(list, i)
		}
	}
	return list
}

// faults causes one fault after another, until the duration is over.
func (f *fleet) faults(ctx context.Context, duration time.Duration) error {
	for end := time.Now().Add(duration); time.Now().Before(end); {
		f.reap()
		if err := f.fault(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(f.rng.Int64N(int64(6 * time.Second)))):
		}
	}
	return nil
}

// fault causes one fault.
func (f *fleet) fault(ctx context.Context) error {
	up, down := f.running(true), f.running(false)
	if len(up) == 0 || len(down) > 0 && f.rng.IntN(2) == 0 {
		i := down[f.rng.IntN(len(down))]
		chaostest.Say("start instance %d", i)
		return f.start(i)
	}
	i := up[f.rng.IntN(len(up))]
	switch n := f.rng.IntN(11); {
	case n == 10:
		chaostest.Say("kill all instances, and start none for as long as ids are remembered")
		for _, i := range up {
			f.kill(i)
		}
		chaostest.Pause(ctx, 20*time.Second) // 80 min of event time
		return nil
	case n < 5:
		chaostest.Say("kill instance %d", i)
		f.kill(i)
		return nil
	case n < 7:
		chaostest.Say("stop instance %d", i)
		return f.stop(i)
	case n < 8 || f.o.brokers < 3:
		chaostest.Say("suspend instance %d beyond its session", i)
		f.instances[i].Suspend()
		chaostest.Pause(ctx, chaostest.SessionTimeout+time.Duration(f.rng.Int64N(int64(6*time.Second))))
		f.instances[i].Resume()
		return nil
	default:
		b := f.rng.IntN(f.o.brokers)
		chaostest.Say("kill broker %d", b)
		f.kills++
		f.cluster.Kill(b)
		chaostest.Pause(ctx, time.Duration(f.rng.Int64N(int64(5*time.Second))))
		if err := f.cluster.Launch(b); err != nil {
			return err
		}
		// One at a time: with two of three brokers down, Kafka accepts no writes.
		return f.cluster.Await(b)
	}
}

// calm stops all processes and starts one to finish the work.
func (f *fleet) calm() error {
	f.reap()
	for _, i := range f.running(true) {
		if err := f.stop(i); err != nil {
			return err
		}
	}
	chaostest.Say("one last instance finishes the work; %d kills, %d processes started, %d ended by themselves",
		f.kills, f.started, f.exits)
	return f.start(0)
}

// close ends everything at once.
func (f *fleet) close() {
	for i := range f.instances {
		f.kill(i)
	}
	f.cluster.Close()
}
