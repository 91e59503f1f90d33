// Command chaos runs Keytrail on a real Kafka while it kills, suspends and restarts
// everything. Then it compares the final windows with the offline oracle's counts of the
// same records, and those of a user's correlation with a plain count of the calls.
//
//	go run ./processor/internal/chaos -seed 1 -duration 5m
//
// It starts brokers and several processes of the keytrail binary, and sends every call up
// to three times, out of order by up to an hour of event time, mixed with late, future,
// foreign and broken records, and with late better copies of calls. Twice one partition
// falls idle, and twice all of them do. Meanwhile processes and brokers are killed
// (SIGKILL), stopped gracefully, suspended beyond the session timeout, added and removed,
// at moments that the seed chooses; once all are down for longer than call ids are
// remembered. It ends with the line
//
//	mismatches N, lost N, duplicated N, kills N, events N
//
// and with exit status 1 if one of the first three is not 0.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"keytrail/processor/internal/chaostest"
)

// options are the command line's.
type options struct {
	seed      uint64
	duration  time.Duration // of the load and the faults
	rate      int           // calls a second, each sent one to three times
	brokers   int
	instances int    // at most
	dir       string // for data and logs; "" means a temporary one
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 1, "chooses the load and the faults")
	flag.DurationVar(&o.duration, "duration", 2*time.Minute, "how long records are sent and things are killed")
	flag.IntVar(&o.rate, "rate", 300, "calls a second; each is sent one to three times")
	flag.IntVar(&o.brokers, "brokers", 3, "Kafka brokers; with fewer than three none is killed")
	flag.IntVar(&o.instances, "instances", 3, "the most processes of keytrail at a time")
	flag.StringVar(&o.dir, "keep", "", "`directory` for the data and the logs, which stay there")
	flag.Parse()
	if o.duration < 10*time.Second || o.rate < 1 || o.instances < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "chaos: want -duration of at least 10s, -rate and -instances of at least 1, and no arguments")
		os.Exit(2)
	}
	chaostest.Main("chaos", func(ctx context.Context) (string, bool, error) {
		v, err := run(ctx, o)
		return v.line(), v.clean(), err
	})
}

func run(ctx context.Context, o options) (v verdict, err error) {
	dir, done, err := chaostest.Dir("chaos", o.dir)
	if err != nil {
		return v, err
	}
	defer func() { done(err == nil && v.clean()) }() // keeps data for the analysis of a failure
	f, err := setUp(ctx, o, dir)
	if err != nil {
		return v, err
	}
	defer f.close()
	l, err := makeLoad(o)
	if err != nil {
		return v, err
	}
	chaostest.Say("%d records of %d calls over %v; seed %d", len(l.records), l.calls, o.duration, o.seed)
	sent := make(chan error, 1)
	go func() { sent <- l.send(ctx, f.brokers(), o.duration) }()
	if err := f.faults(ctx, o.duration); err != nil {
		return v, err
	}
	if err := <-sent; err != nil {
		return v, err
	}
	if err := f.calm(); err != nil {
		return v, err
	}
	v, err = judge(ctx, f.brokers(), l)
	v.kills = f.kills
	return v, err
}
