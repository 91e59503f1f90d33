// Command chaossinks runs Keytrail on a real Kafka and into three receivers, while it kills,
// stops and suspends everything. Then it reads what the receivers hold.
//
//	go run ./processor/internal/chaossinks -seed 1 -duration 3m
//
// CloudTrail files with planted attacks go into Kafka with "keytrail replay". Two processors
// count and judge them, and forward all events, windows and anomalies to an OpenSearch, a
// syslog-ng (TCP) and a stand-in for Splunk's HTTP Event Collector with acknowledgements.
// Meanwhile processors, brokers and receivers are killed (SIGKILL), stopped (SIGTERM) and
// suspended beyond their time-outs, as the seed says.
//
// In the end each receiver must hold every record that was published in its last revision,
// byte for byte: in OpenSearch in one document, elsewhere perhaps in several copies with the
// same id and revision. The windows must equal those that the oracle counts from the files,
// and every anomaly of "keytrail scan" of the files must be there. It ends with the line
//
//	lost N, doubled N, stale N, kills N
//
// over all receivers: records that are not there; documents beyond the first of an id,
// records without an id and records that nobody published; and records of an older revision
// or with other content. It exits with status 1 if one of them is not 0.
//
// Syslog-ng is never killed. It has read everything when it closes a connection, and what it
// has not written yet dies with it, which no sender can learn over TCP. It is stopped and
// suspended instead.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"keytrail/processor/internal/chaostest"
)

// options are the command line's.
type options struct {
	seed     uint64
	duration time.Duration // of the load and the faults
	rate     int           // calls a second
	dir      string        // for data and logs; "" means a temporary one
	hec      string        // the address of the stand-in, to run it alone
	sabotage bool
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 1, "chooses the trail and the faults")
	flag.DurationVar(&o.duration, "duration", 3*time.Minute, "how long files are sent and faults happen")
	flag.IntVar(&o.rate, "rate", 40, "calls a second, without those of attacks")
	flag.StringVar(&o.dir, "keep", "", "`directory` for the data and the logs, which stay there")
	flag.StringVar(&o.hec, "hec", "", "run only the stand-in for Splunk, at an `address`, with the file of -keep")
	flag.BoolVar(&o.sabotage, "sabotage", false, "break keytrail: sinks commit what they have not delivered")
	flag.Parse()
	if o.duration < 30*time.Second || o.rate < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "chaossinks: want -duration of at least 30s, -rate of at least 1, and no arguments")
		os.Exit(2)
	}
	if o.hec != "" {
		if err := serveHEC(o.hec, o.dir); err != nil {
			fmt.Fprintln(os.Stderr, "chaossinks:", err)
			os.Exit(1)
		}
		return
	}
	chaostest.Main("chaossinks", func(ctx context.Context) (string, bool, error) {
		v, err := run(ctx, o)
		return v.line(), v.clean(), err
	})
}

func run(ctx context.Context, o options) (v verdict, err error) {
	dir, done, err := chaostest.Dir("chaossinks", o.dir)
	if err != nil {
		return v, err
	}
	defer func() { done(err == nil && v.clean()) }()
	t, err := makeTrail(o, dir)
	if err != nil {
		return v, err
	}
	s, err := setUp(ctx, o, dir)
	if err != nil {
		return v, err
	}
	defer s.close()
	w, err := t.expect(ctx, s.keytrail)
	if err != nil {
		return v, err
	}
	chaostest.Say("faults and load for %v; seed %d", o.duration, o.seed)
	if err := s.disturb(ctx, o, t); err != nil {
		return v, err
	}
	if err := s.finish(); err != nil {
		return v, err
	}
	return s.judge(ctx, w)
}

// disturb sends the trail and causes faults meanwhile. The first error ends everything.
func (s *system) disturb(ctx context.Context, o options, t *trail) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := time.Now().Add(o.duration)
	var all sync.WaitGroup
	work := func(f func() error) {
		all.Go(func() {
			if err := f(); err != nil {
				cancel(err)
			}
		})
	}
	lanes := s.lanes(o.seed)
	for _, l := range lanes {
		work(func() error { return l.run(ctx, end, func() { s.kills.Add(1) }) })
	}
	work(func() error { return t.send(ctx, o.duration, s.keytrail, s.file("keytrail.yaml")) })
	all.Wait()
	for _, l := range lanes {
		chaostest.Say("%s: %v", l.targets[0].name, l.done)
	}
	return context.Cause(ctx)
}
