// Stream measures the cost of stages count and detect on a real Kafka, compared with a
// loop that only consumes, with Kafka Streams, Flink and goka; the memory of their state
// and the time of its restore; and the latency of anomalies.
//
// It builds the keytrail binary, starts one broker of Apache Kafka, and serves as the
// child process of its yardsticks in Go. README.md in the parent folder describes the
// measurements and the limits of the comparison.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], childPrefix) {
		exit(child(os.Args[1:]))
	}
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2) // the flag set has printed why
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o)
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-stream:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run measures what the options select and prints a table after each part, so that a
// failure costs only the later ones.
func run(ctx context.Context, o options) (err error) {
	dir := o.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "keytrail-bench-"); err != nil {
			return err
		}
		defer func() {
			if err == nil || ctx.Err() != nil {
				os.RemoveAll(dir)
			} else {
				fmt.Fprintln(os.Stderr, "bench-stream: data and logs are in", dir)
			}
		}()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	e, err := setUp(ctx, o, dir)
	if err != nil {
		return err
	}
	defer e.close()
	fmt.Printf(
		"%d CPUs, %s/%s, %s; one broker of Apache Kafka on the same machine; %d event partitions, %d of partials.\n",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), eventPartitions, partialPartitions)
	if o.events > 0 {
		if err := throughput(ctx, e, o, os.Stdout); err != nil {
			return err
		}
	}
	if len(o.entities) > 0 {
		if err := memory(ctx, e, o, os.Stdout); err != nil {
			return err
		}
	}
	if o.latency > 0 {
		return latency(ctx, e, o, os.Stdout)
	}
	return nil
}

// began is the start of the program, from which its log counts time.
var began = time.Now()

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs "+format+"\n", append([]any{time.Since(began).Seconds()}, args...)...)
}
