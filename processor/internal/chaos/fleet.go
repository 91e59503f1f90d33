package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"keytrail/processor/kafka/kafkatest"
)

// fleet is everything that runs: the brokers and the processes of keytrail.
type fleet struct {
	o         options
	dir       string
	rng       *rand.Rand
	cluster   *kafkatest.Cluster
	instances []*instance // nil if stopped
	kills     int         // of processes and brokers, by SIGKILL
	exits     int         // of processes, by themselves
	started   int
}

// sessionTimeout is short, so that a run sees many of them.
const sessionTimeout = 8 * time.Second

// instance is one process of keytrail.
type instance struct {
	cmd   *exec.Cmd
	log   *os.File
	ended chan error
}

// setUp builds keytrail, and starts the brokers and the first process.
func setUp(ctx context.Context, o options, dir string) (*fleet, error) {
	f := &fleet{o: o, dir: dir, rng: rand.New(rand.NewPCG(o.seed, 0xfa117)), instances: make([]*instance, o.instances)}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "keytrail"), "keytrail")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("cannot build keytrail: %w", err)
	}
	var err error
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
`, strings.Join(f.brokers(), ", "), min(o.brokers, 3), partitions, sessionTimeout, idleAfter, rules)
	if err := os.WriteFile(filepath.Join(dir, "keytrail.yaml"), []byte(config), 0o600); err != nil {
		f.cluster.Close()
		return nil, err
	}
	if err := f.start(0); err != nil {
		f.cluster.Close()
		return nil, err
	}
	return f, nil
}

func (f *fleet) brokers() []string { return f.cluster.Brokers() }

// start starts instance i, which does not run.
func (f *fleet) start(i int) error {
	f.started++
	log, err := os.Create(filepath.Join(f.dir, fmt.Sprintf("keytrail-%03d.log", f.started)))
	if err != nil {
		return err
	}
	in := &instance{cmd: exec.Command(filepath.Join(f.dir, "keytrail"), "run", "-c",
		filepath.Join(f.dir, "keytrail.yaml")), log: log, ended: make(chan error, 1)}
	in.cmd.Stderr = log
	in.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := in.cmd.Start(); err != nil {
		return err
	}
	go func() { in.ended <- in.cmd.Wait() }()
	f.instances[i] = in
	return nil
}

// end ends instance i by a signal and waits for it.
func (f *fleet) end(i int, s syscall.Signal) error {
	in := f.instances[i]
	if in == nil {
		return nil
	}
	f.instances[i] = nil
	in.cmd.Process.Signal(s)
	select {
	case err := <-in.ended:
		in.log.Close()
		if s == syscall.SIGTERM && err != nil {
			return fmt.Errorf("%s: a graceful stop gives %w", in.log.Name(), err)
		}
		return nil
	case <-time.After(2 * time.Minute):
		return fmt.Errorf("%s: the process does not end", in.log.Name())
	}
}

// reap notices processes that ended by themselves, for example without Kafka, and acts as
// their supervisor.
func (f *fleet) reap() {
	for i, in := range f.instances {
		if in == nil {
			continue
		}
		select {
		case err := <-in.ended:
			say("instance %d ended by itself: %v; see %s", i, err, in.log.Name())
			in.log.Close()
			f.instances[i] = nil
			f.exits++
		default:
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
		say("start instance %d", i)
		return f.start(i)
	}
	i := up[f.rng.IntN(len(up))]
	switch n := f.rng.IntN(11); {
	case n == 10:
		say("kill all instances, and start none for as long as ids are remembered")
		for _, i := range up {
			f.kills++
			if err := f.end(i, syscall.SIGKILL); err != nil {
				return err
			}
		}
		pause(ctx, 20*time.Second) // 80 min of event time
		return nil
	case n < 5:
		say("kill instance %d", i)
		f.kills++
		return f.end(i, syscall.SIGKILL)
	case n < 7:
		say("stop instance %d", i)
		return f.end(i, syscall.SIGTERM)
	case n < 8 || f.o.brokers < 3:
		say("suspend instance %d beyond its session", i)
		p := f.instances[i].cmd.Process
		p.Signal(syscall.SIGSTOP)
		pause(ctx, sessionTimeout+time.Duration(f.rng.Int64N(int64(6*time.Second))))
		p.Signal(syscall.SIGCONT)
		return nil
	default:
		b := f.rng.IntN(f.o.brokers)
		say("kill broker %d", b)
		f.kills++
		f.cluster.Kill(b)
		pause(ctx, time.Duration(f.rng.Int64N(int64(5*time.Second))))
		if err := f.cluster.Launch(b); err != nil {
			return err
		}
		// One at a time: with two of three brokers down, Kafka accepts no writes.
		return f.cluster.Await(b)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// calm stops all processes and starts one to finish the work.
func (f *fleet) calm() error {
	f.reap()
	for _, i := range f.running(true) {
		if err := f.end(i, syscall.SIGTERM); err != nil {
			return err
		}
	}
	say("one last instance finishes the work; %d kills, %d processes started, %d ended by themselves",
		f.kills, f.started, f.exits)
	return f.start(0)
}

// close ends everything at once.
func (f *fleet) close() {
	for i := range f.instances {
		f.end(i, syscall.SIGKILL)
	}
	f.cluster.Close()
}
