// Command soak runs one keytrail process with all stages on a real Kafka under a steady load
// of calls whose event times are the clock's, and watches what it holds.
//
//	go run ./processor/internal/soak -duration 2h
//
// Every ten seconds it samples the process: resident memory, heap after collections,
// goroutines, descriptors, CPU time, and the lag of its stages. Memory grows while the
// horizon fills: call ids and open windows are kept until their calls are late for good. The
// verdict therefore compares the second and the last quarter of the time after that. The last
// line reports it; the exit status is 1 if something still grows.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keytrail/processor/internal/chaostest"
	"keytrail/processor/internal/process"
	"keytrail/processor/kafka/kafkatest"
)

// options are the command line's.
type options struct {
	duration         time.Duration // of the load
	rate             int           // events a second
	keys, principals int
	lateness         time.Duration // window.allowed_lateness
	disorder         time.Duration // window.out_of_orderness
	every            time.Duration // between two samples
	dir              string        // for data and logs; "" means a temporary one
}

// margin is how much longer than a call may come the stages keep its id, and the longest time
// to the next commit and collection.
const margin = 12 * time.Minute

// horizon returns how long after its time a call is kept.
func (o options) horizon() time.Duration { return o.lateness + o.disorder + windowSize + margin }

// windowSize is the default of window.size.
const windowSize = 5 * time.Minute

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", 2*time.Hour, "how long events are sent")
	flag.IntVar(&o.rate, "rate", 1000, "events a second")
	flag.IntVar(&o.keys, "keys", 200, "KMS keys of the trail")
	flag.IntVar(&o.principals, "principals", 500, "principals of the trail")
	flag.DurationVar(&o.lateness, "lateness", time.Hour, "window.allowed_lateness")
	flag.DurationVar(&o.disorder, "disorder", 15*time.Minute, "window.out_of_orderness")
	flag.DurationVar(&o.every, "every", 10*time.Second, "time between two samples")
	flag.StringVar(&o.dir, "keep", "", "`directory` for the data and the logs, which stay there")
	flag.Parse()
	if o.duration < time.Minute || o.rate < 1 || o.every < time.Second || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "soak: want -duration of at least 1m, -rate of at least 1, -every of at least 1s, "+
			"and no arguments")
		os.Exit(2)
	}
	chaostest.Main("soak", func(ctx context.Context) (string, bool, error) { return run(ctx, o) })
}

func run(ctx context.Context, o options) (line string, clean bool, err error) {
	dir, done, err := chaostest.Dir("soak", o.dir)
	if err != nil {
		return "", false, err
	}
	defer func() { done(err == nil && clean) }()
	binary, err := chaostest.Build(ctx, dir)
	if err != nil {
		return "", false, err
	}
	cluster, err := kafkatest.StartCluster(filepath.Join(dir, "kafka"), 1, os.Stderr)
	if err != nil {
		return "", false, err
	}
	defer cluster.Close()
	address, err := freeAddress()
	if err != nil {
		return "", false, err
	}
	config := filepath.Join(dir, "keytrail.yaml")
	text := fmt.Sprintf(configuration, strings.Join(cluster.Brokers(), ", "), o.lateness, o.disorder,
		filepath.Join(dir, "found.ndjson"), address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", false, err
	}
	p := process.New(filepath.Join(dir, "keytrail.log"), address, binary, "run", "-c", config)
	if err := p.Launch(); err != nil {
		return "", false, err
	}
	defer p.Kill()
	line, clean, err = soak(ctx, o, cluster.Brokers(), &watch{o: o, pid: p.Pid(), address: address,
		out: filepath.Join(dir, "samples.tsv")})
	if ended, why := p.Ended(); ended {
		return "", false, fmt.Errorf("keytrail ended by itself: %v; see %s", why, dir)
	}
	return line, clean, cmp.Or(err, p.Stop())
}

// soak sends the load and watches the process meanwhile.
func soak(ctx context.Context, o options, brokers []string, w *watch) (line string, clean bool, err error) {
	l, err := newLoad(o)
	if err != nil {
		return "", false, err
	}
	chaostest.Say("%d events a second for %v; the horizon is full after %v", o.rate, o.duration, o.horizon())
	load, stop := context.WithCancel(ctx)
	sent := make(chan error, 1)
	go func() {
		defer stop()
		sent <- l.send(load, brokers, o)
	}()
	if err := w.sample(load); err != nil {
		stop()
		<-sent
		return "", false, err
	}
	if err := <-sent; err != nil {
		return "", false, err
	}
	line, clean = w.verdict(l.sent)
	return line, clean, nil
}

// configuration is keytrail's: its own defaults, except the horizon.
const configuration = `kafka:
  brokers: [%s]
  replication: 1
window: {allowed_lateness: %v, out_of_orderness: %v}
sinks:
  - {name: found, type: file, path: %q, take: {events: false, windows: anomalous, anomalies: true}}
telemetry: {listen: %q}
`
