package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keytrail/processor/config"
	"keytrail/processor/generate"
	"keytrail/processor/kafka"
	"keytrail/processor/sigma"
	"keytrail/processor/sink/all"
	"keytrail/processor/sink/otlphttp"
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
	rules list
	user  *sigma.Rules // what rules names
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
	if len(rest) > 0 {
		a.errorf("demo takes no arguments, not %q; see keytrail demo -h", rest)
		return exitUsage
	}
	if d.user, code = a.stageRules(d.rules); code != exitOK {
		return code
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

func (d *demoFlags) register(f *flagSet) {
	d.trail.register(f, 60_000)
	d.limit, d.pace = 55*time.Second, 15*time.Second
	f.duration(&d.limit, "for", "longest `time` that the demo takes", time.Second, 24*time.Hour, 1)
	f.duration(&d.pace, "pace", "`time` over which the trail is replayed; 0: as fast as it goes", 0, 24*time.Hour, 1)
	f.Var(&d.rules, "rules", "`PATH` of rules of your own in Sigma form, as for scan (may be repeated)")
	f.StringVar(&d.keep, "keep", "", "keep the trail, the broker's data and the SIEM's records in `DIR`")
}

// What the demo makes in its folder.
const (
	demoTrails = "trail"
	demoBroker = "broker"
	demoSIEM   = "siem.ndjson"
)

// folder returns the demo's folder, and what removes it when nobody keeps it.
// One that holds an earlier demo is refused before anything in it is touched.
func (d *demoFlags) folder() (dir string, remove func(), err error) {
	if d.keep == "" {
		if dir, err = os.MkdirTemp("", "keytrail-demo-"); err != nil {
			return "", nil, fmt.Errorf("cannot create a temporary directory: %w", err)
		}
		return dir, func() { os.RemoveAll(dir) }, nil
	}
	for _, name := range []string{demoTrails, demoBroker, demoSIEM} {
		path := filepath.Join(d.keep, name)
		if _, err := os.Lstat(path); err == nil {
			return "", nil, fmt.Errorf("cannot keep the demo in %q: it holds %s of an earlier one; name an empty folder", d.keep, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, fmt.Errorf("cannot keep the demo in %q: %w", d.keep, err)
		}
	}
	if err := os.MkdirAll(d.keep, 0o700); err != nil {
		return "", nil, fmt.Errorf("cannot create %s: %w", d.keep, err)
	}
	return d.keep, func() {}, nil
}

// runDemo wires the parts and waits until everything has arrived.
func (a *app) runDemo(ctx context.Context, d *demoFlags, g *generate.Generator, show *show) (err error) {
	dir, remove, err := d.folder()
	if err != nil {
		return err
	}
	defer remove()
	siem, err := startSIEM(show, dir, d.keep != "")
	if err != nil {
		return err
	}
	defer func() {
		if cerr := siem.close(); err == nil {
			err = cerr
		}
	}()
	log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	broker, err := kafka.StartEmbedded(filepath.Join(dir, demoBroker), log)
	if err != nil {
		return err
	}
	defer broker.Close()
	show.line("Embedded Kafka broker on %s (for trying things, not crash-safe); SIEM on %s.", strings.Join(broker.Brokers(), ","), siem.url)
	// The trail is written before the stages begin: while they wait for it, a slow
	// disk would look like a trail that has fallen silent (see demoIdle).
	objects, err := demoTrail(g, filepath.Join(dir, demoTrails), show)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, tel, err := demoPipeline(ctx, broker.Brokers(), siem, log)
	if err != nil {
		return err
	}
	p.Rules = d.user
	defer tel.Shutdown(context.WithoutCancel(ctx))
	ended, ready := make(chan error, 1), make(chan struct{})
	p.Ready = func() { close(ready) }
	go func() {
		defer cancel() // a stage that failed ends the replay too
		ended <- p.Run(ctx, stream.Stages{Count: true, Detect: true, Forward: true})
	}()
	defer func() {
		cancel()
		if perr := <-ended; perr != nil {
			err = perr // and what else failed, failed because of it
		}
	}()
	select {
	case <-ready:
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

// demoIdle is the silence after which the demo's last windows close. Three days pass in
// seconds, so silence is a matter of seconds too. A machine that is busy with other
// things may keep the replay waiting for longer: what comes then is not late.
const demoIdle = 3 * time.Second

// demoPipeline is the pipeline as "keytrail run" makes it, with one sink.
func demoPipeline(ctx context.Context, brokers []string, siem *siem, log *slog.Logger) (*stream.Pipeline, *telemetry.Telemetry, error) {
	tel, err := telemetry.New(ctx, telemetry.DefaultConfig())
	if err != nil {
		return nil, nil, err
	}
	cfg := config.Default()
	cfg.Kafka.Partitions = config.Partitions{Events: 4, Partials: 2}
	cfg.Window.IdleAfter = demoIdle
	p := newPipeline(cfg, brokers, tel, log)
	receiver := otlphttp.DefaultConfig()
	receiver.Endpoint = siem.url
	to, _ := config.NewSink(all.OTLP)
	to.Name, to.To = "siem", &receiver
	to.Take = config.Take{Windows: config.WindowsAnomalous, Anomalies: true}
	there, err := destination(to)
	p.Sinks = []stream.Destination{there}
	return p, tel, err
}

// replay publishes the files, spread over pace.
func replay(ctx context.Context, p *stream.Pipeline, pace time.Duration, objects []source.Object, show *show) error {
	pub, err := stream.NewPublisher(p.Kafka, p.Topics, p.Read)
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
	show.line("All files are read: %d records, %d published to kms.events, %d filtered%s, %d dead letters.", c.Received, c.Published, c.Filtered, c.FilteredBy.Named(), c.DeadLettered)
	return nil
}
