// Sinks measures what it costs to deliver log records to a receiver that discards them:
// records per second, CPU time per record and bytes on the wire, beside the OpenTelemetry
// Collector's exporters for OTLP and Splunk's HEC; and the time to catch up after an outage.
// README.md in the parent folder describes the measurements.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// options are the command line's.
type options struct {
	records, rounds int
	collector       bool
	outage          time.Duration
	rate            int
	receive         bool // to run the receivers alone
}

func main() {
	var o options
	flag.IntVar(&o.records, "records", 50_000, "log records per measurement")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; each runs every line once, and 0 leaves them out")
	flag.BoolVar(&o.collector, "collector", true, "measure the collector too; scripts/collector builds it")
	flag.DurationVar(&o.outage, "outage", 10*time.Minute, "length of the outage to catch up after; 0 for none")
	flag.IntVar(&o.rate, "rate", 200, "events a second during the outage")
	flag.BoolVar(&o.receive, "receive", false, "run the receivers alone, for the program itself")
	flag.Parse()
	if o.records < 1000 || o.rounds < 0 || o.rate < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "bench-sinks: want -records of at least 1000, -rate of at least 1, no negative -rounds, "+
			"and no arguments")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if o.receive {
		err = serve(ctx)
	} else {
		err = run(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-sinks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "keytrail-bench-sinks-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	to, err := startReceivers(ctx)
	if err != nil {
		return err
	}
	defer to.stop()
	records, size, err := makeRecords(o.records)
	if err != nil {
		return err
	}
	fmt.Printf("%d CPUs, %s/%s, %s; %d log records of %d bytes\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
		runtime.Version(), len(records), size/len(records))
	rows, err := ours(to, records, dir)
	if err != nil {
		return err
	}
	if o.collector {
		theirs, err := collectors(to, records, dir, rows)
		if err != nil {
			return err
		}
		rows = append(rows, theirs...)
	}
	for round := range o.rounds {
		for _, r := range rows {
			if err := r.once(ctx, to); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
	}
	if o.rounds > 0 {
		print(os.Stdout, rows, len(records))
	}
	if o.outage > 0 {
		return catchUp(ctx, o, to, dir)
	}
	return nil
}
