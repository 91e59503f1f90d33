package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keytrail/processor/config"
	"keytrail/processor/generate"
	"keytrail/processor/kafka"
	"keytrail/processor/source"
	"keytrail/processor/stream"
	"keytrail/processor/telemetry"
)

const demoAbout = `Runs the whole pipeline in this process: it makes up a trail of CloudTrail files
with attacks in it, reads and normalizes them, sends them through Kafka topics
(an embedded broker), counts and judges them, and forwards windows and anomalies
over OTLP/HTTP to a small SIEM, which prints them here. Nothing is left behind,
unless --keep names a directory.`

// demoFlags are the demo's flags.
type demoFlags struct {
	trail trailFlags
	limit time.Duration
	pace  time.Duration
	keep  string
}

// demo is "keytrail demo".
func (a *app) demo(args []string) int {
	var d demoFlags
	f := a.flags("demo", "[FLAGS]", demoAbout)
	d.register(f)
	rest, code, done := a.parse(f, args)
	if done {
		return code
	}
	if len(rest) > 0 || d.limit <= 0 || d.pace < 0 {
		a.errorf("demo takes no arguments, --for must be above 0 and --pace not below 0; see keytrail demo -h")
		return exitUsage
	}
	// The trail ends an hour ago, so that its last windows are not in the future
	// of anybody's clock.
	g, err := generate.New(d.trail.config(time.Now().UTC().Add(-d.trail.duration - time.Hour).Truncate(time.Hour)))
	if err != nil {
		a.errorf("%v", err)
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(a.ctx, d.limit)
	defer cancel()
	show := newShow(a.stdout, terminal(a.stdout))
	if err := a.runDemo(ctx, &d, g, show); err != nil {
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
			return a.fail(err)
		}
		show.line("--for %v is over before the trail was.", d.limit)
	}
	show.verdict(g.Labels())
	return exitOK
}

func (d *demoFlags) register(f *flag.FlagSet) {
	d.trail.register(f, 60_000)
	f.DurationVar(&d.limit, "for", 55*time.Second, "longest time that the demo takes")
	f.DurationVar(&d.pace, "pace", 15*time.Second, "time over which the trail is replayed; 0: as fast as it goes")
	f.StringVar(&d.keep, "keep", "", "keep the trail, the broker's data and the SIEM's records in `DIR`")
}

// runDemo wires the parts and waits until everything has arrived.
func (a *app) runDemo(ctx context.Context, d *demoFlags, g *generate.Generator, show *show) (err error) {
	dir := d.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "keytrail-demo-"); err != nil {
			return fmt.Errorf("cannot create a temporary directory: %w", err)
		}
		defer os.RemoveAll(dir)
	}
	siem, err := startSIEM(show, dir, d.keep != "")
	if err != nil {
		return err
	}
	defer siem.close()
	log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	broker, err := kafka.StartEmbedded(filepath.Join(dir, "broker"), log)
	if err != nil {
		return err
	}
	defer broker.Close()
	show.line("Embedded Kafka broker on %s (for trying things, not crash-safe); SIEM on %s.", strings.Join(broker.Brokers(), ","), siem.url)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, tel, err := demoPipeline(ctx, d, broker.Brokers(), siem, log)
	if err != nil {
		return err
	}
	defer tel.Shutdown(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	ready := make(chan struct{})
	p.Ready = func() { close(ready) }
	go func() { ended <- p.Run(ctx, stream.Stages{Count: true, Detect: true, Forward: true}) }()
	defer func() {
		cancel()
		if perr := <-ended; err == nil {
			err = perr
		}
	}()
	objects, err := demoTrail(g, filepath.Join(dir, "trail"), show)
	if err != nil {
		return err
	}
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := replay(ctx, p, d.pace, objects, show); err != nil {
		return err
	}
	return siem.quiet(ctx)
}

// demoTrail writes the trail's files and returns them in the order of their
// delivery.
func demoTrail(g *generate.Generator, dir string, show *show) ([]source.Object, error) {
	records := 0
	files, err := g.WriteFiles(dir, func(n int) { records = n })
	if err != nil {
		return nil, err
	}
	show.line("%d CloudTrail records in %d files, with %d incidents planted in them.", records, files, len(g.Labels()))
	var objects []source.Object
	for o, err := range source.Objects([]string{filepath.Join(dir, "AWSLogs")}) {
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	slices.SortFunc(objects, source.ByDelivery)
	return objects, nil
}

// demoPipeline is the pipeline as "keytrail run" makes it, with one sink.
func demoPipeline(ctx context.Context, d *demoFlags, brokers []string, siem *siem, log *slog.Logger) (*stream.Pipeline, *telemetry.Telemetry, error) {
	tel, err := telemetry.New(ctx, telemetry.DefaultConfig())
	if err != nil {
		return nil, nil, err
	}
	cfg := config.Default()
	cfg.Kafka.Partitions = config.Partitions{Events: 4, Partials: 2}
	// Three days pass in seconds, so silence is a matter of seconds too.
	cfg.Window.IdleAfter, cfg.Window.CloseAfter = time.Second, 2*time.Second
	p := newPipeline(cfg, brokers, tel, log)
	to, _ := config.NewSink(config.SinkOTLP)
	to.Name, to.OTLP.Endpoint = "siem", siem.url
	to.Take = config.Take{Windows: config.WindowsAnomalous, Anomalies: true}
	there, err := destination(to)
	p.Sinks = []stream.Destination{there}
	return p, tel, err
}

// replay publishes the files, spread over pace.
func replay(ctx context.Context, p *stream.Pipeline, pace time.Duration, objects []source.Object, show *show) error {
	pub, err := stream.NewPublisher(p.Kafka, p.Topics, p.Limits, p.Normalize)
	if err != nil {
		return err
	}
	defer pub.Close()
	began := time.Now()
	for i, o := range objects {
		due := began.Add(pace * time.Duration(i) / time.Duration(len(objects)))
		if wait := time.Until(due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := pub.Object(ctx, o); err != nil {
			return err
		}
		show.progress(i+1, len(objects), pub.Counts())
	}
	if err := pub.Flush(ctx); err != nil {
		return err
	}
	c := pub.Counts()
	show.line("All files are read: %d records, %d published to kms.events, %d filtered, %d dead letters.", c.Received, c.Published, c.Filtered, c.DeadLettered)
	return nil
}
